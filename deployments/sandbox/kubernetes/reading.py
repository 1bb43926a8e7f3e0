"""Get, list and watch: selectors, paging, tables, partial metadata."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.sandbox.kubernetes import selectors, table
from deployments.sandbox.kubernetes.errors import StatusError, bad_request, gone
from deployments.sandbox.kubernetes.resources import Resource
from deployments.sandbox.kubernetes.storage import Change, Record, Storage
from deployments.sandbox.kubernetes.wire import dumps, loads

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """How objects are shown: whole, as a Table, or metadata only."""

    form: str = "object"
    include: str = "Metadata"

    @classmethod
    def of(cls, accept: str, query: Mapping[str, str]) -> View:
        """The first form in the Accept header that we know."""
        for choice in accept.split(","):
            parts = {part.strip() for part in choice.split(";")}
            for form, name in (("table", "as=Table"), ("partial", "as=PartialObjectMetadata"),
                               ("partial", "as=PartialObjectMetadataList")):  # fmt: skip
                if name in parts and "g=meta.k8s.io" in parts:
                    return cls(form, query.get("includeObject") or "Metadata")
            if parts & {"application/json", "*/*"} and not any(part.startswith("as=") for part in parts):
                return cls()
        return cls()


def head(resource: Resource) -> bytes:
    """The opening of an object's JSON."""
    return b'{"kind":"%s","apiVersion":"%s",' % (resource.kind.encode(), resource.api_version.encode())


def whole(resource: Resource, record: Record) -> bytes:
    """An object's JSON as `resource`'s version shows it."""
    return head(resource) + record.data[1:]


def partial(item: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def shown(resource: Resource, view: View, item: Object) -> bytes:
    """One object in the asked form."""
    if view.form == "table":
        return dumps(table.render(resource, [item], include=view.include))
    return dumps(partial(item) if view.form == "partial" else item)


@dataclass(frozen=True, slots=True)
class Filter:
    """The label and field selectors of a request."""

    labels: selectors.LabelSelector
    fields: selectors.FieldSelector

    @classmethod
    def of(cls, resource: Resource, query: Mapping[str, str]) -> Filter:
        extra = (resource.custom or {}).get("selectable", frozenset())
        return cls(
            selectors.parse_labels(query.get("labelSelector", "")),
            selectors.parse_fields(query.get("fieldSelector", ""), resource.storage, extra),
        )

    def matches(self, record: Record) -> bool:
        if not self.labels.matches(record.labels):
            return False
        deep = []
        for path, wanted, value in self.fields:
            if path == "metadata.name":
                if (record.name == value) != wanted:
                    return False
            elif path == "metadata.namespace":
                if (record.namespace == value) != wanted:
                    return False
            else:
                deep.append((path, wanted, value))
        return not deep or selectors.fields_match(deep)(record.load())


def select(storage: Storage, resource: Resource, namespace: str, chosen: Filter) -> list[Record]:
    """The records a list or deletecollection is about, in order."""
    for path, wanted, value in chosen.fields:
        if path == "metadata.name" and wanted and (namespace or not resource.namespaced):
            found = storage.get(resource.storage, namespace, value)
            return [found] if found is not None and chosen.matches(found) else []
    records = storage.records(resource.storage, namespace or None)
    if not chosen.labels.requirements and not chosen.fields:
        return records
    return [record for record in records if chosen.matches(record)]


def _decode_continue(token: str) -> tuple[int, str, str]:
    try:
        version, namespace, name = loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error, TypeError) as error:
        raise bad_request("continue key is not valid: malformed value") from error
    return int(version), str(namespace), str(name)


def listing(storage: Storage, resource: Resource, namespace: str, query: Mapping[str, str], view: View) -> bytes:
    """The JSON of a list, in the asked form, one page of it where `limit` is given."""
    records = select(storage, resource, namespace, Filter.of(resource, query))
    version = storage.version
    if query.get("continue"):
        version, *after = _decode_continue(query["continue"])
        records = [record for record in records if [record.namespace, record.name] > after]
    _check_resource_version(storage, query)
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 0
    metadata: Object = {"resourceVersion": str(version)}
    if limit and len(records) > limit:
        last = records[limit - 1]
        token = dumps([version, last.namespace, last.name])
        metadata |= {"continue": base64.urlsafe_b64encode(token).decode(), "remainingItemCount": len(records) - limit}
        if query.get("labelSelector") or query.get("fieldSelector"):
            metadata.pop("remainingItemCount")
        records = records[:limit]
    return _render_list(resource, records, metadata, view)


def _check_resource_version(storage: Storage, query: Mapping[str, str]) -> None:
    asked = query.get("resourceVersion", "")
    if asked and not asked.isdigit():
        raise bad_request(f'Invalid value: "{asked}": strconv.ParseUint: parsing "{asked}": invalid syntax')
    if asked and int(asked) > storage.version:
        message = f"Timeout: Too large resource version: {asked}, current: {storage.version}"
        details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                   "retryAfterSeconds": 1}  # fmt: skip
        raise StatusError(504, "Timeout", message, details)


def _render_list(resource: Resource, records: list[Record], metadata: Object, view: View) -> bytes:
    if view.form == "table":
        items = [record.load() for record in records]
        return dumps(table.render(resource, items, include=view.include, metadata=metadata))
    if view.form == "partial":
        items = [partial(record.load()) for record in records]
        kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return dumps({**kind, "metadata": metadata, "items": items})
    opening = b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[' % (
        resource.list_kind.encode(), resource.api_version.encode(), dumps(metadata)
    )  # fmt: skip
    if resource.custom is None:
        # Items of built-in lists carry no kind of their own.
        return opening + b",".join([record.data for record in records]) + b"]}"
    start = head(resource)
    return opening + b",".join([start + record.data[1:] for record in records]) + b"]}"


class Translator:
    """Turns stored changes into a watch's events."""

    def __init__(self, resource: Resource, namespace: str, chosen: Filter, view: View) -> None:
        self._resource = resource
        self._namespace = namespace
        self._chosen = chosen
        self._view = view
        self._headed = False

    def __call__(self, change: Change) -> bytes | None:
        """The event's line, None when the watch does not see the change."""
        record = change.record
        if record.resource != self._resource.storage or (self._namespace and record.namespace != self._namespace):
            return None
        matches = change.sort != "DELETED" and self._chosen.matches(record)
        matched = change.previous is not None and self._chosen.matches(change.previous)
        if matches:
            return self.event("MODIFIED" if matched else "ADDED", record)
        return self.event("DELETED", record) if matched else None

    def event(self, sort: str, record: Record) -> bytes:
        if self._view.form == "object":
            return self._line(sort, whole(self._resource, record))
        if self._view.form == "partial":
            return self._line(sort, dumps(partial(record.load())))
        shown = table.render(self._resource, [record.load()], include=self._view.include, headers=not self._headed,
                             metadata={"resourceVersion": str(record.version)})  # fmt: skip
        self._headed = True
        return self._line(sort, dumps(shown))

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """A BOOKMARK event: the watch has seen everything up to `version`."""
        metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if self._view.form == "table":
            body: Object = {"kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": str(version)},
                    "columnDefinitions": None, "rows": []}  # fmt: skip
            return self._line("BOOKMARK", dumps(body))
        body = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
        return self._line("BOOKMARK", dumps(body))

    @staticmethod
    def error(error: StatusError) -> bytes:
        return Translator._line("ERROR", dumps(error.to_json()))

    @staticmethod
    def _line(sort: str, body: bytes) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (sort.encode(), body)


def start_events(
    storage: Storage, resource: Resource, namespace: str, query: Mapping[str, str], translate: Translator
) -> list[bytes]:
    """What a watch sends first: the objects there are, or the changes since its resourceVersion.

    Raises:
        StatusError: 410, its resourceVersion is too old.
    """
    asked = query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents") == "true"
    if asked in ("", "0") or initial:
        if query.get("sendInitialEvents") == "false":
            return []
        chosen = Filter.of(resource, query)
        lines = [translate.event("ADDED", record) for record in select(storage, resource, namespace, chosen)]
        if initial and query.get("allowWatchBookmarks") in ("true", "1"):
            lines.append(translate.bookmark(storage.version, initial_end=True))
        return lines
    if not asked.isdigit():
        raise bad_request(f'Invalid value: "{asked}": strconv.ParseUint: parsing "{asked}": invalid syntax')
    try:
        changes = storage.since(int(asked), [resource.storage])
    except LookupError as error:
        raise gone(str(error)) from error
    return [line for line in map(translate, changes) if line is not None]


Sink = Callable[[bytes], None]
