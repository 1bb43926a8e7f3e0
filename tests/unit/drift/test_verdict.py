"""The verdict: lights, waivers, sentences, and what a person and a program read of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from infra.drift import schemas, verdict_report
from infra.drift.findings import BlindSpot, Changed, Finding, PlaneName, PlaneState, PlaneVerdict, Severity
from infra.drift.fleet import FailedCheck, FleetVerdict
from infra.drift.verdict import Verdict
from infra.drift.waiving import waive
from infra.spec.waivers import Waiver

AT = datetime(2026, 11, 25, 16, 30, tzinfo=UTC)
COMMIT = "0123456789" * 4
EDITED = Finding(
    plane=PlaneName.ADDONS,
    address="ConfigMap/argocd/argocd-cm",
    path=".data.url",
    declared="https://a",
    observed="https://b|c",
    sentence="ConfigMap/argocd/argocd-cm.data.url is not as declared.",
    changed=Changed(who="kubectl-edit", when=AT, how="Update"),
)
GONE = Finding(
    plane=PlaneName.ADDONS,
    address="Deployment/argocd/argocd-server",
    sentence="Deployment/argocd/argocd-server is not there.",
    severity=Severity.DESTRUCTIVE,
)
BLIND = BlindSpot(
    plane=PlaneName.DNS, what="recordset/*.dev.example.@ns2", why="ns2 is silent.", category="Unavailable"
)


def plane(name: PlaneName, *findings: Finding, blind: tuple[BlindSpot, ...] = ()) -> PlaneVerdict:
    return PlaneVerdict.of(name, findings, blind, looked_at=AT, seconds=0.5)


def verdict(*planes: PlaneVerdict, waivers: tuple[Waiver, ...] = (), **more: Any) -> Verdict:
    return Verdict.of("dev", COMMIT, planes, waivers=waivers, looked_at=AT, seconds=1.25, **more)


def waiver(address: str, path: str = "", expires: date = date(2026, 11, 25)) -> Waiver:
    return Waiver(address=address, path=path, owner="team", reason="Until the chart takes it.", expires=expires)


@pytest.mark.parametrize(
    ("findings", "blind", "state"),
    [((), (), "in step"), ((), (BLIND,), "unknown"), ((EDITED,), (), "drifted"), ((EDITED,), (BLIND,), "drifted")],
)
def test_not_looked_at_is_never_in_step(findings: Any, blind: Any, state: str) -> None:
    assert plane(PlaneName.DNS, *findings, blind=blind).state == state


def test_the_worst_plane_gives_the_light_and_the_exit_status() -> None:
    clean, blind = plane(PlaneName.STORAGE), plane(PlaneName.DNS, blind=(BLIND,))
    assert (verdict(clean).state, verdict(clean).exit_status) == (PlaneState.IN_STEP, 0)
    assert (verdict(clean, blind).state, verdict(clean, blind).exit_status) == (PlaneState.UNKNOWN, 2)
    drifted = verdict(clean, blind, plane(PlaneName.ADDONS, EDITED, GONE))
    assert (drifted.state, drifted.exit_status) == (PlaneState.DRIFTED, 2)
    assert drifted.sentence() == (
        "Environment dev has drifted in addons: 1 destructive, 1 config. 1 thing could not be looked at, in dns."
    )
    assert verdict(clean).sentence() == "Environment dev is in step with 0123456789."
    assert verdict().state is PlaneState.UNKNOWN
    stale = verdict(clean, stale="the canary was not found.")
    assert stale.exit_status == 2
    assert "stale" in stale.sentence()


def test_a_waiver_silences_exactly_its_place_until_its_day() -> None:
    seen = waive([EDITED, GONE], [waiver(EDITED.address, ".data.url")], date(2026, 11, 25), looked_everywhere=True)
    assert (seen.alarming, seen.covered, seen.notes) == ((GONE,), (EDITED,), ())
    whole = waive([EDITED], [waiver(EDITED.address)], date(2026, 11, 25), looked_everywhere=True)
    assert whole.covered == (EDITED,)
    other = waive([EDITED], [waiver(EDITED.address, ".data.other")], date(2026, 11, 25), looked_everywhere=True)
    assert other.alarming == (EDITED,)
    assert "covers nothing" in other.notes[0]


def test_an_expired_waiver_alarms_again_and_one_that_matches_nothing_is_named_if_all_was_seen() -> None:
    late = waive([EDITED], [waiver(EDITED.address)], date(2026, 11, 26), looked_everywhere=True)
    assert late.alarming == (EDITED,)
    assert "expired on 2026-11-25" in late.notes[0]
    idle = [waiver("ConfigMap/nowhere/x")]
    assert "covers nothing" in waive([], idle, date(2026, 11, 1), looked_everywhere=True).notes[0]
    assert waive([], idle, date(2026, 11, 1), looked_everywhere=False).notes == ()


def test_a_plane_whose_differences_are_all_waived_is_in_step_and_says_so() -> None:
    lived_with = verdict(plane(PlaneName.ADDONS, EDITED), waivers=(waiver(EDITED.address),))
    assert lived_with.state is PlaneState.IN_STEP
    assert lived_with.planes[0].waived == (EDITED,)
    assert "## Waived" in verdict_report.markdown(lived_with)


def test_a_person_reads_lights_first_then_fields_the_worst_first() -> None:
    text = verdict_report.markdown(verdict(plane(PlaneName.ADDONS, EDITED, GONE), plane(PlaneName.DNS, blind=(BLIND,))))
    lines = text.splitlines()
    assert lines[0] == "# \N{LARGE RED CIRCLE} dev: drifted"
    assert text.index("**addons**") < text.index("## Differences") < text.index("## Not looked at")
    assert text.index("**destructive**") < text.index("**config**")
    assert f"`{EDITED.address}` `{EDITED.path}`<br>declared `https://a`, observed `https://b|c`<br>changed by" in text
    assert f"`{GONE.address}`<br>{GONE.sentence}" in text
    assert "kubectl-edit at 2026-11-25 16:30:00 UTC (Update)" in text
    assert verdict_report.rows(verdict(plane(PlaneName.ADDONS, EDITED)))[0]["path"] == ".data.url"


def test_in_a_terminal_every_line_of_a_difference_is_one() -> None:
    lines = verdict_report.text(verdict(plane(PlaneName.ADDONS, EDITED))).splitlines()
    at = lines.index("- **config** `ConfigMap/argocd/argocd-cm` `.data.url`  ")
    assert lines[at + 1] == "  declared `https://a`, observed `https://b|c`  "
    assert lines[at + 2].startswith("  changed by kubectl-edit at ")


def test_thousands_of_findings_do_not_make_an_unreadable_report() -> None:
    many = [EDITED.model_copy(update={"path": f".data.k{number}", "observed": "x" * 500}) for number in range(1000)]
    drifted = verdict(plane(PlaneName.ADDONS, *many))
    assert "and 950 more" in verdict_report.markdown(drifted)
    assert len(verdict_report.markdown(drifted)) < 50_000
    assert len(verdict_report.rows(drifted)) == 1000


@pytest.mark.parametrize("text", ["a|b", "a\rb", "a\n\nb", "a`b"])
def test_nothing_breaks_a_table(text: str) -> None:
    hurt = EDITED.model_copy(update={"sentence": text, "path": "", "address": text})
    text = verdict_report.markdown(verdict(plane(PlaneName.ADDONS, hurt)))
    rows = [line for line in text.splitlines() if "a" in line]
    assert all(line.count("|") - line.count("\\|") in (0, 4, 6) for line in rows if line.startswith("|"))


def test_the_documents_are_what_their_schemas_say() -> None:
    drifted = verdict(plane(PlaneName.ADDONS, EDITED, GONE), plane(PlaneName.DNS, blind=(BLIND,)))
    document = json.loads(drifted.model_dump_json())
    Draft202012Validator(json.loads(schemas.schema("verdict.schema.json"))).validate(document)
    assert Verdict.model_validate_json(drifted.model_dump_json()) == drifted
    fleet = FleetVerdict(commit=COMMIT, looked_at=AT, seconds=1, verdicts=(drifted,))
    Draft202012Validator(json.loads(schemas.schema("fleet-verdict.schema.json"))).validate(
        json.loads(fleet.model_dump_json())
    )


def test_a_fleet_is_read_from_its_worst_environment() -> None:
    clean = verdict(plane(PlaneName.STORAGE)).model_copy(update={"environment": "a-clean"})
    drifted = verdict(plane(PlaneName.ADDONS, GONE)).model_copy(update={"environment": "z-drifted"})
    failed = FailedCheck(environment="broken", category="InvalidInput", why="It is not valid.")
    fleet = FleetVerdict(commit=COMMIT, looked_at=AT, seconds=1, verdicts=(clean, drifted), failed=(failed,))
    assert fleet.sentence() == "3 environments at 0123456789: 1 drifted, 1 in step, 1 could not be checked."
    assert [row["environment"] for row in fleet.rows()] == ["z-drifted", "a-clean"]
    assert fleet.exit_status == 2
    assert FleetVerdict(commit=COMMIT, looked_at=AT, seconds=1, verdicts=(clean,)).exit_status == 0
    text = fleet.markdown()
    assert text.index("**broken**") < text.index("**z-drifted**") < text.index("**a-clean**")
