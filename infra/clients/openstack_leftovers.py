"""What is left of an environment in its project: load balancers, volumes, floating IPs … that a delete forgot.

Magnum's drivers and Kubernetes' cloud provider leave things behind when a cluster goes
(kubernetes-sigs/cluster-api-provider-openstack#842), and a sweep that guesses deletes a stranger's
(cluster-api-provider-openstack#668). So a thing belongs to an environment only by one of these signs:
its name *is* one of the environment's names; the cloud provider or the Cinder driver recorded one of its clusters in
it; or one of the environment's marks (an id, a word no other environment carries) stands in it as a whole word.

What cloud-provider-openstack and the Cinder driver call a cluster is their `--cluster-name`: Magnum's manifests give
the cluster's UUID there, others its name.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from infra.clients.errors import InvalidInput, PlumblineError
from infra.clients.openstack_magnum import VERSION
from infra.clients.openstack_models import Leftover, Leftovers
from infra.clients.openstack_session import SERVICES, OpenStackSession, ServiceAbsent, segment


@dataclass(frozen=True)
class Kind:
    """Where a kind of thing is listed, and how it is deleted."""

    name: str
    service: str
    path: str
    key: str
    delete: str
    marker: str = "id"
    paged: bool = True

    @property
    def headers(self) -> Mapping[str, str]:
        return VERSION if self.service == "container_infrastructure_management" else {}


KINDS = (
    # In the order in which they can be deleted.
    Kind("cluster", "container_infrastructure_management", "/clusters", "clusters", "/clusters/{id}", "uuid"),
    Kind(
        "cluster template",
        "container_infrastructure_management",
        "/clustertemplates",
        "clustertemplates",
        "/clustertemplates/{id}",
        "uuid",
    ),
    Kind(
        "load balancer",
        "load_balancer",
        "/lbaas/loadbalancers",
        "loadbalancers",
        "/lbaas/loadbalancers/{id}?cascade=true",
    ),
    Kind("server", "compute", "/servers/detail", "servers", "/servers/{id}"),
    Kind("volume snapshot", "block_storage", "/snapshots/detail", "snapshots", "/snapshots/{id}"),
    Kind("volume", "block_storage", "/volumes/detail", "volumes", "/volumes/{id}"),
    Kind("floating IP", "network", "/floatingips", "floatingips", "/floatingips/{id}", paged=False),
    Kind("port", "network", "/ports", "ports", "/ports/{id}", paged=False),
    Kind("router", "network", "/routers", "routers", "/routers/{id}", paged=False),
    Kind("network", "network", "/networks", "networks", "/networks/{id}", paged=False),
    Kind("security group", "network", "/security-groups", "security_groups", "/security-groups/{id}", paged=False),
    Kind("recordset", "dns", "/recordsets", "recordsets", "/zones/{parent}/recordsets/{id}"),
    Kind("keypair", "compute", "/os-keypairs", "keypairs", "/os-keypairs/{id}", "name", paged=False),
)
_BY_NAME = {kind.name: kind for kind in KINDS}
PAGE = 500


@dataclass(frozen=True)
class Signs:
    """By which things are known as an environment's.

    Attributes:
        names: what they may be called.
        clusters: what cloud provider and Cinder driver may call their cluster.
        marks: words that may stand in them.
    """

    names: Collection[str]
    clusters: Collection[str] = ()
    marks: Collection[str] = ()


class Sweep:
    """Finds and deletes what an environment left behind."""

    def __init__(self, session: OpenStackSession) -> None:
        self._session = session

    async def find(
        self,
        *,
        names: Collection[str],
        clusters: Collection[str] = (),
        marks: Collection[str] = (),
        project_only: bool = True,
    ) -> Leftovers:
        """Everything in the project that carries one of the environment's names or marks, or was made for its clusters.

        A service that could not be asked is named in `not_looked`: nothing found there means nothing.

        Args:
            names: exact names (of the cluster, its template, keypair …).
            clusters: UUIDs of the cluster and of earlier ones.
            marks: words that stand in no other environment's things: a stack id, a marker text.
            project_only: leave out what shows up here but belongs to another project.
        """
        project = await self._session.project_id() if project_only else None
        signs = Signs(names, (*names, *clusters), marks)
        results = await asyncio.gather(*(self._look(kind, signs, project) for kind in KINDS))
        found: list[Leftover] = []
        not_looked: dict[str, str] = {}
        absent: set[str] = set()
        for kind, result in zip(KINDS, results, strict=True):
            if isinstance(result, ServiceAbsent):
                absent.add(SERVICES[kind.service])
            elif isinstance(result, PlumblineError):
                not_looked[f"{SERVICES[kind.service]} ({kind.name})"] = str(result)
            else:
                found.extend(result)
        return Leftovers(found=tuple(found), not_looked=not_looked, absent=tuple(sorted(absent)))

    async def delete(self, leftover: Leftover) -> bool:
        """Delete one thing a sweep found; False when it was gone already."""
        kind = _BY_NAME.get(leftover.kind)
        if kind is None:
            raise InvalidInput(f"A sweep knows no {leftover.kind!r}.")
        if kind.name == "volume":
            await self._detach(leftover)
        elif kind.name == "router":
            await self._unplug(leftover)
        path = kind.delete.format(id=segment(leftover.id), parent=segment(leftover.parent or ""))
        return await self._session.delete(kind.service, path, headers=kind.headers)

    async def _detach(self, volume: Leftover) -> None:
        """Let go what servers of the dead cluster held; Cinder refuses while Nova knows the server."""
        for attachment in volume.attachments:
            path = f"/attachments/{segment(attachment.id)}"
            await self._session.delete("block_storage", path, headers={"OpenStack-API-Version": "volume 3.27"})

    async def _unplug(self, router: Leftover) -> None:
        """Take a router out of its subnets: with interfaces Neutron deletes none."""
        params = {"device_id": router.id, "device_owner": "network:router_interface"}
        ports = await self._session.get("network", "/ports", params=params) or {}
        for port in ports.get("ports", ()):
            path = f"/routers/{segment(router.id)}/remove_router_interface"
            await self._session.send("network", "PUT", path, json={"port_id": port["id"]})

    async def _look(self, kind: Kind, signs: Signs, project: str | None) -> list[Leftover] | PlumblineError:
        try:
            items = await self._items(kind)
        except PlumblineError as error:
            return error
        found = []
        for item in items:
            owner = item.get("project_id") or item.get("tenant_id") or item.get("os-vol-tenant-attr:tenant_id")
            if project and owner and owner != project:
                continue
            why = belongs(item, signs)
            if why:
                found.append(
                    Leftover(
                        kind=kind.name,
                        id=str(item[kind.marker]),
                        name=str(item.get("name") or ""),
                        why=why,
                        parent=item.get("zone_id"),
                        status=str(item.get("provisioning_status") or item.get("status") or "").lower(),
                        attachments=item.get("attachments") or () if kind.name == "volume" else (),
                    )
                )
        return found

    async def _items(self, kind: Kind) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": PAGE} if kind.paged else {}
        while True:
            answer = await self._session.get(kind.service, kind.path, params=params, headers=kind.headers) or {}
            # Nova wraps each keypair in one more mapping; Magnum's clusters have a field of that name.
            page = [item["keypair"] if kind.name == "keypair" else item for item in answer.get(kind.key, ())]
            items.extend(page)
            if not kind.paged or not page or not _more(answer, kind.key):
                return items
            params["marker"] = page[-1][kind.marker]


def _more(answer: Mapping[str, Any], key: str) -> bool:
    """Whether there is a next page, in any of the services' ways to say so."""
    links = answer.get("links")
    if isinstance(links, dict) and links.get("next"):
        return True
    return bool(answer.get("next") or answer.get(f"{key}_links"))


def belongs(item: Mapping[str, Any], signs: Signs) -> str | None:
    """Why a thing belongs to the environment of these signs, None when it does not (pure)."""
    name = str(item.get("name") or "")
    description = str(item.get("description") or "")
    metadata = item.get("metadata") if isinstance(item.get("metadata"), dict) else {}
    if name in signs.names:
        return f"its name is {name}"
    for own in signs.clusters:
        if name.startswith(f"kube_service_{own}_"):  # cloud-provider-openstack's load balancers
            return f"it was made for a Service of cluster {own}"
        # cloud-provider-openstack's load balancers and floating IPs (from), and security groups (in).
        if re.search(rf"\b(from|Service LoadBalancer in) cluster {re.escape(own)}$", description):
            return f"its description names cluster {own}"
        if (metadata or {}).get("cinder.csi.openstack.org/cluster") == own:
            return f"it was made for a volume claim of cluster {own}"
    texts = {
        "name": name,
        "description": description,
        "tags": " ".join(map(str, item.get("tags") or ())),
        "metadata": " ".join(f"{key}={value}" for key, value in (metadata or {}).items()),
        # external-dns writes its owner into TXT records.
        "records": " ".join(map(str, item.get("records") or ())) if item.get("type") == "TXT" else "",
    }
    for mark in signs.marks:
        whole = re.compile(rf"(?<![A-Za-z0-9.-]){re.escape(mark)}(?![A-Za-z0-9.-])")
        for where, text in texts.items():
            if whole.search(text):
                return f"its {where} carries {mark}"
    return None
