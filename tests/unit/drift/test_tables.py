"""The tables against the types of Kubernetes, as the embedded API server has them (OpenAPI and Go's pointers)."""

from __future__ import annotations

from collections import defaultdict

from deployments.sandbox.kubernetes.types import Type, library
from infra.drift.tables import FREE_FORM, KEPT_ZEROS, LIST_KEYS, QUANTITIES, QUANTITY_MAPS

RESPONSES = ("Status", "Event", "Condition", "Options", "Review", "Scale", "Preconditions", "ObjectMeta")
"""Ends of the names of types that nobody declares."""
TYPES = [library().get(name) for name in library().names() if not name.endswith(RESPONSES)]
FIELDS = [(each, name, field) for each in TYPES for name, field in each.fields.items()]


def test_every_keyed_list_is_known() -> None:
    known: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for _, name, field in FIELDS:
        if field.list_type == "map":
            known[name].add(field.keys)
    missing = {name: keys for name, keys in known.items() if not keys <= set(LIST_KEYS.get(name, ()))}
    # Of nodes and of devices, which nobody declares.
    assert set(missing) <= {"drivers", "allocatedResourcesStatus", "resources", "addresses"}


def test_every_quantity_is_known() -> None:
    single = {name for _, name, field in FIELDS if field.kind == "quantity"}
    maps = {name for _, name, field in FIELDS if field.kind == "map" and _elem(field) == "quantity"}
    assert single - {"capacity"} <= QUANTITIES  # of a CSIStorageCapacity, which a driver makes
    assert maps <= QUANTITY_MAPS | {"used", "allocatedResources"}


def test_maps_of_text_are_free_form() -> None:
    maps = {name for _, name, field in FIELDS if field.kind == "map" and _elem(field) == "string"}
    assert maps <= FREE_FORM | {"options", "deprecatedTopology", "extra", "matchLabels", "attachmentMetadata"}


def test_zeros_are_kept_where_go_has_pointers() -> None:
    kept, dropped = set(), set()
    for each, name, field in FIELDS:
        if field.kind in ("integer", "number", "boolean") and name not in each.required:
            (kept if name in each.pointers else dropped).add(name)
    # Read-only volumes and probes say the same with false and without; a port of 0 is refused.
    ambiguous = {"readOnly", "timeoutSeconds", "priority", "partition", "minReplicas", "expirationSeconds"}
    assert kept - dropped - KEPT_ZEROS - ambiguous <= {"port", "observedGeneration", "collisionCount", "started"}
    assert not (dropped - kept) & KEPT_ZEROS


def _elem(field: Type) -> str:
    return field.elem.kind if field.elem else ""
