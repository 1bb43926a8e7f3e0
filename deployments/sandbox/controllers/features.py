"""Programs the sandbox plays: each only while the workload that would run it is available."""

from __future__ import annotations

from collections.abc import Callable

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Reconcile
from deployments.sandbox.controllers.kube.objects import available, deleting, key_of, labels
from deployments.sandbox.controllers.kube.resources import DEPLOYMENTS, Key, Obj, Resource

Predicate = Callable[[Obj], bool]


class Feature:
    """Whether a program runs, going by its Deployment or StatefulSet.

    Args:
        cluster: where it is looked for.
        resources: the kinds of workload it may be.
        predicate: whether a workload is the program's.
    """

    def __init__(
        self, cluster: Cluster, predicate: Predicate, resources: tuple[Resource, ...] = (DEPLOYMENTS,)
    ) -> None:
        self._predicate = predicate
        self._workloads: dict[Key, Obj] = {}
        self._listeners: list[Callable[[], None]] = []
        for resource in resources:
            cluster.informer(resource).subscribe(self._changed)

    @property
    def on(self) -> bool:
        """Whether the program runs."""
        return bool(self._workloads)

    @property
    def workload(self) -> Obj | None:
        """The workload that runs it; the first by name of several."""
        return self._workloads[min(self._workloads)] if self._workloads else None

    @property
    def namespace(self) -> str:
        """The namespace it runs in; empty while it does not."""
        return key_of(self.workload)[0] if self.workload else ""

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the program starts, stops, or is configured anew."""
        self._listeners.append(listener)

    def gate(self, reconcile: Reconcile) -> Reconcile:
        """A reconcile function that does nothing while the program does not run."""

        async def gated(key: Key) -> float | None:
            return await reconcile(key) if self.on else None

        return gated

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old
        if obj is None or not self._predicate(obj):
            return
        before = self._workloads.get(key_of(obj))
        if new is not None and not deleting(new) and available(new):
            self._workloads[key_of(obj)] = new
            changed = before is None or before["spec"] != new["spec"]
        else:
            changed = self._workloads.pop(key_of(obj), None) is not None
        if changed:
            for listener in self._listeners:
                listener()


def runs_container(name: str) -> Predicate:
    """Workloads with a container of this name, which charts and forks leave as upstream calls it."""

    def predicate(workload: Obj) -> bool:
        return any(each["name"] == name for each in workload["spec"]["template"]["spec"]["containers"])

    return predicate


def has_labels(**wanted: str) -> Predicate:
    """Workloads with these `app.kubernetes.io/` labels, underscores standing for dashes."""
    found = {f"app.kubernetes.io/{name.replace('_', '-')}": value for name, value in wanted.items()}

    def predicate(workload: Obj) -> bool:
        own = {**labels(workload["spec"]["template"]), **labels(workload)}
        return all(own.get(name) == value for name, value in found.items())

    return predicate


def arguments(workload: Obj) -> list[str]:
    """The arguments of the workload's containers, with the namespace filled in as the kubelet would."""
    namespace, _ = key_of(workload)
    containers = workload["spec"]["template"]["spec"]["containers"]
    words = [word for each in containers for word in [*(each.get("command") or []), *(each.get("args") or [])]]
    return [word.replace("$(POD_NAMESPACE)", namespace) for word in words]


def flag(workload: Obj, name: str) -> str | None:
    """The value of a `-name=value` or `--name=value` argument, or None."""
    for word in arguments(workload):
        head, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and head == name and equals:
            return value
    return None
