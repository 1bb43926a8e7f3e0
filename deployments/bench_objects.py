"""The objects that the drift bench compares: seven kinds, sized as charts make them (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NAMESPACE = "bench"


def objects(count: int) -> Iterator[dict[str, Any]]:
    """`count` objects, the kinds in turns."""
    makers = (_deployment, _config, _service, _config, _account, _role, _deployment, _secret, _config, _binding)
    for number in range(count):
        yield makers[number % len(makers)](number)


def _made(api_version: str, kind: str, number: int, **more: Any) -> dict[str, Any]:
    name = f"{kind.lower()}-{number}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "bench-1.0.0"}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        **more,
    }


def _deployment(number: int) -> dict[str, Any]:
    labels = {"app": f"web-{number}"}
    container = {
        "name": "web",
        "image": f"registry.example/web:{number}",
        "args": ["--port=8080", "--verbose"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{index}", "value": f"value {index}"} for index in range(8)],
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
        "securityContext": {"readOnlyRootFilesystem": True, "runAsNonRoot": True},
    }
    volumes = [{"name": "config", "configMap": {"name": f"configmap-{number}"}}]
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    return _made("apps/v1", "Deployment", number, spec=spec)


def _config(number: int) -> dict[str, Any]:
    return _made("v1", "ConfigMap", number, data={f"key-{index}": f"line {index}\n" * 5 for index in range(6)})


def _secret(number: int) -> dict[str, Any]:
    return _made("v1", "Secret", number, type="Opaque", data={"key": "bm90IGEgc2VjcmV0"})


def _service(number: int) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return _made("v1", "Service", number, spec={"selector": {"app": f"web-{number}"}, "ports": ports})


def _account(number: int) -> dict[str, Any]:
    return _made("v1", "ServiceAccount", number)


def _role(number: int) -> dict[str, Any]:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]
    return _made("rbac.authorization.k8s.io/v1", "Role", number, rules=rules)


def _binding(number: int) -> dict[str, Any]:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"role-{number}"}
    subjects = [{"kind": "ServiceAccount", "name": f"serviceaccount-{number}", "namespace": NAMESPACE}]
    return _made("rbac.authorization.k8s.io/v1", "RoleBinding", number, roleRef=role, subjects=subjects)
