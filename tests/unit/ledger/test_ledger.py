"""What the ledger keeps, and what survives a process that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from infra.clients.errors import Failed, Misconfigured, Refused, Unavailable
from infra.clients.masking import MASKER
from infra.ledger import Ledger, ReadOnlyJournal
from infra.ledger.alive import died, this_process
from infra.ledger.masking import masked
from infra.ledger.store import HEAD, MIGRATIONS, Store, ledger_url
from infra.ledger.tables import Base
from infra.settings import ROOT, Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"


async def test_keeps_runs_with_their_steps_and_writes(settings: Settings) -> None:
    before = datetime.now(UTC)
    async with Ledger.open(settings) as ledger:
        run = await ledger.begin("create-environment", "dev", COMMIT, "f" * 36)
        assert [(r.state, r.ended) for r in await ledger.history("dev")] == [("running", None)]
        async with run.journal.write("cluster", "terraform apply", "dev") as entry:
            entry.note("serial 3")
        await run.step("cluster", "cluster", "ready", seconds=60.5, waited=58.0, sentence="It stands.")
        await run.note_cluster("3c1e0f3c-0000-4000-8000-000000000000")
        await run.end("ready", "Environment dev is ready.")
    async with Ledger.open(settings) as ledger:
        (kept,) = await ledger.history("dev")
        assert (kept.flow, kept.commit, kept.state, kept.flow_run_id) == (
            "create-environment",
            COMMIT,
            "ready",
            "f" * 36,
        )
        assert kept.ended and before <= kept.started <= kept.ended <= datetime.now(UTC)
        (step,) = kept.steps
        assert (step.plane, step.state, step.seconds, step.waited_seconds) == ("cluster", "ready", 60.5, 58.0)
        (write,) = await ledger.journal(kept.id)
        assert (write.action, write.address, write.outcome, write.detail) == (
            "terraform apply",
            "dev",
            "done",
            "serial 3",
        )
        assert write.ended and write.began <= write.ended and write.began.utcoffset() == timedelta(0)
        (environment,) = await ledger.environments()
        assert (environment.name, environment.last_commit, environment.state) == ("dev", COMMIT, "ready")
        assert environment.cluster_uuid == "3c1e0f3c-0000-4000-8000-000000000000"
        assert await ledger.unfinished() == [] and await ledger.history("other") == []


async def test_clusters_are_known_until_their_environment_is_gone(ledger: Ledger) -> None:
    first, second, other = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
    run = await ledger.begin("create-environment", "dev", COMMIT)
    for uuid in (second, first, second):
        await run.note_cluster(uuid)
    assert await run.clusters() == (second, first)
    stranger = await ledger.begin("create-environment", "prod", COMMIT)
    await stranger.note_cluster(other)
    for state in ("ready", "failed", "cancelled"):
        await run.end(state)
        run = await ledger.begin("destroy-environment", "dev", COMMIT)
        assert await run.clusters() == (second, first), state
    assert [(one.name, one.cluster_uuid) for one in await ledger.environments()] == [("dev", second), ("prod", other)]
    await run.end("removed")
    assert (await run.clusters(), await stranger.clusters()) == ((), (other,))
    assert [(one.name, one.cluster_uuid) for one in await ledger.environments()] == [("dev", None), ("prod", other)]


@dataclass(frozen=True)
class _Step:
    plane: str
    name: str
    state: str
    seconds: float
    sentence: str
    category: str | None = None


@dataclass(frozen=True)
class _Report:
    state: str
    steps: tuple[_Step, ...]

    def sentence(self) -> str:
        return "dns: The name server did not answer."


async def test_takes_a_whole_report(settings: Settings) -> None:
    steps = (_Step("cluster", "cluster", "ready", 1.5, "ok"), _Step("dns", "dns", "failed", 2.0, "no", "Unavailable"))
    async with Ledger.open(settings) as ledger:
        run = await ledger.begin("create-environment", "dev", COMMIT)
        await run.finish(_Report("failed", steps))
        (kept,) = await ledger.history("dev")
        assert (kept.state, kept.reason) == ("failed", "dns: The name server did not answer.")
        assert [(s.name, s.category) for s in kept.steps] == [("cluster", None), ("dns", "Unavailable")]
        assert await ledger.environments() == [], "a run that wrote nothing changes nothing about its environment"


async def test_notes_how_a_write_ended(sqlite_settings: Settings) -> None:
    async with Ledger.open(sqlite_settings) as ledger:
        run = await ledger.begin("create-environment", "dev", COMMIT)
        with pytest.raises(Failed):
            async with run.journal.write("dns", "create", "recordset/a") as entry:
                entry.note("request req-1")
                raise Failed("Designate says ERROR.")
        with pytest.raises(ZeroDivisionError):
            async with run.journal.write("dns", "create", "recordset/b"):
                raise ZeroDivisionError
        started = asyncio.Event()

        async def slow() -> None:
            async with run.journal.write("dns", "create", "recordset/c"):
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(slow())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        outcomes = [(w.address[-1], w.outcome, w.detail) for w in await ledger.journal(run.id)]
        assert outcomes == [
            ("a", "failed", "request req-1; Designate says ERROR."),
            ("b", "failed", "ZeroDivisionError"),
            ("c", "cancelled", "CancelledError"),
        ]


async def test_a_write_cancelled_while_it_is_noted_is_not_left_open(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Ledger.open(sqlite_settings) as ledger:
        run = await ledger.begin("create-environment", "dev", COMMIT)
        reached = False

        async def write() -> None:
            nonlocal reached
            async with run.journal.write("dns", "create", "recordset/a"):
                reached = True

        task = asyncio.create_task(write())
        await asyncio.sleep(0)  # lets it hand its note to a thread
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not reached
        assert [w.outcome for w in await ledger.journal(run.id)] == ["not started"]


async def test_a_run_ends_with_what_ended_its_block(sqlite_settings: Settings) -> None:
    async with Ledger.open(sqlite_settings) as ledger:
        async with ledger.run("check-drift", "dev", COMMIT):
            pass
        with pytest.raises(Failed):
            async with ledger.run("check-drift", "dev", COMMIT) as run:
                async with run.journal.write("dns", "create", "x"):
                    pass
                raise Failed("It failed.")
        async with ledger.run("create-environment", "dev", COMMIT) as run:
            await run.end("ready")
    with pytest.raises(asyncio.CancelledError):
        async with Ledger.open(sqlite_settings) as ledger:
            await ledger.begin("create-environment", "dev", COMMIT)
            raise asyncio.CancelledError
    async with Ledger.open(sqlite_settings) as ledger:
        await ledger.begin("create-environment", "dev", COMMIT)
    async with Ledger.open(sqlite_settings) as ledger:
        runs = [(r.state, r.reason) for r in await ledger.history("dev")]
        assert runs == [
            ("failed", "The run ended without a report."),
            ("cancelled", "CancelledError"),
            ("ready", None),
            ("failed", "It failed."),
            ("done", None),
        ]


KILLED = """
import asyncio, sys
from pathlib import Path
from infra.ledger import Ledger
from infra.settings import Settings

async def main():
    async with Ledger.open(Settings(state_dir=Path(sys.argv[1]), ledger_url=sys.argv[2] or None)) as ledger:
        run = await ledger.begin("create-environment", "dev", None)
        async with run.journal.write("dns", "create", "recordset/first"):
            pass
        async with run.journal.write("dns", "create", "recordset/second"):
            print("writing", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_kill_9_in_the_middle_of_a_write_leaves_it_unfinished(settings: Settings) -> None:
    arguments = [sys.executable, "-c", KILLED, str(settings.state_dir), settings.ledger_url or ""]
    child = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: ASYNC220 - it is killed, not awaited
    try:
        assert child.stdout and child.stdout.readline() == b"writing\n"
        async with Ledger.open(settings) as ledger:
            assert await ledger.unfinished() == [], "a live process is still at it"
            child.send_signal(signal.SIGKILL)
            child.wait()
            (left,) = await ledger.unfinished("dev")
            assert (left.plane, left.action, left.address) == ("dns", "create", "recordset/second")
            assert left.outcome is None and left.ended is None
            assert await ledger.unfinished("other") == []
            (dead,) = await ledger.history("dev")
            assert (dead.state, dead.reason) == ("interrupted", "Its process died.")
            assert [(e.name, e.state) for e in await ledger.environments()] == [("dev", "interrupted")]
            run = await ledger.begin("create-environment", "dev", COMMIT)
            await run.end("failed", "No.")
            assert len(await ledger.unfinished("dev")) == 1, "a run that failed settles nothing"
            run = await ledger.begin("create-environment", "dev", COMMIT)
            await run.end("ready")
            assert await ledger.unfinished() == []
            assert [w.outcome for w in await ledger.journal(dead.id)] == ["done", "settled"]
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


def test_tells_a_dead_process_from_a_live_one_and_from_a_stranger() -> None:
    host, pid, created = this_process().rsplit("|", 2)
    assert died(this_process()) is False
    assert died(f"{host}|{pid}|{float(created) - 100:.2f}") is True, "the number was used again"
    assert died(f"elsewhere-{host}|{pid}|{created}") is None


OPENER = """
import asyncio, sys
from pathlib import Path
from infra.ledger import Ledger
from infra.settings import Settings

async def main():
    settings = Settings(state_dir=Path(sys.argv[1]), ledger_url=sys.argv[2] or None)
    print("ready", flush=True)
    sys.stdin.readline()
    async with Ledger.open(settings) as ledger:
        async with ledger.run("create-environment", f"env-{sys.argv[3]}", None) as run:
            for number in range(10):
                async with run.journal.write("addons", "apply", f"ConfigMap/{number}"):
                    pass
            await run.end("ready")

asyncio.run(main())
"""


@pytest.mark.thorough
async def test_processes_that_start_together_share_one_new_ledger(settings: Settings) -> None:
    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-W", "error", "-c", OPENER, str(settings.state_dir), settings.ledger_url or ""]
        return subprocess.Popen(
            [*arguments, str(number)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    children = [start(number) for number in range(3)]
    for child in children:
        assert child.stdout and child.stdout.readline() == b"ready\n"
    results = await asyncio.gather(*(asyncio.to_thread(child.communicate, b"\n", 60) for child in children))
    assert [(c.returncode, r[1]) for c, r in zip(children, results, strict=True)] == [(0, b"")] * 3
    async with Ledger.open(settings) as ledger:
        assert [(e.name, e.state) for e in await ledger.environments()] == [(f"env-{n}", "ready") for n in range(3)]
        for number in range(3):
            (run,) = await ledger.history(f"env-{number}")
            assert len(await ledger.journal(run.id)) == 10


async def test_many_writes_side_by_side(settings: Settings) -> None:
    async with Ledger.open(settings) as ledger, ledger.run("create-environment", "dev", None) as run:

        async def write(number: int) -> None:
            async with run.journal.write("addons", "apply", f"ConfigMap/{number}"):
                await asyncio.sleep(0)

        await asyncio.gather(*(write(number) for number in range(40)))
        assert {w.outcome for w in await ledger.journal(run.id)} == {"done"}


def test_the_file_and_its_folder_are_ours_alone(sqlite_settings: Settings) -> None:
    old = os.umask(0)
    try:
        store = Store(ledger_url(sqlite_settings))
        with store.session(write=True) as session:
            session.execute(text("SELECT 1"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sqlite_settings.state_dir.iterdir()}
        store.close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(sqlite_settings.state_dir.stat().st_mode) == 0o700
    assert "ledger.sqlite" in modes and set(modes.values()) == {0o600}, modes
    with sqlite3.connect(sqlite_settings.state_dir / "ledger.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_migrations_make_exactly_the_tables(settings: Settings) -> None:
    store = Store(ledger_url(settings))
    try:
        with store.engine.begin() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            differences: list[Any] = list(compare_metadata(context, Base.metadata))
        assert differences == []
    finally:
        store.close()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_schema_of_the_future_is_refused(settings: Settings) -> None:
    store = Store(ledger_url(settings))
    with store.session(write=True) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(Misconfigured, match="newer"):
        Store(ledger_url(settings))


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://root:hunter2@db/x", "sqlite://", "sqlite:///:memory:", "://hunter2", "hunter2://a b"]
)
def test_urls_that_cannot_hold_a_ledger(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        ledger_url(Settings(ledger_url=url))
    assert "hunter2" not in str(caught.value)


def test_a_url_with_a_password_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgres://plumbline:hunter2@db.example.org/ledger\n")
    url = ledger_url(Settings(ledger_url_file=tmp_path / "url", ledger_url="sqlite:////x"))
    assert (url.drivername, url.password, url.host) == ("postgresql+psycopg", "hunter2", "db.example.org")
    with pytest.raises(Misconfigured, match="cannot be read"):
        ledger_url(Settings(ledger_url_file=tmp_path / "none"))


async def test_a_server_that_is_down_is_temporary(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, ledger_url=f"postgresql://plumbline:hunter2@/x?host={tmp_path}")
    with pytest.raises(Unavailable) as caught:
        async with Ledger.open(settings):
            pass
    assert "hunter2" not in str(caught.value)


async def test_no_secret_enters(sqlite_settings: Settings) -> None:
    pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
    said = f"token {TOKEN} in https://x:hunter2@git.example.org/a, password: hunter2, X-Auth-Token: hunter2 {pem}"
    async with Ledger.open(sqlite_settings) as ledger:
        with pytest.raises(Failed):
            async with ledger.run("create-environment", "dev", None) as run:
                await run.step("dns", "dns", "failed", seconds=1, sentence=said)
                async with run.journal.write("dns", f"create {TOKEN}", said) as entry:
                    entry.note(said)
                raise Failed(said)
    kept = b"".join(path.read_bytes() for path in sqlite_settings.state_dir.iterdir())
    assert b"create-environment" in kept
    for secret in (b"hunter2", TOKEN.encode(), b"MIIEow"):
        assert secret not in kept


def test_a_secret_that_looks_like_nothing_is_masked_once_it_was_read() -> None:
    MASKER.learn("correct horse battery staple")
    assert masked("it said: correct horse battery staple.") == "it said: ***."


def test_long_details_are_shortened() -> None:
    assert masked(None) is None
    assert len(masked("x" * 5000) or "") <= 2000 and "more characters" in str(masked("x" * 5000))


async def test_a_run_that_only_looks_cannot_write() -> None:
    reached = False
    with pytest.raises(Refused, match="only looks"):
        async with ReadOnlyJournal().write("dns", "create", "recordset/a"):
            reached = True
    assert not reached
