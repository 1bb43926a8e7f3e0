"""Paths that name no resource: health, version, discovery, OpenAPI."""

from __future__ import annotations

from aiohttp import web

from deployments.sandbox.kubernetes import discovery, openapi
from deployments.sandbox.kubernetes.bodies import JSON
from deployments.sandbox.kubernetes.errors import method_not_allowed, no_such_path
from deployments.sandbox.kubernetes.resources import Registry
from deployments.sandbox.kubernetes.wire import dumps

HEALTH = frozenset({"/healthz", "/readyz", "/livez"})


def answer(request: web.Request, registry: Registry, version: str, address: str) -> web.Response:
    """The document at the request's path.

    Raises:
        StatusError: 404, there is none; 405, it can only be read.
    """
    if request.method not in ("GET", "HEAD"):
        raise method_not_allowed()
    path = request.path.rstrip("/")
    accept = request.headers.get("Accept", "")
    if path in HEALTH:
        return web.Response(text="ok")
    if path in ("/api", "/apis") and discovery.AGGREGATED in accept.replace(" ", ""):
        body = dumps(discovery.aggregated(registry, core=path == "/api"))
        return web.Response(body=body, headers={"Content-Type": discovery.AGGREGATED, "Vary": "Accept"})
    if path == "/openapi/v2" and openapi.PROTOBUF in accept:
        body = openapi.protobuf(registry, version)
        return web.Response(body=body, headers={"Content-Type": "application/octet-stream"})
    return web.Response(body=dumps(_document(path, registry, version, address)), content_type=JSON)


def _document(path: str, registry: Registry, version: str, address: str) -> object:
    fixed = {
        "/version": lambda: discovery.version_info(version),
        "/api": lambda: discovery.api_versions(address),
        "/apis": lambda: discovery.group_list(registry),
        "/openapi/v2": lambda: openapi.document(registry, version),
        "/api/v1": lambda: discovery.resource_list(registry, "", "v1"),
    }
    if path in fixed:
        return fixed[path]()
    match path.strip("/").split("/"):
        case ["apis", group]:
            return discovery.group(registry, group)
        case ["apis", group, version_name]:
            return discovery.resource_list(registry, group, version_name)
    raise no_such_path()
