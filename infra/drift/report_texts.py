"""The drift report as Markdown for people, as CSV for spreadsheets, and as rows for a table (pure)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from infra.drift.findings import PlaneState
from infra.drift.report import DriftReport, EnvironmentDrift, Mean, Onset, counted
from infra.drift.verdict_report import LIGHTS, QUOTED, cell

REMOVED = "\N{MEDIUM WHITE CIRCLE}"
SHOWN, WORST = 50, 10
"""Open findings and environments, and offenders, that the Markdown shows; CSV and JSON have all."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection."""


def markdown(report: DriftReport, chart: str | None = None) -> str:
    """The report as Markdown: what is open first.

    Args:
        chart: where the chart is, as an image's address.
    """
    parts = [_head(report, chart), _open(report), _environments(report), _speed(report), _worst(report), _who(report)]
    return "\n".join(line for part in parts for line in part) + "\n"


def csv_text(report: DriftReport) -> str:
    """One row per onset, all fields of `Onset`, as RFC 4180 says; times in ISO 8601, durations in seconds."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(Onset.model_fields)
    for onset in report.onsets:
        writer.writerow([_harmless(value) for value in onset.model_dump(mode="json").values()])
    return out.getvalue()


def rows(report: DriftReport) -> list[dict[str, Any]]:
    """One row for each open finding, for a table."""
    return [
        {
            "light": LIGHTS[PlaneState.DRIFTED],
            "severity": onset.severity,
            "environment": onset.environment,
            "plane": onset.plane,
            "address": onset.address,
            "path": onset.path,
            "difference": onset.sentence,
            "open for": duration(onset.open_seconds),
            "came back": onset.recurrence,
            "changed by": onset.changed_who or "",
        }
        for onset in report.open
    ]


def _head(report: DriftReport, chart: str | None) -> Iterator[str]:
    of = report.environment or "all environments"
    yield f"# {LIGHTS[report.state]} Drift report: {of}"
    yield f"\n**{cell(report.sentence())}**\n"
    checks = sum(one.checks for one in report.environments)
    yield f"{_time(report.since)} to {_time(report.until)} UTC · {counted(checks, 'check')}\n"
    if chart is not None:
        yield f"![Open findings over time, by severity]({chart})\n"


def _open(report: DriftReport) -> Iterator[str]:
    found = report.open
    if found:
        yield "## Open drift\n"
        yield "| severity | environment | what | open for | changed by |\n|---|---|---|---:|---|"
    for one in found[:SHOWN]:
        # Few columns: Prefect's page of an artifact is narrow.
        what = [f"`{cell(text)}`" for text in (one.address, one.path) if text]
        back = [f"came back {one.recurrence} x"] if one.recurrence else []
        who = [cell(text) for text in (one.changed_who, _time(one.changed_when)) if text]
        said = (
            [*what, cell(_short(one.sentence))],
            [_unbroken(duration(one.open_seconds)), *map(_unbroken, back)],
            who,
        )
        yield f"| {one.severity} | {one.environment} | {' | '.join(map('<br>'.join, said))} |"
    if len(found) > SHOWN:
        yield f"\n… and {len(found) - SHOWN} more; CSV and JSON have them all."
    if report.waived:
        yield f"\n{counted(len(report.waived), 'more finding')} open, covered by a waiver in git:\n"
        yield from (f"- {one.environment} `{cell(one.address)}{cell(one.path)}`" for one in report.waived[:SHOWN])


def _environments(report: DriftReport) -> Iterator[str]:
    if not report.environments:
        return
    yield "\n## Environments\n"
    yield "| | environment | last check | checks | interval (declared) | latency | duration |"
    yield "|---|---|---|---:|---:|---:|---:|"
    order = ("drifted", "unknown", "in step", "removed")
    there = sorted(report.environments, key=lambda one: (order.index(one.state), -one.open, one.environment))
    for one in there[:SHOWN]:
        light = REMOVED if one.state == "removed" else LIGHTS[PlaneState(one.state)]
        yield f"| {light} | **{one.environment}**<br>{cell(one.sentence)} | {_figures(one)} |"
    if len(there) > SHOWN:
        yield f"\n… and {len(there) - SHOWN} more."


def _figures(one: EnvironmentDrift) -> str:
    blind = f" ({one.unknown_checks} blind)" if one.unknown_checks else ""
    interval = f"{_mean(one.interval)} ({duration(one.declared_interval_seconds)})"
    figures = (interval, _mean(one.latency), _mean(one.duration))
    return " | ".join([_time(one.last_check) or "none", f"{one.checks}{blind}", *figures])


def _speed(report: DriftReport) -> Iterator[str]:
    yield "\n## How fast\n"
    yield "| | mean | longest | |\n|---|---:|---:|---|"
    detect, repair = report.detect, report.repair
    known = f"of {counted(detect.of, 'new finding')}, {detect.known} say when they were changed"
    known = known if detect.of else "nothing new was found"
    yield f"| time to detect | {_mean(detect)} | {duration(detect.longest)} | {known} |"
    others = repair.of - report.repaired_by_us
    who = f"{counted(repair.of, 'finding')} cleared: {report.repaired_by_us} by Plumbline, {others} by others"
    who = who if repair.of else "nothing was cleared"
    yield f"| time to repair | {_mean(repair)} | {duration(repair.longest)} | {who} |"


def _worst(report: DriftReport) -> Iterator[str]:
    if report.offenders:
        yield "\n## Worst offenders\n"
        yield "| environment | where | came back | onsets | open for | changed by |\n|---|---|---:|---:|---:|---|"
    for one in report.offenders[:WORST]:
        still = " (still)" if one.open else ""
        who = cell(", ".join(one.changed_by[:3]))
        figures = f"{one.came_back} | {one.onsets} | {duration(one.open_seconds)}{still}"
        yield f"| {one.environment} | {one.plane} `{cell(one.address)}` | {figures} | {who} |"


def _who(report: DriftReport) -> Iterator[str]:
    if report.authors:
        yield "\n## Who changes things\n"
        yield "| who | onsets | objects | open | last seen |\n|---|---:|---:|---:|---|"
    for one in report.authors[:WORST]:
        who = f"`{cell(one.who)}`" if one.who is not None else "not known"
        yield f"| {who} | {one.onsets} | {one.objects} | {one.open} | {_time(one.last)} |"


def duration(seconds: float | None) -> str:
    """Seconds in words, two units at most; "not known" where it is not."""
    if seconds is None:
        return "not known"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    units = [(86400, "d"), (3600, "h"), (60, "min"), (1, "s")]
    left, parts = round(seconds), list[str]()
    for size, unit in units:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts)


def _mean(mean: Mean) -> str:
    return duration(mean.seconds)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else ""


def _short(text: str) -> str:
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"


def _unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
