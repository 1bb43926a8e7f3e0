"""What both servers refuse: the same code, the same reason, the same fields."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.compare import same
from tests.conformance.conftest import Pair
from tests.conformance.harness import MERGE_PATCH

pytestmark = pytest.mark.envtest
CORE = "/api/v1/namespaces/NS"
APPS = "/apis/apps/v1/namespaces/NS"
CONFIG = f"{CORE}/configmaps"


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    whole = {"selector": {"matchLabels": {"app": "x"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bad"}, "spec": whole}


def pods(*containers: dict[str, Any]) -> dict[str, Any]:
    return deployment(template={"metadata": {"labels": {"app": "x"}}, "spec": {"containers": list(containers)}})


def named(**rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, **rest}


BROKEN = {"name": "d", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/x"}],
    "ports": [{"containerPort": 0}],
          "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}  # fmt: skip
HTTP = {"paths": [{"path": "/", "backend": {"service": {"name": "a", "port": {"number": 1}}}}]}
RBAC = "/apis/rbac.authorization.k8s.io/v1"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
CREATES: dict[str, tuple[str, Any]] = {
    "name": (CONFIG, {"metadata": {"name": "Bad_Name"}}),
    "no name": (CONFIG, {"metadata": {}}),
    "version": (CONFIG, {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}}),
    "kind": (CONFIG, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}),
    "other namespace": (CONFIG, {"metadata": {"name": "x", "namespace": "other"}}),
    "label key": (CONFIG, {"metadata": {"name": "x", "labels": {"a b": "c"}}}),
    "label value": (CONFIG, {"metadata": {"name": "x", "labels": {"a": "c d"}}}),
    "data key": (CONFIG, named(data={"a b": "c"})),
    "data type": (CONFIG, named(data={"a": 1})),
    "resourceVersion": (CONFIG, {"metadata": {"name": "x", "resourceVersion": "5"}}),
    "no namespace": ("/api/v1/namespaces/nope/configmaps", named()),
    "cluster path": ("/api/v1/configmaps", named()),
    "namespace name": ("/api/v1/namespaces", {"metadata": {"name": "a.b"}}),
    "no selector": (f"{APPS}/deployments", deployment(selector=None)),
    "empty selector": (f"{APPS}/deployments", deployment(selector={})),
    "other selector": (f"{APPS}/deployments", deployment(selector={"matchLabels": {"app": "y"}})),
    "no containers": (f"{APPS}/deployments", pods()),
    "containers": (f"{APPS}/deployments", pods({"name": "C", "image": ""}, {"name": "d"}, BROKEN)),
    "replicas": (f"{APPS}/deployments", deployment(replicas=-1)),
    "strategy": (f"{APPS}/deployments", deployment(strategy={"type": "Foo"})),
    "service without ports": (f"{CORE}/services", named(spec={})),
    "service name": (f"{CORE}/services", {"metadata": {"name": "9x"}, "spec": {"ports": [{"port": 80}]}}),
    "service ports": (f"{CORE}/services", named(spec={"ports": [{"port": 80}, {"port": 0, "protocol": "X"}]})),
    "cluster IP outside": (f"{CORE}/services", named(spec={"clusterIP": "10.1.1.1", "ports": [{"port": 80}]})),
    "cluster IP taken": (f"{CORE}/services", named(spec={"clusterIP": "127.96.0.1", "ports": [{"port": 80}]})),
    "node port": (f"{CORE}/services", named(spec={"type": "NodePort", "ports": [{"port": 80, "nodePort": 5}]})),
    "tls secret": (f"{CORE}/secrets", named(type="kubernetes.io/tls")),
    "base64": (f"{CORE}/secrets", named(data={"a": "not base64!"})),
    "policies": (f"{CORE}/pods", named(spec={"containers": [{"name": "a", "image": "b", "imagePullPolicy": "Maybe"}],
                                             "restartPolicy": "Sometimes"})),
    "claim": (f"{CORE}/persistentvolumeclaims", named(spec={})),
    "class": ("/apis/storage.k8s.io/v1/storageclasses", named()),
    "role": (f"{RBAC}/clusterroles", named(rules=[{"verbs": [], "resources": ["x"]}])),
    "binding": (f"{RBAC}/clusterrolebindings", named(roleRef={"kind": "Role", "name": ""}, subjects=[{"kind": "Foo",
        "name": ""}])),
    "path type": ("/apis/networking.k8s.io/v1/namespaces/NS/ingresses", named(spec={"rules": [{"http": HTTP}]})),
    "webhook": (HOOKS, named(webhooks=[{"name": "x", "clientConfig": {}}])),
    "job": ("/apis/batch/v1/namespaces/NS/jobs", named(spec={"template": {"spec": {"containers": [{"name": "a",
        "image": "b"}]}}})),
}  # fmt: skip


@pytest.mark.parametrize("what", CREATES)
def test_refuses_to_create(pair: Pair, shared_namespace: str, what: str) -> None:
    path, body = CREATES[what]
    answer, _ = same(pair, lambda server: server.post(path.replace("NS", shared_namespace), body))
    assert answer.status_code >= 400


CHANGES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "selector": (f"{APPS}/deployments", deployment(), {"spec": {"selector": {"matchLabels": {"app": "z"}}}}),
    "secret type": (f"{CORE}/secrets", named(type="a/b"), {"type": "c/d"}),
    "immutable map": (CONFIG, named(immutable=True, data={"a": "b"}), {"data": {"a": "c"}}),
    "frozen for ever": (CONFIG, named(immutable=True), {"immutable": None}),
    "cluster IP": (f"{CORE}/services", named(spec={"ports": [{"port": 1}]}), {"spec": {"clusterIP": "127.96.9.9"}}),
    "claim": (f"{CORE}/persistentvolumeclaims",
              named(spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
              {"spec": {"accessModes": ["ReadWriteMany"]}}),
    "role": (f"{RBAC}/namespaces/NS/rolebindings", named(roleRef={"kind": "Role", "name": "a"}),
        {"roleRef": {"name": "b"}}),
    "image policy": (f"{CORE}/pods", named(spec={"containers": [{"name": "a", "image": "b"}]}),
        {"spec": {"hostNetwork": True}}),
    "priority": ("/apis/scheduling.k8s.io/v1/priorityclasses", named(value=1), {"value": 2}),
    "provisioner": ("/apis/storage.k8s.io/v1/storageclasses", named(provisioner="a.b"), {"provisioner": "c.d"}),
    "parameters": ("/apis/storage.k8s.io/v1/storageclasses", named(provisioner="a.b"), {"parameters": {"c": "d"}}),
    "binding mode": ("/apis/storage.k8s.io/v1/storageclasses", named(provisioner="a.b"),
                     {"volumeBindingMode": "WaitForFirstConsumer"}),
    "reclaim policy": ("/apis/storage.k8s.io/v1/storageclasses", named(provisioner="a.b"), {"reclaimPolicy": "Retain"}),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_refuses_to_change(pair: Pair, shared_namespace: str, what: str) -> None:
    path, body, change = CHANGES[what]
    path = path.replace("NS", shared_namespace)
    name = f"{path}/{body['metadata']['name']}"
    try:
        for server in (pair.embedded, pair.real):
            assert server.post(path, body).status_code == 201
        answer, _ = same(pair, lambda server: server.patch(name, change, MERGE_PATCH))
        assert answer.status_code == 422
    finally:
        for server in (pair.embedded, pair.real):
            server.delete(name, {"gracePeriodSeconds": 0})


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/foos"), ("GET", f"{APPS}/foos/x"), ("GET", f"{APPS}/deployments/none"), ("DELETE",
        f"{CONFIG}/none"),
     ("PUT", CONFIG), ("POST", f"{CONFIG}/x"), ("PUT", f"{APPS}/deployments/x/foo"), ("PATCH", f"{CONFIG}/none")],
)  # fmt: skip
def test_paths_that_lead_nowhere(pair: Pair, shared_namespace: str, method: str, path: str) -> None:
    body = None if method in ("GET", "DELETE") else named()
    sort = MERGE_PATCH if method == "PATCH" else "application/json"
    same(pair, lambda server: server.request(method, path.replace("NS", shared_namespace), body, content_type=sort))


@pytest.mark.parametrize("user", ["alice", "anonymous"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{CORE}/pods"), ("GET", f"{CORE}/pods/x"), ("DELETE", f"{CORE}/pods"), ("GET", "/api/v1/nodes"),
     ("GET", "/metrics"), ("PATCH", f"{APPS}/deployments/x/scale"), ("POST", CONFIG), ("PUT", f"{CONFIG}/x")],
)  # fmt: skip
def test_forbidden_says_who_may_not_do_what(pair: Pair, user: str, method: str, path: str) -> None:
    body = None if method in ("GET", "DELETE") else named()
    sort = MERGE_PATCH if method == "PATCH" else "application/json"
    path = path.replace("NS", "default")
    ours, theirs = same(pair, lambda server: server.request(method, path, body, content_type=sort, user=user))
    assert ours.status_code == 403
    assert ours.json()["message"] == theirs.json()["message"]
