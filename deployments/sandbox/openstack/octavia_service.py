"""Octavia's API, and its provider in a thread beside it."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import sys
from pathlib import Path

from deployments.sandbox.openstack import database, migrations, policies, schemas, writers
from deployments.sandbox.openstack.server import serve


def run(home: Path, host: str, port: int) -> None:
    """Serve the load balancer API until SIGTERM."""
    outermost = writers.Outermost()
    database.tune(outermost)
    migrations.prepare("octavia", home)
    sys.argv = ["octavia-api", "--config-file", str(home / "openstack/octavia/octavia.conf")]
    schemas.without_pool_timeout()
    from octavia.common import policy
    from octavia.wsgi.api import application

    policies.load(policy.get_enforcer())
    from deployments.sandbox.openstack.octavia_driver import Worker

    Worker(home).start()
    serve(outermost.reading(application), host, port, stop=lambda: None)
