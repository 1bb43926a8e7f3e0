"""What was found in step before, so that it need not be compared again.

An object is in step with a declaration as long as its content is the same: the same resourceVersion says so at once,
the same hash of what is compared (without status and book-keeping, which change all the time) a little later.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

RULES = 1
"""Of the comparison itself: raise it when what counts as drift changes, and nothing old is believed."""

_IGNORED_METADATA = frozenset({"managedFields", "resourceVersion", "generation"})


class Memory:
    """Pairs of objects and declarations that were in step; kept by the caller, for as long as it likes.

    Args:
        limit: objects to remember; the longest unseen go first.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._known: dict[str, tuple[str, str, str]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, live: Mapping[str, Any], declaration: str) -> bool:
        """Whether `live` was in step with the declaration of this hash, and has not changed since."""
        metadata = live["metadata"]
        uid = metadata.get("uid", "")
        known = self._known.get(uid)
        if known is None or known[1] != declaration:
            return False
        version = metadata.get("resourceVersion", "")
        if known[0] == version:
            return True
        if known[2] != content_hash(live):
            return False
        self._known[uid] = (version, declaration, known[2])
        return True

    def learn(self, live: Mapping[str, Any], declaration: str) -> None:
        """Remember that `live` is in step with the declaration of this hash."""
        metadata = live["metadata"]
        uid = metadata.get("uid")
        if not uid or not self._limit:
            return
        self._known.pop(uid, None)
        self._known[uid] = (metadata.get("resourceVersion", ""), declaration, content_hash(live))
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]

    def dump(self) -> bytes:
        """All of it, to be kept elsewhere; hashes only, and no content."""
        return orjson.dumps({"rules": RULES, "known": self._known})

    @classmethod
    def load(cls, data: bytes, limit: int = 100_000) -> Memory:
        """What `dump` gave; empty where it is damaged or follows other rules."""
        memory = cls(limit)
        try:
            document = orjson.loads(data)
            if document["rules"] == RULES:
                memory._known = {uid: (each[0], each[1], each[2]) for uid, each in document["known"].items()}
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return cls(limit)
        return memory


def content_hash(live: Mapping[str, Any]) -> str:
    """Of what is compared of a live object."""
    content = {key: value for key, value in live.items() if key != "status"}
    content["metadata"] = {key: value for key, value in live["metadata"].items() if key not in _IGNORED_METADATA}
    return _hash(orjson.dumps(content))


def declaration_hash(encoded: bytes, *rules: Any) -> str:
    """Of a declaration and what else decides."""
    return _hash(encoded, repr(rules).encode())


def _hash(*parts: bytes) -> str:
    made = blake2b(digest_size=16)
    for part in parts:
        made.update(part)
    return made.hexdigest()
