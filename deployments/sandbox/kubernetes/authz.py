"""RBAC: may this user do this? Roles, cluster roles and their bindings, evaluated as stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deployments.sandbox.kubernetes.errors import StatusError, qualified
from deployments.sandbox.kubernetes.requestinfo import SYSTEM_MASTERS, User
from deployments.sandbox.kubernetes.storage import Storage

RBAC = "rbac.authorization.k8s.io"
ALWAYS_OPEN = frozenset({"/healthz", "/readyz", "/livez", "/version", "/version/"})
_DISCOVERY = ("/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do: on a resource, or on a plain path."""

    user: User
    verb: str
    namespace: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


Rule = dict[str, Any]


def allows(rule: Rule, wanted: Attributes) -> bool:
    """Whether one rule of a role covers the wish."""
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and wanted.verb not in verbs:
        return False
    if not wanted.resource:
        return any(_path_matches(pattern, wanted.path) for pattern in rule.get("nonResourceURLs") or ())
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    if "*" not in groups and wanted.group not in groups:
        return False
    named = {"*", wanted.full_resource}
    if wanted.subresource:
        named.add(f"*/{wanted.subresource}")
    if not named & set(resources):
        return False
    names = rule.get("resourceNames")
    return not names or wanted.name in names


def _path_matches(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path == pattern


def _is_subject(subject: dict[str, Any], user: User, namespace: str) -> bool:
    if subject["kind"] == "User":
        return bool(subject["name"] == user.name)
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    place = subject.get("namespace") or namespace
    return bool(user.name == f"system:serviceaccount:{place}:{subject['name']}")


class Authorizer:
    """Evaluates RBAC against the stored roles and bindings."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def rules(self, user: User, namespace: str) -> Iterator[Rule]:
        """Every rule that holds for the user cluster-wide and in `namespace`."""
        for record in self._storage.records(f"clusterrolebindings.{RBAC}"):
            yield from self._bound(record.load(), user, "")
        if namespace:
            for record in self._storage.records(f"rolebindings.{RBAC}", namespace):
                yield from self._bound(record.load(), user, namespace)

    def _bound(self, binding: dict[str, Any], user: User, namespace: str) -> Iterator[Rule]:
        if not any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or ()):
            return
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._storage.get(f"clusterroles.{RBAC}", "", reference["name"])
        else:
            role = self._storage.get(f"roles.{RBAC}", namespace, reference["name"])
        if role is not None:
            yield from role.load().get("rules") or ()

    def allowed(self, wanted: Attributes) -> bool:
        """Whether the wish is granted."""
        if SYSTEM_MASTERS in wanted.user.groups:
            return True
        known = "system:authenticated" in wanted.user.groups
        if known and not wanted.resource and wanted.verb in ("get", "head") and wanted.path.startswith(_DISCOVERY):
            return True
        return any(allows(rule, wanted) for rule in self.rules(wanted.user, wanted.namespace))

    def check(self, wanted: Attributes) -> None:
        """Refuse what is not granted.

        Raises:
            StatusError: 403.
        """
        if not self.allowed(wanted):
            raise denied(wanted)


def denied(wanted: Attributes) -> StatusError:
    """403 in the real server's words."""
    if not wanted.resource:
        message = f'forbidden: User "{wanted.user.name}" cannot {wanted.verb} path "{wanted.path}"'
        return StatusError(403, "Forbidden", message, {})
    scope = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    shown = f' "{wanted.name}"' if wanted.name else ""
    message = (
        f'{qualified(wanted.group, wanted.resource)}{shown} is forbidden: User "{wanted.user.name}" '
        f"cannot {wanted.verb} "
        f'resource "{wanted.full_resource}" in API group "{wanted.group}" {scope}'
    )
    return StatusError(403, "Forbidden", message, {"name": wanted.name, "group": wanted.group, "kind": wanted.resource})
