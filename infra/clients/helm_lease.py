"""One writer per release: a Lease in the cluster, and the proof that its last holder is dead.

Helm marks a release `pending-…` while it works, and leaves it so when it is killed; from then on every helm says
"another operation is in progress" (helm/helm#4558). Whether that is true cannot be seen in the release. It can be
seen here: while we run helm we hold and renew the Lease `plumbline-helm-<namespace>-<release>` in kube-system.

A holder counts as dead when
- it ran on this machine, and neither its process nor a helm it started lives any more; or
- its Lease expired *and* the time has passed by which its helm, which may outlive its parent, ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from infra.clients.errors import Conflict, NotFound, PlumblineError, Temporary
from infra.clients.kubernetes import KubernetesClient, Object

NAMESPACE = "kube-system"
API = "coordination.k8s.io/v1"
ENDS_BY = "plumbline.dev/helm-ends-by"
ENDED = "plumbline.dev/ended-revision"
DURATION = 60
"""Seconds a Lease is valid after each renewal; machines' clocks have to agree within it."""
RENEW = 15.0
"""Seconds between two renewals."""
MARGIN = 60.0
"""Seconds helm may take beyond its own --timeout."""
LOOK = 5.0
"""Seconds after which it is worth looking again whether a writer on this machine still lives."""

WRITER = "PLUMBLINE_HELM_WRITER"
"""The variable by which a helm that outlived its parent is recognised."""

Now = Callable[[], datetime]

_HELD_HERE: set[str] = set()
"""Identities under which this process writes now. A Lease of ours that is not among them could not be given back."""


class Lost(Conflict):
    """The Lease could not be renewed, or somebody else took it: we must not go on writing."""

    category = "Conflict"


class ReleaseLease:
    """The right to write one release.

    Args:
        kubernetes: the cluster of the release.
        runs_for: seconds after which a helm we start has ended by itself.
        now: the wall clock, replaced in tests.
    """

    def __init__(
        self, kubernetes: KubernetesClient, namespace: str, release: str, *, runs_for: float, now: Now | None = None
    ) -> None:
        self._kubernetes = kubernetes
        self._name = lease_name(namespace, release)
        self._runs_for = runs_for
        self._now: Now = now or (lambda: datetime.now(UTC))
        self._lease: Object = {}
        self.identity = identity()
        self.previous_died = False
        """Whether the last holder is proven dead, so that what it left unfinished may be closed."""
        self.ended_revision: int | None = None
        """The revision whose writer is known to have ended although it looks unfinished."""

    async def take(self) -> None:
        """Take the Lease.

        Raises:
            Conflict: a living writer holds it.
        """
        _HELD_HERE.add(self.identity)
        try:
            await self._take()
        except BaseException:
            _HELD_HERE.discard(self.identity)
            raise

    async def _take(self) -> None:
        found = await self._kubernetes.get(API, "Lease", self._name, NAMESPACE)
        if found is None:
            self._lease = await self._kubernetes.create(self._ours({"metadata": {}}))
            return
        holder = found["spec"].get("holderIdentity") or ""
        if holder:
            self._refuse_living(found, holder)
            self.previous_died = True
        ended = found["metadata"].get("annotations", {}).get(ENDED)
        self.ended_revision = int(ended) if ended else None
        self._lease = await self._kubernetes.replace(self._ours(found))

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            Lost: it could not be renewed in time, or somebody took it.
        """
        renewed = self._now()
        while True:
            await asyncio.sleep(RENEW)
            try:
                await self._renew()
                renewed = self._now()
            except Lost:
                raise
            except Temporary as error:
                if self._now() - renewed > timedelta(seconds=DURATION):
                    raise Lost(f"The lease {self._name} could not be renewed.", detail=str(error)) from error

    async def give_back(self, unfinished: int | None = None) -> None:
        """Let go of the Lease.

        Args:
            unfinished: a revision that still looks unfinished although our helm has ended.
        """
        # From here on it counts as left behind, should the API server not take it back.
        _HELD_HERE.discard(self.identity)
        found = await self._kubernetes.get(API, "Lease", self._name, NAMESPACE)
        if found is None or found["spec"].get("holderIdentity") != self.identity:
            return
        metadata = found["metadata"]
        if unfinished is None:
            await self._kubernetes.delete(
                API, "Lease", self._name, NAMESPACE, resource_version=metadata["resourceVersion"]
            )
            return
        metadata.setdefault("annotations", {})[ENDED] = str(unfinished)
        found["spec"]["holderIdentity"] = ""
        await self._kubernetes.replace(found)

    def _refuse_living(self, lease: Object, holder: str) -> None:
        here = alive_here(holder)
        if here is False:
            return
        if here is None:
            waits = self._free_at(lease) - self._now()
            if waits <= timedelta():
                return
            pause = waits.total_seconds()
        else:
            pause = LOOK
        raise Conflict(
            f"Another Plumbline is writing this release ({holder.split('/', maxsplit=1)[0]}).",
            detail=f"It holds the lease {NAMESPACE}/{self._name}.",
            retry_after=pause,
        )

    @staticmethod
    def _free_at(lease: Object) -> datetime:
        spec, annotations = lease["spec"], lease["metadata"].get("annotations", {})
        renewed = parse_time(spec.get("renewTime")) or datetime.min.replace(tzinfo=UTC)
        expires = renewed + timedelta(seconds=spec.get("leaseDurationSeconds") or DURATION)
        return max(expires, parse_time(annotations.get(ENDS_BY)) or expires)

    def _ours(self, lease: Object) -> Object:
        now = self._now()
        spec = lease.get("spec", {})
        metadata: dict[str, Any] = {
            "name": self._name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "plumbline"},
            "annotations": {ENDS_BY: stamp(now + timedelta(seconds=self._runs_for))},
        }
        if "resourceVersion" in lease["metadata"]:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        return {
            "apiVersion": API,
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": DURATION,
                "acquireTime": stamp(now),
                "renewTime": stamp(now),
                "leaseTransitions": spec.get("leaseTransitions", 0) + 1,
            },
        }

    async def _renew(self) -> None:
        found = await self._kubernetes.get(API, "Lease", self._name, NAMESPACE)
        if found is None or found["spec"].get("holderIdentity") != self.identity:
            raise Lost(f"Somebody took the lease {self._name}.")
        found["spec"]["renewTime"] = stamp(self._now())
        try:
            self._lease = await self._kubernetes.replace(found)
        except NotFound as error:
            raise Lost(f"Somebody deleted the lease {self._name}.") from error


def lease_name(namespace: str, release: str) -> str:
    """The Lease of a release; short enough for any (63 + 53 characters are)."""
    return f"plumbline-helm-{namespace}-{release}"


def stamp(time: datetime) -> str:
    """A time as Kubernetes' MicroTime."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str | None) -> datetime | None:
    """The time a MicroTime stands for."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _machine() -> str:
    """This machine, this boot, this process namespace: pids mean the same only within all three."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    here = boot.read_text().strip() if boot.exists() else platform.node()
    pids = str(namespace.readlink()) if namespace.exists() else ""
    return f"{platform.node()}/{here}/{pids}"


def identity() -> str:
    """Who we are, so that others on this machine can tell whether we live."""
    process = psutil.Process()
    return f"{_machine()}/{process.pid}/{process.create_time():.2f}/{uuid.uuid4().hex[:8]}"


def alive_here(holder: str) -> bool | None:
    """Whether a holder, or a helm it started, lives on this machine; None when it is of another machine."""
    machine, _, rest = holder.rpartition("/")  # the random part
    machine, _, started = machine.rpartition("/")
    machine, _, pid = machine.rpartition("/")
    if machine != _machine() or not rest:
        return None
    with contextlib.suppress(psutil.NoSuchProcess, ValueError):
        if f"{psutil.Process(int(pid)).create_time():.2f}" == started:
            return int(pid) != os.getpid() or holder in _HELD_HERE
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(WRITER) == holder:
                return True
    return False


async def while_holding(lease: ReleaseLease, work: asyncio.Future[Any]) -> Any:
    """Await `work` while renewing the Lease, and end it when the Lease is lost."""
    keeper = asyncio.ensure_future(lease.keep())
    try:
        done, _ = await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
        if work not in done:
            await keeper  # raises Lost
        return await work
    finally:
        for task in (keeper, work):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, PlumblineError):
                await task


class Held:
    """The methods of `command`, each run while the Lease is renewed."""

    def __init__(self, command: Any, lease: ReleaseLease) -> None:
        self.command = command
        self._lease = lease

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self.command, verb)

        async def held(*arguments: Any, **options: Any) -> Any:
            return await while_holding(self._lease, asyncio.ensure_future(method(*arguments, **options)))

        return held
