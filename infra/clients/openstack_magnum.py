"""Magnum: cluster templates, clusters, node groups, certificates.

openstacksdk 4.22 has no node groups and hides `health_status` and `status_reason`, so these are raw calls with a
microversion that has them all. Magnum answers oddly at times, and every method here survives it: until the conductor
has written what a 202 accepted, a GET is 404, then 400 ("master_count Value: '0'"); a LIST can be 400 while a cluster
is being deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.clients.calling import retried
from infra.clients.errors import (
    Conflict,
    InvalidInput,
    Misconfigured,
    NotFound,
    NotYet,
)
from infra.clients.openstack_models import Cluster, ClusterTemplate, NodeGroup
from infra.clients.openstack_session import OpenStackSession, ServiceAbsent, segment

SERVICE = "container_infrastructure_management"
VERSION: Mapping[str, str] = {"OpenStack-API-Version": "container-infra 1.10"}
"""1.10: node groups, upgrades, and worker groups of zero nodes (Magnum Victoria and later)."""


class MidChange(NotYet):
    """Magnum answers 400 to a plain read: the cluster is half written or half deleted."""

    category = "NotYet"


class Magnum:
    """Clusters and what they are made from."""

    def __init__(self, session: OpenStackSession) -> None:
        self._session = session

    async def templates(self) -> tuple[ClusterTemplate, ...]:
        """Every cluster template the project sees."""
        return tuple(ClusterTemplate.model_validate(item) for item in await self._list("/clustertemplates"))

    async def template(self, name_or_uuid: str) -> ClusterTemplate | None:
        """The cluster template of that name or uuid."""
        answer = await self._get(f"/clustertemplates/{segment(name_or_uuid)}")
        return None if answer is None else ClusterTemplate.model_validate(answer)

    async def delete_template(self, name_or_uuid: str) -> bool:
        """Delete a cluster template; False when it was gone already.

        Raises:
            Conflict: a cluster still uses it.
        """
        try:
            return await self._session.delete(SERVICE, f"/clustertemplates/{segment(name_or_uuid)}", headers=VERSION)
        except InvalidInput as error:
            # Magnum says 400 "ClusterTemplate … is referenced by one or multiple clusters".
            raise Conflict(
                f"The cluster template {name_or_uuid!r} cannot be deleted yet.", detail=error.detail
            ) from error

    async def clusters(self) -> tuple[Cluster, ...]:
        """Every cluster of the project, with the fields LIST gives."""
        return tuple(Cluster.model_validate(item) for item in await self._list("/clusters"))

    async def cluster(self, name_or_uuid: str) -> Cluster | None:
        """The cluster of that name or uuid with all its fields; None when there is none (yet).

        Raises:
            Conflict: several clusters have that name.
            NotYet: Magnum is in the middle of writing or deleting it.
        """
        answer = await self._get(f"/clusters/{segment(name_or_uuid)}")
        return None if answer is None else Cluster.model_validate(answer)

    async def delete_cluster(self, uuid: str) -> bool:
        """Ask Magnum to delete a cluster; False when it was gone already. `wait_deleted` sees it through."""
        return await self._session.delete(SERVICE, f"/clusters/{segment(uuid)}", headers=VERSION)

    async def node_groups(self, cluster: str) -> tuple[NodeGroup, ...]:
        """The node groups of a cluster with all their fields, by name.

        LIST leaves out addresses and labels, so each group is read.

        Raises:
            NotFound: there is no such cluster.
        """
        names = [item["name"] for item in await self._list(f"/clusters/{segment(cluster)}/nodegroups", must=True)]
        groups = [await self.node_group(cluster, name) for name in sorted(names)]
        return tuple(group for group in groups if group is not None)

    async def node_group(self, cluster: str, name: str) -> NodeGroup | None:
        """One node group of a cluster by name or uuid."""
        answer = await self._get(f"/clusters/{segment(cluster)}/nodegroups/{segment(name)}")
        return None if answer is None else NodeGroup.model_validate(answer)

    async def delete_node_group(self, cluster: str, name: str) -> bool:
        """Ask Magnum to delete a node group; False when it was gone already."""
        path = f"/clusters/{segment(cluster)}/nodegroups/{segment(name)}"
        return await self._session.delete(SERVICE, path, headers=VERSION)

    async def ca_certificate(self, cluster_uuid: str) -> str:
        """The PEM certificate of a cluster's Kubernetes CA."""
        answer = await self._get(f"/certificates/{segment(cluster_uuid)}")
        if not answer or not answer.get("pem"):
            raise NotFound(f"Magnum has no certificate authority for cluster {cluster_uuid}.")
        return str(answer["pem"])

    async def sign(self, cluster_uuid: str, csr_pem: str) -> str:
        """Have a cluster's CA sign a certificate request, and return the PEM certificate."""
        body = {"cluster_uuid": cluster_uuid, "csr": csr_pem}
        answer = await self._session.send(
            SERVICE, "POST", "/certificates", json=body, headers=VERSION, harmless_twice=True
        )
        return str(answer["pem"])

    async def _get(self, path: str) -> Any:
        async def ask() -> Any:
            try:
                return await self._session.get(SERVICE, path, headers=VERSION)
            except InvalidInput as error:
                # A plain read has nothing to be wrong about: Magnum trips over its own half-written record.
                raise MidChange(f"Magnum is changing what {path} shows.", detail=error.detail) from error
            except Misconfigured as error:
                if isinstance(error, ServiceAbsent):
                    raise
                raise Misconfigured(
                    error.summary, detail=error.detail, hint="Plumbline needs Magnum's API 1.10 (Victoria) or later."
                ) from error

        return await retried(ask, on=(MidChange,), clock=self._session.clock)

    async def _list(self, path: str, *, must: bool = False) -> list[dict[str, Any]]:
        """Every page of a LIST; Magnum pages by the `next` link's marker."""
        found: list[dict[str, Any]] = []
        query = ""
        while True:
            answer = await self._get(f"{path}{query}")
            if answer is None and must:
                raise NotFound(f"Magnum has no {path}.")
            answer = answer or {}
            page: list[dict[str, Any]] = next((value for value in answer.values() if isinstance(value, list)), [])
            found.extend(page)
            if not answer.get("next") or not page:
                return found
            query = f"?marker={page[-1]['uuid']}"
