"""`/openapi/v2`: a small document, as JSON and as protobuf.

It declares, for every served kind,
the PATCH operation with its `dryRun` and `fieldValidation` parameters (kubectl looks
there before it asks the server to validate) and no schemas: a kind without one is not validated by the client.
"""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes.protobuf import encode
from deployments.sandbox.kubernetes.resources import Registry, Resource
from deployments.sandbox.kubernetes.wire import dumps

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
Object = dict[str, Any]
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")


def _path(resource: Resource) -> str:
    start = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    place = "/namespaces/{namespace}" if resource.namespaced else ""
    return f"{start}{place}/{resource.plural}/{{name}}"


def document(registry: Registry, version: str) -> Object:
    """The document as JSON."""
    paths: Object = {}
    for resource in registry.all():
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        parameters = [{"in": "query", "name": name, "type": "string", "uniqueItems": True} for name in _PARAMETERS]
        paths[_path(resource)] = {
            "patch": {
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": kind,
            }
        }
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": version}, "paths": paths, "definitions": {}}


def protobuf(registry: Registry, version: str) -> bytes:
    """The document as gnostic's openapi.v2.Document."""
    info = encode([(1, "Kubernetes"), (2, version)])
    items = [(2, encode([(1, _path(resource)), (2, _path_item(resource))])) for resource in registry.all()]
    paths = encode(list(items))
    return encode([(1, "2.0"), (2, info), (8, paths), (9, b"")])


def _path_item(resource: Resource) -> bytes:
    parameters = [(8, _parameter(name)) for name in _PARAMETERS]
    response = encode([(1, "200"), (2, encode([(1, encode([(1, "OK")]))]))])
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    extension = encode([(1, "x-kubernetes-group-version-kind"), (2, encode([(2, dumps(kind))]))])
    action = encode([(1, "x-kubernetes-action"), (2, encode([(2, b"patch\n")]))])
    operation = encode([*parameters, (9, encode([(1, response)])), (13, extension), (13, action)])
    return encode([(8, operation)])


def _parameter(name: str) -> bytes:
    """ParametersItem{parameter{non_body_parameter{query_parameter_sub_schema}}}."""
    schema = encode([(2, "query"), (4, name), (6, "string")])
    return encode([(1, encode([(2, encode([(3, schema)]))]))])
