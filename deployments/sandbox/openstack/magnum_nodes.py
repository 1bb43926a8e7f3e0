"""Which machines a cluster consists of: their addresses and names. Pure; no OpenStack import."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FIRST_HOST = 10
GROUP_LIMIT = 240
"""Addresses one node group has."""


@dataclass(frozen=True)
class Group:
    """A node group as Magnum knows it."""

    name: str
    role: str
    flavor: str
    count: int
    is_default: bool
    addresses: tuple[str, ...] = ()


def allocate(cluster: str, groups: Sequence[Group]) -> dict[str, tuple[str, ...]]:
    """Give every group as many addresses as it is to have nodes.

    Addresses a group already has stay; the lowest free ones are added, the highest go first.

    Args:
        cluster: its UUID; decides the network, 10.N.0.0/16.

    Returns:
        Addresses by the group's name.

    Raises:
        ValueError: a group is larger than its network.
    """
    network = zlib.crc32(cluster.encode()) % 256
    taken = {_subnet(group.addresses[0]) for group in groups if group.addresses}
    result = {}
    for group in groups:
        if group.count > GROUP_LIMIT:
            raise ValueError(f"Node group {group.name} asks for {group.count} nodes; {GROUP_LIMIT} fit its network.")
        if group.addresses:
            subnet = _subnet(group.addresses[0])
        else:
            wanted = range(0, 256) if group.is_default and group.role == "master" else range(1, 256)
            subnet = next(number for number in wanted if number not in taken)
            taken.add(subnet)
        result[group.name] = _fill(f"10.{network}.{subnet}.", group.addresses, group.count)
    return result


def _subnet(address: str) -> int:
    return int(address.split(".")[2])


def index(address: str) -> int:
    """The number of a node within its group."""
    return int(address.rsplit(".", 1)[1]) - FIRST_HOST


def _fill(prefix: str, present: Iterable[str], count: int) -> tuple[str, ...]:
    kept = sorted(index(address) for address in present)[:count]
    free = (number for number in range(GROUP_LIMIT) if number not in kept)
    while len(kept) < count:
        kept.append(next(free))
    return tuple(f"{prefix}{FIRST_HOST + number}" for number in sorted(kept))


def node_name(cluster: str, group: str, address: str) -> str:
    """The node's name: what a kubelet would register, so a DNS label (RFC 1123)."""
    plain = re.sub(r"[^a-z0-9-]+", "-", f"{cluster}-{group}".lower()).strip("-")
    return f"{plain[:58].rstrip('-')}-{index(address)}"


def nodes(cluster: str, groups: Iterable[Group], addresses: dict[str, tuple[str, ...]]) -> list[dict[str, str]]:
    """The nodes as the control API takes them."""
    return [
        {
            "name": node_name(cluster, group.name, address),
            "role": "master" if group.role == "master" else "worker",
            "nodegroup": group.name,
            "address": address,
            "flavor": group.flavor,
        }
        for group in groups
        for address in addresses[group.name]
    ]


def without(cluster: str, group: Group, unwanted: Iterable[str]) -> tuple[str, ...]:
    """The group's addresses less the nodes named by number, name or address (Magnum's `nodes_to_remove`)."""
    names = set(unwanted)
    return tuple(
        address
        for address in group.addresses
        if not names & {address, str(index(address)), node_name(cluster, group.name, address)}
    )


def version_key(version: str) -> tuple[int, ...]:
    """Order of Kubernetes versions such as v1.33.4."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
