"""An Application's objects in the cluster: where each kind is served, how each differs, and its application."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from deployments.sandbox.controllers.kube.client import ApiError, Client
from deployments.sandbox.controllers.kube.objects import annotated, key_of
from deployments.sandbox.controllers.kube.resources import Obj, Resource

TRACKING = "argocd.argoproj.io/tracking-id"
MANAGER = "argocd-controller"
SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


@dataclass(frozen=True)
class Identity:
    """Which object: what Argo CD calls a resource key."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str

    def entry(self) -> Obj:
        """As an entry of status.resources."""
        entry = {"group": self.group, "version": self.version, "kind": self.kind, "name": self.name}
        if self.namespace:
            entry["namespace"] = self.namespace
        return {key: value for key, value in entry.items() if value}


def identity_of(entry: Obj) -> Identity:
    """From an entry of status.resources."""
    return Identity(entry.get("group", ""), entry["version"], entry["kind"], entry.get("namespace", ""), entry["name"])


def tracking_id(application: str, which: Identity) -> str:
    """The annotation that marks an object as an Application's."""
    return f"{application}:{which.group}/{which.kind}:{which.namespace}/{which.name}"


@dataclass
class Comparison:
    """One object as git wants it and as it is."""

    identity: Identity
    resource: Resource
    wanted: Obj
    live: Obj | None = None
    differs: bool = True
    error: str = ""


@dataclass
class Objects:
    """Reads and writes an Application's objects.

    Args:
        client: of the cluster.
    """

    client: Client
    _kinds: dict[str, dict[str, Resource]] = field(default_factory=dict)
    _compared: dict[tuple[Identity, str, str], bool] = field(default_factory=dict)

    async def resource(self, group: str, version: str, kind: str) -> Resource | None:
        """Where a kind is served, by discovery; None where it is not."""
        api = f"{group}/{version}" if group else version
        if kind not in self._kinds.get(api, {}):
            self._kinds[api] = await self._discover(group, version)
        return self._kinds[api].get(kind)

    async def compare(self, application: str, manifest: Obj, namespace: str, word: str) -> Comparison:
        """One manifest against what is there; `word` stands for the manifest's content.

        Raises:
            ApiError: the cluster does not answer as it should.
        """
        group, _, version = manifest["apiVersion"].rpartition("/")
        resource = await self.resource(group, version, manifest["kind"])
        where = manifest["metadata"].get("namespace") or namespace
        if resource is None:
            which = Identity(group, version, manifest["kind"], where, manifest["metadata"]["name"])
            message = f"The Kubernetes API could not find {manifest['apiVersion']}/{manifest['kind']}"
            return Comparison(which, Resource(group, version, "", manifest["kind"]), manifest, error=message)
        which = Identity(
            group, version, manifest["kind"], where if resource.namespaced else "", manifest["metadata"]["name"]
        )
        wanted = marked(manifest, application, which)
        live = await self.client.get(resource, which.namespace, which.name)
        found = Comparison(which, resource, wanted, live)
        if live is not None:
            seen = (which, live["metadata"]["resourceVersion"], word)
            if seen not in self._compared:
                self._compared = {key: value for key, value in self._compared.items() if key[0] != which}
                self._compared[seen] = await self._differs(found)
            found.differs = self._compared[seen]
        return found

    async def apply(self, found: Comparison) -> Obj:
        """Apply one object.

        Raises:
            ApiError: the cluster refuses.
        """
        path = found.resource.path(found.identity.namespace, found.identity.name)
        return await self.client.apply(path, found.wanted, manager=MANAGER)

    async def delete(self, application: str, which: Identity) -> bool:
        """Delete an object if it is still the Application's; False where there is nothing (any more) to delete."""
        resource = await self.resource(which.group, which.version, which.kind)
        live = await self.client.get(resource, which.namespace, which.name) if resource is not None else None
        if resource is None or live is None or annotated(live).get(TRACKING) != tracking_id(application, which):
            return False
        if not live["metadata"].get("deletionTimestamp"):
            await self.client.delete(resource, *key_of(live), uid=live["metadata"]["uid"])
        return True

    async def _differs(self, found: Comparison) -> bool:
        path = found.resource.path(found.identity.namespace, found.identity.name)
        after = await self.client.apply(path, found.wanted, manager=MANAGER, dry_run=True)
        return bare(after) != bare(found.live or {})

    async def _discover(self, group: str, version: str) -> dict[str, Resource]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            answer = await self.client.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return {}
            raise
        return {
            each["kind"]: Resource(group, version, each["name"], each["kind"], each["namespaced"])
            for each in answer["resources"]
            if "/" not in each["name"]
        }


def marked(manifest: Obj, application: str, which: Identity) -> Obj:
    """The manifest with its namespace and the Application's mark."""
    wanted = copy.deepcopy(manifest)
    metadata = wanted["metadata"]
    metadata.pop("namespace", None)
    if which.namespace:
        metadata["namespace"] = which.namespace
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TRACKING: tracking_id(application, which)}
    return wanted


def bare(obj: Obj) -> Obj:
    """An object without what the server alone writes."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name not in SERVER_FIELDS}
    return {name: value for name, value in obj.items() if name not in {"status", "metadata"}} | {"metadata": metadata}
