"""What somebody has added to an object, taken away again (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infra.drift.ignoring import IgnoreRule
from infra.drift.objects import Key, key_of, suspects
from infra.drift.paths import Item, Member, Path
from infra.drift.scaling import floors, in_charge

Pointer = tuple[str | int, ...]


def removals(
    declared: Mapping[str, Any],
    live: Mapping[str, Any],
    ignores: Iterable[IgnoreRule] = (),
    beside: Mapping[Key, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """JSON Patch operations (RFC 6902) that take away what nobody declares, and set another order of items back.

    Server-side apply sets back what is declared, and leaves alone what others have added and, on older servers, the
    order. Each operation is refused where what it takes has changed meanwhile; what else has changed, such as the
    status of a rollout under way, does not matter. A list loses items first, and is put in order the next time.

    Args:
        ignores: fields that others write by design.
        beside: the autoscalers that are to be there, and the definition of a custom resource.
    """
    found = suspects([declared], {**(beside or {}), key_of(live): live}, ignores=ignores)
    extra = [one for each in found for one in each.differences if one.sort == "extra" and not one.doubtful]
    pointers = [pointer for one in extra if (pointer := pointer_to(live, one.path)) is not None]
    turned: list[tuple[Pointer, dict[str, Any]]] = [
        (pointer, {"op": "replace", "path": text_of(pointer), "value": _in_order(_at(live, pointer), one.declared)})
        for each in found
        for one in each.differences
        if one.reordered and (pointer := pointer_to(live, one.path)) is not None
        if not any(other[: len(pointer)] == pointer for other in pointers)
    ]
    # The last items of a list first: removing one moves those behind it.
    last_first = sorted(pointers, key=lambda pointer: [(isinstance(one, int), str(one).zfill(9)) for one in pointer])
    removed = [(pointer, {"op": "remove", "path": text_of(pointer)}) for pointer in reversed(last_first)]
    return [step for pointer, change in (*turned, *removed) for step in (_unchanged(live, pointer), change)]


def _unchanged(live: Mapping[str, Any], pointer: Pointer) -> dict[str, Any]:
    return {"op": "test", "path": text_of(pointer), "value": _at(live, pointer)}


def as_scaled(
    declared: Mapping[str, Any], live: Mapping[str, Any], scalers: Mapping[Key, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """A declaration to apply, with the replicas that an autoscaler has chosen: applied as declared, it would scale.

    To leave them out would not do: who applied them once and does no more takes them away, and the default is one.
    """
    wanted, there = (item.get("spec") or {} for item in (declared, live))
    number = wanted.get("replicas")
    floor = floors(scalers.values()).get(key_of(live))
    if number is None or not in_charge(floor, number, there.get("replicas")):
        return declared
    return {**declared, "spec": {**wanted, "replicas": there["replicas"]}}


def _in_order(items: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Items with those that have these names in this order, in the places that those had."""
    place = {name: number for number, name in enumerate(names)}
    named = iter(sorted((each for each in items if each.get("name") in place), key=lambda each: place[each["name"]]))
    return [next(named) if each.get("name") in place else each for each in items]


def _at(value: Any, pointer: Pointer) -> Any:
    for part in pointer:
        value = value[part]
    return value


def pointer_to(value: Any, path: Path) -> Pointer | None:
    """Where a path leads in an object, list items by their index; None where there is nothing."""
    pointer: list[str | int] = []
    for step in path:
        here = _index(value, step)
        if here is None:
            return None
        pointer.append(here)
        value = value[here]
    return tuple(pointer)


def text_of(pointer: Pointer) -> str:
    """A JSON pointer as text (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)


def _index(value: Any, step: str | int | Item | Member) -> str | int | None:
    if isinstance(step, str):
        return step if isinstance(value, Mapping) and step in value else None
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if isinstance(step, int):
        return step if step < len(value) else None
    return next((number for number, item in enumerate(value) if _is(item, step)), None)


def _is(item: Any, step: Item | Member) -> bool:
    if isinstance(step, Member):
        return bool(item == step.value)
    return isinstance(item, Mapping) and all(item.get(name, value) == value for name, value in step.keys)
