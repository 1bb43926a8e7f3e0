"""Forgetting: checks, findings and runs that are older than the ledger is to remember.

What still says something stays, however old it is:

- what is open, with the check that first saw it;
- of each environment the newest checks, for whether a failed one is news, since when a finding can be there, and how
  long ago was looked;
- of each flow over an environment the newest run that ended in each state: what the canary said last, the removal;
- writes that never ended, and those that may have repaired what is open and has not been looked at since;
- whatever one of these, or what is young enough, refers to.

News goes once it was told, and at the latest with the check or the finding that it is about.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, delete, exists, or_, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from infra.ledger.checks import REMEMBERED
from infra.ledger.run import RUNNING
from infra.ledger.store import LOCK_KEY
from infra.ledger.tables import CheckRow, FindingRow, JournalRow, NewsRow, RunRow

AT_ONCE = 500
"""Rows of each table that one transaction removes: on SQLite, others wait for it."""
TRANSACTIONS = 20
"""Of one call at most; the next goes on."""


def prune(session: Session, before: datetime) -> int:
    """Remove some of what is from before a moment and need not be remembered; returns how many rows, 0 when done."""
    if session.get_bind().dialect.name == "postgresql":
        # SQLite has one writer; here two that delete the same rows could each wait for the other. No environment's
        # turn has this number (see `checks.record`).
        turn = text("SELECT pg_try_advisory_xact_lock(:key, -1)")
        if not session.scalar(turn, {"key": LOCK_KEY}):
            return 0
    removed = _remove(session, NewsRow.id, NewsRow.told_at, NewsRow.told_at < before)
    removed += _remove(session, FindingRow.id, FindingRow.cleared_at, FindingRow.cleared_at < before)
    removed += _remove(session, CheckRow.id, CheckRow.began, and_(CheckRow.began < before, _needless_check()))
    removed += _remove(session, RunRow.id, RunRow.started, and_(RunRow.started < before, _needless_run()))
    return removed


def _remove(
    session: Session, key: InstrumentedAttribute[Any], age: InstrumentedAttribute[Any], which: ColumnElement[bool]
) -> int:
    """Remove the oldest rows of a table; steps and writes go with their runs."""
    oldest = select(key).where(which).order_by(age).limit(AT_ONCE)
    done = session.execute(delete(key.class_).where(key.in_(oldest)), execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", done).rowcount


def _needless_check() -> ColumnElement[bool]:
    """A check that no finding refers to, and that enough others have followed."""
    newer = aliased(CheckRow)
    first_kept = select(newer.began).where(newer.environment == CheckRow.environment).order_by(newer.began.desc())
    followed = CheckRow.began < first_kept.offset(REMEMBERED - 1).limit(1).correlate(CheckRow).scalar_subquery()
    told = or_(FindingRow.first_check == CheckRow.id, FindingRow.cleared_check == CheckRow.id)
    return and_(followed, ~exists().where(told))


def _needless_run() -> ColumnElement[bool]:
    """A run that has ended as a later one of its flow did, with all that it wrote, and that no finding refers to."""
    newer = aliased(RunRow)
    followed = exists().where(
        newer.environment == RunRow.environment,
        newer.flow == RunRow.flow,
        newer.state == RunRow.state,
        newer.started > RunRow.started,
    )
    unfinished = exists().where(JournalRow.run_id == RunRow.id, JournalRow.outcome.is_(None))
    repaired = exists().where(FindingRow.cleared_run == RunRow.id)
    may_have_repaired = exists().where(
        FindingRow.environment == RunRow.environment,
        FindingRow.cleared_at.is_(None),
        JournalRow.run_id == RunRow.id,
        JournalRow.outcome == "done",
        JournalRow.ended > FindingRow.looked_at,
    )
    return and_(RunRow.state != RUNNING, followed, ~or_(unfinished, repaired, may_have_repaired))
