"""From the drift history to the drift report (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from infra.drift.findings import PlaneState, Severity
from infra.drift.history import CheckSummary, DriftHistory, OnsetRecord
from infra.drift.report import Author, CheckMark, DriftReport, EnvironmentDrift, Level, Mean, Offender, Onset, counted

MARKS = 240
"""Check marks a chart has room for."""
LEVELS = 1000
"""Levels of a history that are kept; of more, the highest of each stretch is."""
OVERDUE = 2.0
"""Declared intervals after which a check that did not come is missed."""
State = Literal["in step", "unknown", "drifted", "removed"]


def drift_report(
    history: DriftHistory, *, until: datetime, environment: str | None = None, known: Mapping[str, str] | None = None
) -> DriftReport:
    """The report from `history.since` to `until`.

    Args:
        environment: the one it is about; None for all.
        known: state by name of the environments the ledger knows: one that stands and was never looked at is unknown,
            and one that was removed is not waited for.
    """
    since, records = history.since, [onset for onset in history.onsets if onset.first_seen <= until]
    counting = [onset for onset in records if not onset.waived]
    began = [onset for onset in counting if onset.first_seen >= since]
    ended = [onset for onset in counting if onset.cleared_check is not None]
    there = [onset for onset in counting if not _of_another(onset.environment, onset.first_seen, history)]
    return DriftReport(
        environment=environment,
        since=since,
        until=until,
        environments=_environments(history, counting, until, known or {}, environment),
        detect=mean(onset.detect_seconds for onset in began),
        repair=mean(onset.repair_seconds for onset in ended),
        repaired_by_us=sum(onset.cleared_run is not None for onset in ended),
        offenders=_offenders(there, since, until),
        authors=_authors(there),
        onsets=tuple(_onset(onset, until) for onset in records),
        history=levels(counting, since, until),
        marks=marks(history.checks, since, until),
    )


def mean(values: Iterable[float | None]) -> Mean:
    """The mean of what is known."""
    every = list(values)
    known = [value for value in every if value is not None]
    if not known:
        return Mean(seconds=None, longest=None, known=0, of=len(every))
    return Mean(
        seconds=round(sum(known) / len(known), 3), longest=round(max(known), 3), known=len(known), of=len(every)
    )


def _of_another(name: str, at: datetime, history: DriftHistory) -> bool:
    """Whether a moment was before an environment was removed: that one may have another of its name as successor."""
    removed = history.removed.get(name)
    return removed is not None and at <= removed


def _environments(
    history: DriftHistory, onsets: Sequence[OnsetRecord], until: datetime, known: Mapping[str, str], asked: str | None
) -> tuple[EnvironmentDrift, ...]:
    checks: dict[str, list[CheckSummary]] = defaultdict(list)
    for check in history.checks:
        # Of one that is gone, all of them; of one that was made again, those of its own.
        if known.get(check.environment) == "removed" or not _of_another(check.environment, check.began, history):
            checks[check.environment].append(check)
    open_there = Counter(onset.environment for onset in onsets if onset.cleared_at is None)
    names = sorted({*checks, *open_there, *known})
    rows = [_environment(history, name, checks[name], open_there[name], until, known.get(name)) for name in names]
    # One that was removed before the report's time is no part of it, unless it is asked for.
    return tuple(row for row in rows if row.checks or row.state != "removed" or row.environment == asked)


def _environment(  # noqa: PLR0917 - what is known of one environment
    history: DriftHistory, name: str, checks: Sequence[CheckSummary], found: int, until: datetime, known: str | None
) -> EnvironmentDrift:
    last = max(checks, key=lambda check: check.began, default=None)
    # A check that failed before it had read the declaration does not know it.
    every = next((check.declared_seconds for check in reversed(checks) if check.declared_seconds), None)
    ago = (until - last.began).total_seconds() if last else 0.0
    gone, removed = known == "removed" and found == 0, history.removed.get(name)
    overdue = not gone and every is not None and ago > OVERDUE * every
    state, sentence = _state(last, found, since=history.since, overdue=overdue, gone=gone, removed=removed)
    return EnvironmentDrift(
        environment=name,
        state=state,
        sentence=sentence,
        open=found,
        last_check=last.began if last else None,
        overdue=overdue,
        checks=len(checks),
        unknown_checks=sum(_blind(check) for check in checks),
        declared_interval_seconds=every,
        interval=mean(check.interval_seconds for check in checks),
        latency=mean(check.latency_seconds for check in checks),
        duration=mean(check.duration_seconds for check in checks),
    )


def _state(
    last: CheckSummary | None, found: int, *, since: datetime, overdue: bool, gone: bool, removed: datetime | None
) -> tuple[State, str]:
    """What is known of an environment: open findings outlast a check that saw nothing, and old news is no news."""
    if gone:
        return "removed", f"removed{f' on {removed:%Y-%m-%d %H:%M} UTC' if removed else ''}"
    if found:
        return "drifted", f"{counted(found, 'finding')} open{', and the next check is overdue' if overdue else ''}"
    doubt = None
    if last is None:
        doubt = (
            "not looked at since it was made again" if removed and removed >= since else "not looked at in this time"
        )
    elif overdue:
        doubt = "the next check is overdue"
    elif last.stale is not None:
        doubt = f"the last check does not count: {last.stale}"
    elif _blind(last):
        doubt = "the last check could not look at everything"
    return ("unknown", doubt) if doubt else ("in step", "in step")


def _blind(check: CheckSummary) -> bool:
    return check.state is PlaneState.UNKNOWN or check.blind_spots > 0 or check.stale is not None


def _offenders(onsets: Sequence[OnsetRecord], since: datetime, until: datetime) -> tuple[Offender, ...]:
    """Each object once: one edit of ten fields is not ten offenders."""
    objects: dict[tuple[str, str, str], list[OnsetRecord]] = defaultdict(list)
    for onset in onsets:
        objects[onset.environment, onset.plane, onset.address].append(onset)
    found = [
        Offender(
            environment=some[0].environment,
            plane=some[0].plane,
            address=some[0].address,
            came_back=max(onset.recurrence for onset in some),
            onsets=len(some),
            open=sum(onset.cleared_at is None for onset in some),
            open_seconds=round(_covered(some, since, until), 3),
            changed_by=tuple(who for who, _ in Counter(o.changed_who for o in some if o.changed_who).most_common()),
        )
        for some in objects.values()
    ]
    return tuple(sorted(found, key=lambda one: (-one.came_back, -one.onsets, -one.open_seconds, one.address)))


def _covered(onsets: Iterable[OnsetRecord], since: datetime, until: datetime) -> float:
    """Seconds during which at least one of them was open."""
    spans = sorted((max(since, o.first_seen), min(until, o.cleared_at or until)) for o in onsets)
    seconds, reached = 0.0, since
    for begin, end in spans:
        seconds += max(0.0, (end - max(begin, reached)).total_seconds())
        reached = max(reached, end)
    return seconds


def _authors(onsets: Sequence[OnsetRecord]) -> tuple[Author, ...]:
    by: dict[str | None, list[OnsetRecord]] = defaultdict(list)
    for onset in onsets:
        by[onset.changed_who].append(onset)
    found = [
        Author(
            who=who,
            onsets=len(some),
            objects=len({(onset.environment, onset.plane, onset.address) for onset in some}),
            open=sum(onset.cleared_at is None for onset in some),
            last=max(onset.first_seen for onset in some),
        )
        for who, some in by.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.onsets, one.who is None, one.who or "")))


def _onset(record: OnsetRecord, until: datetime) -> Onset:
    return Onset(
        environment=record.environment,
        plane=record.plane,
        severity=record.severity,
        address=record.address,
        path=record.path,
        sentence=record.sentence,
        declared=record.declared,
        observed=record.observed,
        recurrence=record.recurrence,
        waived=record.waived,
        changed_who=record.changed_who,
        changed_how=record.changed_how,
        changed_when=record.changed_when,
        first_seen=record.first_seen,
        last_seen=record.last_seen,
        cleared_at=record.cleared_at,
        cleared_by=record.cleared_run,
        detect_seconds=record.detect_seconds,
        repair_seconds=record.repair_seconds,
        open_seconds=max(0.0, ((record.cleared_at or until) - record.first_seen).total_seconds()),
    )


def levels(onsets: Iterable[OnsetRecord], since: datetime, until: datetime) -> tuple[Level, ...]:
    """How many findings were open from `since` to `until`, by severity: one level per change, at most `LEVELS`."""
    steps: dict[datetime, Counter[Severity]] = defaultdict(Counter)
    for onset in onsets:
        if onset.first_seen <= until:
            steps[max(since, onset.first_seen)][onset.severity] += 1
        if onset.cleared_at is not None and onset.cleared_at <= until:
            steps[max(since, onset.cleared_at)][onset.severity] -= 1
    steps.setdefault(since, Counter())
    now: Counter[Severity] = Counter()
    found = []
    for at in sorted(steps):
        now.update(steps[at])
        found.append(Level(at=at, open={severity: now[severity] for severity in Severity}))
    return tuple(_highest(found, since, until))


def _highest(found: list[Level], since: datetime, until: datetime) -> list[Level]:
    """Of too many levels, the highest and the last of each stretch of time, so that no peak is lost."""
    if len(found) <= LEVELS:
        return found
    stretches: dict[int, list[Level]] = defaultdict(list)
    for level in found:
        stretches[_slot(level.at, since, until, LEVELS // 2)].append(level)
    kept = []
    for some in stretches.values():
        highest = max(some[:-1], key=lambda level: sum(level.open.values()), default=None)
        kept += [highest, some[-1]] if highest else [some[-1]]
    return kept


def marks(checks: Sequence[CheckSummary], since: datetime, until: datetime) -> tuple[CheckMark, ...]:
    """When was looked: every check, or where there are more than `MARKS`, the worst of each stretch of time."""
    inside = [check for check in checks if since <= check.began <= until]
    groups: dict[int, list[CheckSummary]] = defaultdict(list)
    for number, check in enumerate(inside):
        groups[number if len(inside) <= MARKS else _slot(check.began, since, until, MARKS)].append(check)
    worst = (PlaneState.DRIFTED, PlaneState.UNKNOWN, PlaneState.IN_STEP)
    return tuple(
        CheckMark(at=some[0].began, state=min(map(_mark, some), key=worst.index), checks=len(some))
        for some in groups.values()
    )


def _mark(check: CheckSummary) -> PlaneState:
    return PlaneState.UNKNOWN if check.state is PlaneState.IN_STEP and _blind(check) else check.state


def _slot(at: datetime, since: datetime, until: datetime, slots: int) -> int:
    width = max((until - since) / slots, timedelta(microseconds=1))
    return min(slots - 1, (at - since) // width)
