"""The sandbox's own settings: where it keeps its state and which ports it takes, prefix PLUMBLINE_SANDBOX_."""

from __future__ import annotations

import hashlib
import socket
import sys
from functools import lru_cache
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from deployments.sandbox.upstream import build

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout."""

LOCK = ROOT / "deployments/sandbox/requirements.txt"
"""What OpenStack is installed from."""

NAME_SERVERS = {"ns1": "127.0.53.1", "ns2": "127.0.53.2"}
"""The two authoritative servers and the addresses they answer on."""

BEHIND = "127.0.0.2"
"""Where OpenStack's services listen: at the ports of 127.0.0.1 that their clients know stands the front proxy."""

HOST = "127.0.0.1"
"""Where everything else listens."""

CLUSTERS_OFFSET = 20


def _port(offset: int, what: str) -> Any:
    description, extra = f"{what}; base + {offset} when unset.", dict[str, Any](offset=offset)
    return Field(default=None, ge=1024, le=65535, description=description, json_schema_extra=extra)


def cached_venv() -> Path:
    """Where OpenStack is installed once for each lock and each Python that it is installed with."""
    digest = hashlib.sha256(LOCK.read_bytes())
    for part in (sys.version, sys.base_prefix):
        digest.update(part.encode())
    return build.cache() / "openstack" / digest.hexdigest()[:16]


class SandboxSettings(BaseSettings):
    """What can be set about the sandbox. The defaults suit one sandbox per machine."""

    model_config = SettingsConfigDict(env_prefix="PLUMBLINE_SANDBOX_", extra="ignore", frozen=True)

    home: Path = Field(default=ROOT / ".sandbox", description="Folder with all of the sandbox's state (mode 0700).")
    venv: Path = Field(
        default_factory=cached_venv,
        description="Virtual environment that holds OpenStack, made when missing; by default in the user's cache.",
    )
    port_base: int = Field(
        default=15000, ge=1024, le=64000, description="First port; each service listens at a fixed distance from it."
    )
    port_keystone: int | None = _port(0, "Keystone")
    port_nova: int | None = _port(1, "Nova")
    port_glance: int | None = _port(2, "Glance")
    port_magnum: int | None = _port(3, "Magnum")
    port_designate: int | None = _port(4, "Designate")
    port_mdns: int | None = _port(5, "Designate's hidden primary (AXFR)")
    port_dns: int | None = _port(6, "Both authoritative name servers")
    port_resolver: int | None = _port(7, "The caching resolver")
    port_charts: int | None = _port(8, "The chart repository")
    port_git: int | None = _port(9, "Git over HTTP")
    port_control: int | None = _port(10, "The supervisor's control API")
    port_github: int | None = _port(11, "The stand-in for GitHub")
    port_neutron: int | None = _port(12, "Neutron")
    port_cinder: int | None = _port(13, "Cinder")
    port_octavia: int | None = _port(14, "Octavia")
    port_acme: int | None = _port(17, "The ACME server")
    port_acme_management: int | None = _port(18, "Where it tells its root")
    port_clusters: int | None = _port(CLUSTERS_OFFSET, "First API server; the next clusters follow")
    terraform_providers: Literal["auto", "registry", "mirror"] = Field(
        default="auto",
        description="Where terraform gets its provider from; auto: the registry where it can be reached when the "
        "sandbox is first started, else a mirror with a build of upstream's.",
    )
    loadbalancer_network: IPv4Network = Field(
        default=IPv4Network("127.77.0.0/16"), description="Loopback addresses for Services of type LoadBalancer."
    )
    ingress_https_port: int = Field(default=8443, ge=1, le=65535, description="Where the ingress serves TLS.")
    ingress_http_port: int = Field(default=8080, ge=1, le=65535, description="Where the ingress serves plain HTTP.")
    ready_timeout: float = Field(default=180, gt=0, le=3600, description="Seconds `up` waits until all is ready.")
    stop_timeout: float = Field(default=15, gt=0, le=600, description="Seconds a process gets to end by itself.")

    @model_validator(mode="after")
    def _loopback_only(self) -> SandboxSettings:
        if not self.loadbalancer_network.subnet_of(IPv4Network("127.0.0.0/8")):
            raise ValueError(f"loadbalancer_network {self.loadbalancer_network} is not within 127.0.0.0/8.")
        return self

    def port(self, name: str) -> int:
        """The port of `name`, one of OFFSETS."""
        own: int | None = getattr(self, f"port_{name}")
        return own if own is not None else self.port_base + OFFSETS[name]

    def url(self, name: str, path: str = "") -> str:
        """The loopback URL of `name`."""
        return f"http://127.0.0.1:{self.port(name)}{path}"

    @property
    def first_cluster_port(self) -> int:
        """Where the search for a new cluster's port begins."""
        return self.port_clusters if self.port_clusters is not None else self.port_base + CLUSTERS_OFFSET

    def ports(self) -> dict[str, int]:
        """Every fixed port by name."""
        return {name: self.port(name) for name in OFFSETS}


OFFSETS: dict[str, int] = {
    name.removeprefix("port_"): field.json_schema_extra["offset"]  # type: ignore[index, misc]
    for name, field in SandboxSettings.model_fields.items()
    if field.json_schema_extra and name != "port_clusters"
}
"""Distance of each fixed port from the base."""


@lru_cache(maxsize=1)
def get_sandbox_settings() -> SandboxSettings:
    """The settings of this process, read once from the environment."""
    return SandboxSettings()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
