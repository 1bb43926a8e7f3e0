"""The HTTP face: routes a request through authentication, authorization and the handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from deployments.sandbox.kubernetes import authn, bootstrap, crds, documents, reading
from deployments.sandbox.kubernetes.admission import Webhooks
from deployments.sandbox.kubernetes.authz import ALWAYS_OPEN, Attributes, Authorizer
from deployments.sandbox.kubernetes.bodies import JSON, json_response, raw_response, read_body
from deployments.sandbox.kubernetes.calls import Where, full
from deployments.sandbox.kubernetes.deletion import Deletion, parse_options
from deployments.sandbox.kubernetes.doors import Subresources, patch_function
from deployments.sandbox.kubernetes.errors import (
    StatusError,
    bad_request,
    internal,
    method_not_allowed,
    no_such_path,
)
from deployments.sandbox.kubernetes.garbage import Controllers
from deployments.sandbox.kubernetes.objects import Objects
from deployments.sandbox.kubernetes.patches import APPLY_PATCH
from deployments.sandbox.kubernetes.prepare import now
from deployments.sandbox.kubernetes.requestinfo import Options, Target, User, parse_path, verb
from deployments.sandbox.kubernetes.resources import CREATE_ONLY, Registry
from deployments.sandbox.kubernetes.storage import Storage
from deployments.sandbox.kubernetes.subresources import Reviews
from deployments.sandbox.kubernetes.watch import serve as serve_watch
from deployments.sandbox.kubernetes.wire import dumps

Object = dict[str, Any]
log = logging.getLogger(__name__)


class ApiServer:
    """One cluster's API server on one SQLite file."""

    def __init__(self, database: Path, *, version: str, ca: str = "", address: str = "127.0.0.1:6443") -> None:
        self.version = version
        self.address = address
        self.storage = Storage(database)
        self.registry = Registry.with_builtins()
        for record in self.storage.records(crds.STORAGE):
            crds.install(self.registry, record.load())
        self.webhooks = Webhooks(self.storage, self.registry)
        self.objects = Objects(self.storage, self.registry, self.webhooks)
        self.objects.on_definition = self._define
        self.objects.on_removal = self._remove
        self.deletion = Deletion(self.objects)
        self.tokens = authn.Tokens(self.storage)
        self.authorizer = Authorizer(self.storage)
        self.subresources = Subresources(self.objects, self.deletion, self.tokens)
        self.reviews = Reviews(self.authorizer, self.tokens)
        self.controllers = Controllers(self.objects, self.deletion, ca)
        self.stopping = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ApiServer]:
        """The server with its controllers at work."""
        await bootstrap.furnish(self.objects)
        task = asyncio.create_task(self.controllers.run())
        try:
            yield self
        finally:
            self.stopping.set()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.webhooks.close()
            self.storage.close()

    def _define(self, item: Object) -> None:
        """Serve a stored CRD's kinds and say so in its status."""
        crds.install(self.registry, item)
        status = crds.conditions(item, now(), terminating="deletionTimestamp" in item["metadata"])
        if item.get("status") != status:
            item["status"] = status
            self.storage.write(crds.STORAGE, "", item["metadata"]["name"], item)

    def _remove(self, where: Where, record: Any, _options: Options) -> Any:
        last = self.storage.delete(record)
        if where.resource.storage == crds.STORAGE:
            spec = record.load()["spec"]
            self.registry.remove(spec["group"], spec["names"]["plural"])
        return last

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; every error becomes a Status."""
        try:
            return await self._route(request)
        except StatusError as error:
            return self._failure(error)
        except (asyncio.CancelledError, web.HTTPException, ConnectionResetError):
            raise
        except Exception as error:
            log.exception("%s %s", request.method, request.path_qs)
            return self._failure(internal(f"{type(error).__name__}: {error}"))

    @staticmethod
    def _failure(error: StatusError) -> web.Response:
        headers = {}
        retry = (error.details or {}).get("retryAfterSeconds")
        if error.code == 429 or retry:
            headers["Retry-After"] = str(retry or 1)
        return web.Response(body=dumps(error.to_json()), status=error.code, content_type=JSON, headers=headers)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        target = parse_path(request.path)
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        user = authn.authenticate(certificate, request.headers.get("Authorization", ""), self.tokens)
        groups = request.headers.getall("Impersonate-Group", [])
        user = authn.impersonated(user, request.headers, groups)
        query = dict(request.query)
        action = verb(request.method, target, query)
        if target.path not in ALWAYS_OPEN:
            namespace = target.namespace or (target.name if target.resource == "namespaces" else "")
            self.authorizer.check(
                Attributes(
                    user, action, namespace, target.group, target.resource, target.subresource, target.name, target.path
                )
            )
        if not target.resource:
            return documents.answer(request, self.registry, self.version, self.address)
        return await self._resource(request, target, user, action, query)

    async def _resource(
        self, request: web.Request, target: Target, user: User, action: str, query: dict[str, str]
    ) -> web.StreamResponse:
        resource = self.registry.find(target.group, target.version, target.resource)
        if resource is None:
            return await self._review(request, target, user)
        if resource.namespaced and not target.namespace and action not in ("list", "watch"):
            raise no_such_path() if target.name else method_not_allowed()
        if target.namespace and not resource.namespaced:
            raise no_such_path()
        if target.subresource and target.subresource not in resource.subresources:
            raise no_such_path()
        where = Where(resource, target.namespace, target.name, target.subresource)
        options = Options.of(user, query, request.headers.get("User-Agent", ""))
        view = reading.View.of(request.headers.get("Accept", ""), query)
        if action == "watch":
            return await serve_watch(self, request, where, query, view)
        answer = await self._act(request, action, where, query, view, options=options)
        deprecated = (resource.custom or {}).get("deprecated")
        for warning in [*([deprecated] if deprecated else []), *options.warnings]:
            quoted = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
            answer.headers.add("Warning", f'299 - "{quoted}"')
        return answer

    async def _act(  # noqa: PLR0911  a dispatch, one line a case
        self,
        request: web.Request,
        action: str,
        where: Where,
        query: dict[str, str],
        view: reading.View,
        *,
        options: Options,
    ) -> web.Response:
        resource = where.resource
        if action == "list":
            return raw_response(reading.listing(self.storage, resource, where.namespace, query, view))
        if action == "get":
            return self._get(where, view)
        if action == "deletecollection":
            return await self._delete_all(request, where, query, options)
        if action == "delete":
            body = await read_body(request, optional=True)
            done = await self.deletion.delete(where, parse_options(body, query), options)
            return json_response(done)
        if where.subresource not in ("", "status"):
            return await self.subresources.write(request, action, where, options)
        if action == "create":
            if where.name:
                raise method_not_allowed()
            item = await self.objects.create(where, await read_body(request), options)
            return raw_response(reading.shown(resource, view, item), 201)
        if action in ("update", "patch") and not where.name:
            raise method_not_allowed()
        if action == "update":
            item, created = await self.objects.update(where, await read_body(request), options)
            return raw_response(reading.shown(resource, view, item), 201 if created else 200)
        if action == "patch":
            return await self._patch(request, where, query, view, options)
        raise method_not_allowed()

    def _get(self, where: Where, view: reading.View) -> web.Response:
        if where.subresource == "scale":
            return json_response(self.subresources.scales.read(where))
        if where.subresource == "log":
            self.objects.read(where)
            return web.Response(text="")
        if where.subresource not in ("", "status", "approval"):
            raise method_not_allowed()
        record = self.objects.read(where)
        if view.form == "object":
            return raw_response(reading.whole(where.resource, record))
        return raw_response(reading.shown(where.resource, view, full(where.resource, record)))

    async def _patch(
        self, request: web.Request, where: Where, query: dict[str, str], view: reading.View, options: Options
    ) -> web.Response:
        content_type = request.content_type
        body = await read_body(request, content_type=content_type)
        if content_type == APPLY_PATCH:
            item, created = await self.objects.apply(where, body, options, named=bool(query.get("fieldManager")))
            return raw_response(reading.shown(where.resource, view, item), 201 if created else 200)
        item = await self.objects.patch(where, patch_function(content_type, body, where), options)
        return raw_response(reading.shown(where.resource, view, item))

    async def _delete_all(
        self, request: web.Request, where: Where, query: dict[str, str], options: Options
    ) -> web.Response:
        wishes = parse_options(await read_body(request, optional=True), query)
        chosen = reading.Filter.of(where.resource, query)
        gone = []
        for record in reading.select(self.storage, where.resource, where.namespace, chosen):
            single = Where(where.resource, record.namespace, record.name)
            try:
                await self.deletion.delete(single, wishes, options)
            except StatusError as error:
                if error.code != 404:
                    raise
            gone.append(record.load())
        head = {"kind": where.resource.list_kind, "apiVersion": where.resource.api_version}
        return json_response({**head, "metadata": {"resourceVersion": str(self.storage.version)}, "items": gone})

    async def _review(self, request: web.Request, target: Target, user: User) -> web.Response:
        """Kinds that are answered and not stored; anything else does not exist."""
        api = f"{target.group}/{target.version}"
        for kind, plural, _namespaced in CREATE_ONLY.get(api, ()):
            if plural == target.resource and not target.name:
                if request.method != "POST":
                    raise method_not_allowed()
                body = await read_body(request)
                if not isinstance(body, dict):
                    raise bad_request(f"expected a {kind}")
                return json_response(self.reviews.answer(kind, api, body, user, target.namespace), 201)
        raise no_such_path()
