"""Octavia's API, and its provider in a thread beside it."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from deployments.sandbox.openstack import migrations, schemas, writers
from deployments.sandbox.openstack.server import serve


def run(home: Path, host: str, port: int) -> None:
    """Serve the load balancer API until SIGTERM."""
    outermost = writers.Outermost()
    migrations.prepare("octavia", home, outermost)
    sys.argv = ["octavia-api", "--config-file", str(home / "openstack/octavia/octavia.conf")]
    schemas.without_pool_timeout()
    _attributes_as_defined()
    from octavia.common import policy
    from octavia.wsgi.api import application

    policy.get_enforcer().load_rules()
    from deployments.sandbox.openstack.octavia_driver import Worker

    Worker(home).start()
    serve(outermost.reading(application), host, port, stop=lambda: None)


def _attributes_as_defined() -> None:
    """Sort the attributes of the API's types as classes hold them.

    WSME reads the order from each class's source, parsed anew for each: four seconds of the start.
    """
    import wsme.types

    def sort(class_: type, attributes: list[Any]) -> None:
        keys = [key for part in class_.__mro__ for key in vars(part)]
        attributes.sort(key=lambda attribute: keys.index(attribute.key))

    wsme.types.sort_attributes = sort
