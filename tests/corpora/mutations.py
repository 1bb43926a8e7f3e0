"""Changes that a person could make to a recorded object, each with what a comparison has to say about it.

What becomes of the object, and in whose name, the API server says when the corpora are recorded (editing.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from infra.drift.paths import ABSENT, Item, Member, Path, Step, follow, key_of, render
from infra.drift.tables import LIST_KEYS, NOISE_KEYS, SERVER_METADATA, SETS, UNORDERED, UNORDERED_ITEMS
from tests.corpora.corpus import Recorded

Object = dict[str, Any]
Make = Callable[[], Object]
Change = tuple[str, Path, Make]
_FINALIZERS, _WAIT = ("metadata", "finalizers"), "example.org/wait"


CUSTOM_KEYS = {"parts": (("id",),), "listeners": (("name",),)}
"""Keys of lists of custom resources in the manifests, as their definitions have them."""


@dataclass(frozen=True)
class Mutation:
    """One change to one object.

    Args:
        what: the kind of change.
        paths: what the findings have to say; none where there must be no finding.
        live: the object afterwards, its managed fields as before.
    """

    what: str
    paths: tuple[str, ...]
    live: Object


def mutations(row: Recorded) -> Iterator[tuple[str, Callable[[], Mutation]]]:
    """Changes of every sort that this object allows, by their kind."""
    for what, path, make in (*_edits(row), *_additions(row)):
        yield what, partial(_mutation, what, _paths(row, what, path), make)
    for what, make in _noise(row):
        yield what, partial(_mutation, what, (), make)


def _mutation(what: str, paths: tuple[str, ...], make: Make) -> Mutation:
    return Mutation(what, paths, make())


def _paths(row: Recorded, what: str, path: Path) -> tuple[str, ...]:
    """What is to be found; two items that changed places are two changes."""
    if what == "list reordered":
        last = (*path[:-1], len(follow(row.live, path[:-1])) - 1)
        return render(path), render(last)
    return (render(path),)


def _edits(row: Recorded) -> Iterator[Change]:
    """Changes to what is declared."""
    for path, declared in _leaves(row.declared):
        live = follow(row.live, path)
        if "metrics" in path or (row.live["metadata"]["name"] == "scaled" and path == ("spec", "replicas")):
            continue  # the autoscaler's, whose metrics the server moves
        if (
            live is ABSENT
            or live is None
            or isinstance(live, dict | list)
            or not isinstance(declared, str | int | float | bool)
        ):
            continue
        yield "value edited", path, partial(put, row.live, path, _other(live))
        if not isinstance(live, str):
            yield "type changed", path, partial(put, row.live, path, str(live).lower() + "x")
        if isinstance(path[-1], str) and (live != "" or path[-2] == "data"):
            yield "key deleted", path, partial(cut, row.live, path)
    for path, items in _lists(row.declared):
        yield from _list_edits(row, path, items)


def _list_edits(row: Recorded, path: Path, items: list[Any]) -> Iterator[Change]:
    live = follow(row.live, path)
    if not isinstance(live, list) or not items or path[-1] == "metrics":
        return
    steps = [_step_of(item, index, path) for index, item in enumerate(items)]
    plain = not any(isinstance(item, dict | list) for item in items)
    whole = plain and not isinstance(steps[0], Member)
    if len(live) == len(items):
        last = (*path, steps[-1])
        yield "item deleted", path if whole else last, partial(cut, row.live, last)
    if len(items) > 1 and isinstance(steps[0], int) and items[0] != items[-1] and plain:
        swapped = [live[-1], *live[1:-1], live[0]]
        yield "list reordered", (*path, 0), partial(put, row.live, path, swapped)


def _additions(row: Recorded) -> Iterator[Change]:
    """Things that are not declared."""
    for name in ("labels", "annotations"):
        path = ("metadata", name, "example.org/by-hand")
        yield f"{name[:-1]} added", path, partial(put, row.live, path, "yes")
    if "finalizers" in row.declared["metadata"] or row.live["metadata"].get("managedFields"):
        yield "finalizer added", (*_FINALIZERS, Member(_WAIT)), partial(_appended, row.live, _FINALIZERS, _WAIT)
    for name in ("data", "parameters", "hard"):
        for parent in ((), ("spec",)):
            if isinstance(follow(row.declared, (*parent, name)), dict) and not row.live.get("immutable"):
                path = (*parent, name, "by-hand")
                yield "key added", path, partial(put, row.live, path, "Mg==" if row.live["kind"] == "Secret" else "2")
    for path, items in _lists(row.declared):
        live = follow(row.live, path)
        if items and isinstance(live, list) and len(live) == len(items):
            yield from _item_additions(row, path, items)
    for pod in _pod_specs(row.live):
        for name, value in (("hostPID", True), ("hostNetwork", True), ("priorityClassName", "high")):
            if follow(row.live, (*pod, name)) is not True and name not in (follow(row.declared, pod) or {}):
                yield "field added", (*pod, name), partial(put, row.live, (*pod, name), value)
        for path, value in _within_empty(row, pod):
            yield "field added", path, partial(put, row.live, path, value)


def _within_empty(row: Recorded, pod: Path) -> Iterator[tuple[Path, Any]]:
    """Fields of what is `{}` by default: whoever created the object owns that, and it looks like a whole."""
    places = [((*pod, "securityContext"), ("runAsUser",), 0)]
    for container in follow(row.live, pod)["containers"]:
        name = Item((("name", container["name"]),))
        places.append(((*pod, "containers", name, "resources"), ("limits", "memory"), "7Mi"))
    for path, below, value in places:
        if follow(row.live, path) == {} and follow(row.declared, path) is ABSENT:
            yield (*path, *below), value


def _item_additions(row: Recorded, path: Path, items: list[Any]) -> Iterator[Change]:
    item = _another(items[0])
    if item is None or path[-1] == "metrics":
        return
    step = _step_of(item, len(items), path)
    whole = not isinstance(item, dict | list) and isinstance(step, int)
    yield "item added", path if whole else (*path, step), partial(_appended, row.live, path, item)


def _noise(row: Recorded) -> Iterator[tuple[str, Make]]:
    """Changes that are none."""
    books = sorted(NOISE_KEYS)
    for key in {
        books[len(row.live["metadata"]["name"]) % len(books)],
        "kubectl.kubernetes.io/last-applied-configuration",
    }:
        yield "books in an annotation", partial(put, row.live, ("metadata", "annotations", key), "noise")
    for path, items in _lists(row.declared):
        live = follow(row.live, path)
        if isinstance(live, list) and len(items) > 1 and len(live) == len(items):
            steps = [_step_of(item, 0, path) for item in items]
            if all(isinstance(step, Item | Member) for step in steps) or _rules(row.live["kind"], path):
                yield "keyed list reordered", partial(put, row.live, path, live[::-1])


def _leaves(item: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(item, dict):
        for key, value in item.items():
            if not path and key in ("apiVersion", "kind", "status"):
                continue
            if path == ("metadata",) and key in SERVER_METADATA:
                continue
            if path and path[-1] in ("labels", "annotations") and key in NOISE_KEYS:
                continue
            yield from _leaves(value, (*path, key))
    elif isinstance(item, list):
        for index, value in enumerate(item):
            step = _step_of(value, index, path)
            if isinstance(value, dict):
                yield from _keyed_leaves(value, (*path, step))
            elif not isinstance(step, Member):
                yield (*path, step), value
    else:
        yield path, item


def _keyed_leaves(value: Object, path: Path) -> Iterator[tuple[Path, Any]]:
    """The leaves of an item, without its key: another key is another item."""
    keys = {key for key, _ in path[-1].keys} if isinstance(path[-1], Item) else ()
    for leaf, each in _leaves(value, path):
        if not (len(leaf) == len(path) + 1 and leaf[-1] in keys):
            yield leaf, each


def _lists(item: Any, path: Path = ()) -> Iterator[tuple[Path, list[Any]]]:
    if isinstance(item, dict):
        for key, value in item.items():
            if path or key not in ("apiVersion", "kind", "status"):
                yield from _lists(value, (*path, key))
    elif isinstance(item, list):
        if item:
            yield path, item
        for index, value in enumerate(item):
            if isinstance(value, dict):
                yield from _lists(value, (*path, _step_of(value, index, path)))


def _step_of(item: Any, index: int, path: Path) -> Step:
    """The step to an item of the list at `path`; our own kind has `parts` by id and a set of `tags`.

    A Gateway has `listeners` by name, which its definition says.
    """
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    if isinstance(item, dict):
        for fields in (*LIST_KEYS.get(name, ()), *CUSTOM_KEYS.get(name, ())):
            found = key_of(item, fields)
            if found is not None:
                return found
        return index
    custom = path[:2] == ("spec", "storage")  # of a CephCluster, whose schema has no sets
    return Member(item) if name in SETS | {"tags"} or (name in UNORDERED and not custom) else index


def _rules(kind: str, path: Path) -> bool:
    return path in UNORDERED_ITEMS.get(kind, ())


def _pod_specs(item: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(item, dict):
        if isinstance(item.get("containers"), list) and item["containers"] and "restartPolicy" in item:
            yield path
        for key, value in item.items():
            if key not in ("metadata", "status"):
                yield from _pod_specs(value, (*path, key))


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else "QkJC" if value.endswith("=") else f"{value}9"


def _another(item: Any) -> Any:
    """An item like this one, with another name; None where it is not clear how."""
    if isinstance(item, str):
        return f"{item}-by-hand"
    if not isinstance(item, dict):
        return None
    fresh = copy.deepcopy(item)
    for key in ("containerPort", "port"):
        if isinstance(fresh.get(key), int):
            return {**fresh, key: fresh[key] + 7, "name": "by-hand"}
    for key in ("mountPath", "devicePath", "name", "ip", "topologyKey", "key", "host", "id"):
        if isinstance(fresh.get(key), str):
            fresh[key] = f"{fresh[key]}-by-hand"
            return fresh
    return {**fresh, "verbs": ["escalate"]} if "verbs" in fresh else None


def put(item: Object, path: Path, value: Any) -> Object:
    """A copy of `item` with `value` at `path`; maps on the way are made."""
    fresh = copy.deepcopy(item)
    there: Any = fresh
    for step in path[:-1]:
        if isinstance(step, str) and not isinstance(there.get(step), dict | list):
            there[step] = {}
        there = follow(there, (step,))
    last = path[-1]
    there[last if isinstance(last, str | int) else there.index(last)] = value
    return fresh


def cut(item: Object, path: Path) -> Object:
    """A copy of `item` without what is at `path`."""
    fresh = copy.deepcopy(item)
    there, last = follow(fresh, path[:-1]), path[-1]
    if isinstance(last, Item):
        there.remove(follow(there, (last,)))
    elif isinstance(last, Member):
        there.remove(last.value)
    else:
        del there[last]
    return fresh


def _appended(item: Object, path: Path, value: Any) -> Object:
    there = follow(item, path)
    return put(item, path, [*there, value] if isinstance(there, list) else [value])
