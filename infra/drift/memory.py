"""What was found in step before, so that it need not be compared again.

An object is in step with a declaration as long as neither changes: one hash over both says so, of the object without
its status and the API server's book-keeping, which change all the time. A resourceVersion would say it sooner, but is
given twice where etcd is restored from a backup.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from infra.drift.ignoring import Pointer

_IGNORED_METADATA = frozenset({"managedFields", "resourceVersion", "generation"})
_SIZE = 16
"""Bytes of a hash."""


class Memory:
    """Objects that were in step, by uid, each with the hash of it and its declaration; kept by the caller.

    Args:
        limit: objects to remember; those learnt longest ago go first.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._known: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, live: Mapping[str, Any], digest: str) -> bool:
        """Whether `live` was in step when the hash was the same."""
        return self._known.get(live["metadata"].get("uid", "")) == digest

    def learn(self, live: Mapping[str, Any], digest: str) -> None:
        """Remember that `live` is in step."""
        uid = live["metadata"].get("uid")
        if not uid:
            return
        self._known.pop(uid, None)
        self._known[uid] = digest
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]

    def dump(self) -> bytes:
        """All of it, to be kept elsewhere; hashes only, and no content."""
        return orjson.dumps({"rules": rules(), "known": self._known})

    @classmethod
    def load(cls, data: bytes, limit: int = 100_000) -> Memory:
        """What `dump` gave; empty where it is damaged, or what counts as drift has changed since."""
        memory = cls(limit)
        try:
            document = orjson.loads(data)
            if document["rules"] == rules():
                memory._known = {str(uid): str(digest) for uid, digest in document["known"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(limit)
        return memory


def pair_hash(declared: bytes, live: Mapping[str, Any], ignored: tuple[Pointer, ...], *, floor: int | None) -> str:
    """The hash of an object and of everything else that decides whether it is in step.

    Args:
        declared: the declaration, encoded.
        ignored: what is left out of the comparison.
        floor: the fewest replicas that an autoscaler may choose; None where there is none.
    """
    content = {key: value for key, value in live.items() if key != "status"}
    content["metadata"] = {key: value for key, value in live["metadata"].items() if key not in _IGNORED_METADATA}
    made = blake2b(orjson.dumps([ignored, floor, content]), digest_size=_SIZE)
    made.update(declared)
    return made.hexdigest()


@cache
def rules() -> str:
    """The hash of the comparison's own code and tables: whenever one changes, nothing old is believed."""
    made = blake2b(digest_size=_SIZE)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        made.update(source.read_bytes())
    return made.hexdigest()
