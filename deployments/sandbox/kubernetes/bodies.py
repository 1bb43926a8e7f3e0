"""Bodies: what requests bring (JSON, YAML, the protobuf of kubectl's typed commands), what answers carry."""

from __future__ import annotations

from typing import Any

import yaml
from aiohttp import web

from deployments.sandbox.kubernetes import protobuf
from deployments.sandbox.kubernetes.errors import StatusError, bad_request, unsupported_media_type
from deployments.sandbox.kubernetes.patches import APPLY_PATCH
from deployments.sandbox.kubernetes.wire import dumps, loads

MAX_BODY = 3 * 1024 * 1024
JSON = "application/json"


def json_response(value: Any, status: int = 200) -> web.Response:
    """An answer from JSON data."""
    return raw_response(dumps(value), status)


def raw_response(body: bytes, status: int = 200) -> web.Response:
    """An answer from JSON bytes."""
    return web.Response(body=body, status=status, content_type=JSON)


async def read_body(request: web.Request, *, optional: bool = False, content_type: str = "") -> Any:
    """The request's body, decoded by its content type; clients may leave that out for JSON."""
    raw = await request.read()
    if not raw:
        if optional:
            return None
        raise bad_request("the request body is empty")
    if len(raw) > MAX_BODY:
        raise StatusError(413, "RequestEntityTooLarge", f"limit is {MAX_BODY}", {})
    sort = content_type or request.content_type
    try:
        if raw.startswith(protobuf.MAGIC) or sort == protobuf.MEDIA_TYPE:
            return protobuf.decode_body(raw)
        if sort in (APPLY_PATCH, "application/yaml"):
            try:
                return loads(raw)
            except ValueError:
                return yaml.safe_load(raw)
        if content_type or sort in (JSON, "application/octet-stream", "text/plain"):
            return loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the body cannot be read: {error}") from error
    raise unsupported_media_type("application/json, application/yaml, application/vnd.kubernetes.protobuf")
