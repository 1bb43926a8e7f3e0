"""Glance: images; clusters need one with `os_distro`, its bytes are never read."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import os
import sys
from pathlib import Path

from deployments.sandbox.openstack import migrations
from deployments.sandbox.openstack.server import serve


def run(home: Path, host: str, port: int) -> None:
    """Serve the image API until SIGTERM."""
    migrations.prepare("glance", home)
    os.environ["OS_GLANCE_CONFIG_DIR"] = str(home / "openstack/glance")
    sys.argv = ["glance-api"]
    from glance.wsgi.api import application

    serve(application, host, port, stop=lambda: None)
