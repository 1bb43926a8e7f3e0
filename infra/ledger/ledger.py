"""The ledger: what happened to every environment, and what is known of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from infra.clients.errors import PlumblineError
from infra.ledger import records
from infra.ledger.alive import Heart, clock, interrupt_dead, this_process
from infra.ledger.drift import DriftLedger
from infra.ledger.journal import ended_by, finished
from infra.ledger.outbox import Outbox
from infra.ledger.pruning import TRANSACTIONS, prune
from infra.ledger.run import RUNNING, LedgerRun
from infra.ledger.store import Store, ledger_url
from infra.ledger.tables import EnvironmentRow, JournalRow, RunRow, StepRow
from infra.settings import Settings


class Ledger(DriftLedger, Outbox):
    """An open ledger; `async with Ledger.open(settings) as ledger`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: list[LedgerRun] = []
        self._heart = Heart(store, self._runs)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Ledger]:
        """Open the ledger, making or migrating its schema first; runs left open are ended with what ended the block.

        Raises:
            Unavailable: the database does not answer.
            Misconfigured: its URL is wrong, or its schema is newer than this code.
        """
        store = await finished(lambda: Store(ledger_url(settings)))
        ledger = cls(store)
        try:
            yield ledger
            await ledger._end_open("failed", "The run ended without a report.")
        except BaseException as error:
            try:
                await ledger._end_open(*ended_by(error))
            except PlumblineError as second:
                error.add_note(f"The ledger could not note it: {second}")
            raise
        finally:
            await finished(ledger._heart.stop)
            store.close()

    async def _end_open(self, state: str, reason: str) -> None:
        for run in self._runs:
            if not run.ended:
                await run.end(state, reason)

    async def begin(self, flow: str, environment: str, commit: str | None, flow_run_id: str | None = None) -> LedgerRun:
        """Begin a run; runs of this environment whose process has died are marked `interrupted`."""
        run_id = uuid.uuid4().hex

        def insert() -> None:
            with self._store.session(write=True) as session:
                interrupt_dead(session, environment)
                row = RunRow(id=run_id, flow=flow[:100], environment=environment, commit=commit, state=RUNNING)
                row.started, row.process, row.beat = datetime.now(UTC), this_process(), clock(session)
                row.flow_run_id = str(flow_run_id) if flow_run_id else None
                session.add(row)

        await finished(insert)
        run = LedgerRun(self._store, run_id, environment, commit)
        self._runs.append(run)
        self._heart.start()
        return run

    @asynccontextmanager
    async def run(
        self, flow: str, environment: str, commit: str | None, flow_run_id: str | None = None
    ) -> AsyncIterator[LedgerRun]:
        """A run that ends with its block: `done`, `failed` or `cancelled`, unless it was ended before."""
        run = await self.begin(flow, environment, commit, flow_run_id)
        try:
            yield run
        except BaseException as error:
            if not run.ended:
                await run.end(*ended_by(error))
            raise
        if not run.ended:
            await run.end("done")

    async def unfinished(self, environment: str | None = None) -> list[records.JournalRecord]:
        """Writes that began and never ended because their process died, the oldest first.

        What a live process is still doing is not among them, on whatever host it runs.
        """

        def read() -> list[records.JournalRecord]:
            with self._store.session(write=True) as session:
                interrupt_dead(session, environment)
                query = select(JournalRow, RunRow).join(RunRow, JournalRow.run_id == RunRow.id)
                query = query.where(JournalRow.outcome.is_(None), RunRow.state != RUNNING).order_by(JournalRow.id)
                if environment is not None:
                    query = query.where(RunRow.environment == environment)
                return [_journal_record(entry, run.environment) for entry, run in session.execute(query)]

        return await asyncio.to_thread(read)

    async def journal(self, run_id: str) -> list[records.JournalRecord]:
        """Every write of one run, in their order."""

        def read() -> list[records.JournalRecord]:
            with self._store.session(write=False) as session:
                query = select(JournalRow, RunRow).join(RunRow, JournalRow.run_id == RunRow.id)
                found = session.execute(query.where(JournalRow.run_id == run_id).order_by(JournalRow.id))
                return [_journal_record(entry, run.environment) for entry, run in found]

        return await asyncio.to_thread(read)

    async def history(self, environment: str, *, limit: int = 50) -> list[records.RunRecord]:
        """The newest runs over an environment, the newest first, with their steps."""

        def read() -> list[records.RunRecord]:
            with self._store.session(write=False) as session:
                query = select(RunRow).where(RunRow.environment == environment)
                runs = session.scalars(query.order_by(RunRow.started.desc(), RunRow.id).limit(limit)).all()
                wanted = StepRow.run_id.in_([run.id for run in runs])
                steps = session.scalars(select(StepRow).where(wanted).order_by(StepRow.id)).all()
                return [_run_record(run, [step for step in steps if step.run_id == run.id]) for run in runs]

        return await asyncio.to_thread(read)

    async def last_run(self, flow: str, environment: str, states: Sequence[str]) -> records.RunRecord | None:
        """The newest run of a flow over an environment that ended in one of `states`, without its steps."""

        def read() -> records.RunRecord | None:
            with self._store.session(write=False) as session:
                query = select(RunRow).where(RunRow.environment == environment, RunRow.flow == flow)
                query = query.where(RunRow.state.in_(states)).order_by(RunRow.started.desc()).limit(1)
                found = session.scalars(query).first()
                return _run_record(found, ()) if found is not None else None

        return await asyncio.to_thread(read)

    async def running(self, environment: str) -> list[records.RunRecord]:
        """The runs over an environment that are under way, the oldest first, without their steps."""

        def read() -> list[records.RunRecord]:
            with self._store.session(write=True) as session:
                interrupt_dead(session, environment)
                query = select(RunRow).where(RunRow.environment == environment, RunRow.state == RUNNING)
                return [_run_record(run, ()) for run in session.scalars(query.order_by(RunRow.started))]

        return await asyncio.to_thread(read)

    async def prune(self, *, keep: timedelta) -> int:
        """Remove what is older than that and need not be remembered (infra.ledger.pruning); returns how many rows.

        Several may do so at once. The work of one call is bounded, and others can write in between: the next goes on.

        Args:
            keep: how long checks, cleared findings and ended runs are remembered.
        """
        before, removed = datetime.now(UTC) - keep, 0

        def some() -> int:
            with self._store.session(write=True) as session:
                return prune(session, before)

        for _ in range(TRANSACTIONS):
            now = await finished(some)
            removed += now
            if not now:
                break
        return removed

    async def environments(self) -> list[records.EnvironmentRecord]:
        """What is known of every environment, by name."""

        def read() -> list[records.EnvironmentRecord]:
            with self._store.session(write=False) as session:
                rows = session.scalars(select(EnvironmentRow).order_by(EnvironmentRow.name)).all()
                return [
                    records.EnvironmentRecord(r.name, r.cluster_uuid, r.last_commit, r.state, r.updated) for r in rows
                ]

        return await asyncio.to_thread(read)


def _run_record(run: RunRow, steps: Sequence[StepRow]) -> records.RunRecord:
    kept = tuple(
        records.StepRecord(s.plane, s.name, s.state, s.seconds, s.waited_seconds, s.sentence, s.category) for s in steps
    )
    return records.RunRecord(
        id=run.id,
        flow=run.flow,
        environment=run.environment,
        commit=run.commit,
        started=run.started,
        ended=run.ended,
        state=run.state,
        reason=run.reason,
        flow_run_id=run.flow_run_id,
        steps=kept,
    )


def _journal_record(row: JournalRow, environment: str) -> records.JournalRecord:
    return records.JournalRecord(
        id=row.id,
        run_id=row.run_id,
        environment=environment,
        plane=row.plane,
        action=row.action,
        address=row.address,
        began=row.began,
        ended=row.ended,
        outcome=row.outcome,
        detail=row.detail,
    )
