"""SQLite under services written for MySQL: settings on every connection, and initialised schemas kept for reuse."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deployments.sandbox.upstream.build import alone

PRAGMAS = ("journal_mode=WAL", "synchronous=OFF", "busy_timeout=30000")
"""Readers do not block, the page cache outlives us (not the machine), and writers wait for each other."""


def tune(writes: Callable[[Any], bool] | None = None) -> None:
    """Apply PRAGMAS to every SQLite connection of this process; call before a service opens one.

    Args:
        writes: whether the transaction that begins now on this connection may write (see `writers`). It then begins as
            a writer: one that reads first and writes later otherwise fails at once when another writer came between
            (SQLITE_BUSY_SNAPSHOT), and oslo.db does not try that again.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        if "sqlite" in type(connection).__module__:
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    if writes is not None:

        @event.listens_for(Engine, "before_cursor_execute", retval=True)
        def begin(
            connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
        ) -> tuple[str, Any]:
            if statement == "BEGIN" and connection.dialect.name == "sqlite" and writes(connection):
                statement = "BEGIN IMMEDIATE"
            return statement, parameters


def keep_connections() -> None:
    """oslo.db opens a connection to SQLite for each transaction; ours are kept, as those to MySQL are.

    Call before a service opens one.
    """
    from oslo_db.sqlalchemy import engines
    from sqlalchemy import pool

    class Kept(pool.QueuePool):
        """Enough for every thread of a service."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options | {"pool_size": 16, "max_overflow": 100})

    engines.pool = SimpleNamespace(
        NullPool=Kept,
        QueuePool=pool.QueuePool,
        StaticPool=pool.StaticPool,
        SingletonThreadPool=pool.SingletonThreadPool,
    )


def initialise(databases: dict[str, Path], create: Callable[[], object], templates: Path | None = None) -> bool:
    """Make the databases, from the kept template where there is one.

    Args:
        databases: the files to make, by the name they have in the template.
        create: migrates them from nothing; only called when there is no template.
        templates: folder of the template; one per version of the services. By default beside the packages.

    Returns:
        Whether they were made now.
    """
    done = next(iter(databases.values())).with_suffix(".initialised")
    if done.exists():
        return False
    for path in databases.values():
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()
    templates = templates or template_folder()
    templates.mkdir(parents=True, exist_ok=True)
    # Two sandboxes that start at once: the second waits for the first's template.
    with alone(templates / f"{next(iter(databases))}.lock"):
        if kept(databases, templates):
            for name, path in databases.items():
                copy_database(templates / name, path)
        else:
            create()
            for name, path in databases.items():
                copy_database(path, templates / name)
    done.touch()
    return True


def kept(databases: Iterable[str], templates: Path) -> bool:
    """Whether there is a template of each of these databases."""
    return all((templates / name).exists() for name in databases)


def template_folder(venv: Path = Path(sys.prefix)) -> Path:
    """Where an environment keeps its initialised schemas: other versions of the services have other ones."""
    marker = venv / ".plumbline-lock"
    versions = marker.read_text().strip()[:16] if marker.exists() else "unlocked"
    return venv / "share/plumbline-sandbox" / versions


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a database that may be open, in place in one step, 0600."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(descriptor)
    origin, copy = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True), sqlite3.connect(name)
    try:
        with copy:
            origin.backup(copy)
    finally:
        origin.close()
        copy.close()
    Path(name).replace(target)
