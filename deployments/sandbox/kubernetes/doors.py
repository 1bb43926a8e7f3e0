"""Writes that do not go through the object itself: its subresources, each with its own rules; and patch bodies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from deployments.sandbox.kubernetes import patches, strategic
from deployments.sandbox.kubernetes.authn import Tokens
from deployments.sandbox.kubernetes.bodies import json_response, read_body
from deployments.sandbox.kubernetes.calls import Where
from deployments.sandbox.kubernetes.deletion import Deletion
from deployments.sandbox.kubernetes.errors import bad_request, method_not_allowed, not_found, unsupported_media_type
from deployments.sandbox.kubernetes.objects import Objects
from deployments.sandbox.kubernetes.requestinfo import Options
from deployments.sandbox.kubernetes.resources import Registry, Resource
from deployments.sandbox.kubernetes.subresources import Pods, Scales, issue_token
from deployments.sandbox.kubernetes.types import library

Object = dict[str, Any]


class Subresources:
    """scale, binding, eviction, token, approval, finalize."""

    def __init__(self, objects: Objects, deletion: Deletion, tokens: Tokens) -> None:
        self.objects = objects
        self.tokens = tokens
        self.scales = Scales(objects)
        self.pods = Pods(objects, deletion)

    async def write(self, request: web.Request, action: str, where: Where, options: Options) -> web.Response:  # noqa: PLR0911  a dispatch, one line a case
        name = where.subresource
        if name == "scale" and action == "update":
            return json_response(await self.scales.update(where, await read_body(request), options))
        if name == "scale" and action == "patch":
            content_type = request.content_type
            body = await read_body(request, content_type=content_type)
            change = patch_function(
                content_type, body, Where(_scale_resource(self.objects.registry), where.namespace, where.name)
            )
            return json_response(await self.scales.patch(where, change, options))
        if name == "binding" and action == "create":
            return json_response(await self.pods.bind(where, await read_body(request), options), 201)
        if name == "eviction" and action == "create":
            return json_response(await self.pods.evict(where, await read_body(request), options), 201)
        if name == "token" and action == "create":
            return json_response(issue_token(self.tokens, self.objects, where, await read_body(request)), 201)
        if name == "approval" and action in ("update", "patch"):
            status = Where(where.resource, where.namespace, where.name, "status")
            if action == "update":
                return json_response((await self.objects.update(status, await read_body(request), options))[0])
            body = await read_body(request, content_type=request.content_type)
            return json_response(
                await self.objects.patch(status, patch_function(request.content_type, body, status), options)
            )
        if name == "finalize" and action == "update":
            return await self._finalize(where, await read_body(request))
        raise method_not_allowed()

    async def _finalize(self, where: Where, body: Any) -> web.Response:
        """namespaces/finalize: the one way to change spec.finalizers."""
        record = self.objects.read(where)
        item = record.load()
        finalizers = ((body or {}).get("spec") or {}).get("finalizers") or []
        item["spec"] = {"finalizers": finalizers} if finalizers else {}
        held = {"kind": "Namespace", "apiVersion": "v1", **item}
        if record.finalizing and not finalizers and not item["metadata"].get("finalizers"):
            self.objects.storage.delete(record)
        else:
            self.objects.storage.write("namespaces", "", where.name, item)
        return json_response(held)


def _scale_resource(registry: Registry) -> Resource:
    """Something with a Scale's type, for strategic merge patches of it."""
    base = registry.find("apps", "v1", "deployments")
    if base is None:
        raise not_found("apps", "deployments", "")
    return replace(base, schema=library().get("autoscaling.v1.Scale"))


def patch_function(content_type: str, body: Any, where: Where) -> Callable[[Object], Object]:
    """The pure function a PATCH body stands for (all but server-side apply).

    Raises:
        StatusError: 415, a patch type this kind does not have.
    """
    if content_type == patches.JSON_PATCH:
        return lambda old: patches.json_patch(old, body)
    if content_type == patches.MERGE_PATCH:
        return lambda old: patches.merge_patch(old, body)
    if content_type == patches.STRATEGIC_PATCH and where.resource.custom is None:
        if not isinstance(body, dict):
            raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
        return lambda old: strategic.patch(where.resource.schema, old, body)
    accepted = [patches.JSON_PATCH, patches.MERGE_PATCH, patches.APPLY_PATCH]
    if where.resource.custom is None:
        accepted.insert(2, patches.STRATEGIC_PATCH)
    raise unsupported_media_type(", ".join(accepted))
