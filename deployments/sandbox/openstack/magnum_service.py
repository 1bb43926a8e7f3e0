"""Magnum's API and conductor in one process, joined by an in-memory transport."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

from pathlib import Path
from typing import Any

from deployments.sandbox.openstack import magnum_lateness, migrations, writers
from deployments.sandbox.openstack.faults import FaultFile
from deployments.sandbox.openstack.server import serve

STATUS_SECONDS = 1.0
"""How often operations under way are looked at; Magnum's own 10 s is hard-coded in a decorator."""


def run(home: Path, host: str, port: int) -> None:
    """Serve the container-infra API until SIGTERM."""
    # Magnum leaves transactions open after some reads: only what says that it writes may begin as a writer.
    migrations.prepare("magnum", home, writers.declared())
    from magnum.common import service as magnum_service

    magnum_service.prepare_service(["magnum", "--config-file", str(home / "openstack/magnum/magnum.conf")])
    from deployments.sandbox.openstack import magnum_driver

    magnum_driver.SandboxDriver.home = home
    conductor = _conductor(FaultFile(home / "faults.json"))
    from magnum.api import app
    from magnum.common import policy

    application = app.load_app()
    policy.init().load_rules()
    magnum_driver.resume()
    conductor.start()
    conductor.create_periodic_tasks()
    serve(application, host, port, stop=conductor.stop)


def _conductor(faults: FaultFile) -> Any:
    """What magnum-conductor runs."""
    import magnum.conf
    from magnum.common import rpc_service, short_id
    from magnum.conductor import utils
    from magnum.conductor.handlers import (
        ca_conductor,
        cluster_conductor,
        conductor_listener,
        credential_conductor,
        federation_conductor,
        indirection_api,
        nodegroup_conductor,
    )
    from magnum.service import periodic

    periodic.MagnumPeriodicTasks._periodic_spacing["sync_cluster_status"] = STATUS_SECONDS
    modules = (
        *(indirection_api, cluster_conductor, conductor_listener, credential_conductor),
        *(ca_conductor, federation_conductor, nodegroup_conductor),
    )
    handlers = [module.Handler() for module in modules]
    magnum_lateness.delay(
        handlers, utils, faults, lambda context, uuid: str(utils.retrieve_cluster(context, uuid).name)
    )
    topic = magnum.conf.CONF.conductor.topic
    return rpc_service.Service.create(topic, short_id.generate_id(), handlers, binary="magnum-conductor")
