"""Recorded pairs of what was declared and what a real API server made of it: how they are stored and read.

`pairs.jsonl.gz` holds one JSON document a line, `edits.jsonl.gz` what the same server answered to changes by hand.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

HERE = Path(__file__).resolve().parent
PAIRS = HERE / "pairs.jsonl.gz"
EDITS = HERE / "edits.jsonl.gz"


@dataclass(frozen=True)
class Recorded:
    """One object as it was declared and as it lives.

    Args:
        source: the release, `applied` (by us, server-side) or `adopted` (created with kubectl by a person).
        declared: as the release's stored manifest, or our own one, has it.
        live: as the API server returns it once the controllers have settled.
        dry_run: what a server-side apply of `declared` over `live` would make of it; None where it was refused.
    """

    source: str
    declared: dict[str, Any]
    live: dict[str, Any]
    dry_run: dict[str, Any] | None


@dataclass(frozen=True)
class Edit:
    """What the API server made of one change by hand, on a dry run or really.

    Args:
        index: of the pair that was changed.
        what: the kind of change.
        path: of the change, as a finding has it.
        live: the object afterwards.
        dry_run: what a server-side apply of the declaration over it would make of it, where that was asked.
    """

    index: int
    what: str
    path: str
    live: dict[str, Any]
    dry_run: dict[str, Any] | None = None


@cache
def pairs() -> tuple[Recorded, ...]:
    """Every recorded pair."""
    return tuple(Recorded(**row) for row in read(PAIRS))


@cache
def edits() -> tuple[Edit, ...]:
    """Every recorded edit."""
    return tuple(Edit(**row) for row in read(EDITS))


def read(path: Path) -> list[dict[str, Any]]:
    """The documents of a file."""
    return [orjson.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write(path: Path, rows: Iterable[Recorded | Edit]) -> None:
    """Store documents, the same ones as the same bytes."""
    lines = [orjson.dumps(asdict(row), option=orjson.OPT_SORT_KEYS) for row in rows]
    path.write_bytes(gzip.compress(b"\n".join(lines), mtime=0))
