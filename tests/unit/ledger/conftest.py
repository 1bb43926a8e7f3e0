"""Ledgers on SQLite and, where its programs are found, on a PostgreSQL of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.settings import Settings


def _programs() -> Path | None:
    """The folder of initdb and postgres: on PATH, else where Debian puts them."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _unprivileged() -> dict[str, object]:
    """PostgreSQL refuses to run as root: then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that listens on a Unix socket only, and is gone after the session."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL programs (initdb, postgres) on this machine")
    # A socket's path has at most 107 characters, and `nobody` must be able to reach it.
    home = Path(f"/tmp/plumbline-pg-{os.getpid()}")
    home.mkdir(mode=0o700)
    who = _unprivileged()
    if who:
        os.chown(home, who["user"], who["group"])  # type: ignore[arg-type]
    clean = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(home)}
    options = {"env": clean, "cwd": home, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **who}
    setup = [programs / "initdb", "-D", home / "data", "-U", "plumbline", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(setup, check=True, timeout=60, **options)  # type: ignore[call-overload]
    settings = ["listen_addresses=", f"unix_socket_directories={home}", "fsync=off", "shared_buffers=16MB"]
    arguments = [part for setting in settings for part in ("-c", setting)]
    log = (home / "log").open("wb")
    server = subprocess.Popen(  # type: ignore[call-overload]
        [programs / "postgres", "-D", home / "data", *arguments], **{**options, "stderr": log}
    )
    try:
        url = f"postgresql://plumbline@/postgres?host={home}"
        _wait(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()
        shutil.rmtree(home)


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


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """A new, empty ledger on each kind of database."""
    if request.param == "sqlite":
        yield Settings(state_dir=tmp_path / "state")
        return
    server: str = request.getfixturevalue("postgresql")
    name = f"ledger_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        yield Settings(state_dir=tmp_path / "state", ledger_url=server.replace("/postgres?", f"/{name}?"))
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
