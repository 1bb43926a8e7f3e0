"""Helm's release records as they lie in the cluster: Secrets `sh.helm.release.v1.<name>.v<revision>`.

Reading them takes one request instead of three or four helm processes, gives the stored manifest (the only thing live
objects can be compared with: a chart that is rendered again draws new passwords), and works in a read-only client.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.clients.errors import Failed
from infra.clients.kubernetes import Object
from infra.clients.manifest_yaml import load_documents

SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})
UNFINISHED = PENDING | {"uninstalling"}
"""Statuses that only a living writer should show."""


class HelmRelease(BaseModel):
    """One revision of a release, as Helm stored it."""

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str
    revision: int
    status: str
    """deployed, failed, superseded, uninstalling, uninstalled, pending-install, pending-upgrade, pending-rollback."""
    chart: str
    chart_version: str
    app_version: str | None = None
    values: dict[str, Any] = Field(default_factory=dict, repr=False)
    """The values it was given, which may hold secrets: never print them."""
    manifest: str = Field(default="", repr=False)
    hooks: tuple[str, ...] = Field(default=(), repr=False)
    """The manifests of its hooks, which `manifest` leaves out."""
    description: str = ""
    updated: datetime | None = None
    server_side: bool = False
    """Whether its objects were written by server-side apply (Helm 4), and not by patches (Helm 3)."""

    @property
    def pending(self) -> bool:
        """A writer is at work on it, or died."""
        return self.status in UNFINISHED

    def objects(self) -> list[Object]:
        """The objects of the stored manifest as Helm writes them, without hooks.

        With Helm's marks, which the manifest leaves out: newer releases of 4 uninstall only what has them. For reading
        only: equal manifests share them.

        Raises:
            Failed: it cannot be read.
        """
        return list(_objects(self.manifest, self.name, self.namespace))


def parse_manifest(text: str) -> list[Object]:
    """The objects of a manifest of several YAML documents, empty ones left out.

    Raises:
        Failed: it cannot be read.
    """
    return [document for document in load_documents(text) if document]


@lru_cache(maxsize=64)
def _objects(manifest: str, name: str, namespace: str) -> tuple[Object, ...]:
    """A manifest is parsed once: a fleet has the same charts with the same values many times."""
    return tuple(_marked(item, name, namespace) for item in parse_manifest(manifest))


def _marked(item: Object, name: str, namespace: str) -> Object:
    """An object with the label and annotations by which Helm knows what belongs to a release."""
    if item.get("kind", "").endswith("List") and isinstance(item.get("items"), list):
        return {**item, "items": [_marked(each, name, namespace) for each in item["items"]]}
    metadata = item.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    release = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
    annotations = {**(metadata.get("annotations") or {}), **release}
    return {**item, "metadata": {**metadata, "labels": labels, "annotations": annotations}}


def decode(secret: Object) -> dict[str, Any]:
    """The record in a release Secret.

    Raises:
        Failed: it is damaged.
    """
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        record: dict[str, Any] = json.loads(gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed)
    except (KeyError, binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        name = secret.get("metadata", {}).get("name")
        raise Failed(f"The Helm release record {name} is damaged.", detail=str(error)) from error
    return record


def encode(record: dict[str, Any]) -> str:
    """A record as it stands in a release Secret's `data.release`."""
    packed = gzip.compress(json.dumps(record).encode(), mtime=0)
    return base64.b64encode(base64.b64encode(packed)).decode()


def release_of(secret: Object) -> HelmRelease:
    """The release in a Secret."""
    record = decode(secret)
    info = record.get("info", {})
    metadata = record.get("chart", {}).get("metadata", {})
    return HelmRelease(
        name=record["name"],
        namespace=record.get("namespace") or secret["metadata"]["namespace"],
        revision=record["version"],
        status=info.get("status", "unknown"),
        chart=metadata.get("name", ""),
        chart_version=metadata.get("version", ""),
        app_version=metadata.get("appVersion"),
        values=record.get("config") or {},
        manifest=record.get("manifest") or "",
        hooks=tuple(hook.get("manifest", "") for hook in record.get("hooks") or ()),
        description=info.get("description") or "",
        updated=_time(info.get("last_deployed")),
        server_side=record.get("apply_method") == "ssa",
    )


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    # Go writes nanoseconds; Python reads at most microseconds.
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6]}{tail[digits:]}"
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def revision_of(secret: Object) -> int:
    """The revision a release Secret holds, by its label."""
    return int(secret["metadata"].get("labels", {}).get("version", 0))


def closed(secret: Object, why: str) -> Object:
    """The Secret of an unfinished revision with status `failed`: what its dead writer would have written itself."""
    record = decode(secret)
    record["info"] = {**record.get("info", {}), "status": "failed", "description": why}
    metadata = {**secret["metadata"], "labels": {**secret["metadata"].get("labels", {}), "status": "failed"}}
    metadata.pop("managedFields", None)
    return {**secret, "metadata": metadata, "data": {**secret["data"], "release": encode(record)}}
