"""Which runs are at work: told from the process table where it is ours, elsewhere from the signs of life they give.

A run that is at work says so in the ledger every few seconds (its *beat*). Workers on several hosts share a ledger, and
nobody can look into another host's process table: there a run counts as dead after a few missed beats. One that was
only cut off from the database, and beats again, is at work again.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import psutil
from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.orm import Session

from infra.clients.errors import PlumblineError
from infra.ledger.run import INTERRUPTED, RUNNING, LedgerRun, note_environment
from infra.ledger.store import Store
from infra.ledger.tables import RunRow

BEAT = timedelta(seconds=10)
"""Between two signs of life of a run."""
SILENT = timedelta(seconds=60)
"""Without one for longer than this, a run of another host is dead."""

log = logging.getLogger(__name__)


class Heart:
    """Says every `BEAT` that the runs of this process are at work.

    A thread of its own: a loop that is busy, or whose threads all are, must not make a run look dead.

    Args:
        runs: those that were begun; ended ones are passed over.
    """

    def __init__(self, store: Store, runs: Sequence[LedgerRun]) -> None:
        self._store, self._runs = store, runs
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="ledger-heart", daemon=True)

    def start(self) -> None:
        """Begin to beat, if that has not begun yet."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Beat no more; waits for a beat under way as long as a database may make it wait."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=SILENT.total_seconds())

    def _go_on(self) -> None:
        while not self._stopped.wait(BEAT.total_seconds()):
            at_work = [run.id for run in tuple(self._runs) if not run.ended]
            try:
                if at_work:
                    beat(self._store, at_work)
            except PlumblineError as error:
                # The next may succeed; several in a row may be missed.
                log.warning("The ledger could not note that a run is at work. %s", error)


def beat(store: Store, runs: Sequence[str]) -> None:
    """Note that runs are at work, also those that were taken for dead meanwhile."""
    alive = update(RunRow).where(RunRow.id.in_(runs), RunRow.state.in_((RUNNING, INTERRUPTED)), RunRow.ended.is_(None))
    with store.session(write=True) as session:
        session.execute(alive.values(beat=clock(session), state=RUNNING, reason=None))


def clock(session: Session) -> datetime:
    """Now, by the clock of a database that serves several hosts: theirs may be apart."""
    if session.get_bind().dialect.name == "postgresql":
        return cast("datetime", session.execute(select(func.clock_timestamp())).scalar_one())
    return datetime.now(UTC)


def interrupt_dead(session: Session, environment: str | None) -> None:
    """Mark runs whose process has died."""
    query = select(RunRow).where(RunRow.state == RUNNING)
    if environment is not None:
        query = query.where(RunRow.environment == environment)
    now = clock(session)
    for row in session.scalars(query).all():
        why = _dead(row, now)
        if why is None:
            continue
        # Unless it beat, or ended, just now.
        still = update(RunRow).where(
            RunRow.id == row.id, RunRow.state == RUNNING, RunRow.beat.is_not_distinct_from(row.beat)
        )
        marked = cast("CursorResult[Any]", session.execute(still.values(state=INTERRUPTED, reason=why)))
        session.refresh(row)
        if marked.rowcount:
            note_environment(session, row, row.environment)
    session.flush()


def _dead(run: RunRow, now: datetime) -> str | None:
    """Why a run is dead; None while it lives, or may."""
    gone = died(run.process)
    heard = run.beat or run.started
    if gone:
        return "Its process died."
    if gone is None and now - heard > SILENT:
        host = run.process.partition("/")[0].partition("|")[0]
        return f"Its process on {host} has given no sign of life since {heard:%Y-%m-%d %H:%M:%S} UTC."
    return None


def this_process() -> str:
    """Process table, process id and start time: a process id alone is used again."""
    pid = os.getpid()
    return f"{process_table()}|{pid}|{psutil.Process(pid).create_time():.2f}"


def died(process: str) -> bool | None:
    """Whether the process noted as `this_process` has died; None where its process table is not ours."""
    table, pid, created = process.rsplit("|", 2)
    if table != process_table():
        return None
    try:
        found = psutil.Process(int(pid))
        return f"{found.create_time():.2f}" != created or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@cache
def process_table() -> str:
    """Which process table is ours: host, boot, and namespace.

    The host's name alone does not tell: two hosts may have the same, and each container counts its own processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot, namespace = f"{psutil.boot_time():.0f}", ""
    return f"{socket.gethostname()}/{boot}/{namespace}"
