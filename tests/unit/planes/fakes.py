"""The outside systems in memory: only the clients' own classes are replaced, `Clients` and the planes are real."""

from __future__ import annotations

import copy
import functools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import yaml

from infra.catalog import Catalog
from infra.clients.errors import DeadlineExceeded, NotFound
from infra.clients.helm import Ensured, HelmRelease
from infra.clients.helm_chart import description, read_chart
from infra.clients.kubernetes import FIELD_MANAGER
from infra.clients.openstack_models import Cluster, Recordset, Zone
from infra.ledger.journal import JournalEntry
from infra.planes.clients import Clients
from infra.settings import ROOT, Settings
from infra.spec.models import Environment

Object = dict[str, Any]
Objects = list[Object]
Key = tuple[str, str | None, str]
ACME_SERVER = "https://127.0.0.1:15012/dir"
CLUSTER_WIDE = {"StorageClass", "ClusterIssuer", "Namespace", "CustomResourceDefinition", "Node"}


class FakeJournal:
    """Keeps what was written, and how each write ended."""

    def __init__(self) -> None:
        self.began: list[tuple[str, str, str]] = []
        self.ended: list[str] = []

    @asynccontextmanager
    async def write(self, plane: str, action: str, address: str) -> AsyncIterator[JournalEntry]:
        self.began.append((str(plane), action, address))
        try:
            yield JournalEntry(len(self.began))
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("done")

    @property
    def actions(self) -> list[str]:
        """`action address`, in order."""
        return [f"{action} {address}" for _, action, address in self.began]


def merged(live: Any, patch: Any) -> Any:
    """A merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(live) if isinstance(live, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class FakeKubernetes:
    """Objects in memory; every write is kept.

    `react` is called after each write with the object, and plays the controllers; `admit` before, and plays admission.
    """

    def __init__(self, *objects: Object) -> None:
        self.objects: dict[Key, Object] = {}
        self.writes: list[str] = []
        self.asked: list[str] = []
        self.appliers: list[str] = []
        self.applied: list[Object] = []
        self.refuse: Callable[[Object], None] = lambda _item: None
        self.react: Callable[[Object], None] = lambda _item: None
        self.admit: Callable[[Object], None] = lambda _item: None
        self.held: set[str] = set()
        for item in objects:
            self.put(item)

    def put(self, item: Object) -> Object:
        """Set the stage: no write of ours."""
        live = copy.deepcopy(item)
        live["metadata"].setdefault("uid", f"uid-{len(self.objects)}")
        live["metadata"].setdefault("generation", 1)
        live["metadata"].setdefault("resourceVersion", "1")
        # As a server that keeps books: what nobody is noted for is a default.
        live["metadata"].setdefault("managedFields", [{"manager": "helm", "operation": "Update", "fieldsV1": {}}])
        self.objects[self._key(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])] = live
        return live

    def live(self, kind: str, name: str, namespace: str | None = None) -> Object:
        return self.objects[self._key(kind, namespace, name)]

    async def get(self, _version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        return copy.deepcopy(self.objects.get(self._key(kind, namespace, name)))

    async def get_like(self, item: Object) -> Object | None:
        metadata = item["metadata"]
        return await self.get(item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"))

    async def list(
        self,
        _version: str,
        kind: str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Objects:
        found = []
        for (own, where, _), item in self.objects.items():
            if own != kind or (namespace is not None and where != namespace):
                continue
            if label_selector and not _labelled(item, label_selector):
                continue
            if field_selector:
                path, _, value = field_selector.partition("=")
                first, _, second = path.partition(".")
                if item.get(first, {}).get(second) != value:
                    continue
            found.append(copy.deepcopy(item))
        return found

    async def resource(self, version: str, kind: str) -> Any:
        return SimpleNamespace(namespaced=kind not in CLUSTER_WIDE, plural=f"{kind.lower()}s")

    async def nodes(self) -> Objects:
        return await self.list("v1", "Node")

    async def version(self) -> str:
        return "v1.33.4"

    async def create(self, item: Object, *, dry_run: bool = False) -> Object:
        self.refuse(item)
        if dry_run:
            return item
        self._wrote("create", item)
        live = self.put(item)
        self.react(live)
        return copy.deepcopy(live)

    async def apply(self, item: Object, *, dry_run: bool = False, field_manager: str = FIELD_MANAGER) -> Object:
        self.refuse(item)
        there = await self.get_like(item)
        wanted = merged(there or {}, item)
        self.admit(wanted)
        if dry_run:
            self.asked.append(item["metadata"]["name"])
            return wanted
        self._wrote("apply", item)
        self.applied.append(copy.deepcopy(item))
        self.appliers.append(field_manager)
        live = self.put(wanted)
        live["metadata"]["generation"] = (there or {}).get("metadata", {}).get("generation", 0) + 1
        self.react(live)
        return copy.deepcopy(live)

    async def patch(self, _version: str, kind: str, name: str, patch: Object, namespace: str | None = None) -> Object:
        live = self.objects.get(self._key(kind, namespace, name))
        if live is None:
            raise NotFound(f"There is no {kind} {name}.")
        self._wrote("patch", live)
        live = self.put(merged(live, patch))
        self.react(live)
        return copy.deepcopy(live)

    async def replace(self, item: Object, *, subresource: str | None = None) -> Object:
        live = self.objects[self._key(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])]
        self._wrote("replace", live)
        live = self.put({**live, "status": item["status"]} if subresource == "status" else item)
        self.react(live)
        return dict(live)

    async def delete(self, _version: str, kind: str, name: str, namespace: str | None = None) -> bool:
        live = self.objects.get(self._key(kind, namespace, name))
        if live is None:
            return False
        self._wrote("delete", live)
        if name in self.held:
            live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.objects[self._key(kind, namespace, name)]
        return True

    async def wait_deleted(
        self, _version: str, kind: str, name: str, namespace: str | None = None, *, timeout: float
    ) -> None:
        if self._key(kind, namespace, name) in self.objects:
            raise DeadlineExceeded(f"Gave up waiting for the end of {kind} {name} after {timeout:g} s.")

    def _wrote(self, verb: str, item: Object) -> None:
        metadata = item["metadata"]
        where = "/".join(part for part in (item["kind"], metadata.get("namespace"), metadata["name"]) if part)
        self.writes.append(f"{verb} {where}")

    @staticmethod
    def _key(kind: str, namespace: str | None, name: str) -> Key:
        return kind, namespace, name


def _labelled(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, _, value in (part.partition("=") for part in selector.split(",")))


class FakeHelm:
    """Release records in memory."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], HelmRelease] = {}
        self.writes: list[str] = []
        self.values: list[Mapping[str, Any]] = []
        self.unchecked: tuple[str, ...] = ()

    async def release(self, name: str, namespace: str) -> HelmRelease | None:
        return self.records.get((namespace, name))

    async def releases(self) -> tuple[HelmRelease, ...]:
        return tuple(self.records.values())

    async def ensure(
        self, name: str, namespace: str, chart: Path, values: Mapping[str, Any], *, wait: bool = True
    ) -> Ensured:
        assert wait
        file = read_chart(chart)
        before = self.records.get((namespace, name))
        self.writes.append(f"ensure {namespace}/{name} {file.version}")
        self.values.append(values)
        self.records[namespace, name] = HelmRelease(
            name=name,
            namespace=namespace,
            revision=before.revision + 1 if before else 1,
            status="deployed",
            chart=file.name,
            chart_version=file.version,
            values=dict(values),
            description=description(file),
        )
        action: Literal["installed", "upgraded"] = "upgraded" if before else "installed"
        return Ensured(action=action, release=self.records[namespace, name], unchecked=self.unchecked)

    async def uninstall(self, name: str, namespace: str) -> bool:
        self.writes.append(f"uninstall {namespace}/{name}")
        return self.records.pop((namespace, name), None) is not None


class FakeDesignate:
    """One zone and its recordsets; a new one is PENDING until it is waited for."""

    def __init__(self, zone: str | None = "sandbox.example.") -> None:
        self.zones_: dict[str, Zone] = {}
        if zone:
            self.zones_[zone] = Zone(id="z1", name=zone, status="ACTIVE", ttl=3600, serial=1)
        self.sets: dict[str, Recordset] = {}
        self.calls: list[str] = []

    def put(self, name: str, *records: str, type: str = "A", **changes: Any) -> Recordset:
        fields = {"id": f"r-{name}-{type}", "zone_id": "z1", "name": name, "type": type, "records": list(records)}
        found = Recordset.model_validate({**fields, "ttl": 300, "status": "ACTIVE", **changes})
        self.sets[found.id] = found
        return found

    async def zones(self) -> tuple[Zone, ...]:
        return tuple(self.zones_.values())

    async def zone(self, name: str) -> Zone | None:
        return self.zones_.get(name)

    async def name_servers(self, _zone: str) -> tuple[Any, ...]:
        return tuple(SimpleNamespace(hostname=name) for name in ("ns1.example.", "ns2.example."))

    async def recordsets(self, _zone: str) -> tuple[Recordset, ...]:
        return tuple(self.sets.values())

    async def ensure_recordset(
        self, _zone: str, name: str, type: str, records: Iterable[str], *, ttl: int, description: str
    ) -> tuple[Recordset, str]:
        self.calls.append(f"ensure {name} {type}")
        made = self.put(name, *records, type=type, ttl=ttl, description=description, status="PENDING")
        return made, "created"

    async def delete_recordset(self, _zone: str, identifier: str) -> bool:
        self.calls.append(f"delete {self.sets[identifier].name}")
        return self.sets.pop(identifier, None) is not None

    async def wait_active(self, _zone: str, identifier: str, *, timeout: float) -> Recordset:
        del timeout
        self.sets[identifier] = self.sets[identifier].model_copy(update={"status": "ACTIVE"})
        return self.sets[identifier]

    async def wait_deleted(self, _zone: str, identifier: str, *, timeout: float) -> None:
        assert identifier not in self.sets, timeout


class FakeMagnum:
    """At most one cluster; one that is in progress is seen so once, then as `settled` says."""

    def __init__(self, cluster: Cluster | None = None) -> None:
        self.found = cluster
        self.settled: Callable[[], Cluster | None] = lambda: self.found
        self.templates_: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        self.waited = 0

    async def cluster(self, name: str) -> Cluster | None:
        shown = self.found if self.found and name in (self.found.name, self.found.uuid) else None
        if shown is not None and shown.in_progress:
            self.waited += 1
            self.found = self.settled()
        return shown

    async def template(self, name: str) -> Any:
        return self.templates_.get(name)

    async def templates(self) -> tuple[Any, ...]:
        return tuple(self.templates_.values())

    async def node_group(self, _cluster: str, name: str) -> Any:
        return self.groups.get(name)

    async def node_groups(self, _cluster: str) -> tuple[Any, ...]:
        return tuple(self.groups.values())


def declared(**spec: Any) -> Environment:
    """Environment `dev` of the examples, with changes to its spec; a part set to None is left out."""
    document = _example()
    changed = {**document["spec"], **spec}
    kept = {name: value for name, value in changed.items() if value is not None}
    return Environment.model_validate({**document, "spec": kept})


@functools.cache
def _example() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "infra/environments/dev.yaml").read_text())
    return document


@functools.cache
def catalog() -> Catalog:
    """The real catalogue, read once: it never changes."""
    return Catalog.load()


def http_free_openstack() -> Any:
    """An OpenStack client whose parts are set by the test."""
    return SimpleNamespace(magnum=FakeMagnum(), designate=FakeDesignate(), compute=None, leftovers=None)


def make_clients(folder: Path, environment: Environment | None = None, **settings: Any) -> Clients:
    """Real `Clients` whose outside systems are in memory; a wait ends within a tenth of a second."""
    patience = {"probe_interval": 0.001, "probe_timeout": 0.1, "acme_server": ACME_SERVER, **settings}
    made = Clients(
        environment or declared(),
        settings=Settings(state_dir=folder / "state", secrets_dir=folder / "secrets", **patience),
        catalog=catalog(),
        journal=FakeJournal(),
        openstack=http_free_openstack(),
        stack=AsyncExitStack(),
    )
    made._kubernetes = FakeKubernetes()  # type: ignore[assignment]
    made._helm = FakeHelm()  # type: ignore[assignment]
    return made
