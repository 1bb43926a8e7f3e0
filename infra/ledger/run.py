"""One run of a flow in the ledger, and what its end means for its environment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from infra.ledger.checks import close_removed
from infra.ledger.journal import Journal, LedgerJournal, finished
from infra.ledger.masking import masked
from infra.ledger.store import Store
from infra.ledger.tables import ClusterRow, EnvironmentRow, JournalRow, RunRow, StepRow

RUNNING = "running"
INTERRUPTED = "interrupted"
"""Its process died (infra.ledger.alive)."""
FAILURES = ("failed", "cancelled", INTERRUPTED)
ENVIRONMENT_STATES = ("ready", "removed")
"""States of runs that have looked at everything and changed what was wrong."""


class Step(Protocol):
    """What the ledger keeps of a step's report."""

    @property
    def plane(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def sentence(self) -> str: ...
    @property
    def category(self) -> str | None: ...


class Report(Protocol):
    """What the ledger keeps of a run's report."""

    @property
    def state(self) -> str: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    def sentence(self) -> str:
        """The run in one sentence."""


class LedgerRun:
    """One run of a flow, from its beginning to its end."""

    def __init__(self, store: Store, run_id: str, environment: str, commit: str | None) -> None:
        self._store = store
        self.id = run_id
        self.environment = environment
        self.commit = commit
        self.ended = False
        self.journal: Journal = LedgerJournal(store, run_id)

    async def step(
        self,
        plane: str,
        name: str,
        state: str,
        *,
        seconds: float,
        sentence: str,
        waited: float = 0.0,
        category: str | None = None,
    ) -> None:
        """Keep one step as it ends.

        Args:
            seconds: how long it took; `waited` of them were spent waiting for another system.
            category: of the error, where it failed.
        """

        def insert() -> None:
            with self._store.session(write=True) as session:
                session.add(_step(self.id, plane, name, state, seconds, waited, sentence, category))

        await finished(insert)

    async def finish(self, report: Report) -> None:
        """Keep a whole report, and end the run with its state."""
        rows = [
            _step(self.id, s.plane, s.name, str(s.state), s.seconds, getattr(s, "waited", 0.0), s.sentence, s.category)
            for s in report.steps
        ]
        await self.end(report.state, report.sentence(), steps=rows)

    async def end(self, state: str, reason: str | None = None, *, steps: Sequence[StepRow] = ()) -> None:
        """End the run; a good end settles what dead runs left unfinished, because this one has looked at everything."""

        def write() -> None:
            now = datetime.now(UTC)
            with self._store.session(write=True) as session:
                row = session.get_one(RunRow, self.id)
                row.state, row.ended, row.reason = state[:20], now, masked(reason)
                session.add_all(steps)
                note_environment(session, row, self.environment)
                if state in ENVIRONMENT_STATES:
                    _settle(session, self.environment, self.id, now)
                if state == "removed":
                    close_removed(session, self.environment, self.id, now)

        await finished(write)
        self.ended = True

    async def note_cluster(self, cluster_uuid: str) -> None:
        """Keep the UUID of the environment's cluster, besides those of earlier ones.

        A run that shows that nothing of the environment is left forgets them. The end of a cluster does not: a run
        that was killed before its sweep, or that made the cluster anew, has left things under the earlier UUID.
        """

        def write() -> None:
            now = datetime.now(UTC)
            with self._store.session(write=True) as session:
                if session.get(ClusterRow, (self.environment, cluster_uuid)) is None:
                    session.add(ClusterRow(environment=self.environment, cluster_uuid=cluster_uuid, noted=now))
                row = _environment(session, self.environment)
                if row.cluster_uuid != cluster_uuid:
                    row.cluster_uuid, row.updated = cluster_uuid, now

        await finished(write)

    async def clusters(self) -> tuple[str, ...]:
        """The UUIDs of all clusters that the environment has had since it was last proved gone, the oldest first."""

        def read() -> tuple[str, ...]:
            with self._store.session(write=False) as session:
                query = select(ClusterRow.cluster_uuid).where(ClusterRow.environment == self.environment)
                return tuple(session.scalars(query.order_by(ClusterRow.noted, ClusterRow.cluster_uuid)))

        return await asyncio.to_thread(read)


def _settle(session: Session, environment: str, run_id: str, now: datetime) -> None:
    """Close what ended runs left open: the run `run_id` has since brought the environment into step."""
    ended = select(RunRow.id).where(RunRow.environment == environment, RunRow.state != RUNNING, RunRow.id != run_id)
    session.execute(
        update(JournalRow)
        .where(JournalRow.outcome.is_(None), JournalRow.run_id.in_(ended))
        .values(outcome="settled", ended=now, detail=f"Run {run_id} looked at everything and went on.")
    )


def note_environment(session: Session, run: RunRow, environment: str) -> None:
    """Keep what a run's end says of its environment: a run that failed before it wrote anything says nothing."""
    if run.state in FAILURES and not session.scalar(select(exists().where(JournalRow.run_id == run.id))):
        return
    if run.state not in (*FAILURES, *ENVIRONMENT_STATES):
        return
    row = _environment(session, environment)
    row.state, row.updated = run.state, datetime.now(UTC)
    if run.state not in FAILURES:
        row.last_commit = run.commit or row.last_commit
    if run.state == "removed":
        row.cluster_uuid = None
        session.execute(delete(ClusterRow).where(ClusterRow.environment == environment))


def _environment(session: Session, name: str) -> EnvironmentRow:
    row = session.get(EnvironmentRow, name)
    if row is None:
        row = EnvironmentRow(name=name, state="unknown", updated=datetime.now(UTC))
        session.add(row)
    return row


def _step(  # noqa: PLR0917 - a row's columns, in their order
    run_id: str,
    plane: str,
    name: str,
    state: str,
    seconds: float,
    waited: float,
    sentence: str,
    category: str | None,
) -> StepRow:
    return StepRow(
        run_id=run_id,
        plane=str(plane)[:30],
        name=name[:200],
        state=state[:20],
        seconds=seconds,
        waited_seconds=waited,
        sentence=masked(sentence) or "",
        category=category[:40] if category else None,
    )
