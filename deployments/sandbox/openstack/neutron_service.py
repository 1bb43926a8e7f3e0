"""Neutron's API: networks, ports, routers, floating IPs and security groups; there are no agents."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import os
import sys
from pathlib import Path

from deployments.sandbox.openstack import migrations, writers
from deployments.sandbox.openstack.server import serve


def run(home: Path, host: str, port: int) -> None:
    """Serve the network API until SIGTERM."""
    migrations.prepare("neutron", home, writers.declared())
    os.environ["OS_NEUTRON_CONFIG_FILES"] = str(home / "openstack/neutron/neutron.conf")
    sys.argv = ["neutron-api"]
    from deployments.sandbox.openstack.neutron_driver import SandboxMechanismDriver

    SandboxMechanismDriver.home = home
    from neutron import policy
    from neutron.wsgi.api import application

    policy.init()
    policy._ENFORCER.load_rules()
    serve(application, host, port, stop=lambda: None)
