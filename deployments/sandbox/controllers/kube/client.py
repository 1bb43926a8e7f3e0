"""A Kubernetes client of few words: JSON in, JSON out, errors as one type."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from deployments.sandbox.controllers.kube.resources import Obj, Resource

USER_AGENT = "plumbline-sandbox/controllers"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
WATCH_SECONDS = 240


class ApiError(Exception):
    """The API server refused.

    Args:
        status: of HTTP.
        reason: Kubernetes' word for it, such as AlreadyExists.
        message: its sentence.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message[:400]}")
        self.status, self.reason, self.message = status, reason, message


class Client:
    """Talks to one API server.

    Args:
        url: of the API server.
        context: TLS towards it, client certificate included.
        authority: PEM of who signed the server's certificate, to be told to others.
    """

    def __init__(self, url: str, context: ssl.SSLContext, authority: bytes = b"") -> None:
        self.url, self.authority, self._context = url.rstrip("/"), authority, context
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Client:
        """A client with a certificate's kubeconfig, as `kubeconfig` makes it."""
        config = yaml.safe_load(path.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"])
        context = ssl.create_default_context(cadata=authority.decode())
        # The ssl module reads client certificates from files only.
        with tempfile.NamedTemporaryFile() as file:
            for name in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(user[name]) + b"\n")
            file.flush()
            context.load_cert_chain(file.name)
        return cls(cluster["server"], context, authority)

    async def __aenter__(self) -> Client:
        # No limit: each informer holds a connection of its own. A watch that is left waits for the server's end of TLS,
        # which a busy one sends too late: with cleanup, closing the session closes those connections, too.
        connector = aiohttp.TCPConnector(ssl=self._context, limit=0, enable_cleanup_closed=True)
        timeout = aiohttp.ClientTimeout(total=30)
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Obj:
        """One request.

        Raises:
            ApiError: the server refused.
            aiohttp.ClientError, TimeoutError: it did not answer.
        """
        assert self._session is not None  # noqa: S101 - a client is used inside `async with`
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        async with self._session.request(method, self.url + path, data=data, params=params, headers=headers) as answer:
            raw = await answer.read()
            if answer.status >= 400:
                raise _error(answer.status, raw)
            document: Obj = json.loads(raw) if raw else {}
            return document

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        """The object, or None where there is none."""
        try:
            return await self.request("GET", resource.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list_all(self, resource: Resource) -> Obj:
        """The whole collection, over all namespaces."""
        return await self.request("GET", resource.path())

    async def create(self, resource: Resource, obj: Obj) -> Obj:
        """Create an object."""
        body: Obj = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        return await self.request("POST", resource.path(body["metadata"].get("namespace", "")), body=body)

    async def patch(self, resource: Resource, namespace: str, name: str, change: Any, *, subresource: str = "") -> Obj:
        """Merge-patch an object, or its status."""
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, body=change, content_type=MERGE)

    async def apply(self, path: str, obj: Obj, *, manager: str, dry_run: bool = False) -> Obj:
        """Server-side apply with force, as a controller does it."""
        params = {"fieldManager": manager, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        return await self.request("PATCH", path, body=obj, params=params, content_type=APPLY)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> None:
        """Delete an object. One that has gone, or has another `uid` by now, is no error."""
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self.request("DELETE", resource.path(namespace, name), body=options)
        except ApiError as error:
            if error.status != 404 and not (error.status == 409 and uid is not None):
                raise

    async def watch(self, resource: Resource, version: str) -> AsyncIterator[Obj]:
        """Events from a resourceVersion on, until the server ends the stream."""
        assert self._session is not None  # noqa: S101 - as above
        params = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=WATCH_SECONDS + 30)
        async with self._session.get(self.url + resource.path(), params=params, timeout=timeout) as answer:
            if answer.status >= 400:
                raise _error(answer.status, await answer.read())
            rest = b""
            # Not by readline: an object may be longer than the line limit.
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)


def _error(status: int, raw: bytes) -> ApiError:
    try:
        document = json.loads(raw)
        return ApiError(status, document.get("reason", ""), document.get("message", ""))
    except (ValueError, AttributeError):
        return ApiError(status, "", raw.decode(errors="replace"))


def kubeconfig(server: str, authority: bytes, **user: str) -> str:
    """A kubeconfig, as JSON, which is YAML; `user` is how one signs in."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "default",
        "clusters": [{"name": "default", "cluster": cluster}],
        "users": [{"name": "default", "user": user}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
    }
    return json.dumps(document, indent=1)
