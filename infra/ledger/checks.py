"""Recording a check: what it newly found, what it cleared, what is news of that, and what it could not say.

All of it in one transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from infra.drift.findings import Finding, PlaneName
from infra.ledger import looks, news
from infra.ledger.looks import Check, Look
from infra.ledger.store import take_turn
from infra.ledger.tables import CheckRow, FindingRow, JournalRow, RunRow

CLOCKS = timedelta(seconds=60)
"""How far the clocks of two systems may be apart."""
REMEMBERED = 20
"""Checks that are searched for the last one that looked where a finding is."""

Looks = list[tuple[str, datetime, tuple[str, ...]]]
"""Of which plane, when, and what they hid."""


def record(session: Session, check: Check) -> CheckRow:
    """Record a check once; one that is recorded again changes nothing."""
    take_turn(session, check.environment)
    known = session.get(CheckRow, check.id)
    if known is not None:
        return known
    row = _row(session, check)
    session.add(row)
    session.flush()
    recording = _Recording(session, check)
    row.changes = recording.run()
    news.note(session, check, recording.changes)
    return row


def close_removed(session: Session, environment: str, run_id: str, now: datetime) -> None:
    """Clear what was open in an environment that a run has removed: it went with all the rest."""
    left = update(FindingRow).where(FindingRow.environment == environment, FindingRow.cleared_at.is_(None))
    session.execute(left.values(cleared_at=now, cleared_run=run_id))
    news.forget_untold(session, environment)


def _row(session: Session, check: Check) -> CheckRow:
    before = select(func.max(CheckRow.began)).where(
        CheckRow.environment == check.environment, CheckRow.began < check.began
    )
    previous = session.scalar(before)
    due = check.due or (previous + check.declared if previous and check.declared else None)
    planes = {str(look.plane): look.as_json() for look in check.looks}
    return CheckRow(
        id=check.id,
        environment=check.environment,
        commit=check.commit,
        state=str(check.state),
        began=check.began,
        ended=check.ended,
        interval_seconds=(check.began - previous).total_seconds() if previous else None,
        declared_seconds=check.declared.total_seconds() if check.declared else None,
        latency_seconds=max(0.0, (check.began - due).total_seconds()) if due else None,
        duration_seconds=(check.ended - check.began).total_seconds(),
        findings=sum(plane["findings"] for plane in planes.values()),
        waived=sum(plane["waived"] for plane in planes.values()),
        blind_spots=sum(plane["blind"] for plane in planes.values()),
        stale=looks.text(check.stale),
        flow_run_id=check.flow_run_id,
        planes=planes,
        changes={},
    )


class _Recording:
    """The recording of one check's findings."""

    def __init__(self, session: Session, check: Check) -> None:
        self.session, self.check = session, check
        query = select(FindingRow).where(FindingRow.environment == check.environment, FindingRow.cleared_at.is_(None))
        self.open = {row.place: row for row in session.scalars(query.order_by(FindingRow.id))}
        self.changes: dict[str, list[FindingRow]] = defaultdict(list)

    def run(self) -> dict[str, list[int]]:
        """Take every look that still says something; what it changed, as ids."""
        before = list(self.open.values())
        telling = self._telling()
        onsets = self._earlier_onsets(place for look in telling for place in look.seen if place not in self.open)
        before_it = self._looks_before()
        touched: set[str] = set()
        for look in telling:
            for place, (finding, waived) in look.seen.items():
                row = self.open.get(place) or self._begin(look, place, finding, onsets, before_it)
                self._see(row, look, finding, waived=waived)
                touched.add(place)
        touched |= self._clear(before, {str(look.plane): look for look in telling}, touched)
        self.changes["unconfirmed"] = [row for row in before if row.place not in touched and not row.waived]
        self.session.flush()
        return {what: [row.id for row in rows] for what, rows in self.changes.items()}

    def _telling(self) -> list[Look]:
        """The looks that no later look, and no removal of the environment, has overtaken."""
        if not self.check.looks:
            return []
        earliest = min(look.looked_at for look in self.check.looks)
        environment = self.check.environment
        removed = select(func.max(RunRow.ended)).where(RunRow.environment == environment, RunRow.state == "removed")
        gone = self.session.scalar(removed)
        query = select(CheckRow.planes).where(
            CheckRow.environment == environment, CheckRow.ended > earliest, CheckRow.id != self.check.id
        )
        newest: dict[str, datetime] = {}
        for planes in self.session.scalars(query):
            for plane, said in planes.items():
                looked_at = datetime.fromisoformat(said["looked_at"])
                if looks.tells(said):
                    newest[plane] = max(looked_at, newest.get(plane, looked_at))
        return [
            look
            for look in self.check.looks
            if not (gone and gone > look.looked_at) and newest.get(look.plane, look.looked_at) <= look.looked_at
        ]

    def _looks_before(self) -> Looks:
        """The looks of the last checks before this one, the newest first: of which plane, when, what they hid."""
        query = select(CheckRow.planes, CheckRow.began).where(
            CheckRow.environment == self.check.environment, CheckRow.began < self.check.began
        )
        checks = self.session.execute(query.order_by(CheckRow.began.desc()).limit(REMEMBERED)).all()
        found = [
            (plane, datetime.fromisoformat(said["looked_at"]), looks.hidden_in(said))
            for check in checks
            for plane, said in check.planes.items()
        ]
        if len(checks) == REMEMBERED:
            # What was seen before is not remembered: as if everything had been in step when that ends.
            found += [(plane, checks[-1].began, ()) for plane in PlaneName]
        return found

    def _earlier_onsets(self, places: Iterable[str]) -> dict[str, int]:
        # Not their number: the oldest of them may be forgotten by now (infra.ledger.pruning).
        query = select(FindingRow.place, func.max(FindingRow.recurrence) + 1).where(
            FindingRow.environment == self.check.environment, FindingRow.place.in_(list(places))
        )
        return {row.place: row[1] for row in self.session.execute(query.group_by(FindingRow.place))}

    def _begin(self, look: Look, place: str, finding: Finding, onsets: dict[str, int], before_it: Looks) -> FindingRow:
        """A new onset."""
        row = FindingRow(environment=self.check.environment, place=place, recurrence=onsets.get(place, 0))
        row.plane, row.first_check, row.first_seen = str(finding.plane), self.check.id, look.ended
        row.address, row.path = looks.text(finding.address) or "", looks.text(finding.path) or ""
        if finding.changed is not None:
            row.changed_who, row.changed_how = (
                looks.text(finding.changed.who, 200),
                looks.text(finding.changed.how, 200),
            )
            row.changed_when = looks.utc(finding.changed.when) if finding.changed.when else None
            row.arose = _arose(row, look, before_it)
        self.session.add(row)
        return row

    def _see(self, row: FindingRow, look: Look, finding: Finding, *, waived: bool) -> None:
        """Bring an onset up to date."""
        new, was_waived = row.place not in self.open, bool(row.waived)
        row.severity, row.sentence = str(finding.severity), looks.text(finding.sentence) or ""
        row.declared, row.observed = looks.value_text(finding.declared), looks.value_text(finding.observed)
        row.last_seen, row.looked_at, row.waived = look.ended, look.looked_at, waived
        what = "waived" if waived else "found" if new or was_waived else "stayed"
        self.changes[what].append(row)

    def _clear(self, before: list[FindingRow], telling: dict[str, Look], seen: set[str]) -> set[str]:
        """Clear what was looked for and not seen; the places of it."""
        cleared = [
            row
            for row in before
            if row.place not in seen and row.plane in telling and not telling[row.plane].hides(row.address)
        ]
        writes = self._writes(min(row.looked_at for row in cleared)) if cleared else []
        for row in cleared:
            row.cleared_at, row.cleared_check = telling[row.plane].ended, self.check.id
            row.cleared_run = _writer(row, writes, row.cleared_at)
        self.changes["cleared"] = [row for row in cleared if not row.waived]
        return {row.place for row in cleared}

    def _writes(self, since: datetime) -> list[Row[tuple[str, str, str, datetime | None]]]:
        """What runs over this environment wrote since then, the newest first."""
        columns = (JournalRow.run_id, JournalRow.plane, JournalRow.address, JournalRow.ended)
        query = select(*columns).join(RunRow, JournalRow.run_id == RunRow.id)
        query = query.where(RunRow.environment == self.check.environment, JournalRow.outcome == "done")
        return list(self.session.execute(query.where(JournalRow.ended > since).order_by(JournalRow.ended.desc())))


def _arose(row: FindingRow, look: Look, before_it: Looks) -> datetime | None:
    """When a change made a finding of it; None where its time does not say.

    A change from before a look that found nothing there is not what made this a finding: a commit was, or time. And one
    from after the look that has seen it is none of this world: a clock is wrong.
    """
    seen = (
        looked_at
        for plane, looked_at, hidden in before_it
        if plane == row.plane and not looks.hides(hidden, row.address)
    )
    clear, when = next(seen, None), row.changed_when
    if when is None or when > look.ended + CLOCKS or (clear is not None and when < clear - CLOCKS):
        return None
    return when


def _writer(row: FindingRow, writes: list[Row[tuple[str, str, str, datetime | None]]], until: datetime) -> str | None:
    """The run that wrote between the last look that saw a finding and the one that did not.

    Best to its very address; else anywhere in its plane: one apply or one release holds many objects.
    """
    between = [write for write in writes if write.ended and row.looked_at < write.ended <= until]
    exact = [write.run_id for write in between if write.address == row.address]
    return next(iter([*exact, *(write.run_id for write in between if write.plane == row.plane)]), None)
