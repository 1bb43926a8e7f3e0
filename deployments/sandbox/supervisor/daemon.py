"""The supervisor itself: everything of one sandbox under one process, until SIGTERM."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from deployments.sandbox.layout import Layout, write, write_json
from deployments.sandbox.preparation import passwords
from deployments.sandbox.settings import SandboxSettings
from deployments.sandbox.supervisor import control, programs
from deployments.sandbox.supervisor.clusters import Clusters
from deployments.sandbox.supervisor.content import EDITION, Seeder
from deployments.sandbox.supervisor.managed import Managed, end_left_over, identity
from deployments.sandbox.supervisor.web import GitServer, charts
from infra.clients.errors import PlumblineError, Refused

LOG = logging.getLogger(__name__)

LOCK_SECONDS = 2.0
SEEDED = ("keystone", "nova", "glance", "designate", "neutron", "cinder")
"""Services that are given content; the zone among it is there when it is answered."""
SEED_NEEDS = (*SEEDED, "dns")


class Supervisor:
    """Runs one sandbox."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._layout = layout = Layout(settings.home.absolute())
        self._started = time.time()
        self._content = "seeded" if self._filled() else "waiting"
        self.services = [
            Managed(program, grace=settings.stop_timeout, changed=self._record)
            for program in programs.services(settings, layout)
        ]
        self.clusters = Clusters(
            layout.clusters,
            first_port=settings.first_cluster_port,
            programs=programs.cluster(settings, layout),
            grace=settings.stop_timeout,
            changed=self._record,
        )

    async def run(self) -> None:
        """Start everything, and end it at SIGTERM or SIGINT."""
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        self._end_left_over()
        async with AsyncExitStack() as stack:
            await self._serve(stack)
            for service in self.services:
                service.start()
            self.clusters.load()
            seeding = asyncio.create_task(self._seed())
            await stopped.wait()
            LOG.info("Stopping")
            seeding.cancel()
            await self.clusters.stop()
            await asyncio.gather(*(service.stop() for service in self.services))
        self._layout.control.unlink(missing_ok=True)

    def status(self) -> dict[str, Any]:
        """All there is, for `status` and for those who wait."""
        rows = [_row(service) for service in self.services]
        clusters = []
        for uuid, (api, controllers) in self.clusters.processes.items():
            document = self.clusters.documents[uuid]
            row = {"uuid": uuid, "name": document["name"], "version": document["version"]}
            row |= {"api_address": document["api_address"], "nodes": len(document["nodes"])}
            clusters.append(row | {"api": _row(api), "controllers": _row(controllers)})
        seeded = self._content == "seeded"
        return {
            "pid": os.getpid(),
            "started": self._started,
            "ready": seeded and all(row["state"] == "ready" for row in (*rows, *(row["api"] for row in clusters))),
            "services": rows,
            "content": self._content,
            "clusters": clusters,
        }

    async def _serve(self, stack: AsyncExitStack) -> None:
        settings, layout = self._settings, self._layout
        token = secrets.token_urlsafe(32)
        api = control.application(token, self.clusters, self.status)
        for app, name in ((api, "control"), (charts(layout.charts), "charts")):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", settings.port(name), shutdown_timeout=5).start()
        git = GitServer(layout.git, settings.port("git"))
        git.start()
        stack.callback(git.stop)
        # Last: whoever reads it may call at once.
        write_json(layout.control, {"url": settings.url("control"), "token": token})

    async def _seed(self) -> None:
        """Fill the cloud once it answers; try again until that has worked once."""
        if self._filled():
            return
        urls = {name: self._settings.url(name) for name in SEEDED}
        seeder = Seeder(urls, passwords(self._layout), self._settings.loadbalancer_network)
        await asyncio.gather(*(service.ready.wait() for service in self.services if service.program.name in SEED_NEEDS))
        while True:
            try:
                await seeder.run()
                break
            except PlumblineError as error:
                self._content = str(error)
                LOG.warning("The cloud could not be filled: %s", error)
                await asyncio.sleep(2)
        write(self._layout.seeded, EDITION)
        self._content = "seeded"

    def _filled(self) -> bool:
        """Whether the cloud has all that this version fills it with."""
        return self._layout.seeded.exists() and self._layout.seeded.read_text() == EDITION

    def _record(self) -> None:
        """Note our children's numbers, so that they can be ended should we be killed."""
        managed = [*self.services, *(one for pair in self.clusters.processes.values() for one in pair)]
        running = [(one.pid, identity(one.pid)) for one in managed if one.pid is not None]
        write_json(self._layout.processes, [entry for entry in running if entry[1] is not None])

    def _end_left_over(self) -> None:
        count = end_left_over(left_over(self._layout), grace=self._settings.stop_timeout)
        if count:
            LOG.warning("Ended %d processes that an earlier supervisor left behind", count)


def left_over(layout: Layout) -> list[tuple[int, float]]:
    """Number and start time of the processes that were last noted."""
    if not layout.processes.exists():
        return []
    return [(int(pid), float(created)) for pid, created in json.loads(layout.processes.read_text())]


def _row(managed: Managed) -> dict[str, Any]:
    return {
        "name": managed.program.name,
        "state": managed.state,
        "pid": managed.pid,
        "port": managed.program.port,
        "restarts": managed.restarts,
        "detail": managed.detail,
    }


@contextmanager
def only_one(path: Path) -> Iterator[Callable[[], None]]:
    """Hold the sandbox's lock; gives a function that writes our number into it.

    Raises:
        Refused: another supervisor has it.
    """
    with path.open("a+") as handle:
        # Those who only ask whether we run hold it for a moment, too.
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Refused("Another supervisor runs this sandbox.") from error
                time.sleep(0.05)

        def claim() -> None:
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()

        yield claim
        handle.truncate(0)


def running(path: Path) -> int | None:
    """The number of the supervisor that holds the lock, None when there is none."""
    if not path.exists():
        return None
    with path.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(handle.read() or 0)
    return None
