"""Designate's API, central, worker, producer and mdns in one process, joined by an in-memory transport."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

from deployments.sandbox.openstack import migrations
from deployments.sandbox.openstack.server import serve


def run(home: Path, host: str, port: int) -> None:
    """Serve the DNS API until SIGTERM."""
    folder = home / "openstack/designate"
    migrations.prepare("designate", home)
    os.environ["OS_DESIGNATE_CONFIG_DIR"] = str(folder)
    # Selects oslo.service's threading backend; it has to come first.
    import designate.cmd  # noqa: F401
    from designate.api import wsgi

    application = wsgi.init_application()
    from deployments.sandbox.openstack.designate_backend import SandboxBackend

    SandboxBackend.folder = home / "dns"
    from designate import policy

    policy.init()
    policy._ENFORCER.load_rules()
    services = _services()
    for service in services:
        service.start()
    _load_pools(folder)
    threading.Thread(target=_resume, name="resume", daemon=True).start()

    def stop() -> None:
        for service in reversed(services):
            service.stop()

    serve(application, host, port, stop=stop)


def _services() -> list[Any]:
    from designate.central import service as central
    from designate.mdns import service as mdns
    from designate.producer import service as producer
    from designate.worker import service as worker

    return [central.Service(), worker.Service(), mdns.Service(), producer.Service()]


def _load_pools(folder: Path) -> None:
    """Tell Designate its pool, when it has changed: each update touches every zone."""
    path, done = folder / "pools.yaml", folder / "pools.loaded"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if done.exists() and done.read_text() == digest:
        return
    from designate.manage import pool

    pool.PoolCommands().update(str(path), delete=False)
    done.write_text(digest)


def _resume() -> None:
    """Take up what was under way when the in-memory transport was lost.

    Designate's own recovery waits until a change is older than the longest propagation.
    """
    from designate.context import DesignateContext
    from designate.worker import processing
    from designate.worker.tasks import zone as tasks

    class ResumeAll(tasks.RecoverShard):  # type: ignore[misc]
        """Every zone that waits, however young."""

        def _get_zones(self) -> list[Any]:
            return [
                zone
                for status in ("ERROR", "PENDING")
                for zone in self.storage.find_zones(self.context, {"status": status})
            ]

    context = DesignateContext.get_admin_context()
    context.all_tenants = True
    ResumeAll(processing.Executor(), context, 0, 4095)()
