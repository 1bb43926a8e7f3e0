"""The database behind the ledger: where it is, how it is opened, and how its schema is kept.

Synchronous SQLAlchemy, called through `asyncio.to_thread`: a write takes a millisecond, and this way the same code
serves flows, command lines and migrations, without tying a connection to an event loop.
"""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from infra.clients.errors import Failed, Misconfigured, Unavailable
from infra.clients.masking import MASKER
from infra.settings import Settings

HEAD = "0008"
"""The newest migration; a test compares it with the folder."""
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 0x504C554D  # "PLUM": the advisory lock that migrating processes take on PostgreSQL
BUSY_SECONDS = 30.0


def ledger_url(settings: Settings) -> URL:
    """The ledger's SQLAlchemy URL: from its file, from the setting, or SQLite in the state folder.

    Raises:
        Misconfigured: it cannot be read; it is never quoted, since it may hold a password.
    """
    given = settings.ledger_url
    if settings.ledger_url_file is not None:
        try:
            given = settings.ledger_url_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"The ledger's URL file {settings.ledger_url_file} cannot be read.") from error
    if given is None:
        return URL.create("sqlite", database=str(settings.state_dir / "ledger.sqlite"))
    try:
        url = make_url(given)
    except ArgumentError:
        hint = "Write sqlite:////path/ledger.sqlite or postgresql://user@host/database."
        raise Misconfigured("The ledger's URL is not a SQLAlchemy URL.", hint=hint) from None
    if url.password:
        MASKER.learn(url.password)
    backend = url.drivername.partition("+")[0]
    drivers = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    if backend not in drivers or (backend == "sqlite" and url.database in (None, "", ":memory:")):
        raise Misconfigured("The ledger can be kept in an SQLite file or in PostgreSQL only.")
    return url.set(drivername=drivers[backend])


class Store:
    """An open database with the newest schema.

    Args:
        url: as from `ledger_url`.

    Raises:
        Unavailable: the server does not answer.
        Misconfigured: the schema is newer than this code.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self.engine = _sqlite_engine(url) if url.drivername == "sqlite" else _server_engine(url)
        try:
            with translated():
                self._migrate()
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def session(self, *, write: bool) -> Iterator[Session]:
        """One transaction; errors come as ours."""
        engine = self.engine if write else self.engine.execution_options(plumbline_reads=True)
        with translated(), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def _migrate(self) -> None:
        """Bring the schema to HEAD; processes that start together take turns, and the second finds it done."""
        with self._alone(), self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            if _version(connection) != HEAD:
                _upgrade(connection)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock file while an SQLite file is made: switching to WAL does not wait for other processes."""
        if self.url.drivername != "sqlite" or self.url.database is None:
            yield
            return
        path = Path(self.url.database)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, path)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            yield
        finally:
            os.close(fd)


def take_turn(session: Session, environment: str) -> None:
    """Wait for others that write about the same environment, so that each sees what the other wrote."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyway
        turn = {"key": LOCK_KEY, "environment": zlib.crc32(environment.encode()) & 0x7FFFFFFF}
        session.execute(text("SELECT pg_advisory_xact_lock(:key, :environment)"), turn)


def _lock(fd: int, path: Path) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(f"Another process has been opening the ledger {path} for too long.") from None
            time.sleep(0.01)  # flock cannot wait with a deadline


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver is not to begin transactions: `_begin` does
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once when another wrote in between; IMMEDIATE waits.
        reads = connection.get_execution_options().get("plumbline_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _server_engine(url: URL) -> Engine:
    return create_engine(url, pool_pre_ping=True, pool_size=4, connect_args={"connect_timeout": 10})


def _version(connection: Connection) -> str | None:
    """The schema's version, None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: Connection) -> None:
    """Run the missing migrations in the connection's transaction."""
    # Imported here: a schema that is up to date, the usual case, does not need it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Misconfigured(
            "The ledger has a schema that this Plumbline does not know.",
            detail=str(error),
            hint="Run the Plumbline that wrote it, or a newer one.",
        ) from error


@contextmanager
def translated() -> Iterator[None]:
    """Turn the database's errors into ours, once."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable("The ledger's database does not answer.", detail=str(error.orig)) from error
    except SQLAlchemyError as error:
        detail = str(getattr(error, "orig", None) or type(error).__name__)
        raise Failed("The ledger's database refused a statement.", detail=detail) from error
