"""What is known of the kind of an object: by the tables, and of a custom resource by its definition, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.drift.defaulting import has_default, is_default
from infra.drift.paths import Path
from infra.drift.structure import Structure
from infra.drift.tables import FREE_FORM
from infra.drift.values import builtin, is_unset, may_be_absent


class Kind:
    """The kind of a declared object.

    Attributes:
        builtin: the API server knows it by itself.
        defaults_known: what the API server fills in is known: by the tables, or by the definition.
        name: as the tables have it: a custom one with its group, for several groups have a Gateway or a Job.
    """

    def __init__(self, declared: Mapping[str, Any], structure: Structure | None) -> None:
        kind, api_version = declared.get("kind", ""), declared.get("apiVersion", "")
        self.builtin = builtin(api_version)
        self.name: str = kind if self.builtin else f"{kind}.{api_version.rpartition('/')[0]}"
        self.defaults_known = self.builtin or structure is not None
        self._structure = structure

    def is_default(self, value: Any, path: Path) -> bool:
        """Whether the API server puts this value at `path` where nothing is declared."""
        if self._structure is not None and self._structure.is_default(value, path):
            return True
        return is_default(value, path, self.name, self.builtin)

    def is_doubtful(self, value: Any, path: Path) -> bool:
        """Whether nobody can say of a value that somebody chose it, though a person wrote all around it.

        Programs write custom resources with empty text, lists and maps, and so does the API server with what it
        defaults; where the definition is known, a 0 or a false that is no default was chosen.
        """
        if self.is_default(value, path):
            return True
        if value or self.builtin or has_default(path, self.name):
            return False
        return self._structure is None or not isinstance(value, int | float)

    def is_unset(self, value: Any, path: Path) -> bool:
        """Whether a declared value says no more than none, so that the API server puts its default there."""
        chosen = len(path) > 1 and path[-2] in FREE_FORM
        return self.builtin and not chosen and is_unset(str(path[-1]), value)

    def may_lack(self, value: Any, path: Path) -> bool:
        """Whether the API server leaves out a declared value, or drops it: nobody has taken it away."""
        chosen = len(path) > 1 and path[-2] in FREE_FORM
        if not chosen and may_be_absent(str(path[-1]), value, self.builtin):
            return True
        return self._structure is not None and not self._structure.keeps(path)
