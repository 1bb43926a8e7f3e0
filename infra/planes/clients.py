"""The clients a plane may use, bundled once per run."""

from __future__ import annotations

from dataclasses import dataclass

from infra.catalog import Catalog
from infra.clients.dns import DnsClient
from infra.clients.git import GitClient
from infra.clients.helm import HelmClient
from infra.clients.kubernetes import KubernetesClient
from infra.clients.openstack import OpenStackClient
from infra.clients.secrets import SecretStore
from infra.clients.tls import TlsClient
from infra.ledger import Journal
from infra.settings import Settings
from infra.terraform.runner import Terraform


@dataclass(frozen=True)
class Clients:
    """One client per outside system, for one environment."""

    settings: Settings
    catalog: Catalog
    journal: Journal
    openstack: OpenStackClient
    terraform: Terraform
    dns: DnsClient
    tls: TlsClient
    git: GitClient
    secrets: SecretStore
    kubernetes: KubernetesClient
    """Connects at its first call: the cluster need not exist before."""
    helm: HelmClient
