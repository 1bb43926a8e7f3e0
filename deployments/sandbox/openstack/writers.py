"""Which transactions write, under services written for MySQL: SQLite has to be told when they begin.

Most services say so, by oslo.db's enginefacade. Octavia has plain sessions and says nothing.
"""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

READS = frozenset({"GET", "HEAD", "OPTIONS"})


def declared() -> Callable[[Any], bool]:
    """Watch enginefacade; returns whether the innermost of this thread's sessions is one for writing.

    The innermost: a reader that is opened within a writer's block is a second connection, which would wait for the
    first one for ever.
    """
    from oslo_db.sqlalchemy import enginefacade

    opened = threading.local()

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        @contextmanager
        def block(self: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
            modes: list[Any] = opened.__dict__.setdefault("modes", [])
            modes.append(self.mode)
            try:
                with method(self, *arguments, **options) as session:
                    yield session
            finally:
                modes.pop()

        return block

    for name in ("_session", "_connection"):
        method = getattr(enginefacade._TransactionContext, name)
        setattr(enginefacade._TransactionContext, name, watched(method))
    return lambda _: opened.__dict__.get("modes", [None])[-1:] == [enginefacade._WRITER]


class Outermost:
    """The outermost transaction of a thread writes, unless the thread answers a request that only reads.

    Octavia reads in a second session while the first is open: a second writer would wait for the first one for ever.
    """

    def __init__(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self._thread = threading.local()
        for ending in ("commit", "rollback"):
            event.listen(Engine, ending, self._ended)

    def __call__(self, connection: Any) -> bool:
        """Whether the transaction that begins now on this connection may write."""
        state = self._thread.__dict__
        holder = state.get("holder")
        if state.get("reading") or (holder is not None and not holder.closed):
            return False
        state["holder"] = connection
        return True

    def _ended(self, connection: Any) -> None:
        if self._thread.__dict__.get("holder") is connection:
            del self._thread.holder

    def reading(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """A WSGI application whose requests that only read do not wait for writers."""

        def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            self._thread.reading = environ["REQUEST_METHOD"] in READS
            try:
                return application(environ, start_response)
            finally:
                self._thread.reading = False

        return answer
