"""What a fresh cloud is filled with: flavors, an image, a network, quotas and a zone. Plain REST: it costs a second."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, NamedTuple

import aiohttp

from deployments.sandbox.openstack.config_infrastructure import EXTERNAL
from infra.clients.errors import Failed, NotYet, Unavailable
from infra.clients.waiting import wait_until

EDITION = "2"
"""Raised when something is added, so that clouds filled by an earlier version get it, too."""
USER_AGENT = "plumbline-sandbox/seed"
ZONE = "sandbox.example."
IMAGE = {
    **{"name": "fedora-coreos", "os_distro": "fedora-coreos", "visibility": "public"},
    **{"disk_format": "qcow2", "container_format": "bare"},
}
QUOTA = {"instances": 200, "cores": 800, "ram": 3_276_800, "key_pairs": 200}
NETWORK_QUOTA = {
    **{"network": 200, "subnet": 200, "router": 200, "port": 5000},
    **{"floatingip": 1000, "security_group": 500, "security_group_rule": 5000},
}
VOLUME_QUOTA = {"volumes": 1000, "snapshots": 1000, "gigabytes": 50_000}
VOLUME_TYPES = ("standard", "ssd")


class Flavor(NamedTuple):
    """Sizes of a machine: RAM in MiB, disk in GiB."""

    vcpus: int
    ram: int
    disk: int


FLAVORS = {
    "m1.small": Flavor(1, 2048, 20),
    "m1.medium": Flavor(2, 4096, 40),
    "m1.large": Flavor(4, 8192, 80),
    "m1.xlarge": Flavor(8, 16384, 160),
}


class Seeder:
    """Fills the cloud; run again it adds what is missing.

    Args:
        urls: base URL by service.
        passwords: by user.
        floating_ips: what the external network's addresses are, on loopback: load balancers answer on them.
    """

    def __init__(self, urls: Mapping[str, str], passwords: Mapping[str, str], floating_ips: IPv4Network) -> None:
        self._urls = urls
        self._passwords = passwords
        self._floating_ips = floating_ips

    async def run(self) -> None:
        """Make everything that is missing.

        Raises:
            Unavailable: a service does not answer.
            Failed: a service refuses.
        """
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(headers={"User-Agent": USER_AGENT}, timeout=timeout) as session:
            self._session = session
            admin, _ = await self._login("admin")
            demo, project = await self._login("demo")
            flavors = {name: {"flavor": {"name": name, "id": name, **each._asdict()}} for name, each in FLAVORS.items()}
            await self._named(admin, "nova", "/v2.1/flavors", "flavors", flavors)
            await self._named(admin, "glance", "/v2/images", "images", {IMAGE["name"]: IMAGE})
            await self._network(admin)
            types = {name: {"volume_type": {"name": name}} for name in VOLUME_TYPES}
            await self._named(admin, "cinder", "/v3/types", "volume_types", types)
            await self._quotas(admin, project)
            await self._zone(demo)

    async def _login(self, user: str) -> tuple[str, str]:
        """A token, and the project's id."""
        scope = {"project": {"name": user, "domain": {"id": "default"}}}
        password = {"user": {"name": user, "domain": {"id": "default"}, "password": self._passwords[user]}}
        body = {"auth": {"identity": {"methods": ["password"], "password": password}, "scope": scope}}
        url = f"{self._urls['keystone']}/v3/auth/tokens"
        try:
            async with self._session.post(url, json=body) as response:
                if response.status != 201:
                    raise Failed(f"Keystone does not let {user} in.", detail=await response.text())
                token = response.headers["X-Subject-Token"]
                return token, (await response.json())["token"]["project"]["id"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable("Keystone does not answer.", detail=str(error)) from error

    async def _call(
        self, method: str, service: str, path: str, token: str, body: Any = None, *, accept: tuple[int, ...] = ()
    ) -> Any:
        headers = {"X-Auth-Token": token, "Accept": "application/json"}
        try:
            async with self._session.request(
                method, self._urls[service] + path, json=body, headers=headers
            ) as response:
                if response.status >= 400 and response.status not in accept:
                    detail = f"{response.status} {await response.text()}"
                    raise Failed(f"{service} refuses {method} {path}.", detail=detail)
                return await response.json() if "json" in response.content_type else None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"{service} does not answer {method} {path}.", detail=str(error)) from error

    async def _named(self, token: str, service: str, path: str, rows: str, wanted: Mapping[str, Any]) -> None:
        """Make what there is not by its name."""
        there = {row["name"] for row in (await self._call("GET", service, path, token))[rows]}
        for name in wanted.keys() - there:
            await self._call("POST", service, path, token, wanted[name])

    async def _quotas(self, token: str, project: str) -> None:
        await self._call("PUT", "nova", f"/v2.1/os-quota-sets/{project}", token, {"quota_set": QUOTA})
        await self._call("PUT", "neutron", f"/v2.0/quotas/{project}", token, {"quota": NETWORK_QUOTA})
        await self._call("PUT", "cinder", f"/v3/os-quota-sets/{project}", token, {"quota_set": VOLUME_QUOTA})

    async def _network(self, token: str) -> None:
        """The external network, and its subnet: without DHCP, else Neutron refuses loopback addresses."""
        found = (await self._call("GET", "neutron", f"/v2.0/networks?name={EXTERNAL}", token))["networks"]
        if not found:
            network = {
                "name": EXTERNAL,
                "router:external": True,
                "provider:network_type": "flat",
                "provider:physical_network": EXTERNAL,
            }
            found = [(await self._call("POST", "neutron", "/v2.0/networks", token, {"network": network}))["network"]]
        if not found[0]["subnets"]:
            subnet = {
                "name": EXTERNAL,
                "network_id": found[0]["id"],
                "cidr": str(self._floating_ips),
                "ip_version": 4,
                "enable_dhcp": False,
                "gateway_ip": None,
            }
            await self._call("POST", "neutron", "/v2.0/subnets", token, {"subnet": subnet})

    async def _zone(self, token: str) -> None:
        body = {"name": ZONE, "email": "hostmaster@sandbox.example", "ttl": 300, "description": "The sandbox's zone"}
        await self._call("POST", "designate", "/v2/zones", token, body, accept=(409,))

        async def active() -> None:
            zones = (await self._call("GET", "designate", f"/v2/zones?name={ZONE}", token))["zones"]
            status = zones[0]["status"] if zones else "absent"
            if status != "ACTIVE":
                raise NotYet(f"Zone {ZONE} is {status}.")

        await wait_until(active, describe=f"zone {ZONE}", timeout=60, interval=0.2)
