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

from deployments.sandbox.openstack import database, schemas
from deployments.sandbox.openstack.config import SERVICES


def databases(service: str, home: Path) -> dict[str, Path]:
    """The database files of a service, by name."""
    folder = home / "openstack" / service
    names = ("api", "cell0", "cell1") if service == "nova" else ("db",)
    return {f"{service}-{name}.sqlite": folder / f"{name}.sqlite" for name in names}


def prepare(service: str, home: Path) -> bool:
    """Make the databases of a service where they are missing; returns whether they were made now."""

    def migrate() -> None:
        subprocess.run(
            [
                sys.executable,
                *("-P", "-W", "ignore"),
                "-m",
                "deployments.sandbox.openstack.migrations",
                service,
                "--home",
                str(home),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
        )

    return database.initialise(databases(service, home), migrate)


def keystone(home: Path) -> None:
    """Alembic, from nothing to the newest."""
    _manage("keystone-manage", home / "openstack/keystone/keystone.conf", "db_sync")


def glance(home: Path) -> None:
    """Alembic, from nothing to the newest."""
    _manage("glance-manage", home / "openstack/glance/glance-api.conf", "db_sync")


def designate(home: Path) -> None:
    """Alembic, from nothing to the newest."""
    _manage("designate-manage", home / "openstack/designate/designate.conf", "database", "sync")


def _manage(program: str, conf: Path, *arguments: str) -> None:
    path = Path(sys.prefix) / "bin" / program
    subprocess.run([sys.executable, "-W", "ignore", path, "--config-file", conf, *arguments], check=True)


def magnum(home: Path) -> None:
    """Tables from the models: Magnum's migrations add constraints to tables, which SQLite cannot."""
    from magnum.common import service

    service.prepare_service(["magnum", "--config-file", str(home / "openstack/magnum/magnum.conf")])
    from magnum.db.sqlalchemy import api, models
    from oslo_db.sqlalchemy import enginefacade

    # Importing the API module configures the facade.
    if api.CONF.database.connection:
        models.Base.metadata.create_all(enginefacade.writer.get_engine())


def nova(home: Path) -> None:
    """The API database, cell0 and cell1, in one process instead of four nova-manage calls."""
    os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    from nova import config, context, objects
    from nova.cmd import manage
    from nova.db import migration
    from nova.objects import cell_mapping

    folder = home / "openstack/nova"
    config.parse_args(["nova-manage", "--config-file", str(folder / "nova.conf")])
    objects.register_all()
    migration.db_sync(database="api")
    cells = manage.CellV2Commands()
    cells.map_cell0(database_connection=f"sqlite:///{folder / 'cell0.sqlite'}")
    cell0 = cell_mapping.CellMapping.get_by_uuid(context.get_admin_context(), cell_mapping.CellMapping.CELL0_UUID)
    with context.target_cell(context.RequestContext(), cell0) as target:
        migration.db_sync(context=target)
    migration.db_sync(database="main")
    cells.create_cell(name="cell1")


def cinder(home: Path) -> None:
    """Alembic, from nothing to the newest."""
    os.environ["OS_CINDER_DISABLE_EVENTLET_PATCHING"] = "1"
    _manage("cinder-manage", home / "openstack/cinder/cinder.conf", "db", "sync")


def neutron(home: Path) -> None:
    """Tables from the models, as with Magnum, and what the migrations would have put into them."""
    schemas.neutron(home / "openstack/neutron/neutron.conf")


def octavia(home: Path) -> None:
    """Tables from the models, as with Magnum, and what the migrations would have put into them."""
    schemas.octavia(home / "openstack/octavia/octavia.conf")


MIGRATIONS: dict[str, Callable[[Path], None]] = {
    "keystone": keystone,
    "nova": nova,
    "glance": glance,
    "magnum": magnum,
    "designate": designate,
    "neutron": neutron,
    "cinder": cinder,
    "octavia": octavia,
}


def main() -> None:
    """Parse the command line and migrate."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.openstack.migrations", description=__doc__)
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    os.umask(0o077)
    database.tune()
    MIGRATIONS[arguments.service](arguments.home)


if __name__ == "__main__":
    main()
