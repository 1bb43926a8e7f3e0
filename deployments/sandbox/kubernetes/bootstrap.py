"""What a new cluster has before anybody asks: namespaces, roles, priority classes, the kubernetes Service."""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes.calls import Where
from deployments.sandbox.kubernetes.objects import Objects
from deployments.sandbox.kubernetes.requestinfo import internal_options

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
_BOOT = {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_VIEWED = [
    {"apiGroups": [""], "verbs": _READ, "resources": [
        "configmaps", "endpoints", "persistentvolumeclaims", "persistentvolumeclaims/status", "pods", "pods/log",
        "pods/status", "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services",
        "services/status", "bindings", "events", "limitranges", "namespaces/status", "resourcequotas", "namespaces"]},
    {"apiGroups": ["apps"], "verbs": _READ, "resources": [
        "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale",
        "deployments/status",
        "replicasets", "replicasets/scale", "replicasets/status", "statefulsets", "statefulsets/scale",
        "statefulsets/status"]},
    {"apiGroups": ["autoscaling"], "verbs": _READ, "resources": ["horizontalpodautoscalers"]},
    {"apiGroups": ["batch"], "verbs": _READ, "resources": ["cronjobs", "jobs"]},
    {"apiGroups": ["policy"], "verbs": _READ, "resources": ["poddisruptionbudgets"]},
    {"apiGroups": ["networking.k8s.io"], "verbs": _READ, "resources": ["ingresses", "networkpolicies"]},
    {"apiGroups": ["discovery.k8s.io"], "verbs": _READ, "resources": ["endpointslices"]},
]  # fmt: skip
_EDITED = [
    *_VIEWED,
    {"apiGroups": [""], "verbs": [*_READ, *_WRITE], "resources": [
        "secrets", "configmaps", "persistentvolumeclaims", "pods", "serviceaccounts", "services", "endpoints",
        "events"]},
    {"apiGroups": [""], "verbs": ["create"], "resources": ["pods/eviction", "serviceaccounts/token"]},
    {"apiGroups": ["apps", "batch", "autoscaling", "policy", "networking.k8s.io"], "verbs": [*_READ, *_WRITE],
        "resources": ["*"]},
]  # fmt: skip
_ADMIN = [
    *_EDITED,
    {"apiGroups": [RBAC], "verbs": [*_READ, *_WRITE], "resources": ["roles", "rolebindings"]},
    {"apiGroups": ["authorization.k8s.io"], "verbs": ["create"], "resources": ["localsubjectaccessreviews"]},
]
_BASIC = [{"apiGroups": ["authorization.k8s.io"], "verbs": ["create"],
           "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
          {"apiGroups": ["authentication.k8s.io"], "verbs": ["create"],
              "resources": ["selfsubjectreviews"]}]  # fmt: skip
_PATHS = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
]

ROLES: dict[str, list[Object]] = {
    "cluster-admin": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"],
        "verbs": ["*"]}],
    "admin": _ADMIN,
    "edit": _EDITED,
    "view": _VIEWED,
    "system:basic-user": _BASIC,
    "system:discovery": [{"nonResourceURLs": _PATHS, "verbs": ["get"]}],
    "system:public-info-viewer": [{"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
        "verbs": ["get"]}],
}  # fmt: skip
BINDINGS = {
    "cluster-admin": ["system:masters"],
    "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
}


def _wanted() -> list[tuple[str, str, str, str, Object]]:
    """Group, version, plural, namespace and body of everything a cluster starts with."""
    out: list[tuple[str, str, str, str, Object]] = []
    for name in ("kube-system", "kube-public", "kube-node-lease", "default"):
        out.append(("", "v1", "namespaces", "", {"metadata": {"name": name}}))
    for name, rules in ROLES.items():
        out.append((RBAC, "v1", "clusterroles", "", {"metadata": {"name": name, **_BOOT}, "rules": rules}))
    for name, groups in BINDINGS.items():
        subjects = [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups]
        reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
        body = {"metadata": {"name": name, **_BOOT}, "roleRef": reference, "subjects": subjects}
        out.append((RBAC, "v1", "clusterrolebindings", "", body))
    for name, value, text in (
        ("system-node-critical", 2000001000,
            "Used for system critical pods that must not be moved from their current node."),
        ("system-cluster-critical", 2000000000,
         "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
    ):  # fmt: skip
        body = {"metadata": {"name": name}, "value": value, "description": text}
        out.append(("scheduling.k8s.io", "v1", "priorityclasses", "", body))
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "targetPort": 6443}]
    body = {"metadata": {"name": "kubernetes", "labels": labels}, "spec": {"clusterIP": "127.96.0.1", "ports": ports}}
    out.append(("", "v1", "services", "default", body))
    return out


async def furnish(objects: Objects) -> None:
    """Create what is missing of a new cluster's furniture."""
    for group, version, plural, namespace, body in _wanted():
        resource = objects.registry.find(group, version, plural)
        if resource is None:
            raise LookupError(f"no kind {plural} in {group}")
        if objects.storage.get(resource.storage, namespace, body["metadata"]["name"]) is None:
            where = Where(resource, namespace, body["metadata"]["name"])
            await objects.create(where, body, internal_options("kube-apiserver"))
