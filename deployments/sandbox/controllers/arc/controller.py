"""AutoscalingRunnerSets: registered, with a listener beside the controller and their idle runners."""

from __future__ import annotations

import base64

from deployments.sandbox.controllers.arc.registration import GitHubClient, Refused
from deployments.sandbox.controllers.arc.runners import Runners
from deployments.sandbox.controllers.features import Feature, has_labels
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    annotated,
    child_metadata,
    deleting,
    key_of,
    labels,
    owned_by,
    parent_key,
    phase,
    short_hash,
)
from deployments.sandbox.controllers.kube.resources import EPHEMERALSETS, LISTENERS, PODS, RUNNERSETS, SECRETS, Key, Obj

FINALIZER = "autoscalingrunnerset.actions.github.com/finalizer"
LISTENER_FINALIZER = "autoscalinglistener.actions.github.com/finalizer"
SCALE_SET_ID = "runner-scale-set-id"
NAME_NOTE, GROUP_NOTE = "actions.github.com/runner-scale-set-name", "actions.github.com/runner-group-name"
SET_NAME, SET_NAMESPACE = "actions.github.com/scale-set-name", "actions.github.com/scale-set-namespace"
LISTENER_IMAGE = "ghcr.io/actions/gha-runner-scale-set-controller"
CHECK = 60.0
"""Seconds after which a registration is looked for again."""

RETRY = 5.0


class RunnerSets:
    """Plays ARC's controller for AutoscalingRunnerSets and their listeners.

    Args:
        cluster: where they are.
        feature: whether the controller's Deployment is available.
        github: where scale sets register.
    """

    def __init__(self, cluster: Cluster, feature: Feature, github: GitHubClient) -> None:
        self._cluster, self._feature, self._github = cluster, feature, github
        self._sets = cluster.informer(RUNNERSETS)
        self._listeners = cluster.informer(LISTENERS)
        self._runner_sets = cluster.informer(EPHEMERALSETS)
        self._secrets = cluster.informer(SECRETS)
        self._pods = cluster.informer(PODS)
        sets = (
            Controller("runnersets", self._sets, feature.gate(self.reconcile))
            .on(self._listeners, _set_of)
            .on(self._runner_sets, lambda each: parent_key(each, "AutoscalingRunnerSet"))
            .on(self._secrets, self._using)
        )
        listeners = Controller("listeners", self._listeners, feature.gate(self.reconcile_listener)).on(
            self._pods, lambda pod: parent_key(pod, "AutoscalingListener")
        )
        for queue in (sets, listeners):
            feature.subscribe(queue.enqueue_all)
            cluster.add(queue)

    async def reconcile(self, key: Key) -> float | None:
        """Make one AutoscalingRunnerSet right."""
        runner_set = self._sets.get(*key)
        if runner_set is None:
            return None
        if deleting(runner_set):
            return await self._remove(runner_set)
        runner_set = await self._cluster.set_finalizer(RUNNERSETS, runner_set, FINALIZER, present=True)
        try:
            identity = await self._register(runner_set)
        except Refused as error:
            await self._cluster.event(RUNNERSETS, runner_set, "RegistrationFailed", str(error), warning=True)
            await self._cluster.patch_status(RUNNERSETS, runner_set, {"phase": "Failed", "state": "Failed"})
            return RETRY
        runners = await self._runners(runner_set, identity)
        listener = await self._listener(runner_set, identity, runners)
        counted = runners.get("status") or {}
        ready = phase(self._pods.get(*key_of(listener)) or {}) == "Running"
        status = {
            "currentRunners": counted.get("currentReplicas", 0),
            "pendingEphemeralRunners": counted.get("pendingEphemeralRunners", 0),
            "runningEphemeralRunners": counted.get("runningEphemeralRunners", 0),
            "failedEphemeralRunners": counted.get("failedEphemeralRunners", 0),
            "phase": "Running" if ready else "Pending",
            "state": "Active" if ready else "Pending",
        }
        await self._cluster.patch_status(RUNNERSETS, runner_set, status)
        return CHECK if ready else 0.2

    async def reconcile_listener(self, key: Key) -> None:
        """Keep a listener's pod running, and let both go together."""
        listener = self._listeners.get(*key)
        if listener is None:
            return
        pod = self._pods.get(*key)
        if deleting(listener):
            if pod is not None:
                await self._cluster.delete(PODS, pod)
            await self._cluster.set_finalizer(LISTENERS, listener, LISTENER_FINALIZER, present=False)
            return
        if pod is not None and phase(pod) in {"Succeeded", "Failed"} and not deleting(pod):
            await self._cluster.delete(PODS, pod)
        elif pod is None:
            container = {"name": "listener", "image": listener["spec"]["image"]}
            metadata = child_metadata(listener, LISTENERS, labels(listener), name=key[1])
            await self._cluster.create(
                PODS, {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [container]}}
            )

    def _credentials(self, runner_set: Obj) -> dict[str, str]:
        name = runner_set["spec"]["githubConfigSecret"]
        secret = self._secrets.get(key_of(runner_set)[0], name)
        if secret is None:
            raise Refused(f'the GitHub config secret "{name}" does not exist')
        return {each: base64.b64decode(value).decode() for each, value in (secret.get("data") or {}).items()}

    async def _register(self, runner_set: Obj) -> int:
        spec = runner_set["spec"]
        name = spec.get("runnerScaleSetName") or runner_set["metadata"]["name"]
        group = spec.get("runnerGroup") or "default"
        credentials = self._credentials(runner_set)
        identity = await self._github.register(credentials, spec["githubConfigUrl"], name, group)
        notes = {SCALE_SET_ID: str(identity), NAME_NOTE: name, GROUP_NOTE: group}
        if not notes.items() <= annotated(runner_set).items():
            await self._cluster.patch(RUNNERSETS, runner_set, {"metadata": {"annotations": notes}})
        return identity

    async def _runners(self, runner_set: Obj, identity: int) -> Obj:
        """The EphemeralRunnerSet of the present template, with as many runners as are to idle."""
        spec, (namespace, name) = runner_set["spec"], key_of(runner_set)
        word = short_hash(spec.get("template"), spec["githubConfigUrl"], identity, length=5)
        uid = runner_set["metadata"]["uid"]
        replicas = int(spec.get("minRunners") or 0)
        for old in [each for each in self._runner_sets.all(namespace) if owned_by(each, uid)]:
            if old["metadata"]["name"] != f"{name}-{word}":
                await self._cluster.delete(EPHEMERALSETS, old)
        known = self._runner_sets.get(namespace, f"{name}-{word}")
        if known is not None:
            if known["spec"].get("replicas") != replicas:
                # Upstream numbers its changes, so that runners know which one they answer; the field is required.
                change = {"replicas": replicas, "patchID": int(known["spec"].get("patchID", 0)) + 1}
                known = await self._cluster.patch(EPHEMERALSETS, known, {"spec": change})
            return known
        runner = {
            "githubConfigUrl": spec["githubConfigUrl"],
            "githubConfigSecret": spec["githubConfigSecret"],
            "runnerScaleSetId": identity,
            **(spec.get("template") or {}),
        }
        body = {
            "metadata": child_metadata(runner_set, RUNNERSETS, _labels("runner-set"), name=f"{name}-{word}"),
            "spec": {"replicas": replicas, "patchID": 0, "ephemeralRunnerSpec": runner},
        }
        return await self._cluster.create(EPHEMERALSETS, body) or body

    async def _listener(self, runner_set: Obj, identity: int, runners: Obj) -> Obj:
        """The AutoscalingListener beside the controller."""
        spec, (namespace, name) = runner_set["spec"], key_of(runner_set)
        wanted = {
            "githubConfigUrl": spec["githubConfigUrl"],
            "githubConfigSecret": spec["githubConfigSecret"],
            "runnerScaleSetId": identity,
            "autoscalingRunnerSetNamespace": namespace,
            "autoscalingRunnerSetName": name,
            "ephemeralRunnerSetName": runners["metadata"]["name"],
            "minRunners": int(spec.get("minRunners") or 0),
            **({"maxRunners": spec["maxRunners"]} if spec.get("maxRunners") is not None else {}),
            "image": LISTENER_IMAGE,
        }
        where = (self._feature.namespace, listener_name(runner_set))
        known = self._listeners.get(*where)
        if known is not None:
            same = all(known["spec"].get(key) == value for key, value in wanted.items())
            return known if same else await self._cluster.patch(LISTENERS, known, {"spec": wanted})
        body = {
            "metadata": {
                "namespace": where[0],
                "name": where[1],
                "labels": {
                    **_labels("runner-scale-set-listener"),
                    SET_NAME: name,
                    SET_NAMESPACE: namespace,
                },
                "finalizers": [LISTENER_FINALIZER],
            },
            "spec": wanted,
        }
        return await self._cluster.create(LISTENERS, body) or body

    async def _remove(self, runner_set: Obj) -> float | None:
        """Listener first, then runners, then the registration, then the finalizer: upstream's order."""
        if FINALIZER not in (runner_set["metadata"].get("finalizers") or []):
            return None
        uid, namespace = runner_set["metadata"]["uid"], key_of(runner_set)[0]
        listeners = [each for each in self._listeners.all() if _set_of(each) == [key_of(runner_set)]]
        runners = [each for each in self._runner_sets.all(namespace) if owned_by(each, uid)]
        for resource, each in [*((LISTENERS, one) for one in listeners), *((EPHEMERALSETS, one) for one in runners)]:
            if not deleting(each):
                await self._cluster.delete(resource, each)
        if listeners:
            return 0.1
        identity = annotated(runner_set).get(SCALE_SET_ID)
        if identity is not None:
            try:
                await self._github.forget(self._credentials(runner_set), int(identity))
            except Refused as error:
                await self._cluster.event(RUNNERSETS, runner_set, "DeregistrationFailed", str(error), warning=True)
                return RETRY
        await self._cluster.set_finalizer(RUNNERSETS, runner_set, FINALIZER, present=False)
        return None

    def _using(self, secret: Obj) -> list[Key]:
        namespace, name = key_of(secret)
        return [key_of(each) for each in self._sets.all(namespace) if each["spec"].get("githubConfigSecret") == name]


def add_all(cluster: Cluster, github_url: str) -> None:
    """Have ARC run with the cluster."""
    feature = Feature(cluster, has_labels(part_of="gha-rs-controller"))
    RunnerSets(cluster, feature, GitHubClient(github_url))
    Runners(cluster, feature)


def listener_name(runner_set: Obj) -> str:
    """The listener's name: unique over all namespaces."""
    namespace, name = key_of(runner_set)
    return f"{name}-{short_hash(namespace, length=8)}-listener"


def _set_of(listener: Obj) -> list[Key]:
    spec = listener["spec"]
    return [(spec.get("autoscalingRunnerSetNamespace", ""), spec.get("autoscalingRunnerSetName", ""))]


def _labels(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "gha-runner-scale-set", "app.kubernetes.io/component": component}
