"""Flows as commands, from a process that has imported what they need: that takes two seconds of each command's three.

The process forks a child for each command. It runs the flow's module as `python -m` does, in its own environment and
with its own output, and ends as a program does. Tests that kill or cancel commands start them as programs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.settings import ROOT

SHARED = ("flows.checking", "flows.command", "flows.graph", "flows.run")
"""What commands share; a command's own module runs anew in each."""
LONGEST = 1 << 17
"""Bytes of a request: mostly the environment."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


class Warm:
    """The process, seen from a test.

    Args:
        environment: of the process; what Prefect reads when it is imported has to be in it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="warm-"))
        argv = [sys.executable, "-m", "tests.warm", str(self._folder / "door")]
        self._process = subprocess.Popen(argv, cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL)

    def run(self, module: str, arguments: list[str], environment: Mapping[str, str], timeout: float) -> Ended:
        """Run a flow's module with arguments and wait for its end.

        Raises:
            TimeoutError: it had not ended within `timeout` seconds, and was killed.
        """
        request = json.dumps({"module": module, "arguments": arguments, "environment": dict(environment)})
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, self._connected() as door:
            socket.send_fds(door, [request.encode()], [out.fileno(), err.fileno()])
            child = int(door.recv(100))
            door.settimeout(timeout)
            try:
                status = int(door.recv(100))
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                raise
            finally:
                out.seek(0)
                err.seek(0)
            return Ended(status, out.read().decode(), err.read().decode())

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _connected(self) -> socket.socket:
        deadline = time.monotonic() + 120
        while True:
            door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                door.connect(str(self._folder / "door"))
            except (FileNotFoundError, ConnectionRefusedError):
                door.close()
                assert self._process.poll() is None, "the process with the flows has ended"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return door


def serve(path: str) -> None:
    """Answer requests until the process that has started this one is gone."""
    for name in (*SHARED, *(f"tasks.{module.name}" for module in pkgutil.iter_modules([str(ROOT / "tasks")]))):
        importlib.import_module(name)
    gc.freeze()
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(path)
        door.listen()
        door.settimeout(1)
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                caller, _ = door.accept()
                if os.fork() == 0:
                    door.close()
                    _answer(caller)
                caller.close()


def _answer(caller: socket.socket) -> None:
    """Start the command in a child of this process, and tell its number and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    caller.settimeout(None)
    request, outputs, _, _ = socket.recv_fds(caller, LONGEST, 2)
    child = os.fork()
    if child == 0:
        caller.close()
        _become(json.loads(request), outputs)
    try:
        caller.send(str(child).encode())
        _, status = os.waitpid(child, 0)
        caller.send(str(os.waitstatus_to_exitcode(status)).encode())
    finally:
        os._exit(0)


def _become(request: dict[str, object], outputs: list[int]) -> None:
    """Be the command; its end is this process's, with all that a program does at its end."""
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict) and isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(request["module"]), *arguments]
    runpy.run_module(str(request["module"]), run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    serve(sys.argv[1])
