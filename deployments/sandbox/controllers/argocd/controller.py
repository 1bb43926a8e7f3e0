"""Applications: looked at every few seconds and at every event, synced as their policy says."""

from __future__ import annotations

import base64
import datetime as dt
import fnmatch
import logging
import secrets
import time
from pathlib import Path

from deployments.sandbox.controllers.argocd import status as states
from deployments.sandbox.controllers.argocd.apply import (
    TRACKING,
    Comparison,
    Identity,
    Objects,
    identity_of,
    tracking_id,
)
from deployments.sandbox.controllers.argocd.git import Credentials, Git, GitError
from deployments.sandbox.controllers.argocd.render import HOOK, RenderError, render, wave
from deployments.sandbox.controllers.features import Feature, has_labels
from deployments.sandbox.controllers.kube.client import ApiError
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import annotated, contains, deleting, key_of, labels, now, short_hash
from deployments.sandbox.controllers.kube.resources import (
    APPLICATIONS,
    APPPROJECTS,
    DEPLOYMENTS,
    NAMESPACES,
    SECRETS,
    STATEFULSETS,
    Key,
    Obj,
)

FINALIZER = "resources-finalizer.argocd.argoproj.io"
SECRET_TYPE = "argocd.argoproj.io/secret-type"  # noqa: S105 - a label's name
IN_CLUSTER = "https://kubernetes.default.svc"
POLL = 3.0
"""Seconds between two looks at git and cluster; upstream takes 120-180 s for git and watches the cluster."""

STALE = 60.0
"""Seconds after which reconciledAt is moved although nothing changed."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 180.0
"""Between two attempts to sync the same thing (upstream's retry backoff)."""

log = logging.getLogger(__name__)


class ArgoCD:
    """Plays Argo CD's application controller, repo server and what its server makes at the start.

    Args:
        cluster: where it runs.
        folder: for copies of repositories.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._git, self._objects = cluster, Git(folder), Objects(cluster.client)
        self._applications = cluster.informer(APPLICATIONS)
        self._projects = cluster.informer(APPPROJECTS)
        self._secrets = cluster.informer(SECRETS)
        part = {"part_of": "argocd"}
        self._controller = Feature(
            cluster, has_labels(component="application-controller", **part), (STATEFULSETS, DEPLOYMENTS)
        )
        self._repo_server = Feature(cluster, has_labels(component="repo-server", **part))
        self._attempts: dict[Key, tuple[str, int, float]] = {}
        queue = Controller("applications", self._applications, self._controller.gate(self.reconcile))
        queue.on(self._projects, lambda _: list(self._applications.keys()))
        queue.reading(self._secrets)
        self._controller.subscribe(queue.enqueue_all)
        cluster.add(queue)
        starter = Controller("argocd-start", self._projects, self._controller.gate(self._start), workers=1)
        self._controller.subscribe(lambda: starter.queue.add((self._controller.namespace, "default")))
        cluster.add(starter)

    async def reconcile(self, key: Key) -> float | None:
        """Look at one Application and do what its policy says."""
        application = self._applications.get(*key)
        if application is None or key[0] != self._controller.namespace:
            return None
        if deleting(application):
            return await self._remove(application)
        view = await self._look(application)
        status = states.fold(view, application.get("status") or {})
        if self._due(application, view):
            operation = await self._sync(application, view)
            view = await self._look(application)
            status = {**states.fold(view, application.get("status") or {}), **operation}
        await self._write(application, status)
        return POLL

    async def _look(self, application: Obj) -> states.View:
        spec = application["spec"]
        view = states.View(source=spec.get("source") or {}, destination=spec["destination"])
        problem = self._invalid(application)
        if problem:
            view.errors.append(("InvalidSpecError", problem))
            return view
        if not self._repo_server.on:
            message = "Failed to load target state: rpc error: code = Unavailable desc = connection error: repo-server"
            view.errors.append(("ComparisonError", message))
            return view
        try:
            await self._compare(application, view)
        except (GitError, RenderError) as error:
            message = f"Failed to load target state: failed to generate manifest for source 1 of 1: {error}"
            view.errors.append(("ComparisonError", message))
        except ApiError as error:
            view.errors.append(("ComparisonError", str(error)))
        return view

    async def _compare(self, application: Obj, view: states.View) -> None:
        source, name = view.source, application["metadata"]["name"]
        url, revision = source["repoURL"], source.get("targetRevision") or "HEAD"
        credentials = self._credentials(url)
        view.commit = await self._git.resolve(url, revision, credentials)
        files = await self._git.files(url, view.commit, source.get("path", "."), credentials)
        namespace = view.destination.get("namespace", "default")
        for manifest in render(files, source):
            if annotated(manifest).get(HOOK) in {"Skip", "SyncFail"}:
                continue
            view.found.append(await self._objects.compare(name, manifest, namespace, short_hash(manifest)))
        here = {each.identity for each in view.found}
        for entry in (application.get("status") or {}).get("resources") or []:
            which = identity_of(entry)
            if which not in here and await self._tracked(name, which):
                view.extra.append(which)

    async def _tracked(self, name: str, which: Identity) -> bool:
        resource = await self._objects.resource(which.group, which.version, which.kind)
        live = await self._cluster.client.get(resource, which.namespace, which.name) if resource else None
        return live is not None and annotated(live).get(TRACKING) == tracking_id(name, which)

    def _invalid(self, application: Obj) -> str | None:
        spec = application["spec"]
        if not spec.get("source"):
            return "The sandbox syncs Applications with one `source`; this one has none"
        destination = spec["destination"]
        if destination.get("server", IN_CLUSTER) != IN_CLUSTER or destination.get("name", "in-cluster") != "in-cluster":
            return f"application destination {destination} is not this cluster"
        name = spec.get("project") or "default"
        project = self._projects.get(key_of(application)[0], name)
        if project is None:
            return f"Application referencing project {name} which does not exist"
        repositories = (project.get("spec") or {}).get("sourceRepos") or []
        if not any(fnmatch.fnmatch(spec["source"]["repoURL"], each) for each in repositories):
            return f"application repo {spec['source']['repoURL']} is not permitted in project '{name}'"
        return None

    def _credentials(self, url: str) -> Credentials:
        """From the Secret that Argo CD calls a repository."""
        known = self._secrets.all(self._controller.namespace)
        for secret in [each for each in known if labels(each).get(SECRET_TYPE) == "repository"]:
            data = {name: base64.b64decode(value).decode() for name, value in (secret.get("data") or {}).items()}
            if data.get("url", "").removesuffix(".git") == url.removesuffix(".git"):
                return Credentials(data.get("username"), data.get("password"))
        return Credentials()

    def _due(self, application: Obj, view: states.View) -> bool:
        """Whether to sync now."""
        automated = (application["spec"].get("syncPolicy") or {}).get("automated")
        if automated is None or automated.get("enabled") is False or view.errors or view.synced:
            return False
        if not any(each.differs for each in view.found) and not (_prunes(application) and view.extra):
            return False
        before = (application.get("status") or {}).get("operationState") or {}
        last = before.get("syncResult") or {}
        same = last.get("revision") == view.commit and last.get("source") == view.source
        if before.get("phase") == "Succeeded" and same:
            return bool(automated.get("selfHeal"))
        return self._may_try(application, short_hash(view.commit, application["spec"]))

    def _may_try(self, application: Obj, word: str) -> bool:
        """Whether a sync that failed may be tried again by now."""
        known = self._attempts.get(key_of(application))
        return known is None or known[0] != word or time.monotonic() >= known[2]

    async def _sync(self, application: Obj, view: states.View) -> Obj:
        began, name = now(), application["metadata"]["name"]
        word = short_hash(view.commit, application["spec"])
        results: list[Obj] = []
        message = ""
        try:
            await self._namespace(application)
            for found in sorted(view.found, key=lambda each: wave(each.wanted)):
                results.append(await self._apply(found))
            for which in view.extra if _prunes(application) else []:
                await self._objects.delete(name, which)
                results.append(states.result(which, "Pruned", "pruned"))
        except ApiError as error:
            message = f"one or more objects failed to apply, reason: {error.message}"
        if any(each["status"] == "SyncFailed" for each in results):
            message = "one or more objects failed to apply, reason: " + "; ".join(
                each["message"] for each in results if each["status"] == "SyncFailed"
            )
        self._remember(key_of(application), word, failed=bool(message))
        text = f"Sync operation to {view.commit} {'failed: ' + message if message else 'succeeded'}"
        reason = "OperationCompleted"
        await self._cluster.event(APPLICATIONS, application, reason, text, warning=bool(message))
        before = application.get("status") or {}
        return states.operation(view, before, began=began, results=results, message=message)

    async def _apply(self, found: Comparison) -> Obj:
        if found.error:
            return states.result(found.identity, "SyncFailed", found.error)
        try:
            await self._objects.apply(found)
        except ApiError as error:
            return states.result(found.identity, "SyncFailed", error.message)
        verb = "configured" if found.live is not None and found.differs else "unchanged" if found.live else "created"
        text = f"{found.identity.kind.lower()}/{found.identity.name} {verb}"
        return states.result(found.identity, "Synced", text)

    async def _namespace(self, application: Obj) -> None:
        options = (application["spec"].get("syncPolicy") or {}).get("syncOptions") or []
        name = application["spec"]["destination"].get("namespace")
        if name and "CreateNamespace=true" in options:
            await self._cluster.create(NAMESPACES, {"metadata": {"name": name}})

    def _remember(self, key: Key, word: str, *, failed: bool) -> None:
        known = self._attempts.get(key)
        failures = (known[1] if known is not None and known[0] == word else 0) + 1 if failed else 0
        pause = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE) if failures else 0.0
        self._attempts[key] = (word, failures, time.monotonic() + pause)

    async def _write(self, application: Obj, status: Obj) -> None:
        """Write the status where it says something new. The Application's CRD has no status subresource."""
        before = application.get("status") or {}
        seen = before.get("reconciledAt")
        stale = seen is None or (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(seen)).total_seconds() > STALE
        if stale or not contains(before, status):
            await self._cluster.patch(APPLICATIONS, application, {"status": {**status, "reconciledAt": now()}})

    async def _remove(self, application: Obj) -> float | None:
        """Cascade: what was delivered goes first, then the finalizer."""
        finalizers = [each for each in application["metadata"].get("finalizers") or [] if each.startswith(FINALIZER)]
        if not finalizers:
            return None
        name = application["metadata"]["name"]
        left = []
        for entry in reversed((application.get("status") or {}).get("resources") or []):
            if await self._objects.delete(name, identity_of(entry)):
                left.append(entry["name"])
        if left:
            return 0.2
        self._attempts.pop(key_of(application), None)
        for finalizer in finalizers:
            application = await self._cluster.set_finalizer(APPLICATIONS, application, finalizer, present=False)
        return None

    async def _start(self, key: Key) -> None:
        """What Argo CD makes when it starts: the default project and the administrator's first password."""
        namespace = self._controller.namespace
        if key != (namespace, "default") or self._projects.get(*key) is not None:
            return
        everything = {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        }
        metadata = {"name": "default", "namespace": namespace}
        await self._cluster.create(APPPROJECTS, {"metadata": metadata, "spec": everything})
        password = base64.b64encode(secrets.token_urlsafe(12).encode()).decode()
        first = {"name": "argocd-initial-admin-secret", "namespace": namespace}
        await self._cluster.create(SECRETS, {"metadata": first, "type": "Opaque", "data": {"password": password}})


def _prunes(application: Obj) -> bool:
    return bool(application["spec"]["syncPolicy"]["automated"].get("prune"))
