"""The sandbox's own settings: where it keeps its state and which ports it takes, prefix PLUMBLINE_SANDBOX_."""

from __future__ import annotations

import hashlib
import socket
import sys
from functools import lru_cache
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Literal

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

OFFSETS = {
    "keystone": 0,
    "nova": 1,
    "glance": 2,
    "magnum": 3,
    "designate": 4,
    "mdns": 5,
    "dns": 6,
    "resolver": 7,
    "charts": 8,
    "git": 9,
    "control": 10,
    "github": 11,
    "neutron": 12,
    "cinder": 13,
    "octavia": 14,
    "acme": 17,
    "acme_management": 18,
}
"""Distance of each port from the base."""

CLUSTERS_OFFSET = 20

OptionalPort = Annotated[int | None, Field(default=None, ge=1024, le=65535)]


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
    port_keystone: OptionalPort = Field(description="Keystone; base + 0 when unset.")
    port_nova: OptionalPort = Field(description="Nova; base + 1 when unset.")
    port_glance: OptionalPort = Field(description="Glance; base + 2 when unset.")
    port_magnum: OptionalPort = Field(description="Magnum; base + 3 when unset.")
    port_designate: OptionalPort = Field(description="Designate; base + 4 when unset.")
    port_mdns: OptionalPort = Field(description="Designate's hidden primary (AXFR); base + 5 when unset.")
    port_dns: OptionalPort = Field(description="Both authoritative name servers; base + 6 when unset.")
    port_resolver: OptionalPort = Field(description="The caching resolver; base + 7 when unset.")
    port_charts: OptionalPort = Field(description="The chart repository; base + 8 when unset.")
    port_git: OptionalPort = Field(description="Git over HTTP; base + 9 when unset.")
    port_control: OptionalPort = Field(description="The supervisor's control API; base + 10 when unset.")
    port_github: OptionalPort = Field(description="The stand-in for GitHub; base + 11 when unset.")
    port_neutron: OptionalPort = Field(description="Neutron; base + 12 when unset.")
    port_cinder: OptionalPort = Field(description="Cinder; base + 13 when unset.")
    port_octavia: OptionalPort = Field(description="Octavia; base + 14 when unset.")
    port_acme: OptionalPort = Field(description="The ACME server; base + 17 when unset.")
    port_acme_management: OptionalPort = Field(description="Where it tells its root; base + 18 when unset.")
    port_clusters: OptionalPort = Field(description="First API server; the next clusters follow. Base + 20 when unset.")
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


@lru_cache(maxsize=1)
def get_sandbox_settings() -> SandboxSettings:
    """The settings of this process, read once from the environment."""
    return SandboxSettings()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
