"""Recording a check: what it newly found, what it cleared, what is news of that, and what it could not say.

All of it in one transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

from sqlalchemy import and_, case, func, literal, select, update
from sqlalchemy.orm import Session

from infra.drift.findings import Finding, PlaneName
from infra.ledger import looks, news
from infra.ledger.looks import Check, Look
from infra.ledger.onsets import Looks, Writes, arose, seconds_since, writer
from infra.ledger.store import take_turn
from infra.ledger.tables import CheckRow, FindingRow, JournalRow, RunRow, UtcTime

CANARY = "drift-canary"
"""The flow whose runs make differences on purpose and set them back: they repair nothing."""
REMEMBERED = 20
"""Checks that are searched for the last one that looked where a finding is."""


def record(session: Session, check: Check) -> CheckRow:
    """Record a check once; one that is recorded again changes nothing."""
    take_turn(session, check.environment)
    known = session.get(CheckRow, check.id)
    if known is not None:
        return known
    removed = removals(session, check.environment).get(check.environment)
    row = _row(session, check, removed)
    session.add(row)
    session.flush()
    recording = _Recording(session, check, removed)
    row.changes = recording.run()
    news.note(session, check, recording.changes)
    return row


def close_removed(session: Session, environment: str, run_id: str, now: datetime) -> None:
    """Clear what was open in an environment that a run has removed: it went with all the rest."""
    take_turn(session, environment)
    left = update(FindingRow).where(FindingRow.environment == environment, FindingRow.cleared_at.is_(None))
    # By another host's clock it may have been seen after that.
    cleared_at = case((FindingRow.last_seen > now, FindingRow.last_seen), else_=literal(now, UtcTime))
    session.execute(left.values(cleared_at=cleared_at, cleared_run=run_id))
    news.forget_untold(session, environment)


def removals(session: Session, environment: str | None = None) -> dict[str, datetime]:
    """When each environment was removed last; one of the same name that was made since is another one."""
    query = select(RunRow.environment, RunRow.ended).where(RunRow.state == "removed", RunRow.ended.is_not(None))
    if environment is not None:
        query = query.where(RunRow.environment == environment)
    return {name: ended for name, ended in session.execute(query.order_by(RunRow.ended)) if ended is not None}


def _row(session: Session, check: Check, removed: datetime | None) -> CheckRow:
    before = select(func.max(CheckRow.began)).where(
        CheckRow.environment == check.environment, CheckRow.began < check.began
    )
    previous = session.scalar(before.where(CheckRow.began > removed) if removed else before)
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

    def __init__(self, session: Session, check: Check, removed: datetime | None) -> None:
        self.session, self.check, self.removed = session, check, removed
        query = select(FindingRow).where(FindingRow.environment == check.environment, FindingRow.cleared_at.is_(None))
        self.open = {row.place: row for row in session.scalars(query.order_by(FindingRow.id))}
        self.changes: dict[str, list[FindingRow]] = defaultdict(list)

    def run(self) -> dict[str, list[int]]:
        """Take every look that still says something; what it changed, as ids."""
        before = list(self.open.values())
        telling = self._telling()
        onsets = self._earlier_onsets(place for look in telling for place in look.seen if place not in self.open)
        touched: set[str] = set()
        for look in telling:
            for place, (finding, waived) in look.seen.items():
                row = self.open.get(place) or self._begin(look, place, finding, onsets)
                self._see(row, look, finding, waived=waived)
                touched.add(place)
        touched |= self._clear(before, {str(look.plane): look for look in telling}, touched)
        unconfirmed = [row for row in before if row.place not in touched]
        for row in unconfirmed:
            if row.hidden_since is None and row.looked_at < self.check.began:
                row.hidden_since = self.check.ended
        self.changes["unconfirmed"] = [row for row in unconfirmed if not row.waived]
        self.session.flush()
        return {what: [row.id for row in rows] for what, rows in self.changes.items()}

    def _telling(self) -> list[Look]:
        """The looks that no later look, and no removal of the environment, has overtaken."""
        if not self.check.looks:
            return []
        earliest = min(look.looked_at for look in self.check.looks)
        environment = self.check.environment
        gone = self.removed
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

    @cached_property
    def _looks_before(self) -> Looks:
        """The looks of the last checks before this one, the newest first: of which plane, when, what they hid.

        Asked for by the first new finding that says when it was changed: most checks have none.
        """
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

    def _earlier_onsets(self, places: Iterable[str]) -> dict[str, tuple[int, int]]:
        """By place: which onset the next one is, and how many of those before it went with an environment."""
        wanted = list(places)
        if not wanted:
            return {}
        # Not their number: the oldest of them may be forgotten by now (infra.ledger.pruning).
        here = (FindingRow.environment == self.check.environment, FindingRow.place.in_(wanted))
        newest = select(FindingRow.place, func.max(FindingRow.recurrence).label("recurrence")).where(*here)
        last = newest.group_by(FindingRow.place).subquery()
        same = and_(FindingRow.place == last.c.place, FindingRow.recurrence == last.c.recurrence)
        found = {}
        for row in self.session.scalars(select(FindingRow).join(last, same).where(*here)):
            number, gone = row.recurrence + 1, self.removed is not None and row.first_seen <= self.removed
            found[row.place] = (number, number if gone else row.earlier)
        return found

    def _begin(self, look: Look, place: str, finding: Finding, onsets: dict[str, tuple[int, int]]) -> FindingRow:
        """A new onset."""
        number, earlier = onsets.get(place, (0, 0))
        row = FindingRow(environment=self.check.environment, place=place, recurrence=number, earlier=earlier)
        row.uncounted_seconds = 0.0
        row.plane, row.first_check, row.first_seen = str(finding.plane), self.check.id, look.ended
        row.address, row.path = looks.text(finding.address) or "", looks.text(finding.path) or ""
        if finding.changed is not None:
            row.changed_who, row.changed_how = (
                looks.text(finding.changed.who, 200),
                looks.text(finding.changed.how, 200),
            )
            row.changed_when = looks.utc(finding.changed.when) if finding.changed.when else None
            row.arose = arose(row, finding.changed, look, self._looks_before)
        self.session.add(row)
        return row

    def _see(self, row: FindingRow, look: Look, finding: Finding, *, waived: bool) -> None:
        """Bring an onset up to date."""
        new, was_waived = row.place not in self.open, bool(row.waived)
        row.severity, row.sentence = str(finding.severity), looks.text(finding.sentence) or ""
        row.declared, row.observed = looks.value_text(finding.declared), looks.value_text(finding.observed)
        # A look may begin later than another and end sooner; and hosts have clocks of their own.
        row.last_seen = max(row.last_seen or look.ended, look.ended)
        row.looked_at, row.waived, row.hidden_since = look.looked_at, waived, None
        if was_waived and not waived:
            row.uncounted_seconds += seconds_since(row.waived_since, row.last_seen)
        row.waived_since = (row.waived_since or row.last_seen) if waived else None
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
            row.cleared_at, row.cleared_check = max(telling[row.plane].ended, row.last_seen), self.check.id
            # It was repaired at some time after the last look that could tell.
            paused = min(filter(None, (row.waived_since, row.hidden_since)), default=None)
            row.uncounted_seconds += seconds_since(paused, row.cleared_at)
            row.cleared_run = writer(row, writes, row.cleared_at)
        self.changes["cleared"] = [row for row in cleared if not row.waived]
        return {row.place for row in cleared}

    def _writes(self, since: datetime) -> Writes:
        """What runs over this environment wrote since then, the newest first."""
        columns = (JournalRow.run_id, JournalRow.plane, JournalRow.address, JournalRow.ended)
        query = select(*columns).join(RunRow, JournalRow.run_id == RunRow.id)
        query = query.where(RunRow.environment == self.check.environment, JournalRow.outcome == "done")
        query = query.where(RunRow.flow != CANARY)
        return list(self.session.execute(query.where(JournalRow.ended > since).order_by(JournalRow.ended.desc())))
