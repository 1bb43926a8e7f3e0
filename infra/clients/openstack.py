"""The OpenStack client: one cloud of clouds.yaml, by service.

    async with OpenStackClient("sandbox") as cloud:
        cluster = await cloud.magnum.cluster("dev")

Errors are wrapped once, in openstack_session; models are frozen, in openstack_models.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from infra.clients.openstack_compute import Compute
from infra.clients.openstack_designate import Designate
from infra.clients.openstack_leftovers import Sweep
from infra.clients.openstack_magnum import Magnum
from infra.clients.openstack_network import NetworkClient
from infra.clients.openstack_session import OpenStackSession
from infra.clients.waiting import Clock
from infra.settings import Settings

__all__ = ["OpenStackClient"]


class OpenStackClient:
    """What Plumbline asks of one OpenStack project.

    Args:
        cloud: a name in clouds.yaml.
        settings: `request_timeout` bounds every request, `dns_ttl_min`/`max` recordsets.
        config_file: clouds.yaml; by default what OS_CLIENT_CONFIG_FILE names, then the SDK's usual places.
        read_only: refuse everything but reads, signing in, and Magnum's signature (see openstack_guard).
        clock: replaced in tests.
    """

    def __init__(
        self,
        cloud: str,
        settings: Settings | None = None,
        *,
        config_file: Path | None = None,
        read_only: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.session = OpenStackSession(cloud, settings, config_file=config_file, read_only=read_only, clock=clock)
        self.cloud = cloud
        self.compute = Compute(self.session)
        """Keypairs, flavors, images, availability zones, limits."""
        self.magnum = Magnum(self.session)
        """Cluster templates, clusters, node groups, certificates."""
        self.network = NetworkClient(self.session)
        """Networks and subnets."""
        self.designate = Designate(self.session)
        """Zones and recordsets."""
        self.leftovers = Sweep(self.session)
        """What an environment left behind."""

    async def authorize(self) -> None:
        """Sign in now.

        Raises:
            Misconfigured: clouds.yaml is missing, or lacks the cloud.
            Denied: Keystone refuses the credentials.
            Unavailable: Keystone does not answer.
        """
        await self.session.authorize()

    async def project_id(self) -> str:
        """The project we are signed in to."""
        return await self.session.project_id()

    async def user_id(self) -> str:
        """The user we are signed in as."""
        return await self.session.user_id()

    async def restricted_credential(self) -> str | None:
        """The name of the application credential we have signed in with, if it is a restricted one."""
        return await self.session.restricted_credential()

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
