"""Nova's API alone: keypairs, flavors and quotas; there is no hypervisor."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from deployments.sandbox.openstack import migrations
from deployments.sandbox.openstack.server import serve


def run(home: Path, host: str, port: int) -> None:
    """Serve the compute API until SIGTERM."""
    folder = home / "openstack/nova"
    migrations.prepare("nova", home)
    _place_cells(folder)
    os.environ["OS_NOVA_CONFIG_DIR"] = str(folder)
    os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"
    sys.argv = ["nova-api", "--config-file", str(folder / "nova.conf")]
    from nova import policy
    from nova.wsgi.osapi_compute import application

    policy.init()
    policy._ENFORCER.load_rules()
    serve(application, host, port, stop=lambda: None)


def _place_cells(folder: Path) -> None:
    """Nova writes the cells' database URLs into its database: they have to be this folder's."""
    with closing(sqlite3.connect(folder / "api.sqlite")) as connection, connection:
        for name in ("cell0", "cell1"):
            connection.execute(
                "UPDATE cell_mappings SET database_connection = ? WHERE name = ?",
                (f"sqlite:///{folder / name}.sqlite", name),
            )
