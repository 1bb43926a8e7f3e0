"""Neutron and Octavia: the networks a cluster can stand in, and what the project may still use of both services."""

from __future__ import annotations

from infra.clients.errors import Denied
from infra.clients.openstack_models import Network, Subnet, Usage, limit_of
from infra.clients.openstack_session import OpenStackSession, ServiceAbsent, segment


class NetworkClient:
    """Networks, subnets, and the usage of floating IPs and load balancers."""

    def __init__(self, session: OpenStackSession) -> None:
        self._session = session

    async def networks(self) -> tuple[Network, ...]:
        """Every network the project sees.

        Raises:
            ServiceAbsent: the cloud has no Neutron.
        """
        answer = await self._session.get("network", "/networks") or {}
        return tuple(Network.model_validate(item) for item in answer.get("networks", ()))

    async def subnets(self) -> tuple[Subnet, ...]:
        """Every subnet the project sees."""
        answer = await self._session.get("network", "/subnets") or {}
        return tuple(Subnet.model_validate(item) for item in answer.get("subnets", ()))

    async def floating_ip_usage(self) -> Usage | None:
        """Floating IPs of the project; None where the cloud does not tell."""
        project = await self._session.project_id()
        try:
            answer = await self._session.get("network", f"/quotas/{segment(project)}/details")
        except (ServiceAbsent, Denied):  # some clouds keep quotas to administrators
            return None
        quota = (answer or {}).get("quota", {}).get("floatingip")
        return Usage(limit=limit_of(quota["limit"]), used=int(quota["used"])) if quota else None

    async def load_balancer_usage(self) -> Usage | None:
        """Load balancers of the project; None where the cloud does not tell."""
        project = await self._session.project_id()
        try:
            answer = await self._session.get("load_balancer", f"/lbaas/quotas/{segment(project)}")
            there = await self._session.get("load_balancer", "/lbaas/loadbalancers", params={"project_id": project})
        except (ServiceAbsent, Denied):
            return None
        quota = (answer or {}).get("quota")
        if quota is None:
            return None
        # Octavia's older releases say `loadbalancer` (API reference, "Show Project Quota").
        limit = quota.get("load_balancer", quota.get("loadbalancer"))
        return Usage(limit=limit_of(limit), used=len((there or {}).get("loadbalancers", ())))
