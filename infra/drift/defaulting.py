"""Whether what nobody declared is what the API server, its admission or its strategies put there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.drift.defaults import ADMITTED, ANY, COPIES, DEFAULTS, DEFAULTS_WITHIN, DERIVED, EVERYWHERE, NONE
from infra.drift.paths import Path
from infra.drift.tables import FREE_FORM
from infra.drift.values import identical, quantity


def is_default(value: Any, path: Path, kind: str, is_builtin: bool = True) -> bool:
    """Whether the API server puts this value at `path` of a `kind` where nothing is declared.

    Among keys that people choose, and in custom resources, that is only what stands in `DEFAULTS_WITHIN`.
    """
    parent = path[-2] if len(path) > 1 else ""
    if _is_one(value, _within(path, kind)):
        return True
    if parent in FREE_FORM:
        return False
    if not is_builtin:
        return _is_nothing(value)
    return _is_one(value, _within(path, EVERYWHERE)) or _usual(str(path[-1]), value)


def has_default(path: Path, kind: str) -> bool:
    """Whether it is known of this very place what the API server puts there."""
    return bool(_within(path, kind))


def is_derived(key: str, value: Any, declared: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether the API server made a value of what is declared beside it."""
    if key in COPIES:
        beside = COPIES[key]
        # The copy stays as it was when what it comes from is changed.
        return bool(declared.get(beside)) and value in (live.get(beside), declared[beside])
    if key in _PULLED:
        pulled = live.get(_PULLED[key]) or declared.get(_PULLED[key]) or ""
        return bool(value == _pull_policy(str(pulled)))
    return key in DERIVED and any(value == each and _holds(wanted, declared) for each, wanted in DERIVED[key])


def without_completions(declared: Mapping[str, Any], live: Mapping[str, Any]) -> Mapping[str, Any]:
    """A living LimitRange's limits for containers, without the amounts that the API server completed by itself.

    A maximum is the default, too, and a default or a minimum is the default request. An amount stays as it was when
    what it comes from is changed: so both of them count, the one declared and the living one.
    """
    if "Container" not in (declared.get("type"), live.get("type")):
        return live
    kept = {**live}
    for name, sources in _COMPLETED.items():
        if not isinstance(live.get(name), dict):
            continue
        amounts = [side[each] for side in (declared, live) for each in sources if isinstance(side.get(each), dict)]
        wanted = declared.get(name) or {}
        kept[name] = {
            key: value
            for key, value in live[name].items()
            if key in wanted or not any(key in each and quantity(each[key]) == quantity(value) for each in amounts)
        }
        if not kept[name] and name not in declared:
            del kept[name]
    return kept


_COMPLETED: Final = {"default": ("max",), "defaultRequest": ("default", "max", "min")}
"""The amounts of a limit that are completed, and from which others."""


_PULLED: Final = {"imagePullPolicy": "image", "pullPolicy": "reference"}
"""When something is pulled, of a container and of a volume, and the field beside it that says what."""


def is_admitted(item: Any, path: Path, kind: str) -> bool:
    """Whether admission adds an item like this to the list at `path` of a `kind`."""
    known = ADMITTED.get(kind, {}).get(str(path[-1]), ())
    return isinstance(item, dict) and any(
        item.keys() == each.keys() and all(each[key] is ANY or each[key] == item[key] for key in each) for each in known
    )


def _pull_policy(image: str) -> str:
    """What is put beside an image where no policy is declared."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or digest) else "IfNotPresent"


def _within(path: Path, kind: str) -> tuple[Any, ...]:
    """The defaults that hold at this place only."""
    table = DEFAULTS_WITHIN.get(kind)
    if table is None or len(path) < 2:
        return ()
    # The field of a list's item is held by the list.
    holder = path[-2] if isinstance(path[-2], str) else path[-3]
    return table.get(str(holder), {}).get(str(path[-1]), ())


def _usual(name: str, value: Any) -> bool:
    """Whether the value is a default wherever the name stands, or holds nothing but such."""
    if _is_nothing(value) or _is_one(value, DEFAULTS.get(name, ())):
        return True
    if not value or not isinstance(value, dict) or name in FREE_FORM:
        return False
    return all(_usual(key, each) for key, each in value.items())


def _is_nothing(value: Any) -> bool:
    return value is None or value in ("", [])


def _is_one(value: Any, known: tuple[Any, ...]) -> bool:
    return any(each is ANY or identical(each, value) for each in known)


def _holds(conditions: Mapping[str, Any], declared: Mapping[str, Any]) -> bool:
    """Whether what is declared is as a default of `DERIVED` wants it."""
    return all(_meets(declared.get(key), wanted) for key, wanted in conditions.items())


def _meets(value: Any, wanted: Any) -> bool:
    nothing = value is None or value in ([], {})
    if wanted is NONE:
        return nothing
    return value == wanted or (wanted is ANY and not nothing)
