"""No false alarm: what a real API server, its controllers and webhooks made of what was declared is no drift."""

from __future__ import annotations

from collections import Counter

import pytest

from infra.drift.findings import PlaneName
from infra.drift.memory import Memory
from infra.drift.objects import compare_objects, key_of, suspects
from infra.drift.subset import covers
from infra.drift.values import builtin
from tests.corpora.corpus import Recorded, pairs
from tests.unit.drift.comparing import compare_recorded, ignores, without_books

ROWS = pairs()
LIVE = {key_of(row.live): row.live for row in ROWS}


def test_the_corpus_is_broad() -> None:
    kinds = Counter(row.live["kind"] for row in ROWS)
    assert len(ROWS) >= 600
    assert len(kinds) >= 50
    assert {row.source for row in ROWS} >= {"argocd", "cert-manager", "helm-kinds", "classic-kinds", "helm-defaults",
                                            "applied", "adopted", "crds"}  # fmt: skip
    managers = {(entry["manager"], entry["operation"]) for row in ROWS
                for entry in row.live["metadata"].get("managedFields", ())}  # fmt: skip
    assert managers >= {("helm", "Apply"), ("helm", "Update"), ("plumbline", "Apply"), ("kubectl-create", "Update"),
                        ("kube-controller-manager", "Update")}  # fmt: skip


@pytest.mark.parametrize("asked", [False, True])
def test_recorded_objects_are_in_step(asked: bool) -> None:
    answers = {key_of(row.live): row.dry_run for row in ROWS} if asked else None
    declared = [row.declared for row in ROWS]
    findings = compare_objects(declared, LIVE, plane=PlaneName.ADDONS, ignores=ignores(), answers=answers)
    assert [finding.sentence for finding in findings] == []


def test_what_we_have_applied_over_it_is_in_step() -> None:
    answered = [row for row in ROWS if row.dry_run is not None]
    assert len(answered) >= 0.95 * len(ROWS)
    for row in answered:
        assert compare_recorded(row, row.dry_run) == [], row.live["metadata"]["name"]


def test_no_dry_run_is_needed_where_nothing_changed() -> None:
    assert suspects([row.declared for row in ROWS], LIVE, ignores=ignores()) == []


def test_the_quick_answer_is_enough_for_what_helm_and_we_installed() -> None:
    known = [row for row in ROWS if row.source != "adopted"]
    quick = [row for row in known if covers(row.declared, row.live, builtin(row.declared["apiVersion"]))]
    # The rest: replicas of an autoscaler, what conversion moved, text and wrapped values of Secrets, and the like.
    assert len(quick) >= 0.9 * len(known)


def test_without_managed_fields_nothing_is_drift_either() -> None:
    live = {key: without_books(item) for key, item in LIVE.items()}
    findings = compare_objects([row.declared for row in ROWS], live, plane=PlaneName.ADDONS, ignores=ignores())
    assert [finding.sentence for finding in findings] == []


def test_what_was_in_step_is_remembered() -> None:
    memory = Memory()
    declared = [row.declared for row in ROWS]
    suspects(declared, LIVE, ignores=ignores(), memory=memory)
    assert len(memory) == len({row.live["metadata"]["uid"] for row in ROWS if row.live["kind"] != "Secret"})
    assert suspects(declared, LIVE, ignores=ignores(), memory=Memory.load(memory.dump())) == []


def test_no_secret_is_in_the_corpus() -> None:
    secrets = [row for row in ROWS if row.live["kind"] == "Secret"]
    assert secrets
    assert all(value.startswith("ZHVtbXk") for row in secrets for value in _values(row))


def _values(row: Recorded) -> list[str]:
    return [value.strip() for each in (row.declared, row.live) for value in (each.get("data") or {}).values()]
