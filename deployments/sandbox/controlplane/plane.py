"""One control plane with its state in a folder: etcd, kube-apiserver, controller manager, scheduler, and kwok.

`ControlPlane` is a context manager. `python -m deployments.sandbox.controlplane --home DIR --port P`
serves one until SIGTERM.

What stands in the folder is used: the certificates and keys `ca`, `server` and `admin` as Magnum made them. What is
missing is made. kwok plays the kubelets of whatever Node objects there are (stages.yaml says how).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox import front
from deployments.sandbox.controllers.children import GUARD
from deployments.sandbox.controllers.lifetime import signal_group
from deployments.sandbox.controlplane.home import (
    MANAGER,
    apiserver_flags,
    etcd_flags,
    kwok_flags,
    manager_flags,
    prepare,
    scheduler_flags,
    token,
)
from deployments.sandbox.layout import tail, write_json
from deployments.sandbox.openstack.faults import HEALTH
from deployments.sandbox.settings import HOST, free_port
from deployments.sandbox.upstream import build
from infra.clients.errors import DeadlineExceeded, Failed, InvalidInput, Misconfigured

GRACE = 10.0
"""Seconds a program gets to end by itself."""

OLDER_MINORS = 3
"""How many minors before its own the API server can behave as (its --emulated-version says which it refuses)."""

MEMORY = {"kube-apiserver": "450MiB", "etcd": "150MiB", "kwok": "150MiB"}
"""Soft limits of the programs' heaps: with a score of CRDs the API server otherwise grows beyond a gigabyte.

Below them half as much is collected as by default, which is a quarter of an API server's work.
"""


@dataclass(frozen=True)
class Front:
    """A proxy before the API server, on the plane's port: it logs requests and makes them fail.

    Args:
        name: of the cluster, in the log and in faults.
        request_log: gets one JSON line for each request.
        faults: what is to go wrong (see deployments.sandbox.openstack.faults); need not exist.
        api_port: where the API server itself listens; any free port where None.
    """

    name: str
    request_log: Path
    faults: Path
    api_port: int | None = None


class ControlPlane:
    """One control plane with its state in a folder.

    Args:
        home: its folder; certificates, tokens, etcd's data, logs and admin.kubeconfig; kept over restarts.
        port: of the API server, or of the proxy before it.
        version: the Kubernetes version whose minor is emulated; the programs' own where None.
        front: stands before the API server; the plane's own programs pass it by.
        nodes: whether the scheduler and kwok run, too; without them no pod ever starts.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int,
        version: str | None = None,
        front: Front | None = None,
        nodes: bool = True,
    ) -> None:
        self.home, self.port = home.absolute(), port
        self._emulated = emulated(version)
        self._front, self._nodes = front, nodes
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, 0600."""
        return self.home / "admin.kubeconfig"

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://{HOST}:{self.port}"

    def start(self, timeout: float = 60.0) -> None:
        """Start everything and wait until it can be worked with.

        Raises:
            Misconfigured: a program is missing, or the port is taken.
            Failed: a program ended.
            DeadlineExceeded: not ready within `timeout` seconds.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._launch()
            deadline = time.monotonic() + timeout
            while not self._ready():
                if time.monotonic() > deadline:
                    raise DeadlineExceeded(f"The API server at {self.url} was not ready within {timeout:g} s.")
                time.sleep(0.1)
            undo.pop_all()

    def stop(self) -> None:
        """End every program, last started first, and wait for it."""
        for name in reversed(list(self._children)):
            child = self._children[name]
            _signal(child, signal.SIGTERM)
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
                child.wait()
            signal_group(child.pid, signal.SIGKILL)
            if child.stdin:
                child.stdin.close()
            del self._children[name]

    def ended(self) -> str | None:
        """The name of a program that ended by itself, if one did."""
        return next((name for name, child in self._children.items() if child.poll() is not None), None)

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self) -> None:
        _refuse_taken_port(self.port)
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.home / "log").mkdir(exist_ok=True)
        api_port = self.port if self._front is None else self._front.api_port or free_port()
        api = f"https://{HOST}:{api_port}"
        prepare(self.home, self.url, api)
        etcd = f"https://{HOST}:{free_port()}"
        self._spawn("etcd", etcd_flags(self.home, etcd))
        self._spawn("kube-apiserver", [*apiserver_flags(self.home, api_port, etcd), *self._emulated])
        if self._front is not None:
            self._launch_front(self._front, api)

    def _launch_front(self, own: Front, api: str) -> None:
        config, listen = self.home / "front.json", f"{HOST}:{self.port}"
        where = {"home": self.home, "log": own.request_log.absolute(), "faults": own.faults.absolute()}
        own.request_log.parent.mkdir(parents=True, exist_ok=True)
        write_json(config, front.kubernetes(own.name, listen=listen, upstream=api, **where))
        self._spawn("front-proxy", [str(config)], build.FRONT_PROXY)

    def _launch_rest(self) -> None:
        """What works with the API server, and would only complain before it answers."""
        self._spawn("kube-controller-manager", [*manager_flags(self.home), *self._emulated])
        if self._nodes:
            self._spawn("kube-scheduler", [*scheduler_flags(self.home), *self._emulated])
            self._spawn("kwok", kwok_flags(self.home))

    def _spawn(self, name: str, flags: Sequence[str], module: build.Module = build.UPSTREAM) -> None:
        argv = [str(build.program(name, module)), *flags]
        heap = {"GOGC": "200"} | ({"GOMEMLIMIT": MEMORY[name]} if name in MEMORY else {})
        with (self.home / "log" / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, name, *argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.home,
                env={**os.environ, **heap},
                umask=0o077,
            )

    def _ready(self) -> bool:
        name = self.ended()
        if name:
            log = self.home / "log" / f"{name}.log"
            raise Failed(f"{name} ended while the control plane started.", detail=tail(log))
        # A server that says it is ready makes the namespaces a moment later.
        if not all(_answers(self.port, self.home, path) for path in ("/readyz", "/api/v1/namespaces/default")):
            return False
        self._launch_rest()
        return True


def emulated(version: str | None) -> list[str]:
    """The flag that makes the programs behave as the declared minor.

    Args:
        version: such as v1.34.2; None where nothing is declared.

    Raises:
        InvalidInput: these programs cannot behave as that minor.
    """
    if version is None:
        return []
    newest = minor(build.UPSTREAM.version("k8s.io/kubernetes"))
    asked = minor(version)
    if not newest - OLDER_MINORS <= asked <= newest:
        raise InvalidInput(
            f"The sandbox cannot be Kubernetes {version}.",
            hint=f"It can be 1.{newest - OLDER_MINORS} to 1.{newest}: declare one of these.",
        )
    return [f"--emulated-version=1.{asked}"]


def minor(version: str) -> int:
    """The minor of a version such as v1.34.2."""
    found = re.match(r"v?1\.(\d+)", version)
    if found is None:
        raise InvalidInput(f"{version!r} is no version of Kubernetes.", hint="Such as v1.36.3.")
    return int(found[1])


def _answers(port: int, home: Path, path: str) -> bool:
    context = ssl.create_default_context(cafile=str(home / "ca.crt"))
    # Magnum names the address it gave the cluster, which need not be the one we listen on.
    context.check_hostname = False
    connection = http.client.HTTPSConnection(HOST, port, timeout=5, context=context)
    try:
        credential = f"Bearer {token(home, MANAGER)}"
        headers = {"User-Agent": HEALTH, "Authorization": credential}
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise Misconfigured(
                f"Port {port} is taken, and the API server needs it.", hint="Choose another with --port."
            ) from error


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Already gone is what we want.
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)
