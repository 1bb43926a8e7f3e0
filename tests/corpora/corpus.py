"""Recorded pairs of what was declared and what a real API server made of it: how they are stored and read.

`pairs.jsonl.gz` holds one JSON document a line, `edits.jsonl.gz` what the same server answered to changes by hand,
`types.jsonl.gz` the types that it serves, from its OpenAPI documents.
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
TYPES = HERE / "types.jsonl.gz"

EDITOR, CREATOR = "kubectl-edit", "kubectl-create"
"""In whose names edits are."""
ANEW = ", anew"
"""End of the kind of a change that cannot be made to an object: its person has deleted it and created another."""
AGAIN = "applied again"
"""The kind of change of a person who writes an object of theirs once more, as it is."""
CHOSEN = "chosen"
"""The kind of the changes of chosen.py."""


@dataclass(frozen=True)
class Recorded:
    """One object as it was declared and as it lives.

    Args:
        source: the release, `applied` (by us, server-side), `adopted` (created with kubectl by a person), or `crds`
            (of charts, applied by us).
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
        paths: of the change, as findings have them.
        live: the object afterwards.
        dry_run: what a server-side apply of the declaration over it would make of it, where that was asked.
    """

    index: int
    what: str
    paths: list[str]
    live: dict[str, Any]
    dry_run: dict[str, Any] | None = None


@dataclass(frozen=True)
class Field:
    """What the API server says of one field of a type.

    Args:
        kind: `object`, `list`, `map`, `quantity`, `int-or-string`, or a JSON scalar's name; of the value itself.
        of: the same of the items of a list or map; empty for others.
        ref: the name of the type of the value, or of its items; empty for what has none.
        keys: of the items of a list that managers share by them.
        required: whether the type always has it.
    """

    kind: str
    of: str = ""
    ref: str = ""
    keys: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Type:
    """One type of the API server.

    Args:
        name: in its OpenAPI document.
        kinds: `apiVersion` and `kind` of the objects that are of it; none for what only stands in others.
        fields: by name.
    """

    name: str
    kinds: list[tuple[str, str]]
    fields: dict[str, Field]


@cache
def pairs() -> tuple[Recorded, ...]:
    """Every recorded pair."""
    return tuple(Recorded(**row) for row in read(PAIRS))


@cache
def edits() -> tuple[Edit, ...]:
    """Every recorded edit."""
    return tuple(Edit(**row) for row in read(EDITS))


@cache
def types() -> dict[str, Type]:
    """Every recorded type by its name."""
    found = {}
    for row in read(TYPES):
        fields = {name: Field(**{**each, "keys": tuple(each["keys"])}) for name, each in row["fields"].items()}
        found[row["name"]] = Type(row["name"], [(left, right) for left, right in row["kinds"]], fields)
    return found


def read(path: Path) -> list[dict[str, Any]]:
    """The documents of a file."""
    return [orjson.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write(path: Path, rows: Iterable[Recorded | Edit | Type]) -> None:
    """Store documents, the same ones as the same bytes."""
    lines = [orjson.dumps(asdict(row), option=orjson.OPT_SORT_KEYS) for row in rows]
    path.write_bytes(gzip.compress(b"\n".join(lines), mtime=0))
