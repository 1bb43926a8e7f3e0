"""Ledgers on SQLite, and on a PostgreSQL of the tests' own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.ledger import Ledger
from infra.ledger.store import Store, ledger_url
from infra.settings import Settings


def _programs(home: Path) -> Path | None:
    """The folder of initdb and postgres: of the pinned package `pgserver`, where its wheel fits; else the machine's."""
    package = importlib.util.find_spec("pgserver")
    if package is not None and package.origin is not None:
        # A copy: whoever runs it may not be let into the virtual environment. Beside the package lie its libraries.
        for folder in Path(package.origin).parents[1].glob("pgserver*"):
            shutil.copytree(folder, home / folder.name)
        return home / "pgserver/pginstall/bin"
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _unprivileged(home: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as nobody, whose folder it is."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (home, *home.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server that listens on a Unix socket only, and is gone after the session."""
    # A socket's path has at most 107 characters, and `nobody` must be able to reach it.
    home = Path(f"/tmp/plumbline-pg-{os.getpid()}")
    home.mkdir(mode=0o700)
    try:
        programs = _programs(home)
        if programs is None:
            pytest.skip("neither pgserver's wheel nor this machine has PostgreSQL's programs (initdb, postgres)")
        with _serving(programs, home) as url:
            yield url
    finally:
        shutil.rmtree(home)


@contextmanager
def _serving(programs: Path, home: Path) -> Iterator[str]:
    clean = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(home)}
    options: dict[str, Any] = {"env": clean, "cwd": home, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    options |= _unprivileged(home)
    setup = [programs / "initdb", "-D", home / "data", "-U", "plumbline", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(setup, check=True, timeout=60, **options)
    settings = ["listen_addresses=", f"unix_socket_directories={home}", "fsync=off", "shared_buffers=16MB"]
    arguments = [part for setting in settings for part in ("-c", setting)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([programs / "postgres", "-D", home / "data", *arguments], **options, stderr=log)
        try:
            url = f"postgresql://plumbline@/postgres?host={home}"
            _wait(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if server.poll() is not None:
            raise RuntimeError(f"postgres ended with {server.returncode}")
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            try:
                server.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
        else:
            return
    raise RuntimeError("postgres does not answer")


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    """A ledger in a folder of its own."""
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that all migrations have made, to be copied: most tests are about what is in one."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("migrated"))
    Store(ledger_url(settings)).close()
    return settings.state_dir / "ledger.sqlite"


@pytest.fixture(scope="session")
def migrated_database(postgresql: str) -> str:
    """The name of such a one in PostgreSQL."""
    with psycopg.connect(postgresql, autocommit=True) as admin:
        admin.execute("CREATE DATABASE migrated")
    Store(ledger_url(Settings(ledger_url=postgresql.replace("/postgres?", "/migrated?")))).close()
    return "migrated"


def _copied(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.state_dir.mkdir(mode=0o700)
    shutil.copyfile(request.getfixturevalue("migrated_file"), settings.state_dir / "ledger.sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """A new, empty ledger on each kind of database; migrated already where a test asks for an open one, too."""
    ready = "ledger" in request.fixturenames
    settings = Settings(state_dir=tmp_path / "state")
    if request.param == "sqlite":
        if ready:
            _copied(request, settings)
        yield settings
        return
    server: str = request.getfixturevalue("postgresql")
    template = request.getfixturevalue("migrated_database") if ready else "template1"
    name = f"ledger_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}')
        yield settings.model_copy(update={"ledger_url": server.replace("/postgres?", f"/{name}?")})
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """On each kind of database."""
    async with Ledger.open(settings) as opened:
        yield opened


@pytest.fixture
async def light(request: pytest.FixtureRequest, sqlite_settings: Settings) -> AsyncIterator[Ledger]:
    """On SQLite alone: for what is decided in Python."""
    _copied(request, sqlite_settings)
    async with Ledger.open(sqlite_settings) as opened:
        yield opened
