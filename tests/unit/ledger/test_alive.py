"""Runs of other hosts: one that lives is not called dead, and one that has died is not at work for ever."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from infra.ledger import Ledger, alive
from infra.ledger.alive import BEAT, SILENT, process_table
from infra.ledger.tables import RunRow
from infra.settings import ROOT, Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ELSEWHERE = "worker-2/3f0e/pid:[1]"


def moved(ledger: Ledger, run_id: str, *, ago: timedelta | None, table: str = ELSEWHERE) -> None:
    """As if the run were in another process table, and had beaten last that long ago."""
    _, pid, created = alive.this_process().rsplit("|", 2)
    with ledger._store.session(write=True) as session:
        beat = None if ago is None else alive.clock(session) - ago
        values = {"process": f"{table}|{pid}|{created}", "beat": beat}
        session.execute(update(RunRow).where(RunRow.id == run_id).values(values))


def beat_of(ledger: Ledger, run_id: str) -> datetime:
    with ledger._store.session(write=False) as session:
        beat = session.scalar(select(RunRow.beat).where(RunRow.id == run_id))
    assert beat is not None
    return beat


async def states(ledger: Ledger) -> list[str]:
    return [run.state for run in await ledger.history("dev")]


async def test_a_run_of_another_host_lives_as_long_as_it_beats(ledger: Ledger) -> None:
    run = await ledger.begin("create-environment", "dev", COMMIT)
    async with run.journal.write("dns", "create", "recordset/a"):
        moved(ledger, run.id, ago=SILENT - timedelta(seconds=20))
        assert [one.id for one in await ledger.running("dev")] == [run.id]
        assert await ledger.unfinished("dev") == []
        moved(ledger, run.id, ago=SILENT + timedelta(seconds=1))
        assert [one.address for one in await ledger.unfinished("dev")] == ["recordset/a"]
    assert await ledger.running("dev") == []
    (dead,) = await ledger.history("dev")
    assert dead.state == "interrupted"
    assert dead.reason and dead.reason.startswith("Its process on worker-2 has given no sign of life since ")
    assert [one.state for one in await ledger.environments()] == ["interrupted"]


async def test_a_new_run_marks_the_dead_of_other_hosts(ledger: Ledger) -> None:
    run = await ledger.begin("create-environment", "dev", COMMIT)
    moved(ledger, run.id, ago=2 * SILENT)
    await ledger.begin("reconcile", "dev", COMMIT)
    assert await states(ledger) == ["running", "interrupted"]


async def test_a_run_that_was_only_cut_off_is_at_work_again_with_its_next_beat(ledger: Ledger) -> None:
    run = await ledger.begin("create-environment", "dev", COMMIT)
    moved(ledger, run.id, ago=2 * SILENT)
    assert await ledger.running("dev") == []
    alive.beat(ledger._store, [run.id])
    assert [(one.id, one.reason) for one in await ledger.running("dev")] == [(run.id, None)]
    await run.end("ready")
    alive.beat(ledger._store, [run.id])
    assert await states(ledger) == ["ready"], "a late beat wakes nobody who has ended"


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_run_that_ends_meanwhile_is_not_marked(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the books and the look at the process table, the process may end its run and exit.

    SQLite has one writer: there nobody ends a run meanwhile.
    """
    run = await ledger.begin("create-environment", "dev", COMMIT)

    def died(_process: str) -> bool:
        ending = threading.Thread(target=lambda: asyncio.run(run.end("ready")))
        ending.start()
        ending.join()
        return True

    monkeypatch.setattr(alive, "died", died)
    assert await ledger.running("dev") == []
    assert await states(ledger) == ["ready"]


async def test_a_host_of_the_same_name_has_a_process_table_of_its_own(light: Ledger) -> None:
    run = await light.begin("create-environment", "dev", COMMIT)
    host = process_table().partition("/")[0]
    # Another machine or container: its process of that number is none of ours.
    for other in (f"{host}/another-boot/{process_table().rpartition('/')[2]}", f"{process_table()}1"):
        with light._store.session(write=True) as session:
            session.execute(update(RunRow).values(process=f"{other}|999999999|1.00"))
        assert [one.id for one in await light.running("dev")] == [run.id]


async def test_a_run_from_before_beats_counts_from_its_beginning(light: Ledger) -> None:
    run = await light.begin("create-environment", "dev", COMMIT)
    moved(light, run.id, ago=None)
    assert len(await light.running("dev")) == 1
    with light._store.session(write=True) as session:
        session.execute(update(RunRow).values(started=datetime.now(UTC) - 2 * SILENT))
    assert await light.running("dev") == []


def test_several_beats_may_be_missed() -> None:
    assert SILENT >= 5 * BEAT


async def test_what_is_at_work_beats_until_it_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alive, "BEAT", timedelta(seconds=0.02))
    async with Ledger.open(settings) as ledger:
        assert not [one for one in threading.enumerate() if one.name == "ledger-heart"], "nothing is at work yet"
        ended, run = [await ledger.begin("reconcile", "dev", COMMIT) for _ in range(2)]
        await ended.end("ready")
        last, first = beat_of(ledger, ended.id), beat_of(ledger, run.id)
        # The loop is busy meanwhile: the heart does not wait for it.
        deadline = time.monotonic() + 20
        while beat_of(ledger, run.id) == first:
            assert time.monotonic() < deadline
        assert beat_of(ledger, ended.id) == last, "what has ended does not beat"
    assert not [one for one in threading.enumerate() if one.name == "ledger-heart"]
    assert not caplog.records


async def test_a_beat_that_fails_is_said_and_the_next_comes(
    light: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alive, "BEAT", timedelta(seconds=0.02))
    with light._store.session(write=True) as session:
        session.connection().exec_driver_sql("ALTER TABLE runs RENAME COLUMN beat TO hidden")
    light._runs.append(run := alive.LedgerRun(light._store, "r", "dev", None))
    light._heart.start()
    async with asyncio.timeout(20):
        while len(caplog.records) < 2:  # noqa: ASYNC110 - a thread says it
            await asyncio.sleep(0.01)
    run.ended = True
    assert "could not note that a run is at work" in caplog.text


FOREIGN = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from infra.ledger import Ledger, alive
from infra.settings import Settings

alive.process_table = lambda: "worker-2/3f0e/pid:[1]"
alive.BEAT = timedelta(seconds=0.05)

async def main():
    async with Ledger.open(Settings(state_dir=Path(sys.argv[1]), ledger_url=sys.argv[2] or None)) as ledger:
        await ledger.begin("create-environment", "dev", None)
        print("at work", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def foreign(settings: Settings) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that says it is of another host, at work."""
    arguments = [sys.executable, "-c", FOREIGN, str(settings.state_dir), settings.ledger_url or ""]
    child = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: ASYNC220 - it is killed, not awaited
    try:
        assert child.stdout and child.stdout.readline() == b"at work\n"
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


@pytest.mark.thorough
async def test_kill_9_on_another_host_is_noticed_and_only_then(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "SILENT", timedelta(seconds=2))
    async with Ledger.open(settings) as ledger, foreign(settings) as child:
        (run,) = await ledger.running("dev")
        began = beat_of(ledger, run.id)
        async with asyncio.timeout(30):
            while beat_of(ledger, run.id) - began < 1.2 * alive.SILENT:
                assert len(await ledger.running("dev")) == 1, "it has beaten all along"
                await asyncio.sleep(0.05)
            child.send_signal(signal.SIGKILL)
            child.wait()
            assert len(await ledger.running("dev")) == 1, "nobody can know yet"
            while await ledger.running("dev"):  # noqa: ASYNC110 - nobody tells it
                await asyncio.sleep(0.05)
        assert await states(ledger) == ["interrupted"]
