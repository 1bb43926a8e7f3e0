"""A cloud in memory for tests that are about Kubernetes: volumes, load balancers and floating IPs, without fail.

The real Cinder, Neutron and Octavia are met in tests/sandbox.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

from deployments.sandbox.controllers.cloud import CloudError

Row = dict[str, Any]
NETWORK = {"network_id": "network", "subnet_id": "subnet", "external_network_id": "public"}
"""What a cluster's cluster.json says of its network."""
KEYS = {"security-groups": "security_groups", "detail": "volumes"}


class FakeCloud:
    """See `deployments.sandbox.controllers.cloud.Cloud`.

    Args:
        floating_ips: where addresses come from, the lowest free one first.
    """

    def __init__(self, floating_ips: IPv4Network) -> None:
        self.rows: dict[str, dict[str, Row]] = {}
        """By kind and id."""
        self._floating_ips = floating_ips

    async def call(self, method: str, service: str, path: str, body: Any = None, **params: Any) -> Any:
        """What the services would answer."""
        parts = path.strip("/").removeprefix("lbaas/").split("/")
        kind, rows = parts[0], self.rows.setdefault(parts[0], {})
        if method == "GET" and (len(parts) == 1 or parts[1] == "detail"):
            wanted = {name: value for name, value in params.items() if value is not None}
            found = [row for row in rows.values() if all(row.get(name) == wanted[name] for name in wanted)]
            return {KEYS.get(kind, kind): found}
        if method == "POST" and len(parts) == 1:
            ((key, values),) = body.items()
            row = {"id": str(uuid.uuid4()), **values, **self._given(kind, values)}
            rows[row["id"]] = row
            return {key: row}
        if parts[1] not in rows:
            raise CloudError(f"no {kind} {parts[1]}", 404)
        if method == "DELETE":
            del rows[parts[1]]
            return None
        if parts[-1] == "action":
            rows[parts[1]]["size"] = body["os-extend"]["new_size"]
            return None
        if parts[-1] == "members" and method == "PUT":
            rows[parts[1]]["members"] = body["members"]
        return {kind.removesuffix("s"): rows[parts[1]]}

    def _given(self, kind: str, values: Row) -> Row:
        """What a service adds to what it is asked for."""
        if kind == "volumes":
            if values["availability_zone"] != "nova":
                raise CloudError(f"Availability zone '{values['availability_zone']}' is invalid.", 400)
            return {"status": "available"}
        if kind == "loadbalancers":
            return {"provisioning_status": "ACTIVE", "vip_port_id": str(uuid.uuid4())}
        if kind == "floatingips":
            return {"floating_ip_address": values.get("floating_ip_address") or next(self._free())}
        return {}

    def _free(self) -> Iterator[str]:
        taken = {row["floating_ip_address"] for row in self.rows["floatingips"].values()}
        return (str(address) for address in self._floating_ips.hosts() if str(address) not in taken)
