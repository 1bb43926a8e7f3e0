"""No drift missed: thousands of changes by hand, as a real API server answered them, each found where it is."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from infra.drift.findings import Finding, Severity
from infra.drift.paths import ABSENT, Path, follow
from tests.corpora.corpus import AGAIN, ANEW, CHOSEN, CREATOR, EDITOR, Edit, Recorded, edits, pairs
from tests.corpora.mutations import put
from tests.unit.drift.comparing import Object, compare, compare_recorded, ignores, paths, without_books

ROWS, EDITS = pairs(), [edit for edit in edits() if edit.what != AGAIN]
PARTS = 8

FOLLOWING = (".hostPort", ".externalTrafficPolicy", ".healthCheckNodePort", ".nodePort", ".sessionAffinityConfig",
             ".controller-uid", ".job-name")  # fmt: skip
"""Ends of the paths of what the API server changes by itself along with an edit."""

COPIED = (".containers[name=c].resources",)
"""The same of what a person copies who makes an object anew from the one that was: a LimitRange's resources."""

SAME_AGAIN = {
    # The default class's name.
    ("PersistentVolumeClaim", "data", ".spec.storageClassName"),
    # A LimitRange's maximum.
    ("Pod", "pod", ".spec.containers[name=c].resources.limits.cpu"),
}
"""What admission puts there when it is missing in an object that is made anew: just what is declared."""


def found(edit: Edit, *, ask: bool = True) -> list[Finding]:
    return compare_recorded(ROWS[edit.index], edit.live, edit.dry_run if ask else None)


def content(item: Object) -> Object:
    """What an edit can change."""
    skipped = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
    metadata = {key: value for key, value in item["metadata"].items() if key not in skipped}
    return {**item, "metadata": metadata}


def following(live: Object) -> tuple[str, ...]:
    """Ends of the paths of what may change along with an edit of this object."""
    if live["kind"] != "Job":
        return FOLLOWING
    # A Job that is left without labels gets its template's.
    labels = live["spec"]["template"]["metadata"].get("labels") or {}
    return (*FOLLOWING, *(f".metadata.labels.{name}" for name in labels))


def left_alone(edit: Edit) -> bool:
    """Whether it is no drift: the server put the same value back at once, or the catalogue ignores the place."""
    row = ROWS[edit.index]
    again = {(row.live["kind"], row.live["metadata"]["name"], path) for path in edit.paths} & SAME_AGAIN
    if again and edit.what == f"key deleted{ANEW}":
        return True
    return content(edit.live) == content(row.live) or ignored(row, edit.paths)


def ignored(row: Recorded, places: list[str]) -> bool:
    """Whether the catalogue ignores one of the places."""
    kind, name = row.live["kind"], row.live["metadata"]["name"]
    pointers = [path for rule in ignores() if rule.kind == kind and rule.name in (None, name) for path in rule.paths]
    step = r"(\[[^]]*\]|\.[^.]+)"
    patterns = [re.escape(pointer).replace("/", r"\.").replace(r"\.\*", step) for pointer in pointers]
    return any(re.match(pattern, path) for pattern in patterns for path in places)


def said_of(edit: Edit) -> tuple[Any, ...]:
    """What a failed assertion has to show."""
    row = ROWS[edit.index]
    return row.source, row.live["kind"], row.live["metadata"]["name"], edit.what, edit.paths


def test_the_edits_are_many_and_of_every_sort() -> None:
    kinds = Counter(edit.what.removesuffix(ANEW) for edit in EDITS)
    assert len(EDITS) >= 3000
    assert sum(not edit.paths for edit in EDITS) >= 200
    assert sum(edit.what.endswith(ANEW) for edit in EDITS) >= 50
    assert set(kinds) >= {"value edited", "type changed", "key deleted", "item deleted", "list reordered", "item added",
                          "label added", "annotation added", "finalizer added", "key added", "field added",
                          "books in an annotation", "keyed list reordered", CHOSEN}  # fmt: skip


@pytest.mark.parametrize("part", range(PARTS))
def test_edits_are_found_as_the_server_stored_them(part: int) -> None:
    for edit in EDITS[part::PARTS]:
        findings = found(edit)
        got = paths(findings)
        if left_alone(edit):
            assert got == [], said_of(edit)
            continue
        # The last item or key takes its list or map with it.
        missed = [path for path in edit.paths if not any(path.startswith(each) for each in got)]
        assert missed == [], (said_of(edit), got)
        beside = [each for each in got if not any(path.startswith(each) for path in edit.paths)]
        expected = (*following(ROWS[edit.index].live), *(COPIED if edit.what.endswith(ANEW) else ()))
        assert [each for each in beside if not each.endswith(expected)] == [], said_of(edit)
        if edit.live["metadata"].get("managedFields") and edit.what.endswith(("added", "edited")):
            who = CREATOR if edit.what.endswith(ANEW) else EDITOR
            # Who writes false where true is declared takes it away, which leaves no trace.
            assert all(each.observed is None or each.changed for each in findings), said_of(edit)
            there = [each for each in findings if each.observed is not None]
            assert {each.changed.who for each in there if each.changed} <= {who}, said_of(edit)


def test_edits_that_were_really_made_are_found_with_and_without_a_dry_run() -> None:
    asked = [edit for edit in EDITS if edit.dry_run is not None]
    assert len(asked) >= 30
    for edit in asked:
        assert set(paths(found(edit))) == set(paths(found(edit, ask=False))), said_of(edit)


WITHOUT_BOOKS = frozenset({"value edited", "type changed", "key deleted", "item deleted", "label added", "key added",
                           "annotation added", "list reordered"})  # fmt: skip


@pytest.mark.parametrize("part", range(4))
def test_without_managed_fields_what_cannot_be_a_default_is_found(part: int) -> None:
    for edit in EDITS[part::16]:
        got = paths(compare_recorded(ROWS[edit.index], without_books(edit.live)))
        if left_alone(edit):
            assert got == [], said_of(edit)
        elif edit.what in WITHOUT_BOOKS:
            # Where, too, but for the keys of lists of custom resources, which are in the books.
            assert len(got) >= len(edit.paths), said_of(edit)


def test_what_is_chosen_is_the_only_thing_found() -> None:
    # What a feature gate drops is not there to be found.
    chosen = [edit for edit in EDITS if edit.what.startswith(CHOSEN) and not left_alone(edit)]
    assert len(chosen) >= 30
    for edit in chosen:
        assert len(found(edit)) == 1, (said_of(edit), paths(found(edit)))


def test_an_object_that_is_gone_is_found() -> None:
    for row in ROWS:
        (finding,) = compare_recorded(row, None)
        assert (finding.path, finding.severity) == ("", Severity.DESTRUCTIVE)


def test_what_the_server_counts_and_controllers_report_is_no_drift() -> None:
    for row in ROWS:
        live = put(row.live, ("metadata", "generation"), 999)
        live = put(put(live, ("metadata", "resourceVersion"), "999"), ("status", "byHand"), "noise")
        assert compare_recorded(row, live) == [], row.live["metadata"]["name"]


IN_A_PERSONS_NAME = {
    # Of a pod, from its limits, when it is made.
    "requests",
    # Of custom resources whose definitions are not at hand.
    ".count", ".size",
}  # fmt: skip
"""What is still said of an object whose creator has written all of it once more."""


def test_defaults_in_the_name_of_a_person_who_wrote_everything_are_no_drift() -> None:
    again = [edit for edit in edits() if edit.what == AGAIN]
    assert len(again) >= 100
    said: set[str] = set()
    for edit in again:
        for finding in found(edit):
            assert finding.declared is None, said_of(edit)
            names = [name for name in IN_A_PERSONS_NAME if name in finding.path]
            assert names, (said_of(edit), finding.path)
            said |= set(names)
    assert said == IN_A_PERSONS_NAME


def test_a_dry_run_answers_as_the_server_writes() -> None:
    """Applying over an untouched object changes nothing, to the letter."""
    for row in ROWS:
        # An aggregated role's rules, replicas under an autoscaler, and durations in full would be taken back.
        others = row.declared.get("aggregationRule") or row.live["metadata"]["name"] in ("scaled", "cd", "leaf")
        if row.dry_run is not None and not others:
            assert _spec(row.dry_run) == _spec(row.live), (row.source, row.live["kind"], row.live["metadata"]["name"])


def _spec(item: Object) -> Object:
    return {key: value for key, value in item.items() if key not in ("metadata", "status")}


def named(kind: str, name: str) -> Recorded:
    """The recorded object of this kind and name that Helm installed."""
    return next(row for row in ROWS if (row.source, row.live["kind"], row.live["metadata"]["name"]) ==
                ("helm-defaults", kind, name))  # fmt: skip


def test_a_jobs_uid_is_no_choice_and_a_services_selector_is() -> None:
    """The same keys in another kind, written by nobody known."""
    row = named("Service", "s1")
    uid = "batch.kubernetes.io/controller-uid"
    live = put(without_books(row.live), ("spec", "selector", uid), "u1")
    assert paths(compare(row.declared, live)) == [f'.spec.selector["{uid}"]']


def test_only_the_secret_of_a_token_is_filled_in() -> None:
    row = named("Secret", "tok")
    assert compare(row.declared, without_books(row.live)) == []
    opaque = [{**each, "type": "Opaque"} for each in (row.declared, without_books(row.live))]
    assert [each for each in paths(compare(*opaque)) if each.startswith(".data")] == [
        '.data["ca.crt"]', ".data.namespace", ".data.token"]  # fmt: skip


NULLS: list[Path] = [("spec", "template", "metadata"), ("spec", "jobTemplate", "metadata"),
                     ("spec", "jobTemplate", "spec", "template", "metadata"),
                     ("spec", "volumeClaimTemplates", 0, "metadata")]  # fmt: skip


def test_times_that_servers_before_1_34_write_as_null_are_no_drift() -> None:
    written = 0
    for row in ROWS:
        live = row.live
        for path in NULLS:
            if follow(live, path[:-1]) is not ABSENT:
                live, written = put(live, (*path, "creationTimestamp"), None), written + 1
        for each in (live, without_books(live)):
            assert compare_recorded(row, each) == [], row.live["metadata"]["name"]
    assert written >= 50
