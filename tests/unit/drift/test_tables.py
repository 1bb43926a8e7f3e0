"""The tables against the types of Kubernetes, as the API server that the corpora were recorded on serves them.

Which zeros it keeps is in no OpenAPI document: `tests/envtest/test_zeros.py` asks the API server itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from infra.drift.tables import BUILTIN_GROUPS, FREE_FORM, LIST_KEYS, QUANTITIES, QUANTITY_MAPS
from tests.corpora.corpus import Field, types

REPORTED = ("List", "Options", "Review", "Scale", "Event", "Binding", "Eviction", "Status", "TokenRequest")
"""Ends of the names of kinds that nobody declares: requests and answers."""
DRIVERS = frozenset({"Node", "CSINode", "CSIStorageCapacity", "ResourceSlice", "ComponentStatus"})
"""Kinds that the cluster's own programs make."""
TYPES = types()


def declared(name: str, seen: set[str]) -> Iterator[tuple[str, Field]]:
    """The fields of a type, and of all that it holds, but for what controllers report."""
    if name in seen or name.endswith("ObjectMeta") or name not in TYPES:
        return
    seen.add(name)
    for field, each in TYPES[name].fields.items():
        if field != "status":
            yield field, each
            yield from declared(each.ref, seen)


KINDS = {kind: name for name, each in TYPES.items() for _, kind in each.kinds
         if not kind.endswith(REPORTED) and kind not in DRIVERS}  # fmt: skip
SEEN: set[str] = set()
FIELDS = [each for name in KINDS.values() for each in declared(name, SEEN)]


def test_there_are_types() -> None:
    assert {"Deployment", "PersistentVolume", "CustomResourceDefinition", "ValidatingAdmissionPolicy"} <= set(KINDS)
    assert len(SEEN) >= 300


def test_every_group_is_known() -> None:
    groups = {version.rpartition("/")[0] for each in TYPES.values() for version, _ in each.kinds}
    assert groups <= BUILTIN_GROUPS | {"meta"}


def test_every_keyed_list_is_known() -> None:
    known: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for name, field in FIELDS:
        if field.keys:
            known[name].add(field.keys)
    assert len(known) >= 15
    assert {name: keys for name, keys in known.items() if not keys <= set(LIST_KEYS.get(name, ()))} == {}


def test_every_quantity_is_known() -> None:
    single = {name for name, field in FIELDS if field.kind == "quantity"}
    maps = {name for name, field in FIELDS if field.kind == "map" and field.of == "quantity"}
    assert single and maps
    assert single <= QUANTITIES
    assert maps <= QUANTITY_MAPS


def test_maps_of_text_are_free_form() -> None:
    maps = {name for name, field in FIELDS if field.kind == "map" and field.of == "string"}
    assert maps
    # Of volumes' drivers, of what a signer sees, and of what the cluster's own programs make.
    assert maps <= FREE_FORM | {"options", "extra", "attachmentMetadata", "deprecatedTopology"}
