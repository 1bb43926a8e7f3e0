"""What a cloud, a secret store and this machine have, as far as somebody could look: the input of the preflight.

Every field may be None: nobody could look. The preflight then says so, and never takes it for "all is well".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Flavor:
    """A Nova flavor."""

    name: str
    vcpus: int
    ram: int
    """MiB."""
    disk: int
    """GiB; 0 boots from a volume."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """A Glance image."""

    name: str
    os_distro: str | None
    id: str = ""
    min_ram: int = 0
    """MiB."""
    min_disk: int = 0
    """GiB."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of the project, and what is used of it."""

    limit: int
    """-1 for none."""
    used: int


@dataclass(frozen=True, slots=True)
class NodeCount:
    """Nodes that an existing cluster already has: they count in what is used."""

    flavor: str
    count: int


@dataclass(frozen=True, slots=True)
class ExistingCluster:
    """A cluster that bears the environment's name."""

    uuid: str
    ours: bool
    """Whether Plumbline made it (its Terraform state or the ledger knows it)."""
    kubernetes: str | None = None
    """Its version, where it is known."""
    fixed_network: str | None = None
    """The network it was made in, as its template named it; None for one of its own."""
    nodes: tuple[NodeCount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFacts:
    """Everything the preflight compares a declaration with."""

    restricted_credential: str | None = None
    """The restricted application credential that signs us in; None: it is not restricted, or not one."""
    flavors: tuple[Flavor, ...] | None = None
    images: tuple[Image, ...] | None = None
    networks: frozenset[str] | None = None
    """Names and ids of external networks."""
    subnets: Mapping[str, frozenset[str]] | None = None
    """Names and ids of the subnets of each network that nodes can stand in, by the network's name and by its id."""
    keypairs: Mapping[str, str] | None = None
    """Public keys by keypair name."""
    zones: frozenset[str] | None = None
    """Designate zones of the project, with the trailing dot."""
    block_storage: bool | None = None
    """Whether the cloud has Cinder."""
    availability_zones: frozenset[str] | None = None
    """Of Cinder."""
    volume_types: frozenset[str] | None = None
    """Names and ids of Cinder's volume types."""
    quotas: Mapping[str, Quota] | None = None
    """instances, cores, ram (MiB), volumes, gigabytes, floating_ips, load_balancers: those that are known."""
    cluster: ExistingCluster | None = None
    """None: there is none of this name."""
    cluster_known: bool = True
    """False: nobody could look whether there is one."""
    secrets: Mapping[str, frozenset[str]] | None = None
    """The keys of every secret, by its name; never their content."""
    tools: Mapping[str, str | None] = field(default_factory=dict)
    """Versions of `helm` and `terraform`; None for one that is not there."""
    addons: frozenset[str] | None = None
    """The catalogue's names."""
    addon_secrets: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    """By add-on: the secrets it takes from the store, and the keys each must have."""
