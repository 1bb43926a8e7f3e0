"""The provider "openstack": its arguments, and what it manages."""

from __future__ import annotations

import threading

from deployments.sandbox.provider.cloud import Cloud
from deployments.sandbox.provider.cluster import Cluster
from deployments.sandbox.provider.clustertemplate import ClusterTemplate
from deployments.sandbox.provider.dns import FindZone, Recordset, Zone
from deployments.sandbox.provider.keypair import Keypair
from deployments.sandbox.provider.nodegroup import NodeGroup
from deployments.sandbox.provider.servicer import Servicer
from deployments.sandbox.provider.tables import State, Table, table

RESOURCES = (Keypair, ClusterTemplate, Cluster, NodeGroup, Zone, Recordset)
SOURCES = (FindZone,)

# Most variables (OS_AUTH_URL, OS_PASSWORD, …) are read by openstacksdk itself, which knows the same names.
_ROWS = """
    auth_url                      string optional
    region                        string optional
    user_name                     string optional
    user_id                       string optional
    application_credential_id     string optional
    application_credential_name   string optional
    application_credential_secret string optional
    tenant_id                     string optional
    tenant_name                   string optional
    password                      string optional sensitive
    token                         string optional
    user_domain_name              string optional
    user_domain_id                string optional
    project_domain_name           string optional
    project_domain_id             string optional
    domain_id                     string optional
    domain_name                   string optional
    default_domain                string optional
    system_scope                  bool   optional
    insecure                      bool   optional
    endpoint_type                 string optional
    cacert_file                   string optional
    cert                          string optional
    key                           string optional
    swauth                        bool   optional
    delayed_auth                  bool   optional
    allow_reauth                  bool   optional
    cloud                         string optional
    max_retries                   number optional default=0
    endpoint_overrides            map    optional
    disable_no_cache_header       bool   optional default=false
    enable_logging                bool   optional default=false
"""
PROVIDER = Table(table(_ROWS).arguments[1:])
"""The provider's arguments: a table without `id`."""


def servicer() -> Servicer:
    """The provider, ready to be served."""
    return Servicer(PROVIDER, RESOURCES, SOURCES, _connect)


def _connect(config: State, stopping: threading.Event) -> Cloud:
    # Imported when first needed: openstacksdk takes half a second, and schema and validation do without it.
    from deployments.sandbox.provider.connect import connect  # noqa: PLC0415

    return connect(config, stopping)
