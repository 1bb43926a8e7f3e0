"""The pairs of modern.yaml, and whose fields they may be: what a comparison has to find nothing in."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from deployments.sandbox.kubernetes import managed, structural
from deployments.sandbox.kubernetes.types import Type
from infra.drift.paths import follow, pointer
from tests.corpora.corpus import HERE, Recorded
from tests.corpora.mutations import schema_of

Object = dict[str, Any]
Crds = dict[tuple[str, str], Object]
BORN, LATER = "2030-01-01T00:00:00Z", "2030-02-02T02:02:02Z"
"""Before the changes of mutations.py: who writes at birth is a founder."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def modern_pairs() -> tuple[Recorded, ...]:
    """Every pair of the file, the live ones without managed fields."""
    documents = yaml.load_all((HERE / "modern.yaml").read_text(encoding="utf-8"), Loader=_LOADER)
    return tuple(_recorded(each) for each in documents)


def variants(row: Recorded, crds: Crds) -> Iterator[tuple[str, Object]]:
    """The live object in the books of an API server: in nobody's name, in helm's, and in that of its founder."""
    yield "bare", row.live
    yield "helm", _kept(row.live, _written(row, crds, "helm", BORN))
    books = _written(row, crds, "kubectl-create", BORN)
    ours = managed.Manager("plumbline", "Apply", row.live["apiVersion"])
    schema = schema_or_open(row.live, crds)
    managed.apply(schema, _bare(row.live), _bare(row.declared), books, ours, now=LATER, force=True)
    yield "adopted", _kept(row.live, books)


def rewritten(row: Recorded, crds: Crds) -> Object:
    """The live object after a person has written all of it anew, as it was: defaults are in the person's name, too."""
    return _kept(row.live, _written(row, crds, "kubectl-edit", LATER))


def schema_or_open(item: Object, crds: Crds) -> Type:
    """The type of an object; of one whose definition is not recorded, that of any custom resource."""
    return schema_of(item, crds) or structural.object_type(None)


def _written(row: Recorded, crds: Crds, manager: str, time: str) -> managed.Managers:
    """The books after `manager` has written the whole live object."""
    books = managed.Managers()
    who = managed.Manager(manager, "Update", row.live["apiVersion"])
    nothing = {"apiVersion": row.live["apiVersion"], "kind": row.live["kind"], "metadata": {}}
    managed.track_update(schema_or_open(row.live, crds), nothing, _bare(row.live), books, who, now=time)
    return books


def _kept(live: Object, books: managed.Managers) -> Object:
    return {**live, "metadata": {**live["metadata"], "managedFields": books.encode()}}


def _bare(item: Object) -> Object:
    return {key: value for key, value in item.items() if key != "status"}


def _recorded(document: Object) -> Recorded:
    declared = document["declared"]
    live = _over(declared, document.get("added", {}))
    for each in document.get("dropped", ()):
        *parents, last = (int(part) if part.isdigit() else part for part in pointer(each))
        del follow(live, tuple(parents))[last]
    name = live["metadata"]["name"]
    live["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": "7", "generation": 1, "creationTimestamp": BORN}
    return Recorded(f"{document['source']}, {document['kubernetes']}", declared, live, None)


def _over(below: Any, above: Any) -> Any:
    """A copy of `below` with `above` laid over it; lists of maps item by item."""
    if isinstance(below, dict) and isinstance(above, dict):
        laid = {key: _over(below.get(key), value) for key, value in above.items()}
        return copy.deepcopy(below) | laid
    if isinstance(below, list) and isinstance(above, list) and all(isinstance(each, dict) for each in below + above):
        both = [_over(*each) for each in zip(below, above, strict=False)]
        return copy.deepcopy(both + below[len(both) :] + above[len(both) :])
    return copy.deepcopy(above)
