"""The same against reality: edits that a real API server answered, and the embedded one's books against its."""

from __future__ import annotations

from typing import Any

import pytest

from infra.drift.findings import Finding
from tests.corpora.corpus import Edit, edits, pairs
from tests.corpora.mutations import EDITOR, edited, schema_of
from tests.unit.drift.comparing import compare_recorded, crds
from tests.unit.drift.test_mutations import ignored

ROWS, EDITS = pairs(), edits()
PARTS = 4


def found(edit: Edit, *, ask: bool = True) -> list[Finding]:
    return compare_recorded(ROWS[edit.index], edit.live, edit.dry_run if ask else None)


def content(item: dict[str, Any]) -> dict[str, Any]:
    """What an edit can change."""
    skipped = ("managedFields", "resourceVersion", "generation")
    metadata = {key: value for key, value in item["metadata"].items() if key not in skipped}
    return {**item, "metadata": metadata}


def left_alone(edit: Edit) -> bool:
    """Whether it is no drift: the server put the same value back at once, the place is a controller's or
    ignored, or nobody keeps books of who ties objects together."""
    row = ROWS[edit.index]
    undeclared = edit.what == "finalizer added" and "finalizers" not in row.declared["metadata"]
    if undeclared and not edit.live["metadata"].get("managedFields"):
        return True
    return content(edit.live) == content(row.live) or ignored(row, edit)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", range(PARTS))
def test_edits_are_found_as_the_server_stored_them(part: int) -> None:
    for edit in EDITS[part::PARTS]:
        got = [finding.path for finding in found(edit)]
        where = (ROWS[edit.index].live["kind"], edit.what, edit.paths, got)
        if left_alone(edit):
            assert got == [], where
            continue
        # The last item or key takes its list or map with it.
        missed = [path for path in edit.paths if not any(path.startswith(each) for each in got)]
        assert missed == [], where
        beside = [each for each in got if not any(path.startswith(each) for path in edit.paths)]
        assert all(_follows(edit, each) for each in beside), where


def _follows(edit: Edit, path: str) -> bool:
    """What the server changes by itself along with an edit."""
    return any(
        path.endswith(tail)
        for tail in (
            ".hostPort",
            ".externalTrafficPolicy",
            ".healthCheckNodePort",
            ".nodePort",
            ".sessionAffinityConfig",
        )
    )


def test_edits_that_were_really_made_are_found_with_and_without_a_dry_run() -> None:
    asked = [edit for edit in EDITS if edit.dry_run is not None]
    assert len(asked) >= 30
    for edit in asked:
        with_answer, without = found(edit), found(edit, ask=False)
        assert {finding.path for finding in with_answer} == {finding.path for finding in without}, edit.paths


def test_the_books_of_the_generator_are_the_servers() -> None:
    """But for what is owned as a whole only since 1.21, and for what the server counts up or allots by itself."""
    compared = 0
    # Not those that were really made: controllers, and our putting them back, have left their own marks.
    for edit in [each for each in EDITS if each.dry_run is None][::3]:
        row = ROWS[edit.index]
        if any(part in "".join(edit.paths) for part in ("selector", ".spec.ports", "Ref", ".free")) or row.live[
            "kind"
        ] in (
            "Endpoints",
            "EndpointSlice",
            "DaemonSet",
        ):
            continue
        reckoned = edited(row.live, dict(edit.live), schema_of(row.live, crds()))
        assert _mine(reckoned) == _mine(edit.live), (row.live["kind"], edit.what, edit.paths)
        compared += 1
    assert compared >= 200


def _mine(item: dict[str, Any]) -> dict[str, Any]:
    """Who owns what, but for the status, of which a PUT says nothing."""
    entries = item["metadata"].get("managedFields", ())
    fields = {entry["manager"]: {**entry["fieldsV1"]} for entry in entries if entry["manager"] in (EDITOR, "helm")}
    return {manager: {**each, "f:status": None} for manager, each in fields.items()}


def test_a_dry_run_answers_as_the_server_writes() -> None:
    """Applying over an untouched object changes nothing, to the letter."""
    for row in ROWS:
        # An aggregated role's rules, and a Deployment's replicas under an autoscaler, would be taken back.
        others = row.declared.get("aggregationRule") or row.live["metadata"]["name"] == "scaled"
        if row.dry_run is not None and not others:
            assert _spec(row.dry_run) == _spec(row.live), row.live["metadata"]["name"]


def _spec(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("metadata", "status")}
