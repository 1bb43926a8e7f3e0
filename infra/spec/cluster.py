"""The cluster part of a declaration: what Magnum is asked for."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from infra.spec.fields import CloudText, KubernetesVersion, NodeGroupName, SshPublicKey
from infra.spec.part import Part
from infra.spec.problems import At, is_secret, path_of, show, wrong, wrongs

NODES_MAX = 1000
"""The most nodes one node group may have; Kubernetes itself is tested to 5,000 in a cluster."""
RESERVED_NODE_GROUPS = frozenset({"default-worker", "default-master"})
"""The node groups Magnum makes itself, from `nodes` and `masters`."""
OWN_LABELS = {
    "kube_tag": "spec.cluster.kubernetes",
    "kube_version": "spec.cluster.kubernetes",
    "plumbline_environment": "metadata.name",
}
"""Template labels that say what another field says."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        nearest = f"use {value - 1} or {value + 1}" if value > 0 else "use 1"
        raise wrong(f"{value} is even, and survives no more failures than {value - 1}", nearest)
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    """Check a template's labels, which Magnum carries as text `{'key':'value',…}` that its project can read."""
    found = []
    for key, text in value.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,254}", key):
            found.append(At((key,), "is not a label's name", "use letters, digits and _ . / -, such as kube_tag"))
        elif key in OWN_LABELS:
            found.append(At((key,), "is set by Plumbline", f"write {OWN_LABELS[key]} instead"))
        if is_secret(text):
            found.append(At((key,), "looks like a secret, and labels can be read by everyone", "remove and revoke it"))
        elif not text.strip() or len(text) > 1024 or "'" in text or not text.isprintable():
            right = "write 1 to 1024 printable characters without '"
            found.append(At((key,), f"{show(text)} is not a label's value", right))
    if found:
        raise wrongs(found)
    return value


class Masters(Part):
    """The control plane's nodes."""

    count: Annotated[int, AfterValidator(_odd)] = Field(
        default=1, ge=1, le=7, description="How many; odd, because etcd needs a majority.", examples=[1]
    )
    flavor: CloudText = Field(description="Nova flavor of each.", examples=["m1.medium"])


class Nodes(Part):
    """The default node group (Magnum's `default-worker`)."""

    count: int = Field(ge=1, le=NODES_MAX, description="How many.", examples=[3])
    flavor: CloudText = Field(description="Nova flavor of each.", examples=["m1.large"])


class NodeGroup(Part):
    """A further node group."""

    name: NodeGroupName = Field(description="Name within the cluster, at most 28 characters.", examples=["build"])
    count: int = Field(ge=0, le=NODES_MAX, description="How many nodes.", examples=[1])
    flavor: CloudText = Field(description="Nova flavor of each.", examples=["m1.xlarge"])
    min: int = Field(default=0, ge=0, le=NODES_MAX, description="Fewest nodes the autoscaler may leave.", examples=[1])
    max: int | None = Field(
        default=None, ge=1, le=NODES_MAX, description="Most nodes the autoscaler may make; unbounded when left out."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        found = []
        if self.max is not None and self.min > self.max:
            found.append(At(("min",), f"{self.min} is more than max, {self.max}", "write min <= count <= max"))
        elif self.count < self.min:
            found.append(At(("count",), f"{self.count} is less than min, {self.min}", "write min <= count <= max"))
        elif self.max is not None and self.count > self.max:
            found.append(At(("count",), f"{self.count} is more than max, {self.max}", "write min <= count <= max"))
        if self.name in RESERVED_NODE_GROUPS:
            found.append(At(("name",), f"{self.name} is the name of a group Magnum makes itself", "use another name"))
        if found:
            raise wrongs(found)
        return self


class Cluster(Part):
    """The Kubernetes cluster, made by Magnum from a cluster template of its own."""

    kubernetes: KubernetesVersion = Field(description="Exact Kubernetes version.", examples=["v1.33.4"])
    image: CloudText = Field(
        description="Glance image of the nodes; its property os_distro must be set.", examples=["fedora-coreos"]
    )
    masters: Masters = Field(description="The control plane's nodes.")
    nodes: Nodes = Field(description="The default node group.")
    node_groups: Annotated[tuple[NodeGroup, ...], Field(strict=False)] = Field(
        default=(), max_length=50, description="Further node groups."
    )
    ssh_public_key: SshPublicKey = Field(
        description="OpenSSH public key that may log in to the nodes; becomes the cluster's keypair.",
        examples=["ssh-ed25519 AAAAC3… name"],
    )
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = Field(
        default_factory=dict,
        description="Labels passed to the Magnum template; their meaning is the driver's. All values are text.",
        examples=[{"auto_healing_enabled": "true"}],
    )
    external_network: CloudText | None = Field(
        default=None, description="Neutron network for floating IPs and load balancers; the driver's when left out."
    )
    fixed_network: CloudText | None = Field(
        default=None,
        description="Neutron network, by name or id, that the nodes stand in; the driver makes one when left out. "
        "It cannot be changed later.",
    )
    fixed_subnet: CloudText | None = Field(
        default=None, description="Subnet of `fixedNetwork`, by name or id; the network's first when left out."
    )
    volume_driver: Literal["cinder"] | None = Field(
        default="cinder", description="Who gives pods their volumes; null leaves it to the driver."
    )
    network_driver: Literal["calico", "cilium", "flannel"] | None = Field(
        default=None, description="Pod network (CNI); the driver's own choice when left out."
    )
    docker_volume_size: int | None = Field(
        default=None,
        ge=1,
        le=16384,
        description="Cinder volume for container images on each node, GiB; none if absent.",
    )
    master_load_balancer: bool = Field(default=True, description="Whether a load balancer stands before the masters.")
    floating_ip: bool = Field(default=True, description="Whether the API and the nodes get floating IPs.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        found, seen = [], dict[str, int]()
        for index, group in enumerate(self.node_groups):
            if group.name in seen:
                at = path_of(("nodeGroups", seen[group.name]))
                found.append(At(("nodeGroups", index, "name"), f"{group.name} is {at} already", "use each name once"))
            seen.setdefault(group.name, index)
        if self.masters.count > 1 and not self.master_load_balancer:
            right = "set it to true, or use one master"
            found.append(At(("masterLoadBalancer",), f"is false with {self.masters.count} masters", right))
        if self.fixed_subnet is not None and self.fixed_network is None:
            found.append(At(("fixedSubnet",), "is a subnet of no network", "declare fixedNetwork, too"))
        if found:
            raise wrongs(found)
        return self
