"""The drift report: what it says of a history, and that it says "not known" where it is not."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from infra.drift import chart, schemas
from infra.drift.findings import PlaneName, PlaneState, Severity
from infra.drift.history import CheckSummary, DriftHistory, OnsetRecord
from infra.drift.report import DriftReport, Mean, Onset
from infra.drift.report_texts import csv_text, duration, markdown, rows
from infra.drift.reporting import LEVELS, MARKS, drift_report, mean
from infra.settings import ROOT

UNTIL = datetime(2026, 3, 31, 9, 0, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=30)


def ago(hours: float) -> datetime:
    return UNTIL - timedelta(hours=hours)


def check(hours: float, state: PlaneState = PlaneState.IN_STEP, environment: str = "dev", **other: Any) -> CheckSummary:
    began = ago(hours)
    known: dict[str, Any] = {
        "id": f"{environment}-{hours}",
        "environment": environment,
        "state": state,
        "began": began,
        "ended": began + timedelta(seconds=4),
        "interval_seconds": 900.0,
        "declared_seconds": 900.0,
        "latency_seconds": 3.0,
        "duration_seconds": 4.0,
        "findings": 0,
        "waived": 0,
        "blind_spots": 0,
        "stale": None,
    }
    return CheckSummary(**known | other)


def onset(first: float, cleared: float | None = None, **other: Any) -> OnsetRecord:
    known: dict[str, Any] = {
        "id": 1,
        "environment": "dev",
        "plane": PlaneName.ADDONS,
        "address": "ConfigMap/a",
        "path": ".data.x",
        "recurrence": 0,
        "severity": Severity.CONFIG,
        "sentence": "It is otherwise.",
        "declared": '"1"',
        "observed": '"2"',
        "changed_who": None,
        "changed_when": None,
        "changed_how": None,
        "arose": None,
        "waived": False,
        "first_seen": ago(first),
        "last_seen": ago(first),
        "first_check": "c1",
        "cleared_at": None if cleared is None else ago(cleared),
        "cleared_check": None if cleared is None else "c2",
        "cleared_run": None,
    }
    return OnsetRecord(**known | other)


def report(checks: Any = (), onsets: Any = (), **other: Any) -> DriftReport:
    return drift_report(DriftHistory(SINCE, tuple(checks), tuple(onsets)), until=UNTIL, **other)


def test_an_empty_ledger_knows_nothing_and_says_so() -> None:
    empty = report()
    assert empty.detect == empty.repair == Mean(seconds=None, longest=None, known=0, of=0)
    assert (
        empty.state is PlaneState.UNKNOWN
        and empty.sentence() == "No environment was looked at yet: python -m flows.check_drift NAME looks at one."
    )
    said = markdown(empty)
    assert "not known" in said and " 0.0 s" not in said
    assert "| nothing new was found |" in said and "| nothing was cleared |" in said
    assert "## Environments" not in said, "a table of none"


def test_means_are_over_what_is_known() -> None:
    found = report(
        [check(0.1)],
        [
            onset(10, 8, arose=ago(10.5), cleared_run="r1"),
            onset(10, 9, arose=ago(12)),
            onset(10, arose=None),
            onset(1000, 5, arose=ago(2000)),
            onset(10, 9, waived=True, arose=ago(11)),
            onset(10, 9, cleared_check=None, cleared_run="removed"),
        ],
    )
    assert found.detect == Mean(seconds=4500, longest=7200, known=2, of=4), "first seen in this time, not waived"
    assert found.repair == Mean(seconds=(2 + 1 + 995) * 1200, longest=995 * 3600, known=3, of=3)
    assert found.repaired_by_us == 1
    assert mean([None]) == Mean(seconds=None, longest=None, known=0, of=1)
    assert mean([0.0, None]) == Mean(seconds=0, longest=0, known=1, of=2)


@pytest.mark.parametrize(
    ("last", "onsets", "known", "state", "said"),
    [
        (check(0.1), (), "ready", "in step", "in step"),
        (check(0.1), [onset(5)], "ready", "drifted", "1 finding open"),
        (check(0.1), [onset(5, waived=True)], "ready", "in step", "in step"),
        (check(0.1, PlaneState.UNKNOWN, blind_spots=1), (), "ready", "unknown", "could not look at everything"),
        (check(0.1, blind_spots=1), (), "ready", "unknown", "could not look at everything"),
        (check(0.1, stale="It missed the canary."), (), "ready", "unknown", "missed the canary"),
        (check(0.6), (), "ready", "unknown", "overdue"),
        (check(0.6), [onset(5)], "ready", "drifted", "overdue"),
        (check(99, declared_seconds=None), (), "ready", "in step", "in step"),
        (check(99), (), "removed", "removed", "removed"),
        (check(99), [onset(5)], "removed", "drifted", "overdue"),
        (None, (), "ready", "unknown", "not looked at"),
    ],
)
def test_the_state_of_an_environment(last: CheckSummary | None, onsets: Any, known: str, state: str, said: str) -> None:
    (one,) = report([last] if last else [], onsets, known={"dev": known}).environments
    assert one.state == state and said in one.sentence
    assert one.overdue is ("overdue" in said)


def test_an_environment_that_was_removed_before_is_no_part_of_it() -> None:
    assert report(known={"old": "removed"}).environments == ()


def history(checks: Any = (), onsets: Any = (), **removed: datetime) -> DriftHistory:
    return DriftHistory(SINCE, tuple(checks), tuple(onsets), removed)


def test_one_that_was_removed_is_named_where_it_is_asked_for() -> None:
    found = drift_report(history(old=ago(999)), until=UNTIL, environment="old", known={"old": "removed"})
    assert found.sentence() == "Environment old was removed on 2026-02-17 18:00 UTC."
    assert "removed on 2026-02-17 18:00 UTC" in markdown(found)
    said = report([check(99), check(99, environment="prod")], known={"dev": "removed", "prod": "removed"}).sentence()
    assert said == "None of 2 environments stands any more."


def test_one_that_was_made_again_is_another_one() -> None:
    checks = [check(20, PlaneState.DRIFTED), check(2)]
    onsets = [
        onset(20, 18, recurrence=7, changed_who="alice"),
        onset(15, 10, cleared_check=None, cleared_run="r9"),
        onset(5, 4, address="ConfigMap/new", changed_who="bob"),
    ]
    again = drift_report(history(checks, onsets, dev=ago(10)), until=UNTIL, known={"dev": "ready"})
    assert [(one.address, one.came_back) for one in again.offenders] == [("ConfigMap/new", 0)]
    assert [one.who for one in again.authors] == ["bob"]
    assert [(one.state, one.checks, one.open) for one in again.environments] == [("unknown", 1, 0)]
    assert again.environments[0].sentence == "the next check is overdue"
    assert (again.repair.of, len(again.onsets)) == (2, 3), "how fast it was repaired is of the whole time"
    unseen = drift_report(history(checks[:1], onsets[:2], dev=ago(10)), until=UNTIL, known={"dev": "ready"})
    assert (unseen.environments[0].state, unseen.environments[0].last_check) == ("unknown", None)
    assert unseen.sentence() == (
        "Whether environment dev has drifted is not known: not looked at since it was made again."
    )


@pytest.mark.parametrize(
    ("checks", "onsets", "said"),
    [
        ([check(0.1), check(0.1, environment="b")], (), "No open drift in 2 environments."),
        ([check(0.1), check(9, environment="b")], (), "No open drift in 1 environment; of 1 it is not known."),
        ([check(0.1)], (), "No open drift in 1 environment."),
        ([check(9)], (), "Whether environment dev has drifted is not known: the next check is overdue."),
        (
            [check(9), check(9, environment="b")],
            (),
            "Of none of 2 environments it is known whether it has drifted.",
        ),
        (
            [check(0.1), check(9, environment="b")],
            [onset(1)],
            "1 finding open in 1 of 2 environments; of 1 it is not known.",
        ),
    ],
)
def test_the_report_in_one_sentence(checks: Any, onsets: Any, said: str) -> None:
    assert report(checks, onsets).sentence() == said


def test_figures_of_an_environment() -> None:
    checks = [
        check(2, interval_seconds=None, latency_seconds=None, duration_seconds=2.0),
        check(1, interval_seconds=1000.0, latency_seconds=10.0, duration_seconds=4.0),
        check(0.2, PlaneState.UNKNOWN, interval_seconds=800.0, latency_seconds=0.0, duration_seconds=6.0),
        check(0.1, environment="prod"),
    ]
    dev, prod = report(checks).environments
    assert (dev.checks, dev.unknown_checks, dev.last_check, dev.open) == (3, 1, ago(0.2), 0)
    assert (dev.interval.seconds, dev.interval.known) == (900, 2)
    assert (dev.latency.seconds, dev.latency.longest, dev.duration.seconds) == (5, 10, 4)
    assert prod.checks == 1


def test_a_check_that_failed_is_missed_like_any_other() -> None:
    failed = check(0.6, PlaneState.UNKNOWN, declared_seconds=None, stale="The check failed: no answer.")
    (one,) = report([check(0.9), failed]).environments
    assert (one.state, one.overdue, one.declared_interval_seconds, one.unknown_checks) == ("unknown", True, 900, 1)


def test_the_worst_offender_is_an_object_that_comes_back() -> None:
    found = report(
        onsets=[
            onset(20, 10, address="often", recurrence=2, changed_who="alice"),
            onset(15, 12, address="often", path=".b", changed_who="bob"),
            onset(9, 8, address="often", path=".b", recurrence=1, changed_who="bob"),
            onset(400, address="long", changed_who="alice"),
            onset(9, 8, address="often", environment="prod"),
        ]
    )
    first, second, third = found.offenders
    assert (first.address, first.environment, first.came_back, first.onsets, first.open) == ("often", "dev", 2, 3, 0)
    assert first.open_seconds == 11 * 3600, "what overlaps counts once"
    assert first.changed_by == ("bob", "alice")
    assert (second.address, second.open, second.open_seconds) == ("long", 1, 400 * 3600)
    assert third.environment == "prod"
    assert [(a.who, a.onsets, a.objects, a.open) for a in found.authors] == [
        ("alice", 2, 2, 1),
        ("bob", 2, 1, 0),
        (None, 1, 1, 0),
    ]


def test_history_rises_and_falls_with_what_is_open() -> None:
    grave = Severity.DESTRUCTIVE
    found = report(
        onsets=[onset(9999, 10), onset(20), onset(15, 12, severity=grave), onset(13, 11, waived=True)]
    ).history
    assert [(level.at, level.open[Severity.CONFIG], level.open[grave]) for level in found] == [
        (SINCE, 1, 0),
        (ago(20), 2, 0),
        (ago(15), 2, 1),
        (ago(12), 2, 0),
        (ago(10), 1, 0),
    ]


def test_a_long_history_keeps_its_peaks_and_its_end() -> None:
    rnd = random.Random(1)
    onsets = []
    for _ in range(3000):
        first = rnd.uniform(0, 700)
        onsets.append(onset(first, rnd.choice([None, first * rnd.random()])))
    found = report([check(number / 60) for number in range(5000)], onsets)
    assert len(found.history) <= LEVELS and len(found.marks) <= MARKS
    totals = [sum(level.open.values()) for level in found.history]
    assert totals[-1] == len(found.open) and min(totals) >= 0
    assert sum(mark.checks for mark in found.marks) == 5000
    exact = sorted([(o.first_seen, 1) for o in onsets] + [(o.cleared_at, -1) for o in onsets if o.cleared_at])
    count = peak = 0
    for _, step in exact:
        count += step
        peak = max(peak, count)
    assert max(totals) == peak


def test_of_checks_that_stand_together_the_worst_shows() -> None:
    checks = [check(number / 60) for number in range(1, 2 * MARKS)]
    checks[77] = check(78 / 60, PlaneState.DRIFTED)
    checks[200] = check(201 / 60, blind_spots=1)
    states = [mark.state for mark in report(checks).marks]
    assert states.count(PlaneState.DRIFTED) == 1


def full() -> DriftReport:
    return report(
        [check(0.1, PlaneState.DRIFTED), check(5, PlaneState.UNKNOWN), check(9), check(0.1, environment="prod")],
        [
            onset(3, severity=Severity.COSMETIC, address="Service/z"),
            onset(50, severity=Severity.SECURITY, address="ClusterRole/admin|x", recurrence=3, sentence="a\rb|c"),
            onset(30, 20, changed_who="=cmd|' /C calc'!A0", changed_when=ago(31), arose=ago(31), cleared_run="r1"),
            onset(40, waived=True, address="ConfigMap/waived"),
        ],
    )


def test_markdown_says_what_is_open_first() -> None:
    said = markdown(full(), "chart.svg")
    lines = said.splitlines()
    assert lines[0] == "# \N{LARGE RED CIRCLE} Drift report: all environments"
    assert lines[2] == "**2 findings open in 1 of 2 environments.**"
    assert "![Open findings over time, by severity](chart.svg)" in said
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == [
        "## Open drift",
        "## Environments",
        "## How fast",
        "## Worst offenders",
        "## Who changes things",
    ]
    security, cosmetic = [line for line in lines if line.startswith(("| security", "| cosmetic"))]
    assert lines.index(security) < lines.index(cosmetic)
    assert (
        "ClusterRole/admin\\|x" in security
        and "a b\\|c" in security
        and "came\N{NO-BREAK SPACE}back\N{NO-BREAK SPACE}3\N{NO-BREAK SPACE}x" in security
    )
    assert "1 more finding open, covered by a waiver" in said and "ConfigMap/waived" in said
    tables = [line for line in lines if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    assert "| time to repair | 10 h | 10 h | 1 finding cleared: 1 by Plumbline, 0 by others |" in said


def test_no_table_breaks_whatever_is_quoted() -> None:
    def cells(line: str) -> int:
        return line.replace("\\|", "").count("|")

    block: list[int] = []
    for line in [*markdown(full()).splitlines(), ""]:
        if line.startswith("|"):
            block.append(cells(line))
        else:
            assert len(set(block)) <= 1
            block = []


def test_csv_has_one_row_per_onset_and_no_formula() -> None:
    found = list(csv.DictReader(io.StringIO(csv_text(full()), newline="")))
    assert len(found) == 4 and list(found[0]) == list(Onset.model_fields)
    assert [row["address"] for row in found] == ["Service/z", "ClusterRole/admin|x", "ConfigMap/a", "ConfigMap/waived"]
    assert found[2]["changed_who"] == "'=cmd|' /C calc'!A0"
    assert found[2]["repair_seconds"] == "36000.0" and found[0]["repair_seconds"] == ""
    assert datetime.fromisoformat(found[2]["cleared_at"]) == ago(20)


def test_json_is_what_its_schema_says() -> None:
    for name in schemas.PUBLISHED:
        assert schemas.path_of(name).read_text() == schemas.schema(name), "run: python -m infra.drift"
    published = json.loads(schemas.schema("drift-report.schema.json"))
    Draft202012Validator.check_schema(published)
    for one in (full(), report()):
        Draft202012Validator(published).validate(json.loads(one.model_dump_json()))
        assert DriftReport.model_validate_json(one.model_dump_json()) == one


def test_rows_are_the_open_findings() -> None:
    assert [(row["severity"], row["open for"], row["came back"]) for row in rows(full())] == [
        ("security", "2 d 2 h", 3),
        ("cosmetic", "3 h", 0),
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "not known"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (42.4, "42 s"),
        (59.9, "60 s"),
        (60, "1 min"),
        (3599.9, "1 h"),
        (3661, "1 h 1 min"),
        (86400 * 3 + 30, "3 d"),
        (86400 * 3 + 7200, "3 d 2 h"),
    ],
)
def test_durations_in_words(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@pytest.fixture(scope="module")
def drawn() -> str:
    """Drawn once: the first one waits for its library."""
    return chart.svg(full())


def test_the_chart_is_labelled_and_the_same_for_the_same_report(drawn: str) -> None:
    assert drawn == chart.svg(full())
    root = ET.fromstring(drawn)
    texts = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"open findings", "time (UTC)", "security", "cosmetic", "in step", "drifted", "unknown", "checks"} <= texts
    assert "Open drift of all environments, 2026-03-01 to 2026-03-31" in texts
    assert "destructive" not in texts, "nothing of it was open"
    assert "2026-03-31T" not in drawn and "<script" not in drawn


@pytest.mark.parametrize(("checks", "said"), [((), "nobody looked"), ([check(1)], "no open findings")])
def test_a_chart_of_nothing_says_so(checks: Any, said: str) -> None:
    assert said in chart.svg(report(checks))


def test_the_chart_begins_with_the_first_check() -> None:
    days, hours = re.compile(r">\d\d Mar<"), re.compile(r">\d\d:\d\d<")
    young, old = (chart.svg(report([check(4), check(1), check(far)])) for far in (5, 600))
    assert hours.search(young) and not hours.search(old)
    assert days.search(old)
    # What was open at the report's beginning was open all along.
    assert days.search(chart.svg(report([check(1)], [onset(9999)])))


def test_only_who_draws_waits_for_the_drawing_library() -> None:
    said = "import sys, infra.drift.chart; sys.exit('matplotlib' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", said], cwd=ROOT, check=True)
