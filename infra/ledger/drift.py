"""The drift history: every check, and every finding from the check that first saw it to the one that no longer did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from infra.drift.findings import PlaneName, PlaneState, PlaneVerdict, Severity
from infra.drift.history import Changes, CheckRecord, CheckSummary, DriftHistory, OnsetRecord, PlaneLook
from infra.drift.news import Failure
from infra.ledger.checks import record, removals
from infra.ledger.journal import finished
from infra.ledger.looks import Check, looks_of, utc
from infra.ledger.news import FAILED
from infra.ledger.store import Store
from infra.ledger.tables import CheckRow, FindingRow

AT_ONCE = 1000
"""Findings that one question asks for: one by one, thousands of them took seconds."""


class DriftLedger:
    """The part of the ledger that remembers drift."""

    _store: Store

    async def record_check(
        self,
        *,
        environment: str,
        commit: str | None,
        verdicts: Sequence[PlaneVerdict],
        began: datetime,
        seconds: float,
        declared_interval: timedelta | None = None,
        due: datetime | None = None,
        flow_run_id: str | None = None,
        stale: str | None = None,
        failure: Failure | None = None,
    ) -> Changes:
        """Keep what a check saw, say what that changes, and keep for telling what is news of it (infra.ledger.outbox).

        The same check recorded again gives the same answer.

        Args:
            verdicts: one per plane that was looked at, planes without anything declared included: what is missing here
                was not looked at, and keeps its open findings.
            began: when the check began; with environment and flow run it is what makes two checks the same.
            seconds: how long it took.
            declared_interval: how often git says to look.
            due: when it was to begin; where that is not given, `declared_interval` after the check before it.
            stale: why the check must not be trusted, where that is so; it clears nothing then.
            failure: why the check could not be carried out, where that is so.
        """
        if failure is not None:
            stale = f"{FAILED}{failure.summary}"
        looks = looks_of(verdicts, stale=stale is not None)
        began = utc(began)
        ended = max([began + timedelta(seconds=seconds), *(look.ended for look in looks)])
        check = Check(
            environment=environment,
            commit=commit,
            began=began,
            ended=ended,
            looks=looks,
            declared=declared_interval,
            due=utc(due) if due else None,
            flow_run_id=str(flow_run_id) if flow_run_id else None,
            stale=stale,
            failure=failure,
        )

        def write() -> Changes:
            with self._store.session(write=True) as session:
                return _changes(session, record(session, check))

        return await finished(write)

    async def open_findings(self, environment: str | None = None) -> list[OnsetRecord]:
        """What is not in step as far as is known, waived findings included: the gravest first, then the oldest."""

        def read() -> list[OnsetRecord]:
            query = select(FindingRow).where(FindingRow.cleared_at.is_(None)).order_by(FindingRow.id)
            if environment is not None:
                query = query.where(FindingRow.environment == environment)
            with self._store.session(write=False) as session:
                found = [onset(row) for row in session.scalars(query)]
            return sorted(found, key=lambda one: (-one.severity.rank, one.first_seen))

        return await asyncio.to_thread(read)

    async def checks(self, environment: str, *, limit: int = 50) -> list[CheckRecord]:
        """The newest checks of an environment, the newest first, with what each said of its planes."""

        def read() -> list[CheckRecord]:
            query = select(CheckRow).where(CheckRow.environment == environment)
            query = query.order_by(CheckRow.began.desc(), CheckRow.id).limit(limit)
            with self._store.session(write=False) as session:
                return [_check(row) for row in session.scalars(query)]

        return await asyncio.to_thread(read)

    async def drift_history(self, *, since: datetime, environment: str | None = None) -> DriftHistory:
        """Checks that began since then, and findings that were open since then; of one environment, or of all."""
        start = utc(since)

        def read() -> DriftHistory:
            # Without the planes: a month of a fleet is a few hundred thousand checks.
            checks = select(*_SUMMARY).where(CheckRow.began >= start).order_by(CheckRow.began, CheckRow.id)
            onsets = select(FindingRow).where(or_(FindingRow.cleared_at.is_(None), FindingRow.cleared_at >= start))
            onsets = onsets.order_by(FindingRow.first_seen, FindingRow.id)
            if environment is not None:
                checks = checks.where(CheckRow.environment == environment)
                onsets = onsets.where(FindingRow.environment == environment)
            with self._store.session(write=False) as session:
                return DriftHistory(
                    since=start,
                    checks=tuple(_summary(row) for row in session.execute(checks)),
                    onsets=tuple(onset(row) for row in session.scalars(onsets)),
                    removed=removals(session, environment),
                )

        return await asyncio.to_thread(read)


def _changes(session: Session, row: CheckRow) -> Changes:
    wanted = sorted({number for numbers in row.changes.values() for number in numbers})
    onsets: dict[int, OnsetRecord] = {}
    for start in range(0, len(wanted), AT_ONCE):
        some = select(FindingRow).where(FindingRow.id.in_(wanted[start : start + AT_ONCE]))
        onsets |= {found.id: onset(found) for found in session.scalars(some)}

    def of(what: str) -> tuple[OnsetRecord, ...]:
        return tuple(onsets[number] for number in row.changes.get(what, ()) if number in onsets)

    return Changes(
        check=_check(row),
        found=of("found"),
        cleared=of("cleared"),
        stayed=of("stayed"),
        unconfirmed=of("unconfirmed"),
        waived=of("waived"),
    )


_SUMMARY = (
    CheckRow.id,
    CheckRow.environment,
    CheckRow.state,
    CheckRow.began,
    CheckRow.ended,
    CheckRow.interval_seconds,
    CheckRow.declared_seconds,
    CheckRow.latency_seconds,
    CheckRow.duration_seconds,
    CheckRow.findings,
    CheckRow.waived,
    CheckRow.blind_spots,
    CheckRow.stale,
)


def _summary(row: Any) -> CheckSummary:
    """From a row of the table, or of `_SUMMARY` alone."""
    kept = {column.key: getattr(row, column.key) for column in _SUMMARY}
    return CheckSummary(**kept | {"state": PlaneState(row.state)})


def _check(row: CheckRow) -> CheckRecord:
    planes = tuple(
        PlaneLook(
            plane=PlaneName(plane),
            state=PlaneState(said["state"]),
            looked_at=datetime.fromisoformat(said["looked_at"]),
            seconds=said["seconds"],
            findings=said["findings"],
            waived=said["waived"],
            blind_spots=tuple(said["blind_spots"]),
        )
        for plane, said in row.planes.items()
    )
    return CheckRecord(summary=_summary(row), commit=row.commit, flow_run_id=row.flow_run_id, planes=planes)


def onset(row: FindingRow) -> OnsetRecord:
    """The record of a finding's row."""
    return OnsetRecord(
        id=row.id,
        environment=row.environment,
        plane=PlaneName(row.plane),
        address=row.address,
        path=row.path,
        recurrence=row.recurrence - row.earlier,
        severity=Severity(row.severity),
        sentence=row.sentence,
        declared=row.declared,
        observed=row.observed,
        changed_who=row.changed_who,
        changed_when=row.changed_when,
        changed_how=row.changed_how,
        arose=row.arose,
        waived=row.waived,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        first_check=row.first_check,
        cleared_at=row.cleared_at,
        cleared_check=row.cleared_check,
        cleared_run=row.cleared_run,
        uncounted_seconds=row.uncounted_seconds,
    )
