"""What a request is about, as it travels through the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from deployments.sandbox.kubernetes.errors import bad_request
from deployments.sandbox.kubernetes.requestinfo import Options
from deployments.sandbox.kubernetes.resources import Resource
from deployments.sandbox.kubernetes.storage import Record

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One write on its way through admission."""

    resource: Resource
    operation: str
    namespace: str
    name: str
    subresource: str
    new: Object | None
    old: Object | None
    options: Options


@dataclass(frozen=True, slots=True)
class Where:
    """The object a write is about."""

    resource: Resource
    namespace: str
    name: str
    subresource: str = ""


def full(resource: Resource, record: Record) -> Object:
    """A stored object as `resource`'s version shows it."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **record.load()}


class Admission(Protocol):
    """What the pipeline needs of the webhooks."""

    async def mutate(self, call: Call) -> Object: ...

    async def validate(self, call: Call) -> None: ...


def same_name(where: Where, item: Object) -> None:
    """The object and the URL have to name the same thing."""
    given = item["metadata"].get("name", "")
    if given != where.name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({where.name})")


def place(where: Where, item: Object) -> None:
    """Put the object in the URL's namespace; refuse one that says it is elsewhere."""
    metadata = item["metadata"]
    if not where.resource.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.setdefault("namespace", where.namespace)
    if given != where.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
