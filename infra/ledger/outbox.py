"""The outbox: news is given to whoever tells it, again and again until somebody says that it was told."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from infra.drift.findings import PlaneState
from infra.drift.news import Failure, News, NewsKind
from infra.ledger.alive import interrupt_dead
from infra.ledger.drift import onset
from infra.ledger.journal import finished
from infra.ledger.news import Untold, sort
from infra.ledger.run import RUNNING
from infra.ledger.store import Store, take_turn
from infra.ledger.tables import CheckRow, FindingRow, NewsRow, RunRow

LEASE = timedelta(minutes=3)
"""How long whoever asked for news is left to tell it before others are given it, too."""


class Outbox:
    """The part of the ledger that knows what was told."""

    _store: Store

    async def untold(self, environment: str, *, besides: str | None = None, now: datetime | None = None) -> list[News]:
        """What is to be told of an environment now: one event each; the caller has `LEASE` to tell it.

        What was given out before and was not told is given out again, as the same events about the same findings.

        Args:
            besides: the run on whose behalf is asked; any other that is at work holds news back (infra.ledger.news).
            now: the time; the clock's where it is not given.
        """
        moment = now or datetime.now(UTC)

        def claim() -> list[News]:
            with self._store.session(write=False) as session:
                if not session.scalar(select(exists().where(*_untold(environment)))):
                    return []
            with self._store.session(write=True) as session:
                take_turn(session, environment)
                return _claimed(session, environment, besides, moment)

        return await finished(claim)

    async def told(self, events: Iterable[str]) -> None:
        """These events were told."""
        numbers = list(events)

        def write() -> None:
            with self._store.session(write=True) as session:
                of_these = (NewsRow.event.in_(numbers), NewsRow.told_at.is_(None))
                session.execute(update(NewsRow).where(*of_these).values(told_at=datetime.now(UTC)))

        await finished(write)


def _claimed(session: Session, environment: str, besides: str | None, now: datetime) -> list[News]:
    query = select(NewsRow, CheckRow, FindingRow).join(CheckRow, NewsRow.check_id == CheckRow.id)
    query = query.outerjoin(FindingRow, NewsRow.finding_id == FindingRow.id).order_by(NewsRow.id)
    untold = [Untold(*row) for row in session.execute(query.where(*_untold(environment)))]
    # What somebody is telling at this moment comes first: of the same place, nothing may overtake it.
    leased = {one.place for one in untold if one.news.claimed_at is not None and one.news.claimed_at > now - LEASE}
    free = [one for one in untold if one.place not in leased]
    at_work = _at_work(session, environment, besides)
    fresh = sort((one for one in free if one.news.event is None), now, at_work=at_work)
    session.execute(delete(NewsRow).where(NewsRow.id.in_([one.news.id for one in fresh.over])))
    _decide(fresh.due)
    events: dict[str, list[Untold]] = defaultdict(list)
    for one in free:
        if one.news.event is not None:
            one.news.claimed_at = now
            events[one.news.event].append(one)
    return [_news(event, parts) for event, parts in events.items()]


def _untold(environment: str) -> tuple[ColumnElement[bool], ...]:
    return NewsRow.environment == environment, NewsRow.told_at.is_(None)


def _decide(due: Sequence[Untold]) -> None:
    """Put what is new into events, in its order: what was found together, what was cleared together, failures alone.

    Of a place that has more than one thing to tell, each is another event: who hears them in turn knows how it stands.
    """
    together: dict[str | NewsKind, str] = {}
    placed: set[str] = set()
    for one in due:
        if one.place in placed:
            together.clear()
            placed.clear()
        placed.add(one.place)
        one.news.event = together.setdefault(NewsKind(one.news.kind) if one.finding else one.place, str(uuid.uuid4()))


def _at_work(session: Session, environment: str, besides: str | None) -> bool:
    interrupt_dead(session, environment)
    runs = session.scalars(select(RunRow.id).where(RunRow.environment == environment, RunRow.state == RUNNING))
    return any(run != besides for run in runs)


def _news(event: str, parts: Sequence[Untold]) -> News:
    newest = max((one.check for one in parts), key=lambda check: (check.began, check.id))
    failure = parts[0].news.failure
    return News(
        event=event,
        kind=NewsKind(parts[0].news.kind),
        environment=newest.environment,
        looked_at=newest.began,
        commit=newest.commit,
        state=PlaneState(newest.state),
        stale=newest.stale,
        onsets=tuple(onset(one.finding) for one in parts if one.finding is not None),
        failure=Failure(**failure) if failure else None,
    )
