"""What the rules need to know from outside: the site's bounds, and the catalogue's names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from pydantic import ValidationInfo

from infra.settings import Settings
from infra.spec.fields import name_problem
from infra.spec.problems import show, suggest


@dataclass(frozen=True, slots=True)
class Rules:
    """Bounds a declaration is checked against; the catalogue is handed in, so that it may itself import the models."""

    addons: frozenset[str] | None = None
    """The catalogue's names; None checks only that a name looks like one."""
    ttl_min: int = 300
    """Smallest recordset TTL, s."""
    ttl_max: int = 86400
    """Largest recordset TTL, s."""

    @classmethod
    def of(cls, settings: Settings, addons: Collection[str] | None = None) -> Self:
        """The rules of this site."""
        known = None if addons is None else frozenset(addons)
        return cls(addons=known, ttl_min=settings.dns_ttl_min, ttl_max=settings.dns_ttl_max)

    def addon_problem(self, name: str) -> tuple[str, str] | None:
        """Say what is wrong with an add-on's name, as (reason, right)."""
        if self.addons is None:
            return name_problem(name, 63)
        if name in self.addons:
            return None
        return f"the catalogue has no add-on {show(name)}", suggest(name, self.addons, "the catalogue has")


DEFAULT = Rules()


def context_of(info: ValidationInfo) -> Rules:
    """The rules a validation was started with."""
    return info.context if isinstance(info.context, Rules) else DEFAULT
