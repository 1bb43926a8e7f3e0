"""What the OpenStack client returns: small frozen models with the services' own words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Model(BaseModel):
    """Frozen; fields of newer services are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Keypair(Model):
    """A Nova keypair."""

    name: str
    fingerprint: str = ""
    public_key: str = ""
    user_id: str | None = None
    created_at: str | None = None


class Flavor(Model):
    """A Nova flavor."""

    id: str
    name: str
    vcpus: int
    ram_mb: int = Field(alias="ram")
    disk_gb: int = Field(default=0, alias="disk")


class Image(Model):
    """A Glance image; Magnum wants one with `os_distro`."""

    id: str
    name: str | None = None
    status: str
    os_distro: str | None = None


class Named(Model):
    """What can be declared by its name or its id."""

    id: str
    name: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Both of them; a thing need not have a name."""
        return (self.id, self.name) if self.name else (self.id,)


class Network(Named):
    """A Neutron network."""

    external: bool = Field(default=False, alias="router:external")
    """Whether floating IPs come from it."""


class Subnet(Named):
    """A Neutron subnet."""

    network_id: str


class Usage(Model):
    """One quota: how much there is and how much of it is used; a limit of None is no limit."""

    limit: int | None
    used: int

    @property
    def free(self) -> int | None:
        """What is left, None for no limit."""
        return None if self.limit is None else max(0, self.limit - self.used)


def limit_of(value: Any) -> int | None:
    """A quota as the services say it: -1 is no limit."""
    return None if value is None or int(value) < 0 else int(value)


class Limits(Model):
    """What the project may still use; None where the cloud does not tell."""

    cores: Usage | None = None
    ram_mb: Usage | None = None
    instances: Usage | None = None
    clusters: Usage | None = None
    volumes: Usage | None = None
    volume_gb: Usage | None = None
    floating_ips: Usage | None = None
    load_balancers: Usage | None = None


def _lists(value: object) -> object:
    return () if value is None else value


def _labels(value: object) -> object:
    return {} if value is None else value


class ClusterTemplate(Model):
    """A Magnum cluster template."""

    uuid: str
    name: str
    coe: str = "kubernetes"
    image_id: str | None = None
    flavor_id: str | None = None
    master_flavor_id: str | None = None
    keypair_id: str | None = None
    network_driver: str | None = None
    volume_driver: str | None = None
    external_network_id: str | None = None
    fixed_network: str | None = None
    fixed_subnet: str | None = None
    dns_nameserver: str | None = None
    docker_volume_size: int | None = None
    floating_ip_enabled: bool | None = None
    master_lb_enabled: bool | None = None
    tls_disabled: bool | None = None
    public: bool | None = None
    hidden: bool | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    user_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None

    _no_labels = field_validator("labels", mode="before")(_labels)


class Cluster(Model):
    """A Magnum cluster. LIST answers carry fewer fields than GET: the missing ones are None or empty."""

    uuid: str
    name: str
    status: str | None = None
    status_reason: str | None = None
    health_status: str | None = None
    health_status_reason: dict[str, Any] = Field(default_factory=dict)
    api_address: str | None = None
    coe_version: str | None = None
    cluster_template_id: str | None = None
    stack_id: str | None = None
    keypair: str | None = None
    master_count: int | None = None
    node_count: int | None = None
    flavor_id: str | None = None
    master_flavor_id: str | None = None
    fixed_network: str | None = None
    fixed_subnet: str | None = None
    master_addresses: tuple[str, ...] = ()
    node_addresses: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    faults: dict[str, str] = Field(default_factory=dict)
    create_timeout: int | None = None
    project_id: str | None = None
    user_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None

    _no_list = field_validator("master_addresses", "node_addresses", mode="before")(_lists)
    _no_dict = field_validator("labels", "health_status_reason", "faults", mode="before")(_labels)

    @property
    def in_progress(self) -> bool:
        """Magnum is working on it."""
        return (self.status or "").endswith("_IN_PROGRESS")

    @property
    def complete(self) -> bool:
        """The last operation ended well, as far as this answer knows."""
        return (self.status or "").endswith("_COMPLETE")

    @property
    def failed(self) -> bool:
        """The last operation failed."""
        return (self.status or "").endswith("_FAILED")

    @property
    def why(self) -> str:
        """Every cause Magnum gives: the status reason and the faults of its resources."""
        parts = [self.status_reason or "", *(f"{name}: {text}" for name, text in sorted(self.faults.items()))]
        return "; ".join(part for part in parts if part)


class NodeGroup(Model):
    """A node group of a cluster; `default-master` and `default-worker` always exist."""

    uuid: str
    name: str
    role: str
    node_count: int
    min_node_count: int = 0
    max_node_count: int | None = None
    flavor_id: str | None = None
    image_id: str | None = None
    status: str | None = None
    status_reason: str | None = None
    is_default: bool = False
    node_addresses: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    version: str | None = None
    created_at: str | None = None
    updated_at: str | None = None

    _no_list = field_validator("node_addresses", mode="before")(_lists)
    _no_dict = field_validator("labels", mode="before")(_labels)


class Zone(Model):
    """A Designate zone; names end with a dot."""

    id: str
    name: str
    status: str
    action: str = "NONE"
    ttl: int
    serial: int
    email: str | None = None
    type: str = "PRIMARY"
    project_id: str | None = None
    shared: bool = False


class NameServer(Model):
    """A name server a zone is served by."""

    hostname: str
    priority: int = 0


class TtlBounds(Model):
    """The TTLs a recordset may have, in seconds."""

    smallest: int
    largest: int


class Recordset(Model):
    """A Designate recordset; names end with a dot, records are sorted."""

    id: str
    zone_id: str
    zone_name: str = ""
    name: str
    type: str
    records: tuple[str, ...]
    ttl: int | None = None
    status: str
    action: str = "NONE"
    description: str | None = None
    updated_at: str | None = None

    @field_validator("records", mode="before")
    @classmethod
    def _sorted(cls, value: object) -> object:
        return tuple(sorted(str(item) for item in value)) if isinstance(value, list | tuple) else value


class Attachment(Model):
    """Of a volume, to a server that may be gone."""

    id: str = Field(alias="attachment_id")
    server: str | None = Field(default=None, alias="server_id")


class Leftover(Model):
    """A thing in the project that carries an environment's name or mark."""

    kind: str
    id: str
    name: str = ""
    why: str
    """What about it says that it belongs to the environment."""
    parent: str | None = None
    """The zone of a recordset."""
    status: str = ""
    """As its service has it, in lower case; empty where it has none."""
    attachments: tuple[Attachment, ...] = ()
    """Where a volume is attached."""

    @property
    def going(self) -> bool:
        """Its service is deleting it, or has to end something else first."""
        return self.status == "deleting" or self.status.startswith("pending_")


class Leftovers(Model):
    """What a sweep found, and where it could not look."""

    found: tuple[Leftover, ...] = ()
    not_looked: dict[str, str] = Field(default_factory=dict)
    """Service -> why it was not looked at; empty means that every service of the catalogue was."""
    absent: tuple[str, ...] = ()
    """Services the cloud does not have, so that nothing can be left there."""


def moment(text: str | None) -> datetime | None:
    """A time as OpenStack writes it, in UTC; None for none, or what is not one."""
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found and found.tzinfo else found and found.replace(tzinfo=UTC)
