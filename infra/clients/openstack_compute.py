"""Nova and Glance, and what the project may still use of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from infra.clients.errors import Denied
from infra.clients.openstack_magnum import SERVICE as MAGNUM
from infra.clients.openstack_magnum import VERSION, Magnum
from infra.clients.openstack_models import Flavor, Image, Keypair, Limits, Usage, limit_of
from infra.clients.openstack_network import NetworkClient
from infra.clients.openstack_session import OpenStackSession, ServiceAbsent, segment


class Compute:
    """Keypairs, flavors, images, availability zones and limits."""

    def __init__(self, session: OpenStackSession) -> None:
        self._session = session

    async def keypair(self, name: str) -> Keypair | None:
        """The keypair of that name, None when there is none."""
        answer = await self._session.get("compute", f"/os-keypairs/{segment(name)}")
        return None if answer is None else Keypair.model_validate(answer["keypair"])

    async def keypairs(self) -> tuple[Keypair, ...]:
        """Every keypair of the account."""
        answer = await self._session.get("compute", "/os-keypairs") or {}
        return tuple(Keypair.model_validate(item["keypair"]) for item in answer.get("keypairs", ()))

    async def delete_keypair(self, name: str) -> bool:
        """Delete a keypair; False when it was gone already."""
        return await self._session.delete("compute", f"/os-keypairs/{segment(name)}")

    async def flavors(self) -> tuple[Flavor, ...]:
        """Every flavor the project sees."""
        answer = await self._session.get("compute", "/flavors/detail", params={"limit": 1000}) or {}
        return tuple(Flavor.model_validate(item) for item in answer.get("flavors", ()))

    async def flavor(self, name_or_id: str) -> Flavor | None:
        """The flavor of that name or id."""
        found = [flavor for flavor in await self.flavors() if name_or_id in (flavor.name, flavor.id)]
        return found[0] if found else None

    async def images(self, name: str | None = None) -> tuple[Image, ...]:
        """The images the project sees, all pages."""
        found: list[Image] = []
        params: dict[str, Any] = {"limit": 200, **({"name": name} if name else {})}
        while True:
            answer = await self._session.get("image", "/images", params=params) or {}
            page = [Image.model_validate(item) for item in answer.get("images", ())]
            found.extend(page)
            if not answer.get("next") or not page:
                return tuple(found)
            params["marker"] = page[-1].id

    async def image(self, name_or_id: str) -> Image | None:
        """The image of that name or id; an active one is preferred where names are not unique."""
        found = await self.images(name_or_id)
        if found:
            return sorted(found, key=lambda image: image.status != "active")[0]
        answer = await self._session.get("image", f"/images/{segment(name_or_id)}")
        return None if answer is None else Image.model_validate(answer)

    async def availability_zones(self, service: str = "compute") -> tuple[str, ...] | None:
        """The availability zones in which `service` ("compute" or "block_storage") can make something now.

        Returns:
            None where the cloud has no such service: unknown, not "no zones".
        """
        try:
            answer = await self._session.get(service, "/os-availability-zone")
        except ServiceAbsent:
            return None
        zones = (answer or {}).get("availabilityZoneInfo", ())
        return tuple(sorted(zone["zoneName"] for zone in zones if zone.get("zoneState", {}).get("available")))

    async def volume_types(self) -> tuple[str, ...]:
        """Names and ids of the volume types that the project may use.

        Raises:
            ServiceAbsent: the cloud has no Cinder.
        """
        answer = await self._session.get("block_storage", "/types") or {}
        return tuple(str(item[key]) for item in answer.get("volume_types", ()) for key in ("name", "id"))

    async def limits(self) -> Limits:
        """What the project may still use; fields the cloud does not tell are None."""
        network = NetworkClient(self._session)
        nova, cinder, magnum, addresses, balancers = await asyncio.gather(
            self._absolute("compute"),
            self._absolute("block_storage"),
            self._clusters(),
            network.floating_ip_usage(),
            network.load_balancer_usage(),
        )
        return Limits(
            cores=_usage(nova, "maxTotalCores", "totalCoresUsed"),
            ram_mb=_usage(nova, "maxTotalRAMSize", "totalRAMUsed"),
            instances=_usage(nova, "maxTotalInstances", "totalInstancesUsed"),
            volumes=_usage(cinder, "maxTotalVolumes", "totalVolumesUsed"),
            volume_gb=_usage(cinder, "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
            clusters=magnum,
            floating_ips=addresses,
            load_balancers=balancers,
        )

    async def _absolute(self, service: str) -> Mapping[str, Any]:
        try:
            answer = await self._session.get(service, "/limits")
        except ServiceAbsent:
            return {}
        absolute: Mapping[str, Any] = (answer or {}).get("limits", {}).get("absolute", {})
        return absolute

    async def _clusters(self) -> Usage | None:
        project = await self._session.project_id()
        try:
            quota = await self._session.get(MAGNUM, f"/quotas/{segment(project)}/Cluster", headers=VERSION)
            used = await Magnum(self._session).clusters()
        except (ServiceAbsent, Denied):  # some clouds keep quotas to administrators
            return None
        return Usage(limit=limit_of(quota.get("hard_limit")), used=len(used)) if quota else None


def _usage(absolute: Mapping[str, Any], limit: str, used: str) -> Usage | None:
    if limit not in absolute:
        return None
    return Usage(limit=limit_of(absolute[limit]), used=int(absolute.get(used, 0)))
