"""The reset between tests: nothing stays, whatever holds it, and what is the server's own is left alone."""

from __future__ import annotations

from functools import partial

import pytest
import yaml

from deployments.sandbox.controlplane.plane import ControlPlane
from infra.clients.errors import NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.settings import Settings
from tests.envtest.resetting import Resetting

pytestmark = pytest.mark.envtest

MADE = """
apiVersion: v1
kind: Namespace
metadata: {name: made}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: made}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default, finalizers: [example.org/nobody]}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: made}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.x.plumbline.dev}
spec:
  group: x.plumbline.dev
  scope: Cluster
  names: {plural: things, kind: Thing}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: made}
rules: []
"""
THING = {"apiVersion": "x.plumbline.dev/v1", "kind": "Thing", "metadata": {"name": "t", "finalizers": ["x.y/z"]}}
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "refuses-everything"},
    "webhooks": [
        {
            "name": "nobody.plumbline.dev",
            "clientConfig": {"url": "https://127.0.0.1:9/x"},
            "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 1,
        }
    ],
}


async def test_nothing_stays_of_what_was_made_and_all_of_what_was_there(
    control_plane: ControlPlane, resetting: Resetting, settings: Settings
) -> None:
    async with KubernetesClient(control_plane.kubeconfig, settings) as kubernetes:

        async def everything() -> set[str]:
            kinds = [one for one in await kubernetes.resources() if one.kind not in ("Event", "Lease", "IPAddress")]
            return {
                f"{one.kind}/{item['metadata'].get('namespace')}/{item['metadata']['name']}"
                for one in kinds
                for item in await kubernetes.list_raw(one.path())
            }

        async def served(kind: str) -> None:
            if await kubernetes.resource("x.plumbline.dev/v1", kind) is None:
                raise NotYet(f"{kind} is not served yet.")

        before = await everything()
        for item in yaml.safe_load_all(MADE):
            await kubernetes.create(item)
        await wait_until(partial(served, "Thing"), describe="the definition", timeout=20, interval=0.1)
        await kubernetes.create(THING)
        await kubernetes.create(WEBHOOK)
        resetting.reset()
        assert await everything() == before
        # A namespace of the same name is a new one at once.
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}
        await kubernetes.create(namespace)
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "made"}}
        await kubernetes.create(config)
        resetting.reset()
        assert await everything() == before
