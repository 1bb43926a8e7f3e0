"""What the module is told: the typed form of `environment/variables.tf`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.spec.models import Environment


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Nodes(_Part):
    """A number of nodes of one flavor."""

    count: int
    flavor: str


class NodeGroup(Nodes):
    """A node group beside the default ones."""

    name: str
    min: int | None = None
    max: int | None = None


class Variables(_Part):
    """The module's variables, one field each; no secret among them."""

    environment: str
    cloud: str
    kubernetes_version: str
    image: str
    masters: Nodes
    nodes: Nodes
    node_groups: tuple[NodeGroup, ...] = ()
    ssh_public_key: str
    labels: dict[str, str] = {}
    external_network: str | None = None
    fixed_network: str | None = None
    fixed_subnet: str | None = None
    network_driver: str | None = None
    volume_driver: str | None = "cinder"
    docker_volume_size: int | None = None
    master_load_balancer: bool = True
    floating_ip: bool = True
    cluster_timeout: int = 60

    @classmethod
    def of(cls, environment: Environment, *, cluster_timeout: int = 60) -> Variables:
        """The variables for a declared environment.

        Args:
            environment: as git declares it.
            cluster_timeout: minutes an operation on the cluster may take.
        """
        cluster = environment.spec.cluster
        return cls(
            environment=environment.name,
            cloud=environment.spec.cloud,
            kubernetes_version=cluster.kubernetes,
            image=cluster.image,
            masters=Nodes(count=cluster.masters.count, flavor=cluster.masters.flavor),
            nodes=Nodes(count=cluster.nodes.count, flavor=cluster.nodes.flavor),
            node_groups=tuple(
                NodeGroup(name=group.name, count=group.count, flavor=group.flavor, min=group.min, max=group.max)
                for group in cluster.node_groups
            ),
            ssh_public_key=cluster.ssh_public_key,
            labels=dict(cluster.labels),
            external_network=cluster.external_network,
            fixed_network=cluster.fixed_network,
            fixed_subnet=cluster.fixed_subnet,
            network_driver=cluster.network_driver,
            volume_driver=cluster.volume_driver,
            docker_volume_size=cluster.docker_volume_size,
            master_load_balancer=cluster.master_load_balancer,
            floating_ip=cluster.floating_ip,
            cluster_timeout=cluster_timeout,
        )

    def document(self) -> dict[str, Any]:
        """The content of a `.tfvars.json` file."""
        return self.model_dump(mode="json")
