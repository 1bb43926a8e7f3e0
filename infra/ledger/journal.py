"""The write-ahead journal: every external write is noted before it begins and after it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from infra.clients.errors import PlumblineError, Refused
from infra.ledger.masking import masked
from infra.ledger.store import Store
from infra.ledger.tables import JournalRow

T = TypeVar("T")


class JournalEntry:
    """A write under way."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.detail: str | None = None

    def note(self, detail: str) -> None:
        """Keep a word on what was done, such as a revision or a request id; masked when it is stored."""
        self.detail = detail


class Journal(Protocol):
    """Where writes are noted."""

    def write(self, plane: str, action: str, address: str) -> AbstractAsyncContextManager[JournalEntry]:
        """Note a write before and after the block that makes it.

        Args:
            plane: the plane it belongs to.
            action: what is done, such as `apply` or `terraform destroy`.
            address: to what, such as `StorageClass/default`.
        """


class ReadOnlyJournal:
    """The journal of those who only look: a write through it is refused before it begins."""

    def write(self, plane: str, action: str, address: str) -> AbstractAsyncContextManager[JournalEntry]:
        """Refuse.

        Raises:
            Refused: always.
        """
        raise Refused(f"{action} of {address} in plane {plane} was refused: this run only looks.")


class LedgerJournal:
    """The journal of one run, in the ledger."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id

    @asynccontextmanager
    async def write(self, plane: str, action: str, address: str) -> AsyncIterator[JournalEntry]:
        """Note a write; whatever ends the block, a cancellation too, is noted as its outcome."""
        entry = await self._begin(plane, action, address)
        try:
            yield entry
        except BaseException as error:
            outcome, summary = ended_by(error)
            try:
                await self._end(entry, outcome, f"{entry.detail}; {summary}" if entry.detail else summary)
            except PlumblineError as second:
                error.add_note(f"The ledger could not note it: {second}")
            raise
        await self._end(entry, "done", entry.detail)

    async def _begin(self, plane: str, action: str, address: str) -> JournalEntry:
        def insert() -> JournalEntry:
            row = JournalRow(run_id=self._run_id, plane=str(plane)[:30], action=masked(action, 100) or "")
            row.address, row.began = masked(address, 2000) or "", datetime.now(UTC)
            with self._store.session(write=True) as session:
                session.add(row)
                session.flush()
                return JournalEntry(row.id)

        noting = asyncio.ensure_future(asyncio.to_thread(insert))
        try:
            return await asyncio.shield(noting)
        except asyncio.CancelledError:
            # The thread cannot be stopped: wait for its note, and say that nothing came of it.
            await self._end(await noting, "not started", None)
            raise

    async def _end(self, entry: JournalEntry, outcome: str, detail: str | None) -> None:
        def update() -> None:
            with self._store.session(write=True) as session:
                row = session.get_one(JournalRow, entry.id)
                row.outcome, row.ended, row.detail = outcome, datetime.now(UTC), masked(detail)

        await finished(update)


def ended_by(error: BaseException) -> tuple[str, str]:
    """How a block that raised `error` ended: `cancelled` or `failed`, and why."""
    cancelled = isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit)
    why = error.summary if isinstance(error, PlumblineError) else f"{type(error).__name__}: {error}".removesuffix(": ")
    return "cancelled" if cancelled else "failed", why


async def finished(work: Callable[[], T]) -> T:
    """Run `work` in a thread to its end, also when the caller is cancelled meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await running
        raise
