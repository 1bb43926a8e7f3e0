"""Errors of the Kubernetes API: one exception that carries the `Status` object the client gets.

Texts follow k8s.io/apimachinery/pkg/api/errors, because clients match on them (helm on "already exists",
    kubectl on causes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One thing wrong with an object: where (`spec.selector`), what sort, and in words."""

    field: str
    reason: str
    message: str

    def to_json(self) -> dict[str, str]:
        return {"reason": self.reason, "message": self.message, "field": self.field}


class StatusError(Exception):
    """An answer that is an error: HTTP code, reason, message and details."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def to_json(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = {key: value for key, value in self.details.items() if value not in ("", None, [])}
        status["code"] = self.code
        return status


def qualified(group: str, resource: str) -> str:
    """`deployments.apps`, or `pods` in the core group."""
    return f"{resource}.{group}" if group else resource


def not_found(group: str, resource: str, name: str) -> StatusError:
    details = {"name": name, "group": group, "kind": resource}
    return StatusError(404, "NotFound", f'{qualified(group, resource)} "{name}" not found', details)


def no_such_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, resource: str, name: str) -> StatusError:
    details = {"name": name, "group": group, "kind": resource}
    return StatusError(409, "AlreadyExists", f'{qualified(group, resource)} "{name}" already exists', details)


def conflict(group: str, resource: str, name: str, why: str) -> StatusError:
    details = {"name": name, "group": group, "kind": resource}
    message = f'Operation cannot be fulfilled on {qualified(group, resource)} "{name}": {why}'
    return StatusError(409, "Conflict", message, details)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> StatusError:
    """422 with one cause per field, in the wording of field.ErrorList."""
    parts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    text = parts[0] if len(parts) == 1 else "[" + ", ".join(parts) + "]"
    details = {"name": name, "group": group, "kind": kind, "causes": [cause.to_json() for cause in causes]}
    return StatusError(422, "Invalid", f'{qualified(group, kind)} "{name}" is invalid: {text}', details)


def forbidden(group: str, resource: str, name: str, why: str) -> StatusError:
    details = {"name": name, "group": group, "kind": resource}
    shown = f' "{name}"' if name else ""
    return StatusError(403, "Forbidden", f"{qualified(group, resource)}{shown} is forbidden: {why}", details)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> StatusError:
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type(accepted: str) -> StatusError:
    """415. The real server's own text for patches is just "415: Unsupported Media Type"; this one says what would
    do."""
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return StatusError(415, "UnsupportedMediaType", message, {})


def gone(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def internal(message: str) -> StatusError:
    text = f"Internal error occurred: {message}"
    return StatusError(500, "InternalError", text, {"causes": [{"message": message}]})


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: object, detail: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def not_supported(field: str, value: object, allowed: list[str]) -> Cause:
    listed = ", ".join(f'"{item}"' for item in sorted(allowed))
    return Cause(field, "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {listed}")


def duplicate(field: str, value: object) -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def field_forbidden(field: str, detail: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def shown(value: object) -> str:
    """A value the way Go's `%v`/`%q` in field errors shows it."""
    if isinstance(value, str):
        return f'"{value}"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    from deployments.sandbox.kubernetes.wire import dumps  # noqa: PLC0415  only errors about whole objects need it

    return dumps(value).decode()
