"""The Kubernetes client: plain objects in and out, server-side apply, every page of a list.

async with KubernetesClient(kubeconfig) as kubernetes:
    deployment = await kubernetes.get("apps/v1", "Deployment", "web", "default")
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from infra.clients.errors import InvalidInput, NotFound, NotYet
from infra.clients.kubernetes_discovery import Discovery, Resource
from infra.clients.kubernetes_transport import USER_AGENT, Expired, Object, Transport, WebhookUnavailable
from infra.clients.waiting import Clock, SystemClock, wait_until
from infra.settings import Settings

__all__ = ["FIELD_MANAGER", "KubernetesClient", "Object", "Resource", "UnknownKind", "WebhookUnavailable"]

FIELD_MANAGER = "plumbline"
PAGE = 500
RESTARTS = 3
"""How often a list whose continue token expired is begun again."""

# `list` is a method of the client.
Objects = list[Object]
Resources = list[Resource]
Propagation = Literal["Background", "Foreground", "Orphan"]
PatchType = Literal["merge", "json", "strategic"]


class UnknownKind(NotFound):
    """The API server does not know the kind: its CRD is not installed (yet)."""

    category = "UnknownKind"


class KubernetesClient:
    """What Plumbline asks of one API server.

    Args:
        kubeconfig: its current context is used.
        settings: `request_timeout` bounds every request.
        read_only: a guard for looking: only reads and server-side dry runs leave this client; and it lists only, since
            the right to `get` everything is more than a right to look (infra.planes.access).
        user_agent: stands in the audit log.
        clock: replaced in tests.
    """

    def __init__(
        self,
        kubeconfig: Path,
        settings: Settings | None = None,
        *,
        read_only: bool = False,
        user_agent: str = USER_AGENT,
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._transport = Transport(kubeconfig, settings, read_only=read_only, user_agent=user_agent, clock=clock)
        self._discovery = Discovery(self._transport)
        self.kubeconfig = kubeconfig
        self.server = self._transport.server
        self.read_only = read_only

    async def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object; None when it, or its kind, is not there."""
        resource = await self._discovery.find(api_version, kind)
        if resource is None:
            return None
        namespace = _needed(resource, namespace)
        if self.read_only:
            named = await self.list(api_version, kind, namespace, field_selector=f"metadata.name={name}")
            return named[0] if named else None
        try:
            found: Object = await self._transport.get(resource.path(name, namespace))
        except NotFound:
            return None
        return found

    async def get_like(self, item: Object) -> Object | None:
        """The live object of the same apiVersion, kind, namespace and name as `item`."""
        metadata = item["metadata"]
        return await self.get(item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"))

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Objects:
        """Every object of a kind, all pages, each with its apiVersion and kind; empty when the kind is unknown.

        Args:
            namespace: every namespace when None.
        """
        resource = await self._discovery.find(api_version, kind)
        if resource is None:
            return []
        params: dict[str, str] = {}
        if label_selector:
            params["labelSelector"] = label_selector
        if field_selector:
            params["fieldSelector"] = field_selector
        for item in (items := await self.list_raw(resource.path(namespace=namespace), params)):
            item.setdefault("apiVersion", api_version)
            item.setdefault("kind", kind)
        return items

    async def list_raw(self, path: str, params: dict[str, str] | None = None) -> Objects:
        """The items at a list path, all pages, as the server sent them (built-in kinds without apiVersion and kind)."""
        for attempt in range(RESTARTS + 1):
            try:
                return await self._pages(path, params or {})
            except Expired:
                if attempt == RESTARTS:
                    raise
        raise AssertionError("unreachable")

    async def create(self, item: Object, *, dry_run: bool = False) -> Object:
        """Create an object.

        It is not repeated by itself after a timeout: look before trying again.

        Raises:
            Conflict: it exists already.
            UnknownKind: its CRD is not installed.
            WebhookUnavailable: an admission webhook does not answer.
        """
        resource, namespace = await self._resource_of(item)
        created: Object = await self._transport.send(
            "POST",
            resource.path(namespace=namespace),
            item,
            {"fieldManager": FIELD_MANAGER, **_dry(dry_run)},
            harmless_twice=dry_run,
        )
        return created

    async def apply(
        self, item: Object, *, dry_run: bool = False, force: bool = True, field_manager: str = FIELD_MANAGER
    ) -> Object:
        """Server-side apply: the object becomes what `item` says, in the fields it names, and is returned.

        Args:
            dry_run: the server answers what it would do, admission included, and does nothing.
            force: take fields over from other field managers; otherwise they are a `Conflict`.
        """
        resource, namespace = await self._resource_of(item)
        params = {"fieldManager": field_manager, "force": str(force).lower(), **_dry(dry_run)}
        path = resource.path(item["metadata"]["name"], namespace)
        applied: Object = await self._transport.send("PATCH", path, item, params, patch="apply", harmless_twice=True)
        return applied

    async def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        type: PatchType = "merge",
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Patch an object: a dict for merge and strategic merge, a list of operations for JSON patch.

        Raises:
            NotFound: there is no such object.
            Conflict: a JSON patch's `test`, or a resourceVersion in the patch, no longer holds.
        """
        resource = await self._resource(api_version, kind)
        path = resource.path(name, _needed(resource, namespace), subresource)
        patched: Object = await self._transport.send(
            "PATCH",
            path,
            patch,
            {"fieldManager": FIELD_MANAGER, **_dry(dry_run)},
            patch=type,
            harmless_twice=type != "json" or dry_run,
        )
        return patched

    async def replace(self, item: Object, *, subresource: str | None = None, dry_run: bool = False) -> Object:
        """Replace an object; with its resourceVersion nobody's change in between is lost (`Conflict`)."""
        resource, namespace = await self._resource_of(item)
        path = resource.path(item["metadata"]["name"], namespace, subresource)
        replaced: Object = await self._transport.send(
            "PUT", path, item, {"fieldManager": FIELD_MANAGER, **_dry(dry_run)}, harmless_twice=dry_run
        )
        return replaced

    async def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Propagation = "Background",
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Delete an object; False when it, or its kind, was gone already.

        Args:
            uid, resource_version: delete only exactly this object; otherwise `Conflict`.
        """
        resource = await self._discovery.find(api_version, kind)
        if resource is None:
            return False
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        body["preconditions"] = {key: value for key, value in preconditions.items() if value is not None}
        if dry_run:
            body["dryRun"] = ["All"]
        path = resource.path(name, _needed(resource, namespace))
        try:
            await self._transport.send("DELETE", path, body, _dry(dry_run), harmless_twice=True)
        except NotFound:
            return False
        return True

    async def wait_deleted(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        timeout: float,
        uid: str | None = None,
        interval: float = 1.0,
    ) -> None:
        """Wait until an object is gone; one of the same name with another `uid` counts as gone.

        Raises:
            DeadlineExceeded: naming the finalizers that hold it.
        """

        async def look() -> None:
            found = await self.get(api_version, kind, name, namespace)
            if found is None or (uid is not None and found["metadata"]["uid"] != uid):
                return
            held = ", ".join(found["metadata"].get("finalizers", ()))
            raise NotYet(f"{kind} {name} is still there{f', held by the finalizers {held}' if held else ''}.")

        await wait_until(
            look, describe=f"the end of {kind} {name}", timeout=timeout, interval=interval, clock=self._clock
        )

    async def version(self) -> str:
        """The API server's version, such as v1.33.4; where it behaves as an older one, that is said, too."""
        said = await self._transport.get("/version")
        emulated = said.get("emulationMinor", said.get("minor"))
        behaves = f" (as 1.{emulated})" if emulated != said.get("minor") else ""
        return f"{said['gitVersion']}{behaves}"

    async def nodes(self) -> Objects:
        """Every Node."""
        return await self.list("v1", "Node")

    async def resource(self, api_version: str, kind: str) -> Resource | None:
        """How a kind is served (plural, namespaced, verbs), None when the server does not know it."""
        return await self._discovery.find(api_version, kind)

    async def resources(self) -> Resources:
        """Every listable kind, in its group's preferred version."""
        return await self._discovery.all()

    async def raw(self, path: str, params: dict[str, str] | None = None) -> Any:
        """GET a path as it is: decoded JSON, or text (`/readyz`, `/metrics`)."""
        return await self._transport.get(path, params)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _pages(self, path: str, params: dict[str, str]) -> Objects:
        query = {"limit": str(PAGE), **params}
        items: Objects = []
        while True:
            answer = await self._transport.get(path, query)
            items.extend(answer.get("items") or ())
            token = answer.get("metadata", {}).get("continue")
            if not token:
                return items
            query["continue"] = token

    async def _resource(self, api_version: str, kind: str) -> Resource:
        found = await self._discovery.find(api_version, kind)
        if found is None:
            raise UnknownKind(f"The API server does not know {kind} of {api_version}.", hint="Is its CRD installed?")
        return found

    async def _resource_of(self, item: Object) -> tuple[Resource, str | None]:
        try:
            api_version, kind, metadata = item["apiVersion"], item["kind"], item["metadata"]
        except KeyError as error:
            raise InvalidInput(f"A Kubernetes object lacks {error}.") from error
        resource = await self._resource(api_version, kind)
        return resource, _needed(resource, metadata.get("namespace"))


def _needed(resource: Resource, namespace: str | None) -> str | None:
    """The namespace a path to one object needs: `default` where none is given, as kubectl does."""
    return (namespace or "default") if resource.namespaced else None


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
