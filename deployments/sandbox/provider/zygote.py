"""A process that has imported the provider, and forks a child for each provider that terraform starts.

Terraform starts a provider several times in every command, and its imports take longer than what most of them are
asked. The program that terraform starts hands its descriptors, its environment and its folder to the zygote of the
sandbox, and stays, since terraform watches it; where there is none, it serves by itself.

Only what costs nothing is imported here at the top: all of it is paid at every start.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path

NAME = "provider"
"""The zygote's socket, in the folder `run` beside the clouds' configuration: the sandbox's state, ours alone (0700)."""
POLL = 0.2
"""Seconds after which a program notices that its terraform is gone."""
LONGEST = 1 << 17
"""Bytes of a request, which is mostly the environment. With a longer one, a program serves by itself."""

PRELOADED = (
    "cryptography.hazmat.backends.openssl.backend",
    "deployments.sandbox.provider.connect",
    "deployments.sandbox.provider.openstack",
    "deployments.sandbox.provider.server",
    "tf.gen.grpc_controller_pb2_grpc",
    "tf.gen.grpc_stdio_pb2_grpc",
    "tf.gen.tfplugin_pb2_grpc",
)


def served_by_child() -> bool:
    """Have a child of the zygote serve in this process's stead, and wait for its end.

    Returns:
        Whether there is a zygote that can be asked.

    Raises:
        SystemExit: the child ended before it was done.
    """
    clouds = os.environ.get("OS_CLIENT_CONFIG_FILE")
    if not clouds:
        return False
    request = json.dumps({"environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
    if len(request) > LONGEST:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        try:
            # By descriptor: the path of a socket has at most 108 bytes, and a sandbox may lie deeper.
            run = os.open(Path(clouds).parent / "run", os.O_PATH)
            door.connect(f"/proc/self/fd/{run}/{NAME}")
            socket.send_fds(door, [request], [0, 1, 2])
        except OSError:
            return False
        parent = os.getppid()
        while os.getppid() == parent:
            if select.select([door], [], [], POLL)[0]:
                if not door.recv(1):
                    sys.exit("The provider's process has ended before its work was done.")
                break
    return True


def run(folder: str) -> None:
    """Answer requests at the socket in `folder`, until SIGTERM."""
    os.chdir(folder)
    Path(NAME).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(NAME)
        # Before the imports: whoever comes in the meantime waits for less than what they would take.
        door.listen(128)
        _preload()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            caller, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _be_provider(caller)
            caller.close()


def _preload() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    from keystoneauth1 import loading  # noqa: PLC0415

    # The entry points of all plugins are read for the first one that is asked for.
    loading.get_plugin_loader("password")
    gc.freeze()


def _be_provider(caller: socket.socket) -> None:
    """Serve in the caller's stead, in a session of our own: the zygote's end is not ours."""
    status = 1
    try:
        from deployments.sandbox.provider.server import serve  # noqa: PLC0415

        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request, descriptors, _, _ = socket.recv_fds(caller, LONGEST, 3)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        wanted = json.loads(request)
        os.environ.clear()
        os.environ.update(wanted["environment"])
        os.chdir(wanted["folder"])
        serve(lambda: bool(select.select([caller], [], [], 0)[0]))
        caller.send(b"0")
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # Nothing of what the zygote would do at its end, and no wait for threads whose caller is gone.
        os._exit(status)


if __name__ == "__main__":
    run(sys.argv[1])
