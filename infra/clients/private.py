"""Folders for keys and values while they are in use: ours alone, and gone when we are.

A `finally` does not run after kill -9. So each folder is held by a lock that ends with its process, and whoever makes
the next one first removes those that nobody holds any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

HELD = ".held"
"""The file of a folder that its process keeps locked."""


class PrivateFolder:
    """A folder (0700) that lives as long as this process at most.

    Args:
        base: where all such folders are kept; leftovers of killed processes are removed from it.
        purpose: the first part of its name.
    """

    def __init__(self, base: Path, purpose: str) -> None:
        base = base.absolute()
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        base.chmod(0o700)
        sweep(base)
        with _turn(base):
            self.path = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=base))
            descriptor = _try_lock(self.path / HELD)
        if descriptor is None:
            raise RuntimeError(f"{self.path} was just made and is locked by another process")
        self._descriptor: int | None = descriptor

    def write(self, name: str, content: bytes) -> Path:
        """Write a new file (0600)."""
        path = self.path / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        return path

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        if self._descriptor is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._descriptor)
            self._descriptor = None


def write_private(path: Path, text: str) -> Path:
    """Write a file of ours alone (0600) as a whole, and return it: readers see the old one or the new."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def sweep(base: Path) -> int:
    """Remove the folders of processes that no longer live, and return how many that were."""
    if not base.is_dir():
        return 0
    removed = 0
    with _turn(base):
        for folder in sorted(path for path in base.iterdir() if path.is_dir()):
            descriptor = _try_lock(folder / HELD)
            if descriptor is not None:
                shutil.rmtree(folder)
                os.close(descriptor)
                removed += 1
    return removed


@contextlib.contextmanager
def _turn(base: Path) -> Iterator[None]:
    """One process at a time makes or sweeps folders, so that a folder is never seen before it is locked."""
    descriptor = os.open(base / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock on a file, None when a living process holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # its owner removed the folder just now
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
