"""Real helm, real kubectl and the Python client against both servers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes.dynamic import DynamicClient

from tests.conformance.harness import Cluster
from tests.conformance.test_definitions import DEFINITIONS, definition, widget

Object = dict[str, Any]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:%s", ports: [{containerPort: 80}]}]}
"""


class Tool:
    """A command-line client pointed at a cluster."""

    def __init__(self, program: str, cluster: Cluster, folder: Path) -> None:
        self._program = program
        self._environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(folder)}

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        done = subprocess.run([self._program, *arguments], env=self._environment, capture_output=True, text=True,
                              input=stdin, timeout=90, check=False)  # fmt: skip
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def k(kubectl: str, cluster: Cluster, tmp_path: Path, namespace: str) -> Tool:
    return Tool(kubectl, cluster, tmp_path)


@pytest.fixture
def h(helm: str, cluster: Cluster, tmp_path: Path) -> Tool:
    return Tool(helm, cluster, tmp_path)


def test_apply_get_diff_scale_patch_delete(k: Tool, namespace: str) -> None:
    n = ("-n", namespace)
    assert "created" in k("apply", *n, "-f", "-", stdin=DEPLOYMENT % (2, "1"))
    assert "unchanged" in k("apply", *n, "-f", "-", stdin=DEPLOYMENT % (2, "1"))
    assert "nginx:2" in k("diff", *n, "-f", "-", stdin=DEPLOYMENT % (2, "2"), code=1)
    assert k("diff", *n, "-f", "-", stdin=DEPLOYMENT % (2, "1")) == ""
    assert "configured" in k("apply", *n, "-f", "-", stdin=DEPLOYMENT % (2, "2"))
    assert "0/2" in k("get", *n, "deploy")
    assert "scaled" in k("scale", *n, "deploy/web", "--replicas=4")
    shown = json.loads(k("get", *n, "deploy/web", "-o", "json"))
    assert shown["spec"]["replicas"] == 4 and shown["metadata"]["generation"] == 3
    k("patch", *n, "deploy/web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":5}]')
    k("patch", *n, "deploy/web", "--type=merge", "-p", '{"spec":{"paused":true}}')
    k("patch", *n, "deploy/web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:3"}]}}}}')
    k("label", *n, "deploy/web", "tier=front")
    k("annotate", *n, "deploy/web", "note=hello")
    k("set", *n, "image", "deploy/web", "c=nginx:4")
    shown = json.loads(k("get", *n, "deploy", "-l", "tier=front", "-o", "json"))["items"][0]
    assert shown["spec"]["replicas"] == 5 and shown["spec"]["paused"] is True
    assert shown["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:4"
    assert "Replicas:" in k("describe", *n, "deploy/web")
    assert "deleted" in k("delete", *n, "deploy/web", "--wait=true")
    assert "NotFound" in k("get", *n, "deploy/web", code=1)


def test_server_side_apply_reports_conflicts(k: Tool, namespace: str) -> None:
    n = ("-n", namespace, "--server-side")
    assert "serverside-applied" in k("apply", *n, "-f", "-", stdin=DEPLOYMENT % (2, "1"))
    # Scaling would do, but Kubernetes 1.20 does not track the scale subresource.
    k("patch", "-n", namespace, "deploy/web", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    refused = k("apply", *n, "-f", "-", stdin=DEPLOYMENT % (2, "1"), code=1)
    assert 'conflict with "kubectl-patch"' in refused and ".spec.replicas" in refused
    assert "serverside-applied" in k("apply", *n, "--force-conflicts", "-f", "-", stdin=DEPLOYMENT % (2, "1"))
    assert "nginx:2" in k("diff", *n, "-f", "-", stdin=DEPLOYMENT % (2, "2"), code=1)


def test_typed_commands_send_protobuf(k: Tool, namespace: str) -> None:
    name = f"made-{uuid4().hex[:8]}"
    assert "created" in k("create", "ns", name)
    n = ("-n", name)
    assert "created" in k("create", *n, "configmap", "c", "--from-literal=a=b")
    assert "created" in k("create", *n, "secret", "generic", "s", "--from-literal=a=b")
    assert "created" in k("create", *n, "serviceaccount", "robot")
    assert "created" in k("create", *n, "role", "r", "--verb=get,list", "--resource=pods")
    assert "created" in k("create", *n, "rolebinding", "rb", "--role=r", f"--serviceaccount={name}:robot")
    assert json.loads(k("get", *n, "cm/c", "-o", "json"))["data"] == {"a": "b"}
    assert k("auth", "can-i", *n, "get", "pods").strip() == "yes"
    may = k("auth", "can-i", *n, "list", "pods", "--as", f"system:serviceaccount:{name}:robot")
    assert may.strip() == "yes"
    may = k("auth", "can-i", *n, "delete", "pods", "--as", f"system:serviceaccount:{name}:robot", code=1)
    assert may.strip() == "no"


def test_definitions_and_waiting(k: Tool, cluster: Cluster, namespace: str) -> None:
    group = f"g{uuid4().hex[:8]}.example.com"
    k("apply", "-f", "-", stdin=yaml.safe_dump(definition(group)))
    k("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=20s")
    try:
        n = ("-n", namespace)
        cluster.until(lambda: cluster.request("GET", f"/apis/{group}/v1/widgets").is_success, "the kind to be served")
        assert "created" in k("apply", *n, "-f", "-", stdin=yaml.safe_dump(widget(group, "w")))
        assert "unchanged" in k("apply", *n, "-f", "-", stdin=yaml.safe_dump(widget(group, "w")))
        assert "SIZE" in k("get", *n, f"widgets.{group}")
        cluster.patch(f"/apis/{group}/v1/namespaces/{namespace}/widgets/w/status",
                      {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})  # fmt: skip
        assert "condition met" in k("wait", *n, "--for=condition=Ready", f"widgets.{group}/w", "--timeout=20s")
        assert "deleted" in k("delete", *n, f"widgets.{group}/w")
    finally:
        cluster.delete(f"{DEFINITIONS}/widgets.{group}")


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
    "values.yaml": "replicas: 1\nnote: first\n",
    "templates/all.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, labels: {app: small}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: small}}
  template:
    metadata: {labels: {app: small}}
    spec: {containers: [{name: c, image: "nginx:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: small}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {note: {{ .Values.note }}}
{{- if eq .Values.note "second" }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-more}
{{- end }}
""",
}


def test_helm_from_install_to_uninstall(h: Tool, cluster: Cluster, tmp_path: Path) -> None:
    chart = tmp_path / "small"
    for name, text in CHART.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(text)
    group = f"h{uuid4().hex[:8]}.example.com"
    (chart / "crds").mkdir()
    (chart / "crds" / "crd.yaml").write_text(yaml.safe_dump(definition(group)))
    namespace = f"h-{uuid4().hex[:8]}"
    n = ("-n", namespace)
    place = f"/api/v1/namespaces/{namespace}"
    try:
        h("install", "one", str(chart), *n, "--create-namespace")
        assert cluster.get(f"{place}/configmaps/one")["data"] == {"note": "first"}
        assert cluster.get(f"{DEFINITIONS}/widgets.{group}")["spec"]["group"] == group
        version = cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/one")["metadata"]["resourceVersion"]
        h("upgrade", "one", str(chart), *n, "--set", "note=second")
        assert (
            cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/one")["metadata"]["resourceVersion"]
            == version
        )
        assert cluster.get(f"{place}/configmaps/one-more")
        h("upgrade", "one", str(chart), *n, "--set", "replicas=3")
        assert cluster.request("GET", f"{place}/configmaps/one-more").status_code == 404
        h("rollback", "one", "1", *n)
        deployment = cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/one")
        assert deployment["spec"]["replicas"] == 1
        history = json.loads(h("history", "one", *n, "-o", "json"))
        assert [entry["status"] for entry in history] == ["superseded", "superseded", "superseded", "deployed"]
        assert json.loads(h("list", *n, "-o", "json"))[0]["name"] == "one"
        assert "note: first" in h("get", "manifest", "one", *n)
        h("uninstall", "one", *n)
        for path in (
            f"{place}/configmaps/one",
            f"{place}/services/one",
            f"/apis/apps/v1/namespaces/{namespace}/deployments/one",
        ):
            assert cluster.request("GET", path).status_code == 404
        assert json.loads(h("list", *n, "-o", "json")) == []
        broken = h("install", "bad", str(chart), *n, "--set", "replicas=-1", code=1)
        assert "spec.replicas: Invalid value: -1" in broken
    finally:
        cluster.delete(f"{DEFINITIONS}/widgets.{group}")


def test_python_clients(cluster: Cluster, namespace: str) -> None:
    api = kube_config.new_client_from_config(str(cluster.kubeconfig))
    try:
        core = kube.CoreV1Api(api)
        made = core.create_namespaced_config_map(
            namespace, kube.V1ConfigMap(metadata=kube.V1ObjectMeta(name="c"), data={"a": "1"})
        )
        made.data["a"] = "2"
        assert core.replace_namespaced_config_map("c", namespace, made).data == {"a": "2"}
        assert core.patch_namespaced_config_map("c", namespace, {"data": {"b": "3"}}).data == {"a": "2", "b": "3"}
        with pytest.raises(kube.ApiException) as caught:
            core.create_namespaced_config_map(namespace, kube.V1ConfigMap(metadata=kube.V1ObjectMeta(name="c")))
        assert caught.value.status == 409
        dynamic = DynamicClient(api)
        deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
        body = yaml.safe_load(DEPLOYMENT % (1, "1"))
        applied = deployments.server_side_apply(body=body, namespace=namespace, field_manager="plumbline")
        assert applied.metadata.managedFields[0].manager == "plumbline"
        assert deployments.get(namespace=namespace, label_selector="app=web").items[0].spec.replicas == 1
        assert kube.VersionApi(api).get_code().git_version
        deployments.delete(name="web", namespace=namespace)
    finally:
        api.close()
