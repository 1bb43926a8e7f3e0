"""Objects as a real API server returned them, controllers and webhooks at work: in step; and changed by hand: found."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from infra.catalog import Catalog
from infra.drift.findings import PlaneName
from infra.drift.objects import compare_objects, key_of
from tests.corpora.corpus import Recorded, pairs
from tests.corpora.mutations import mutations, schema_of

PLANE = PlaneName.ADDONS
CRDS = {
    (row.live["spec"]["group"], row.live["spec"]["names"]["kind"]): row.live
    for row in pairs()
    if row.live["kind"] == "CustomResourceDefinition"
}
NOISE = {"status changed", "new version", "books in an annotation"}
"""Changes that are nobody's edit of what is declared."""
PLAIN = ("Deployment", "ConfigMap", "ClusterRole", "Ingress", "NetworkPolicy", "ServiceAccount", "StorageClass")


def test_the_corpus_is_what_it_is_said_to_be() -> None:
    kinds = Counter(row.live["kind"] for row in pairs())
    assert len(pairs()) >= 300
    assert len(kinds) >= 25


def test_nothing_that_is_in_step_is_called_drift() -> None:
    ignores = [rule for addon in Catalog.load().values() for rule in addon.ignore]
    live = {key_of(row.live): row.live for row in pairs()}
    assert compare_objects([row.declared for row in pairs()], live, plane=PLANE, ignores=ignores) == []


def paths(row: Recorded, live: dict[str, object] | None) -> list[str]:
    there = {key_of(live): live} if live is not None else {}
    return [one.path for one in compare_objects([row.declared], there, plane=PLANE)]


@pytest.mark.parametrize("kind", PLAIN)
def test_what_somebody_changes_is_found_at_its_path_and_noise_is_not(kind: str) -> None:
    seen: Counter[str] = Counter()
    rows = [row for row in pairs() if row.live["kind"] == kind][:6]
    for row in rows:
        for one in islice(mutations(row, schema_of(row.live, CRDS)), 400):
            if one.what in NOISE:
                assert paths(row, one.live) == [], one.what
            elif one.what in {"object deleted", "value edited", "label added", "annotation added"}:
                assert paths(row, one.live) == list(one.paths), one.what
            seen[one.what] += 1
    assert seen["object deleted"] == len(rows)
    assert seen["label added"] == seen["status changed"] == len(rows)
