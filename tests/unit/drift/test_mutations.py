"""No drift missed: thousands of changes by hand, each found where it is, and none of the noise."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from infra.drift.findings import Severity
from tests.corpora.corpus import Recorded, pairs
from tests.corpora.mutations import EDITOR, Mutation, mutations, schema_of
from tests.unit.drift.comparing import compare_recorded, crds, ignores, paths

SLICES = 16
PER_OBJECT = 12
ROWS = [row for row in pairs() if row.live["kind"] != "CustomResourceDefinition" or row.source != "crds"]


def chosen(row: Recorded) -> list[Mutation]:
    """Some of each sort, without those that the catalogue tells us to leave alone."""
    most = 3 if row.live["kind"] == "CustomResourceDefinition" else PER_OBJECT
    known = mutations(row, schema_of(row.live, crds()), most=most)
    return [each for each in known if not ignored(row, each)]


def ignored(row: Recorded, mutation: Mutation) -> bool:
    """Whether the catalogue ignores the place."""
    kind, name = row.live["kind"], row.live["metadata"]["name"]
    pointers = [path for rule in ignores() if rule.kind == kind and rule.name in (None, name) for path in rule.paths]
    step = r"(\[[^]]*\]|\.[^.]+)"
    places = [re.escape(pointer).replace("/", r"\.").replace(r"\.\*", step) for pointer in pointers]
    return any(re.match(place, path) for place in places for path in mutation.paths)


@pytest.mark.parametrize("part", range(SLICES))
def test_every_change_is_found_and_no_noise(part: int) -> None:
    seen: Counter[bool] = Counter()
    for row in ROWS[part::SLICES]:
        for mutation in chosen(row):
            found = compare_recorded(row, mutation.live)
            assert paths(found) == list(mutation.paths), (row.source, row.live["kind"], mutation)
            seen[bool(mutation.paths)] += 1
            for finding in found:
                assert (finding.severity == Severity.DESTRUCTIVE) >= (mutation.live is None)
                # The API server keeps no books on an update where there are none.
                kept = row.live["metadata"].get("managedFields")
                if kept and mutation.what.endswith(("added", "edited")):
                    assert finding.changed is not None
                    assert (finding.changed.who, finding.changed.how) == (EDITOR, "Update")
    # Thousands in all.
    assert seen[True] * SLICES >= 2000
    assert seen[False] * SLICES >= 200


WITHOUT_BOOKS = frozenset({"value edited", "type changed", "key deleted", "item deleted", "label added", "key added",
                           "annotation added", "object deleted", "list reordered"})  # fmt: skip


@pytest.mark.parametrize("part", range(4))
def test_without_managed_fields_what_cannot_be_a_default_is_found(part: int) -> None:
    for row in ROWS[part::16]:
        for mutation in mutations(row, None, most=8):
            if mutation.what in WITHOUT_BOOKS and not ignored(row, mutation):
                assert paths(compare_recorded(row, mutation.live)) == list(mutation.paths), (row.live["kind"], mutation)
            elif not mutation.paths:
                assert compare_recorded(row, mutation.live) == []
