"""Magnum: cluster templates, clusters, node groups, certificates.

openstacksdk 4.22 has no node groups, sends resize without their name and hides `health_status` and `status_reason`,
so these are raw calls with a microversion that has them all. Magnum answers asynchronously and sometimes oddly, and
every method here survives it: after the 202 on create a GET is 404, then 400 ("master_count Value: '0'") for a
moment; a LIST can be 400 while a cluster is being deleted; right after a resize or delete the old *_COMPLETE still
shows; a change during *_IN_PROGRESS is accepted with 202 and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.clients.calling import retried
from infra.clients.errors import (
    Conflict,
    DeadlineExceeded,
    Failed,
    InvalidInput,
    Misconfigured,
    NotFound,
    NotYet,
)
from infra.clients.openstack_models import Cluster, ClusterTemplate, NodeGroup
from infra.clients.openstack_session import OpenStackSession, ServiceAbsent, segment
from infra.clients.waiting import wait_until

SERVICE = "container_infrastructure_management"
VERSION: Mapping[str, str] = {"OpenStack-API-Version": "container-infra 1.10"}
"""1.10: node groups, upgrades, and worker groups of zero nodes (Magnum Victoria and later)."""

APPEARS_WITHIN = 60.0
"""Seconds a cluster that was just created may stay invisible."""
TAKEN_UP_WITHIN = 15.0
"""Seconds until an accepted resize must show in the node group; otherwise Magnum dropped it."""


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

    async def resize(self, cluster: str, node_group: str, count: int) -> NodeGroup:
        """Give a node group `count` nodes, and see that Magnum took it up; does nothing where it has them.

        Raises:
            Conflict: the cluster is busy, or Magnum accepted the change and dropped it.
            NotFound: no such cluster or node group.
            InvalidInput: outside the group's bounds.
        """
        found = await self.cluster(cluster)
        group = await self.node_group(cluster, node_group)
        if found is None or group is None:
            raise NotFound(f"There is no node group {node_group!r} in a cluster {cluster!r}.")
        if group.node_count == count:
            return group
        if found.in_progress:
            raise Conflict(f"Cluster {found.name} is {found.status}: Magnum would drop a resize now.", retry_after=10)
        body = {"node_count": count, "nodegroup": group.uuid}
        path = f"/clusters/{found.uuid}/actions/resize"
        await self._session.send(SERVICE, "POST", path, json=body, headers=VERSION, harmless_twice=True)
        return await self._taken_up(found, group.name, count)

    async def wait_settled(
        self,
        name_or_uuid: str,
        *,
        timeout: float,
        nodes: Mapping[str, int] | None = None,
        interval: float = 2.0,
        progress: Callable[[str], None] | None = None,
    ) -> Cluster:
        """Wait until Magnum has finished with a cluster, and return it.

        Args:
            timeout: seconds.
            nodes: node group name -> count that must show, which keeps a stale *_COMPLETE from being believed.

        Raises:
            Failed: with every cause Magnum gives.
            NotFound: it vanished, or never appeared.
            DeadlineExceeded: with the last state seen.
        """
        started = self._session.clock.monotonic()
        seen = False

        async def look() -> Cluster:
            nonlocal seen
            cluster = await self.cluster(name_or_uuid)
            if cluster is None:
                if seen or self._session.clock.monotonic() - started > APPEARS_WITHIN:
                    raise NotFound(f"Cluster {name_or_uuid} is not there{' any more' if seen else ''}.")
                raise NotYet(f"Magnum does not show cluster {name_or_uuid} yet.")
            seen = True
            _settled(cluster)
            for name, count in (nodes or {}).items():
                _settled_group(cluster, name, await self.node_group(cluster.uuid, name), count)
            return cluster

        return await wait_until(
            look,
            describe=f"cluster {name_or_uuid}",
            timeout=timeout,
            interval=interval,
            progress=progress,
            clock=self._session.clock,
        )

    async def wait_deleted(
        self, uuid: str, *, timeout: float, interval: float = 2.0, progress: Callable[[str], None] | None = None
    ) -> None:
        """Wait until Magnum no longer knows a cluster.

        Raises:
            Failed: Magnum reports DELETE_FAILED.
        """

        async def look() -> None:
            cluster = await self.cluster(uuid)
            if cluster is None or cluster.status == "DELETE_COMPLETE":
                return
            if cluster.status == "DELETE_FAILED":
                raise Failed(f"Magnum could not delete cluster {cluster.name}.", detail=cluster.why)
            raise NotYet(f"Cluster {cluster.name} is {cluster.status}.")

        await wait_until(
            look,
            describe=f"the end of cluster {uuid}",
            timeout=timeout,
            interval=interval,
            progress=progress,
            clock=self._session.clock,
        )

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

    async def _taken_up(self, cluster: Cluster, group: str, count: int) -> NodeGroup:
        async def look() -> NodeGroup:
            found = await self.node_group(cluster.uuid, group)
            if found is None or found.node_count != count:
                raise NotYet(f"Node group {group} of cluster {cluster.name} does not show {count} nodes yet.")
            return found

        try:
            return await wait_until(
                look,
                describe=f"Magnum to take up the resize of {group}",
                timeout=TAKEN_UP_WITHIN,
                interval=0.2,
                clock=self._session.clock,
            )
        except DeadlineExceeded as error:
            raise Conflict(
                f"Magnum accepted a resize of {group} in cluster {cluster.name} and dropped it.", detail=error.detail
            ) from error

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


def _settled(cluster: Cluster) -> None:
    if cluster.failed or cluster.status == "ROLLBACK_COMPLETE":
        raise Failed(f"Cluster {cluster.name} is {cluster.status}.", detail=cluster.why or "Magnum gives no cause.")
    if not cluster.complete:
        raise NotYet(f"Cluster {cluster.name} is {cluster.status or 'without a status'}.")


def _settled_group(cluster: Cluster, name: str, group: NodeGroup | None, count: int) -> None:
    if group is None:
        raise NotYet(f"Cluster {cluster.name} has no node group {name} yet.")
    if (group.status or "").endswith("_FAILED"):
        raise Failed(
            f"Node group {name} of cluster {cluster.name} is {group.status}.",
            detail=group.status_reason or "Magnum gives no cause.",
        )
    if group.node_count != count or not (group.status or "").endswith("_COMPLETE"):
        raise NotYet(
            f"Node group {name} of cluster {cluster.name} has {group.node_count} of {count} nodes ({group.status})."
        )
