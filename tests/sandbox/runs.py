"""A flow run one watches while it runs, and what has to be true of an environment once it is there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from infra.clients.helm import HelmClient
from infra.clients.helm_lease import alive_here
from infra.clients.kubernetes import KubernetesClient
from infra.ledger import Ledger
from infra.settings import Settings
from tests.platform import Finished, Platform
from tests.waiting import until

SMALL = {
    "kubernetes": "v1.33.4",
    "image": "fedora-coreos",
    "masters": {"count": 1, "flavor": "m1.medium"},
    "nodes": {"count": 1, "flavor": "m1.large"},
    "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl dev",
}
NOTHING: dict[str, None] = dict.fromkeys(("storage", "dns", "certificates", "addons", "delivery", "runners", "policy"))
"""All that may be left out of a declaration."""
BARE: dict[str, Any] = {"cluster": SMALL, "addons": {}} | dict.fromkeys(("dns", "certificates", "delivery", "runners"))
"""A cluster and its storage class."""
NAMED: dict[str, Any] = BARE | {"addons": {"nginx-ingress": {}}}
"""The same with an ingress controller and a name that leads to it."""
del NAMED["dns"]


class Running:
    """A flow run in the background, its log read as it comes.

    Args:
        settings: further environment variables.
    """

    def __init__(self, platform: Platform, flow: str, name: str, **settings: str) -> None:
        self.process = platform.start(flow, name, **settings)
        self.lines: list[str] = []
        self.out = ""
        self._readers = [threading.Thread(target=self._read_log), threading.Thread(target=self._read_out)]
        for reader in self._readers:
            reader.start()

    def until(self, seen: Callable[[str], bool] | str, seconds: float = 240) -> None:
        """Wait until the log has a line with `seen` in it, or one of which `seen` holds."""
        holds = (lambda line: seen in line) if isinstance(seen, str) else seen
        deadline = time.monotonic() + seconds
        while not any(map(holds, list(self.lines))):
            assert self.process.poll() is None, f"the run ended before {seen!r}:\n" + "\n".join(self.lines[-30:])
            assert time.monotonic() < deadline, f"no {seen!r} in:\n" + "\n".join(self.lines[-30:])
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to this one process."""
        self.process.kill()
        self.end(10)

    def end(self, seconds: float = 300) -> Finished:
        """Wait for its end."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"no end within {seconds} s:\n" + "\n".join(self.lines[-30:])) from None
        for reader in self._readers:
            reader.join(10)
        # A child of ours that held the pipes would hide our death from whoever watches.
        assert not any(reader.is_alive() for reader in self._readers)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        result = json.loads(self.out) if self.out.strip() else {}
        return Finished(self.process.returncode, result, "\n".join(self.lines))

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        self.out = self.process.stdout.read()


def children(platform: Platform, name: str = "") -> list[psutil.Process]:
    """The programs Plumbline has started for an environment (all of them for none), with those they have started."""
    state = str(platform.home / "state")
    place = f"{state}/terraform/{name}" if name else state
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(place) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_gone(platform: Platform, name: str = "", seconds: float = 60) -> None:
    """Wait until no such program runs."""
    until(lambda: not children(platform, name), "the end of what the run has started", seconds)


def helms(platform: Platform) -> list[psutil.Process]:
    """The helm programs that write."""
    return [process for process in children(platform) if _arguments(process)[1:2] == ["upgrade"]]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def exactly_one_of_each(platform: Platform, name: str, *, recordsets: int = 0, releases: int = 0) -> None:
    """Nothing twice, nothing half done, nothing noted as unfinished."""
    held = platform._left_in_the_cloud(name)
    counts = {kind: len(items) for kind, items in held.items()}
    ours = {"cluster": 1, "template": 1, "keypair": 1, "network": 1, "router": 1, "security group": 1}
    # Of a cluster that is not there any more.
    strays = {"load balancer": 0, "floating IP": 0, "volume": 0}
    assert counts == ours | strays | {"recordset": recordsets}, held
    kubeconfig = Path(platform.sandbox("kubeconfig", name))
    statuses, holders, unfinished = asyncio.run(_in_cluster_and_ledger(platform, kubeconfig, name))
    assert statuses == ["deployed"] * releases
    # A helm that outlived its run leaves a Lease behind; the next writer takes it, since nobody who lives holds it.
    assert [holder for holder in holders if alive_here(holder) is not False] == []
    assert unfinished == []


async def _in_cluster_and_ledger(
    platform: Platform, kubeconfig: Path, name: str
) -> tuple[list[str], list[str], list[str]]:
    settings = Settings(state_dir=platform.home / "state")
    async with KubernetesClient(kubeconfig, settings) as kubernetes, HelmClient(kubeconfig, settings) as helm:
        statuses = [release.status for release in await helm.releases()]
        leases = await kubernetes.list("coordination.k8s.io/v1", "Lease", "kube-system")
    async with Ledger.open(settings) as ledger:
        unfinished = [f"{item.action} {item.address}" for item in await ledger.unfinished(name)]
    ours = [lease for lease in leases if lease["metadata"]["name"].startswith("plumbline-helm")]
    return statuses, [lease["spec"]["holderIdentity"] for lease in ours], unfinished


def away(platform: Platform, name: str) -> None:
    """Destroy an environment, and see that nothing of it is left."""
    gone = platform.flow("destroy_environment", name, "--confirm", name)
    assert gone.status == 0, gone.log[-3000:]
    assert platform.leftovers(name) == []
    assert children(platform, name) == []
