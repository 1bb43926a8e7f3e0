"""What every client shares: blocking calls in threads of its own, short retries, one table from status to error.

The short retry bridges a blip of seconds inside one step; whoever called the client repeats whole steps. Reads are
repeated. Writes are repeated only where the server said that it did nothing (429), or where the caller says that a
second attempt does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import email.utils
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import tenacity

from infra.clients.errors import (
    Conflict,
    Denied,
    InvalidInput,
    Misconfigured,
    NotFound,
    PlumblineError,
    Temporary,
    Throttled,
    Unavailable,
)
from infra.clients.stopwatch import waiting_for
from infra.clients.waiting import Clock, SystemClock

T = TypeVar("T")

ATTEMPTS = 4
LONGEST_PAUSE = 10.0
"""Seconds a client waits between two attempts at most; a server that asks for more is left to the caller."""

_STATUS: Mapping[int, type[PlumblineError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    406: Misconfigured,
    408: Unavailable,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    429: Throttled,
    501: Misconfigured,
}


def error_for(
    status: int, summary: str, *, detail: str | None = None, hint: str | None = None, retry_after: float | None = None
) -> PlumblineError:
    """The error an HTTP status stands for.

    Args:
        status: the HTTP status; 4xx the table does not know is `InvalidInput`, everything else `Unavailable`.
        retry_after: seconds the server asked us to wait.
    """
    kind = _STATUS.get(status) or (InvalidInput if 400 <= status < 500 else Unavailable)
    if issubclass(kind, Temporary):
        return kind(summary, detail=detail, hint=hint, retry_after=retry_after)
    return kind(summary, detail=detail, hint=hint)


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds a `Retry-After` header asks for, given as seconds or as a date (RFC 9110, 10.2.3); None without one."""
    value = headers.get("Retry-After") or headers.get("retry-after")
    if not value:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


async def retried(
    call: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[Temporary], ...] = (Unavailable, Throttled),
    attempts: int = ATTEMPTS,
    first_pause: float = 0.25,
    clock: Clock | None = None,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Await `call()` until it succeeds, at most `attempts` times, and raise its last error.

    The pause doubles from `first_pause` seconds, half of it drawn by lot; a server's own Retry-After replaces it, and
    ends the attempts where it is longer than `LONGEST_PAUSE`.

    Args:
        on: the errors that another attempt may cure.
        jitter: a number from 0 to 1, drawn anew for every pause.
    """

    def error_of(state: tenacity.RetryCallState) -> Temporary | None:
        error = state.outcome.exception() if state.outcome else None
        return error if isinstance(error, Temporary) else None

    def pause(state: tenacity.RetryCallState) -> float:
        error = error_of(state)
        if error is not None and error.retry_after is not None:
            return error.retry_after
        step: float = min(LONGEST_PAUSE, first_pause * 2.0 ** (state.attempt_number - 1))
        return step * (0.5 + 0.5 * jitter())

    def stop(state: tenacity.RetryCallState) -> bool:
        error = error_of(state)
        too_long = error is not None and (error.retry_after or 0) > LONGEST_PAUSE
        return too_long or state.attempt_number >= attempts

    retrying = tenacity.AsyncRetrying(
        sleep=(clock or SystemClock()).sleep,
        stop=stop,
        wait=pause,
        retry=tenacity.retry_if_exception_type(on),
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits only what is declared async
        return await call()

    return await retrying(attempt)


class Caller:
    """Runs a library's blocking calls in threads of its own, so that one stalled service starves no other.

    Args:
        name: of the threads.
        workers: calls in flight at most.
        clock: replaced in tests.
    """

    def __init__(self, name: str, *, workers: int = 8, clock: Clock | None = None, attempts: int = ATTEMPTS) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)
        self._clock = clock or SystemClock()
        self._attempts = attempts

    async def once(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread, once."""
        context = contextvars.copy_context()
        with waiting_for(self._name):
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: context.run(call))

    async def read(self, call: Callable[[], T]) -> T:
        """Run a call that changes nothing, or that does no harm when done twice, with the short retries."""
        return await retried(lambda: self.once(call), clock=self._clock, attempts=self._attempts)

    async def write(self, call: Callable[[], T]) -> T:
        """Run a call that changes something: repeated only where the server said that it refused to begin (429)."""
        return await retried(lambda: self.once(call), on=(Throttled,), clock=self._clock, attempts=self._attempts)

    def close(self) -> None:
        """Let the threads end; calls in flight end at their own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
