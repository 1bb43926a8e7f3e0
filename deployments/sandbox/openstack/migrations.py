"""`python -m deployments.sandbox.openstack.migrations SERVICE --home DIR`: makes one service's databases.

A process of its own: the services' management commands register command line options that clash with the APIs'.
"""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployments.sandbox.openstack import config, database, schemas


def databases(service: str, home: Path) -> dict[str, Path]:
    """The database files of a service, by name."""
    folder = home / "openstack" / service
    names = ("api", "cell0", "cell1") if service == "nova" else ("db",)
    return {f"{service}-{name}.sqlite": folder / f"{name}.sqlite" for name in names}


def prepare(service: str, home: Path, writes: Callable[[Any], bool] | None = None) -> None:
    """Make the databases of a service where they are missing, and have it work with them; see `database.tune`."""
    database.tune(writes)
    module = "deployments.sandbox.openstack.migrations"
    argv = [sys.executable, "-P", "-W", "ignore", "-m", module, service, "--home", str(home)]
    database.initialise(databases(service, home), lambda: subprocess.run(argv, check=True, stdin=subprocess.DEVNULL))


def magnum(conf: Path) -> None:
    """Tables from the models: Magnum's migrations add constraints to tables, which SQLite cannot."""
    from magnum.common import service

    service.prepare_service(["magnum", "--config-file", str(conf)])
    from magnum.db.sqlalchemy import api, models
    from oslo_db.sqlalchemy import enginefacade

    # Importing the API module configures the facade.
    if api.CONF.database.connection:
        models.Base.metadata.create_all(enginefacade.writer.get_engine())


def nova(conf: Path) -> None:
    """The API database, cell0 and cell1, in one process instead of four nova-manage calls."""
    os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    from nova import config as nova_config
    from nova import context, objects
    from nova.cmd import manage
    from nova.db import migration
    from nova.objects import cell_mapping

    nova_config.parse_args(["nova-manage", "--config-file", str(conf)])
    objects.register_all()
    migration.db_sync(database="api")
    cells = manage.CellV2Commands()
    cells.map_cell0(database_connection=f"sqlite:///{conf.with_name('cell0.sqlite')}")
    cell0 = cell_mapping.CellMapping.get_by_uuid(context.get_admin_context(), cell_mapping.CellMapping.CELL0_UUID)
    with context.target_cell(context.RequestContext(), cell0) as target:
        migration.db_sync(context=target)
    migration.db_sync(database="main")
    cells.create_cell(name="cell1")


MANAGED = {
    "keystone": ("db_sync",),
    "glance": ("db_sync",),
    "designate": ("database", "sync"),
    "cinder": ("db", "sync"),
}
"""Alembic, from nothing to the newest: what the service's management command is told."""
MADE = {"magnum": magnum, "nova": nova, "neutron": schemas.neutron, "octavia": schemas.octavia}
"""What makes the other services' databases."""


def migrate(service: str, home: Path) -> None:
    """Make the databases of a service from nothing."""
    conf = config.conf(home / "openstack", service)
    if service in MADE:
        MADE[service](conf)
        return
    program = f"{sys.prefix}/bin/{service}-manage"
    argv = [sys.executable, "-W", "ignore", program, "--config-file", str(conf)]
    environment = os.environ | {"OS_CINDER_DISABLE_EVENTLET_PATCHING": "1"}
    subprocess.run([*argv, *MANAGED[service]], check=True, env=environment)


def main() -> None:
    """Parse the command line and migrate."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.openstack.migrations", description=__doc__)
    parser.add_argument("service", choices=config.SERVICES)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--template", action="store_true", help="keep them for the next home, too")
    arguments = parser.parse_args()
    os.umask(0o077)
    if arguments.template:
        prepare(arguments.service, arguments.home)
        return
    database.tune()
    migrate(arguments.service, arguments.home)


if __name__ == "__main__":
    main()
