"""What was in step, kept on this machine from one look to the next."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.clients.private import write_private
from infra.drift.memory import Memory

log = logging.getLogger(__name__)


@contextmanager
def remembered(path: Path) -> Iterator[Memory]:
    """A memory that is read from a file, and written back at the end; without the file, nothing is known yet.

    It only saves work. So what keeps it from being read or written is logged, and nothing fails of it.
    """
    memory = Memory.load(_read(path))
    before = memory.dump()
    yield memory
    after = memory.dump()
    if after != before:
        try:
            write_private(path, after.decode())
        except OSError as error:
            log.warning("What was in step cannot be kept: %s", error)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        log.warning("What was in step cannot be read: %s", error)
        return b""
