"""Cluster IPs and node ports of Services."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from deployments.sandbox.kubernetes.errors import Cause, invalid, invalid_value
from deployments.sandbox.kubernetes.storage import Storage

SERVICE_NETWORK = ipaddress.ip_network("127.96.0.0/16")
"""On loopback, as the sandbox's webhooks and load balancers are; the real control plane is started with the same."""

NODE_PORTS = range(30000, 32768)
Object = dict[str, Any]


class Allocator:
    """Finds free addresses by looking at the stored Services, so nothing can leak or be lost in a crash."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._random = random.Random()

    def _used(self, name: str) -> tuple[set[str], set[int]]:
        addresses, ports = set(), set()
        for record in self._storage.records("services"):
            if f"{record.namespace}/{record.name}" == name:
                continue
            spec = record.load()["spec"]
            addresses.add(spec.get("clusterIP", ""))
            ports |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
        return addresses, ports

    def assign(self, item: Object, old: Object | None) -> None:
        """Give a Service the addresses and ports its type calls for, keeping what it has.

        Raises:
            StatusError: 422, an address or port it asks for is taken or out of range.
        """
        spec, metadata = item["spec"], item["metadata"]
        used, used_ports = self._used(f"{metadata.get('namespace', '')}/{metadata['name']}")
        before = (old or {}).get("spec") or {}
        if spec["type"] == "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                spec.pop(name, None)
            return
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        wanted = spec.get("clusterIP")
        if not wanted:
            spec["clusterIP"] = self._address(used)
        elif wanted != "None" and wanted != before.get("clusterIP"):
            self._check_address(item, wanted, used)
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec["ipFamilies"] = ["IPv4"]
        spec["ipFamilyPolicy"] = spec.get("ipFamilyPolicy") or "SingleStack"
        self._ports(item, before, used_ports)

    def _address(self, used: set[str]) -> str:
        first = int(SERVICE_NETWORK.network_address) + 2
        size = SERVICE_NETWORK.num_addresses - 3
        start = self._random.randrange(size)
        for step in range(size):
            candidate = str(ipaddress.ip_address(first + (start + step) % size))
            if candidate not in used:
                return candidate
        raise RuntimeError("the service network is full")

    def _check_address(self, item: Object, wanted: str, used: set[str]) -> None:
        try:
            inside = ipaddress.ip_address(wanted) in SERVICE_NETWORK
        except ValueError:
            inside = False
        if inside and wanted not in used:
            return
        why = f"failed to allocate IP {wanted}: " + (
            "provided IP is already allocated" if inside
            else f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {SERVICE_NETWORK}"
        )  # fmt: skip
        raise invalid("", "Service", item["metadata"]["name"], [invalid_value("spec.clusterIPs", [wanted], why)])

    def _ports(self, item: Object, before: Object, used: set[int]) -> None:
        spec = item["spec"]
        exposed = spec["type"] == "NodePort" or (
            spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
        )
        known = {
            (port.get("name", ""), port["port"], port.get("protocol")): port.get("nodePort")
            for port in before.get("ports") or ()
        }
        taken = set(used)
        for position, port in enumerate(spec.get("ports") or ()):
            if not exposed:
                if before.get("type") in ("NodePort", "LoadBalancer"):
                    port.pop("nodePort", None)
                continue
            held = known.get((port.get("name", ""), port["port"], port.get("protocol")))
            wanted = port.get("nodePort") or held
            if wanted is None:
                free = [number for number in NODE_PORTS if number not in taken]
                wanted = self._random.choice(free)
            elif wanted in used or wanted not in NODE_PORTS:
                text = "provided port is already allocated" if wanted in used else (
                    f"provided port is not in the valid range. The range of valid ports is {NODE_PORTS.start}-"
                    f"{NODE_PORTS.stop - 1}"
                )  # fmt: skip
                cause = Cause(
                    f"spec.ports[{position}].nodePort", "FieldValueInvalid", f"Invalid value: {wanted}: {text}"
                )
                raise invalid("", "Service", item["metadata"]["name"], [cause])
            port["nodePort"] = wanted
            taken.add(wanted)
