"""An API server that gives a test's own answers over HTTP: the client above it is the real one.

It knows objects by their paths and nothing about them: it takes no write that the test has not answered beforehand,
selects nothing, and changes nothing. What is about Kubernetes' own behaviour is tested on the real one (tests/envtest).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from infra.clients.kubernetes import KubernetesClient
from infra.settings import Settings

Object = dict[str, Any]
KINDS: dict[str, tuple[str, str, bool]] = {
    "ConfigMap": ("v1", "configmaps", True),
    "Event": ("v1", "events", True),
    "Namespace": ("v1", "namespaces", False),
    "Node": ("v1", "nodes", False),
    "PersistentVolume": ("v1", "persistentvolumes", False),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims", True),
    "Pod": ("v1", "pods", True),
    "Secret": ("v1", "secrets", True),
    "Service": ("v1", "services", True),
    "DaemonSet": ("apps/v1", "daemonsets", True),
    "Deployment": ("apps/v1", "deployments", True),
    "StatefulSet": ("apps/v1", "statefulsets", True),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers", True),
    "Ingress": ("networking.k8s.io/v1", "ingresses", True),
    "StorageClass": ("storage.k8s.io/v1", "storageclasses", False),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "Application": ("argoproj.io/v1alpha1", "applications", True),
    "AutoscalingListener": ("actions.github.com/v1alpha1", "autoscalinglisteners", True),
    "AutoscalingRunnerSet": ("actions.github.com/v1alpha1", "autoscalingrunnersets", True),
    "CephCluster": ("ceph.rook.io/v1", "cephclusters", True),
    "Certificate": ("cert-manager.io/v1", "certificates", True),
    "CertificateRequest": ("cert-manager.io/v1", "certificaterequests", True),
    "Challenge": ("acme.cert-manager.io/v1", "challenges", True),
    "Order": ("acme.cert-manager.io/v1", "orders", True),
    "ClusterIssuer": ("cert-manager.io/v1", "clusterissuers", False),
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "Door": ("example.org/v1", "doors", True),
}
"""apiVersion, plural and whether it is namespaced, of each kind that is served."""
PAGE = "?limit=500"


class NoWaiting:
    """A clock whose sleep takes no time."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Refusal:
    """What the API server says instead."""

    status: int
    message: str = "no"

    def response(self) -> Response:
        """As a Status."""
        return _json({"kind": "Status", "message": self.message}, self.status)


class Answering:
    """The answers of one API server.

    Args:
        server: where it is served.
        folder: gets the kubeconfig and the client's state.
    """

    def __init__(self, server: HTTPServer, folder: Path) -> None:
        self.kinds = dict(KINDS)
        self.requests: list[str] = []
        self.unanswered: list[str] = []
        self._objects: dict[str, Object] = {}
        self._answers: dict[str, list[Response]] = {}
        server.expect_request(re.compile(".*")).respond_with_handler(self._answer)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            f"clusters: [{{name: c, cluster: {{server: '{server.url_for('').rstrip('/')}'}}}}]\n"
            "users: [{name: u, user: {token: t0k3n}}]\n"
            "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
        )
        settings = Settings(state_dir=folder / "state", request_timeout=5)
        self.client = KubernetesClient(kubeconfig, settings, clock=NoWaiting())

    def put(self, item: Object) -> Object:
        """Have an object there, as the API server shows one that Helm made, and return it."""
        books = [{"manager": "helm", "operation": "Update", "fieldsV1": {}}]
        shown = {"uid": f"uid-{len(self._objects)}", "generation": 1, "resourceVersion": "1", "managedFields": books}
        version, _, _ = KINDS[item["kind"]]
        live = {"apiVersion": version, **item, "metadata": {**shown, **item["metadata"]}}
        self._objects[self.path(live["kind"], live["metadata"].get("namespace"), live["metadata"]["name"])] = live
        return live

    def clear(self, kind: str | None = None) -> None:
        """Have no object there any more, or none of a kind."""
        self._objects = {path: item for path, item in self._objects.items() if kind not in (None, item["kind"])}

    def answer(self, request: str, *answers: Object | Refusal) -> None:
        """Answer a request, such as `GET /version`, with these, one after the other; with the last for ever."""
        self._answers[request] = list(answers)

    def path(self, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """Where a kind's objects are, or one of them."""
        version, plural, namespaced = KINDS[kind]
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        place = f"/namespaces/{namespace}" if namespaced and namespace else ""
        return f"{root}{place}/{plural}" + (f"/{name}" if name else "")

    def listing(self, kind: str, namespace: str | None = None, query: str = "") -> str:
        """The request for the objects of a kind."""
        return f"GET {self.path(kind, namespace)}{PAGE}{query}"

    @property
    def writes(self) -> list[str]:
        """Every request that is no read, in order."""
        return [each for each in self.requests if not each.startswith("GET ")]

    def listed(self) -> list[str]:
        """The plurals that were listed, in order."""
        return [each.partition("?")[0].rpartition("/")[2] for each in self.requests if PAGE in each]

    def _answer(self, request: Request) -> Response:
        query = request.query_string.decode()
        line = f"{request.method} {request.path}{'?' + query if query else ''}"
        found = self._answers.get(line)
        if found:
            self.requests.append(line)
            answer = found.pop(0) if len(found) > 1 else found[0]
            return answer.response() if isinstance(answer, Refusal) else _json(answer)
        served = self._discovered(request.path)
        if served is not None:
            return _json({"resources": served}, 200 if served else 404)
        self.requests.append(line)
        if request.method == "GET":
            if request.path in self._objects:
                return _json(self._objects[request.path])
            if "?" + query == PAGE:
                return _json({"items": self._under(request.path)})
            if not query:
                return Refusal(404, f"{request.path} is not there").response()
        self.unanswered.append(line)
        return Refusal(400, f"The test answers no {line}.").response()

    def _discovered(self, path: str) -> list[Object] | None:
        """The kinds of a group version; None where the path is not one's."""
        parts = path.strip("/").split("/")
        if not (len(parts) == 2 and parts[0] == "api") and not (len(parts) == 3 and parts[0] == "apis"):
            return None
        version = "/".join(parts[1:])
        return [
            {"name": plural, "kind": kind, "namespaced": namespaced, "verbs": ["get", "list"]}
            for kind, (own, plural, namespaced) in self.kinds.items()
            if own == version
        ]

    def _under(self, path: str) -> list[Object]:
        """The objects of the kind at a list path; of every namespace where it names none."""
        root, _, plural = path.rpartition("/")
        return [
            item
            for where, item in self._objects.items()
            if where.startswith(f"{root}/") and where.split("/")[-2] == plural
        ]


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
