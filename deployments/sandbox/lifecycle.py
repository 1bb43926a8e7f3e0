"""`up`, `down`, `status` and `reset` as functions: what the command line calls."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deployments.sandbox import venv
from deployments.sandbox.layout import Layout, tail
from deployments.sandbox.openstack import database, migrations
from deployments.sandbox.openstack.config import SERVICES
from deployments.sandbox.openstack.control import Control, ControlError
from deployments.sandbox.preparation import prepare
from deployments.sandbox.settings import BEHIND, NAME_SERVERS, ROOT, SandboxSettings
from deployments.sandbox.supervisor.daemon import left_over, running
from deployments.sandbox.supervisor.managed import end_left_over
from deployments.sandbox.supervisor.programs import own_environment
from deployments.sandbox.upstream import build
from infra.clients.errors import DeadlineExceeded, Failed, Misconfigured, NotFound, Unavailable

Say = Callable[[str], None]

POLL_SECONDS = 0.1
HOPELESS = 4
"""So many deaths of one service while we wait for it are enough."""


def up(settings: SandboxSettings, say: Say, prepared: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Start the sandbox and wait until everything is ready; where it runs already, only wait.

    Args:
        prepared: called when the folder says all that others need to know of it, long before it is ready.

    Returns:
        The supervisor's status.

    Raises:
        Misconfigured: a port is taken, or OpenStack cannot be installed.
        Failed: the supervisor ended.
        DeadlineExceeded: it was not ready in time; it goes on starting.
    """
    layout = Layout(settings.home.absolute())
    with _ours_alone():
        started = _start(settings, layout, say)
        prepared()
        return _until_ready(settings, layout, say if started else lambda _: None)


@contextmanager
def _ours_alone() -> Iterator[None]:
    """Whatever is written here, by whatever library, nobody else on the machine can read."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _start(settings: SandboxSettings, layout: Layout, say: Say) -> bool:
    """Start the supervisor unless it runs; returns whether it was started."""
    layout.make()
    if running(layout.lock) is None:
        end_left_over(left_over(layout), grace=settings.stop_timeout)
        check_ports(settings)
        install(settings, layout, say)
        prepare(settings, layout)
        layout.control.unlink(missing_ok=True)
        say(f"Starting the sandbox in {layout.home} …")
        _spawn(settings, layout)
        return True
    return False


def install(settings: SandboxSettings, layout: Layout, say: Say) -> None:
    """Build the programs and install OpenStack, side by side; both are there from then on."""
    with ThreadPoolExecutor(2) as pool:
        building = pool.submit(build.ensure_all, say=say)
        venv.ensure(settings.venv.absolute(), log=layout.log / "install.log", say=say)
        building.result()


def install_once(settings: SandboxSettings, say: Say) -> None:
    """Make what every start needs, in a sandbox that never starts: programs, OpenStack, and its empty databases.

    Raises:
        Misconfigured: something cannot be built or installed.
    """
    with tempfile.TemporaryDirectory() as folder, _ours_alone():
        aside = settings.model_copy(update={"home": Path(folder) / "sandbox"})
        layout = Layout(aside.home)
        layout.make()
        install(aside, layout, say)
        templates = database.template_folder(aside.venv.absolute())
        missing = [one for one in SERVICES if not database.kept(migrations.databases(one, layout.home), templates)]
        if missing:
            say("Making OpenStack's databases (once; a minute) …")
            prepare(aside, layout)
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda service: _migrate(service, aside, layout), missing))


def _migrate(service: str, settings: SandboxSettings, layout: Layout) -> None:
    folder, log = settings.venv.absolute(), layout.log / f"{service}.out"
    module = ("-m", "deployments.sandbox.openstack.migrations", service, "--template", "--home", str(layout.home))
    with log.open("ab") as output:
        venv.run([str(folder / "bin/python"), *venv.OPTIONS, *module], output, log, venv.environment(folder))


def down(settings: SandboxSettings, say: Say) -> bool:
    """Stop everything and wait for it; returns whether anything ran.

    Raises:
        DeadlineExceeded: the supervisor had to be killed.
    """
    layout = Layout(settings.home.absolute())
    pid = running(layout.lock)
    if pid is None:
        return end_left_over(left_over(layout), grace=settings.stop_timeout) > 0
    say("Stopping the sandbox …")
    process = psutil.Process(pid)
    process.send_signal(signal.SIGTERM)
    limit = 3 * settings.stop_timeout
    try:
        process.wait(limit)
    except psutil.TimeoutExpired as error:
        process.kill()
        end_left_over(left_over(layout), grace=settings.stop_timeout)
        raise DeadlineExceeded(f"The supervisor did not end within {limit:g} s and was killed.") from error
    return True


def reset(settings: SandboxSettings, say: Say) -> None:
    """Stop everything and forget all state."""
    down(settings, say)
    Layout(settings.home.absolute()).forget()


def status(settings: SandboxSettings) -> dict[str, Any] | None:
    """What the supervisor says of itself and its children; None when it does not run."""
    layout = Layout(settings.home.absolute())
    if running(layout.lock) is None:
        return None
    return _ask(layout)


def kubeconfig(settings: SandboxSettings, name: str) -> Path:
    """The path of a cluster's administrator kubeconfig.

    Raises:
        NotFound: there is no such cluster; the hint names those there are.
    """
    names = []
    for path in sorted(Layout(settings.home.absolute()).clusters.glob("*/cluster.json")):
        document = json.loads(path.read_text())
        if name in (document["name"], document["uuid"]):
            return path.parent / "admin.kubeconfig"
        names.append(document["name"])
    there = f"There are: {', '.join(names)}." if names else "There is none."
    raise NotFound(f"The sandbox has no cluster {name!r}.", hint=there)


def check_ports(settings: SandboxSettings) -> None:
    """See that every port is free before anything starts.

    Raises:
        Misconfigured: says which port, what for, and which setting changes it.
    """
    for name, port in settings.ports().items():
        addresses: Iterable[str] = NAME_SERVERS.values() if name == "dns" else ("127.0.0.1",)
        if name in SERVICES:
            addresses = ("127.0.0.1", BEHIND)
        kinds = [socket.SOCK_STREAM]
        if name in ("dns", "mdns", "resolver"):
            kinds.append(socket.SOCK_DGRAM)
        for address in addresses:
            for kind in kinds:
                _check_port(name, address, port, kind)


def _check_port(name: str, address: str, port: int, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
            raise Misconfigured(
                f"{protocol} port {port} on {address}, which the sandbox needs for {name}, is in use.",
                detail=error.strerror,
                hint=f"Set PLUMBLINE_SANDBOX_PORT_{name.upper()} for this one, or PLUMBLINE_SANDBOX_PORT_BASE for all.",
            ) from error


def _spawn(settings: SandboxSettings, layout: Layout) -> None:
    with (layout.log / "supervisor.log").open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "deployments.sandbox.supervisor", "--detach"],
            check=False,
            cwd=ROOT,
            env=own_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
        )


def _ask(layout: Layout) -> dict[str, Any]:
    try:
        return Control(layout.home).status()
    except (OSError, ControlError) as error:
        raise Unavailable("The supervisor does not answer.", detail=str(error)) from error


def _until_ready(settings: SandboxSettings, layout: Layout, say: Say) -> dict[str, Any]:
    begun = time.monotonic()
    told: dict[str, str] = {}
    while True:
        if running(layout.lock) is None:
            raise Failed("The supervisor ended.", detail=tail(layout.log / "supervisor.log"))
        try:
            now = _ask(layout)
        except Unavailable:
            now = None
        if now is not None:
            _tell(now, told, say, time.monotonic() - begun)
            if now["ready"]:
                return now
            _give_up(now, layout)
        if time.monotonic() - begun > settings.ready_timeout:
            raise DeadlineExceeded(
                f"The sandbox was not ready within {settings.ready_timeout:g} s.",
                detail=_waiting_for(now),
                hint=f"Logs are in {layout.log}; `python -m deployments.sandbox status` shows how it goes on.",
            )
        time.sleep(POLL_SECONDS)


def _processes(now: dict[str, Any]) -> list[dict[str, Any]]:
    """What has to be ready: the services, and the API servers of clusters there already are."""
    return [*now["services"], *(row["api"] for row in now["clusters"])]


def _tell(now: dict[str, Any], told: dict[str, str], say: Say, elapsed: float) -> None:
    for row in _processes(now):
        name, state = row["name"], row["state"]
        if told.get(name) != state and state in ("ready", "restarting"):
            say(f"  {elapsed:5.1f} s  {name} {state}{': ' + row['detail'] if row['detail'] else ''}")
        told[name] = state
    if now["content"] != told.get("content") and now["content"] not in ("waiting", "seeded"):
        say(f"  {elapsed:5.1f} s  {now['content']}")
    told["content"] = now["content"]


def _give_up(now: dict[str, Any], layout: Layout) -> None:
    """A service that has never become ready and keeps ending will not get better by waiting."""
    for row in _processes(now):
        if row["state"] == "restarting" and row["restarts"] >= HOPELESS:
            log = row["name"].replace("/", "-")
            logs = (layout.log / f"{log}.out", layout.log / f"{log}.log")
            raise Failed(
                f"{row['name']} {row['detail']} {row['restarts']} times.",
                detail=next((text for text in map(tail, logs) if text), None),
                hint=f"Logs are in {layout.log}.",
            )


def _waiting_for(now: dict[str, Any] | None) -> str:
    if now is None:
        return "The supervisor does not answer."
    rows = [f"{row['name']} is {row['state']}" for row in _processes(now) if row["state"] != "ready"]
    return "; ".join(rows or [f"content: {now['content']}"])
