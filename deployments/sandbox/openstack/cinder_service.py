"""Cinder's API, scheduler and volume manager in one process, joined by an in-memory transport."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from deployments.sandbox.openstack import migrations, writers
from deployments.sandbox.openstack.server import serve

HOST = "sandbox@sandbox"


def run(home: Path, host: str, port: int) -> None:
    """Serve the block storage API until SIGTERM."""
    os.environ["OS_CINDER_DISABLE_EVENTLET_PATCHING"] = "1"
    # Selects oslo.service's threading backend; it has to come first.
    from cinder import monkey_patch

    monkey_patch.patch("threading")
    migrations.prepare("cinder", home, writers.declared())
    sys.argv = ["cinder-api", "--config-file", str(home / "openstack/cinder/cinder.conf")]
    from deployments.sandbox.openstack.cinder_driver import SandboxVolumeDriver

    SandboxVolumeDriver.home = home
    from cinder import policy
    from cinder.wsgi.api import application

    policy.init()
    policy._ENFORCER.load_rules()
    _copyable()
    services = _services()
    for service in services:
        service.start()
    _resume()

    def stop() -> None:
        for service in reversed(services):
            service.stop()

    serve(application, host, port, stop=stop)


def _services() -> list[Any]:
    """The scheduler and the volume manager, in the order in which they are to start.

    Cinder keeps the id of a process's service in the class: the one that starts last has it. That has to be the volume
    manager, which finds its unfinished work by it.
    """
    import os_brick
    from cinder import context, objects, service
    from oslo_config import cfg

    os_brick.setup(cfg.CONF)

    class Scheduler(service.Service):  # type: ignore[misc]
        """A service that reports as itself, whoever started last."""

        def report_state(self) -> None:
            reference = objects.Service.get_by_id(context.get_admin_context(), self.origin_service_id)
            reference.report_count += 1
            reference.save()

    volume = service.Service.create(host=HOST, service_name="sandbox", binary="cinder-volume", coordination=False)
    return [Scheduler.create(binary="cinder-scheduler"), volume]


def _copyable() -> None:
    """Over the in-memory transport answers are the objects themselves, and the API copies the pools it is given."""
    from cinder.scheduler import host_manager

    host_manager.ReadOnlyDict.copy = lambda pool: dict(pool.data)


def _resume() -> None:
    """Take up what was under way when the in-memory transport was lost.

    What is to be deleted is deleted. What was being made is an error, as it is when no backend was found: what exactly
    was asked for stood in the lost message alone.
    """
    from cinder import context, objects
    from cinder.volume import rpcapi

    admin = context.get_admin_context()
    volumes, manager = objects.VolumeList, rpcapi.VolumeAPI()
    for volume in volumes.get_all(admin, filters={"status": ["creating", "downloading"]}):
        volume.status = "error"
        volume.save()
    for volume in volumes.get_all(admin, filters={"status": "extending"}):
        volume.status = "in-use" if volume.attach_status == "attached" else "available"
        volume.save()
    for snapshot in objects.SnapshotList.get_all(admin, {"status": "creating"}):
        snapshot.status = "error"
        snapshot.save()
    for snapshot in objects.SnapshotList.get_all(admin, {"status": "deleting"}):
        manager.delete_snapshot(admin, snapshot)
    for volume in volumes.get_all(admin, filters={"status": "deleting"}):
        manager.delete_volume(admin, volume)
