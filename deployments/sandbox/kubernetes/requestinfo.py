"""What a request asks for: verb, kind, namespace, name and options, from its path, query and headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.sandbox.kubernetes.errors import Cause, StatusError, invalid

SYSTEM_MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)


def controller(name: str) -> User:
    """One of the server's own controllers."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated", SYSTEM_MASTERS)
    return User(f"system:serviceaccount:kube-system:{name}", groups)


@dataclass(frozen=True, slots=True)
class Target:
    """A path taken apart. `resource` is empty for paths that name none (`/version`)."""

    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""


def parse_path(path: str) -> Target:
    """`/apis/apps/v1/namespaces/n/deployments/d/scale` and its kin."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Target(path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespaced = len(rest) > 2 and rest[2] not in ("status", "finalize")
        if namespaced:
            namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = "/".join(rest[2:])
    return Target(path, group, version, namespace, rest[0], name, subresource)


def verb(method: str, target: Target, query: Mapping[str, str]) -> str:
    """The API verb of a method on a path."""
    if not target.resource:
        return method.lower()
    if method in ("GET", "HEAD"):
        if query.get("watch") in ("true", "1"):
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())


@dataclass(frozen=True, slots=True)
class Options:
    """How a write is to be done."""

    user: User
    manager: str
    dry_run: bool = False
    force: bool = False
    validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, user: User, query: Mapping[str, str], user_agent: str) -> Options:
        """Options from a write's query string.

        Raises:
            StatusError: 422, an unknown dryRun or fieldValidation value.
        """
        dry_run = query.get("dryRun", "")
        if dry_run not in ("", "All"):
            text = f'Unsupported value: "{dry_run}": supported values: "All"'
            raise invalid("meta.k8s.io", "CreateOptions", "", [Cause("dryRun", "FieldValueNotSupported", text)])
        manager = query.get("fieldManager") or user_agent.split("/", 1)[0][:128] or "unknown"
        return cls(
            user=user,
            manager=manager,
            dry_run=bool(dry_run),
            force=query.get("force") in ("true", "1"),
            validation=query.get("fieldValidation") or "Warn",
        )


def internal_options(name: str) -> Options:
    """Options of the server's own controllers."""
    return Options(user=controller(name), manager=name, validation="Ignore")


def required_manager() -> StatusError:
    text = "Required value: is required for apply patch"
    return invalid("meta.k8s.io", "PatchOptions", "", [Cause("fieldManager", "FieldValueRequired", text)])


def body_name(body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
