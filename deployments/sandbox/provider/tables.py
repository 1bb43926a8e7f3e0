"""Arguments of a resource as rows of a table, and the arithmetic of Terraform's older plugin SDK on them.

Upstream's provider is written with terraform-plugin-sdk/v2. Its "legacy type system" takes an empty string, zero,
false and an empty collection for an unset optional argument, fills defaults in while planning, and replaces an
object when a ForceNew argument changes. The same is done here, so that plans read the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tf.types import Unknown

State = dict[str, Any]
"""Values by argument: None is unset, `Unknown` is known after apply."""

_USES = {"required", "optional", "computed", "optional+computed"}
_KINDS = {"string", "number", "bool", "map", "list", "set"}


@dataclass(frozen=True)
class Argument:
    """One row: an argument or attribute of a resource."""

    name: str
    kind: str
    use: str
    force_new: bool = False
    sensitive: bool = False
    default: Any = None
    env: str | None = None

    @property
    def computed(self) -> bool:
        return "computed" in self.use

    @property
    def configurable(self) -> bool:
        return self.use != "computed"

    @property
    def required(self) -> bool:
        """Whether the configuration has to set it; the SDK lets an environment variable do that instead."""
        return self.use == "required" and not (self.env and os.environ.get(self.env))

    def fallback(self) -> Any:
        """What stands when the configuration says nothing."""
        if self.env and os.environ.get(self.env):
            return os.environ[self.env]
        return self.default


@dataclass(frozen=True)
class Table:
    """All arguments of a resource or data source, and the operations that have a timeout (seconds)."""

    arguments: tuple[Argument, ...]
    timeouts: Mapping[str, float] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [argument.name for argument in self.arguments]


def table(text: str, *, timeouts: Mapping[str, float] | None = None) -> Table:
    """Read a table of `name kind use [new] [sensitive] [default=…] [env=…]` rows; `id` is added."""
    rows = [line.split() for line in text.strip().splitlines() if line.strip()]
    return Table((Argument("id", "string", "optional+computed"), *map(_argument, rows)), dict(timeouts or {}))


def _argument(row: list[str]) -> Argument:
    name, kind, use, *flags = row
    if kind not in _KINDS or use not in _USES:
        raise ValueError(f"row {row!r} of a provider table")
    options = dict(flag.split("=", 1) for flag in flags if "=" in flag)
    return Argument(
        name,
        kind,
        use,
        force_new="new" in flags,
        sensitive="sensitive" in flags,
        default=_literal(options["default"]) if "default" in options else None,
        env=options.get("env"),
    )


def _literal(text: str) -> Any:
    return {"true": True, "false": False}[text] if text in ("true", "false") else int(text)


def same(argument: Argument, one: Any, other: Any) -> bool:
    """Whether two values mean the same, as the SDK sees it."""
    if one is Unknown or other is Unknown:
        return one is other
    if argument.kind == "set" and one and other:
        return sorted(one) == sorted(other)
    if argument.use == "optional":
        return (one or None) == (other or None)
    return bool(one == other)


def plan(rows: Table, prior: State | None, proposed: State, config: State) -> tuple[State, list[str]]:
    """The planned state, and the names of the arguments that force a replacement.

    Args:
        prior: the state as last read, None for a new object.
        proposed: terraform's merge of configuration and prior state.
        config: the configuration alone.
    """
    planned = dict(proposed)
    forcing: list[str] = []
    for argument in rows.arguments:
        name = argument.name
        if config.get(name) is None and argument.configurable and argument.fallback() is not None:
            planned[name] = argument.fallback()
        if prior is None:
            if argument.computed and planned.get(name) is None:
                planned[name] = Unknown
        elif same(argument, prior.get(name), planned.get(name)):
            planned[name] = prior.get(name)
        elif argument.force_new:
            forcing.append(name)
    return planned, forcing


def settle(rows: Table, observed: State, current: State) -> State:
    """The state to record: what was observed, with unset optional arguments left unset.

    Args:
        observed: values as the cloud gives them; an argument that is absent keeps its current value.
        current: the state or plan so far.
    """
    settled: State = {}
    for argument in rows.arguments:
        kept = current.get(argument.name)
        value = observed.get(argument.name, None if kept is Unknown else kept)
        if argument.use == "optional" and not value and not kept:
            value = kept
        settled[argument.name] = sorted(value) if argument.kind == "set" and value else value
    if rows.timeouts:
        settled["timeouts"] = current.get("timeouts")
    return settled


def partial(rows: Table, planned: State, identifier: str) -> State:
    """The state of an object that was begun and did not become ready: terraform marks it tainted."""
    known = {name: None if value is Unknown else value for name, value in planned.items()}
    return {**dict.fromkeys(rows.names()), **known, "id": identifier}
