"""Outside systems in memory, as far as they hand out models: only the clients' own classes are replaced."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import yaml

from infra.catalog import Catalog
from infra.clients.helm import Ensured, HelmClient, HelmRelease
from infra.clients.helm_chart import description, read_chart
from infra.clients.kubernetes import KubernetesClient
from infra.clients.openstack_models import Cluster, Recordset, Zone
from infra.ledger.journal import JournalEntry
from infra.planes.clients import Clients
from infra.planes.cloud.terraform import CLUSTER, KEYPAIR
from infra.settings import ROOT, Settings
from infra.spec.models import Environment
from infra.terraform.state import StateObject

ACME_SERVER = "https://127.0.0.1:15012/dir"


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


def state_knows(clients: Clients, *clusters: str) -> None:
    """Have Terraform's state know these clusters, and a keypair."""

    async def objects() -> tuple[StateObject, ...]:
        made = tuple(StateObject(f"{CLUSTER}.this", CLUSTER, uuid, tainted=False) for uuid in clusters)
        return (StateObject(f"{KEYPAIR}.this", KEYPAIR, "plumbline-dev", tainted=False), *made)

    clients._terraform = SimpleNamespace(objects=objects)  # type: ignore[assignment]


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


def make_clients(
    folder: Path,
    environment: Environment | None = None,
    *,
    kubernetes: KubernetesClient | None = None,
    helm: HelmClient | None = None,
    **settings: Any,
) -> Clients:
    """Real `Clients` whose outside systems are in memory, but for those given; a wait ends within a tenth of a second.

    Args:
        folder: gets their state and their secrets.
        kubernetes: the cluster's API; without one they are not connected.
        helm: the cluster's releases; in memory where None.
        settings: of Plumbline.
    """
    patience = {"probe_interval": 0.001, "probe_timeout": 0.1, "acme_server": ACME_SERVER, **settings}
    made = Clients(
        environment or declared(),
        settings=Settings(state_dir=folder / "state", secrets_dir=folder / "secrets", **patience),
        catalog=catalog(),
        journal=FakeJournal(),
        openstack=http_free_openstack(),
        stack=AsyncExitStack(),
    )
    if kubernetes is not None:
        made._kubernetes = kubernetes
        made._helm = helm or FakeHelm()  # type: ignore[assignment]
    return made
