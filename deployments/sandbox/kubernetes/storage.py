"""Objects on disk and in memory: write-through SQLite, indexes in memory, a bounded history for watches.

Everything runs on the event loop's thread and is synchronous: one write is one SQLite transaction (WAL,
synchronous=OFF: it survives kill -9 of the process, which is what a sandbox needs) and one history entry. Objects are
kept as JSON bytes without `apiVersion` and `kind`, so that a list is a join and every reader gets a copy of its own.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.sandbox.kubernetes.wire import dumps, loads

HISTORY = 4000
"""How many changes a watch can look back over before it is told 410 Gone."""


@dataclass(slots=True, frozen=True)
class Record:
    """One stored object at one resourceVersion.

    Attributes:
        resource: the storage key, `deployments.apps`.
        data: JSON without apiVersion and kind.
        owners: uids of its ownerReferences.
        finalizing: it has a deletionTimestamp.
    """

    resource: str
    namespace: str
    name: str
    uid: str
    version: int
    labels: dict[str, str]
    owners: tuple[str, ...]
    finalizing: bool
    data: bytes

    def load(self) -> dict[str, Any]:
        """The object as fresh JSON data, without apiVersion and kind."""
        parsed: dict[str, Any] = loads(self.data)
        return parsed


@dataclass(slots=True, frozen=True)
class Change:
    """One write: `ADDED`, `MODIFIED` or `DELETED`; `previous` is None for ADDED."""

    sort: str
    version: int
    record: Record
    previous: Record | None


Listener = Callable[[Change], None]


class Expired(LookupError):
    """The history no longer reaches back to the requested resourceVersion."""


class Storage:
    """All objects of one API server."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS objects(resource TEXT, namespace TEXT, name TEXT, data BLOB NOT NULL,"
            " PRIMARY KEY(resource, namespace, name)) WITHOUT ROWID"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID")
        self._objects: dict[str, dict[tuple[str, str], Record]] = {}
        self._sorted: dict[str, list[Record]] = {}
        self._by_uid: dict[str, Record] = {}
        self._dependents: dict[str, dict[str, Record]] = {}
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._listeners: list[Listener] = []
        self.version = self.read_meta("resourceVersion", 1)
        self._load()
        self._floor = self.version

    def close(self) -> None:
        self._db.close()

    def read_meta(self, key: str, default: Any) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return default if row is None else row[0]

    def write_meta(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    def _load(self) -> None:
        for resource, namespace, name, data in self._db.execute("SELECT resource, namespace, name, data FROM objects"):
            record = _record(resource, namespace, name, loads(data), data)
            self._index(record, None)
            self.version = max(self.version, record.version)

    def _index(self, record: Record, previous: Record | None) -> None:
        if previous is not None:
            self._unindex(previous)
        self._objects.setdefault(record.resource, {})[record.namespace, record.name] = record
        self._sorted.pop(record.resource, None)
        self._by_uid[record.uid] = record
        for owner in record.owners:
            self._dependents.setdefault(owner, {})[record.uid] = record

    def _unindex(self, record: Record) -> None:
        self._objects.get(record.resource, {}).pop((record.namespace, record.name), None)
        self._sorted.pop(record.resource, None)
        self._by_uid.pop(record.uid, None)
        for owner in record.owners:
            held = self._dependents.get(owner, {})
            held.pop(record.uid, None)
            if not held:
                self._dependents.pop(owner, None)

    def get(self, resource: str, namespace: str, name: str) -> Record | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def by_uid(self, uid: str) -> Record | None:
        return self._by_uid.get(uid)

    def dependents(self, uid: str) -> list[Record]:
        """Objects that name `uid` in their ownerReferences."""
        return list(self._dependents.get(uid, {}).values())

    def records(self, resource: str, namespace: str | None = None) -> list[Record]:
        """All records of a resource, sorted by namespace and name; of one namespace, where given."""
        ordered = self._sorted.get(resource)
        if ordered is None:
            held = self._objects.get(resource, {})
            ordered = self._sorted[resource] = [held[key] for key in sorted(held)]
        if namespace is None:
            return ordered
        return [record for record in ordered if record.namespace == namespace]

    def resources(self) -> list[str]:
        """The storage keys that hold at least one object."""
        return [resource for resource, held in self._objects.items() if held]

    def write(self, resource: str, namespace: str, name: str, item: dict[str, Any]) -> Record:
        """Create or replace an object; sets its metadata.resourceVersion."""
        previous = self.get(resource, namespace, name)
        version = self.version + 1
        item["metadata"]["resourceVersion"] = str(version)
        data = dumps({key: value for key, value in item.items() if key not in ("apiVersion", "kind")})
        record = _record(resource, namespace, name, item, data)
        self._db.execute("BEGIN")
        self._db.execute("INSERT OR REPLACE INTO objects VALUES(?, ?, ?, ?)", (resource, namespace, name, data))
        self._commit(version)
        self._index(record, previous)
        self._publish(Change("ADDED" if previous is None else "MODIFIED", version, record, previous))
        return record

    def delete(self, record: Record) -> Record:
        """Remove an object; the returned record carries the resourceVersion of the deletion."""
        version = self.version + 1
        item = record.load()
        item["metadata"]["resourceVersion"] = str(version)
        last = _record(record.resource, record.namespace, record.name, item, dumps(item))
        self._db.execute("BEGIN")
        self._db.execute(
            "DELETE FROM objects WHERE resource=? AND namespace=? AND name=?",
            (record.resource, record.namespace, record.name),
        )
        self._commit(version)
        self._unindex(record)
        self._publish(Change("DELETED", version, last, record))
        return last

    def _commit(self, version: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES('resourceVersion', ?)", (version,))
        self._db.execute("COMMIT")
        self.version = version

    def _publish(self, change: Change) -> None:
        if len(self._history) == HISTORY:
            self._floor = self._history[0].version
        self._history.append(change)
        for listener in tuple(self._listeners):
            listener(change)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after every write; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def since(self, version: int, resources: Iterable[str]) -> list[Change]:
        """Changes of `resources` after `version`.

        Raises:
            Expired: they are no longer all known.
        """
        if version < self._floor:
            raise Expired(f"too old resource version: {version} ({self._floor})")
        wanted = frozenset(resources)
        return [item for item in self._history if item.version > version and item.record.resource in wanted]


def _record(resource: str, namespace: str, name: str, item: dict[str, Any], data: bytes) -> Record:
    metadata = item["metadata"]
    return Record(
        resource=resource,
        namespace=namespace,
        name=name,
        uid=metadata.get("uid", ""),
        version=int(metadata["resourceVersion"]),
        labels=metadata.get("labels") or {},
        owners=tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ()),
        finalizing="deletionTimestamp" in metadata,
        data=data,
    )
