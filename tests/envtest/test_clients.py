"""The Kubernetes and Helm clients on a real kube-apiserver, kill -9 included."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from deployments.sandbox.controlplane.plane import ControlPlane
from infra.clients.errors import Conflict, DeadlineExceeded, InvalidInput, Refused
from infra.clients.helm import HelmClient
from infra.clients.helm_lease import WRITER
from infra.clients.kubernetes import KubernetesClient, UnknownKind, WebhookUnavailable
from infra.settings import Settings
from tests.envtest.packing import packed
from tests.helms import on_both

pytestmark = [
    pytest.mark.envtest,
]

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-text}
data: {text: {{ .Values.text | quote }}}
{{- if .Values.slow }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-slow}
spec:
  selector: {matchLabels: {app: slow}}
  template:
    metadata: {labels: {app: slow}}
    spec: {containers: [{name: c, image: example.org/none}]}
{{- end }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    return packed(tmp_path, **{"values.yaml": "text: x\nslow: false\n", "templates/all.yaml": TEMPLATES})


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_objects_live_their_whole_life(kubernetes: KubernetesClient) -> None:
    assert (await kubernetes.version()).startswith("v1.")
    tried = await kubernetes.apply(config_map("life", a="1"), dry_run=True)
    assert tried["data"] == {"a": "1"}
    assert await kubernetes.get("v1", "ConfigMap", "life", "default") is None
    made = await kubernetes.apply(config_map("life", a="1"))
    again = await kubernetes.apply(config_map("life", a="1"))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        await kubernetes.create(config_map("life"))
    await kubernetes.patch("v1", "ConfigMap", "life", {"data": {"b": "2"}}, "default")
    with pytest.raises(Conflict):
        await kubernetes.replace(made)
    with pytest.raises(Conflict):
        await kubernetes.delete("v1", "ConfigMap", "life", "default", uid="another")
    assert await kubernetes.delete("v1", "ConfigMap", "life", "default", dry_run=True)
    assert await kubernetes.delete("v1", "ConfigMap", "life", "default")
    await kubernetes.wait_deleted("v1", "ConfigMap", "life", "default", timeout=10)
    assert not await kubernetes.delete("v1", "ConfigMap", "life", "default")


async def test_every_page_of_a_long_list(kubernetes: KubernetesClient) -> None:
    await asyncio.gather(*(kubernetes.apply(config_map(f"page-{number}")) for number in range(25)))
    path = "/api/v1/namespaces/default/configmaps"
    found = await kubernetes.list_raw(path, {"limit": "10", "fieldSelector": "metadata.name!=kube-root-ca.crt"})
    assert len({item["metadata"]["name"] for item in found} & {f"page-{number}" for number in range(25)}) == 25


async def test_a_kind_is_found_once_its_crd_is_there(kubernetes: KubernetesClient) -> None:
    thing = {"apiVersion": "x.plumbline.dev/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "default"}}
    with pytest.raises(UnknownKind):
        await kubernetes.apply(thing)
    assert await kubernetes.list("x.plumbline.dev/v1", "Thing") == []
    schema = {"openAPIV3Schema": {"type": "object"}}
    await kubernetes.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.x.plumbline.dev"},
            "spec": {
                "group": "x.plumbline.dev",
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            },
        }
    )
    for _ in range(100):
        if await kubernetes.resource("x.plumbline.dev/v1", "Thing"):
            break
        await asyncio.sleep(0.1)
    assert (await kubernetes.apply(thing))["kind"] == "Thing"


async def test_a_webhook_that_nobody_serves_is_its_own_error(kubernetes: KubernetesClient) -> None:
    hook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "nobody"},
        "webhooks": [
            {
                "name": "nobody.plumbline.dev",
                "clientConfig": {"url": "https://127.0.0.1:9/x"},
                "rules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
                ],
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 1,
                "objectSelector": {"matchLabels": {"hooked": "yes"}},
            }
        ],
    }
    await kubernetes.apply(hook)
    metadata = {"name": "s", "namespace": "default", "labels": {"hooked": "yes"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    try:
        with pytest.raises(WebhookUnavailable):
            for _ in range(50):  # until the API server has read the configuration
                await kubernetes.create(secret, dry_run=True)
                await asyncio.sleep(0.1)
    finally:
        await kubernetes.delete("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "nobody")


async def test_a_guarded_client_and_an_invalid_object(plane: ControlPlane, settings: Settings) -> None:
    async with KubernetesClient(plane.kubeconfig, settings, read_only=True) as guarded:
        await guarded.apply(config_map("guarded"), dry_run=True)
        with pytest.raises(Refused):
            await guarded.apply(config_map("guarded"))
        with pytest.raises(InvalidInput):
            await guarded.apply(config_map("Not_A_Name"), dry_run=True)


@on_both
async def test_a_release_is_installed_kept_upgraded_and_uninstalled(
    helm: HelmClient, kubernetes: KubernetesClient, chart: Path, major: int
) -> None:
    place = f"one-{major}"
    assert (await helm.ensure("demo", place, chart, {"text": "a"})).action == "installed"
    before = await kubernetes.raw(f"/api/v1/namespaces/{place}/secrets")
    assert (await helm.ensure("demo", place, chart, {"text": "a"})).action == "unchanged"
    after = await kubernetes.raw(f"/api/v1/namespaces/{place}/secrets")
    assert [item["metadata"]["resourceVersion"] for item in before["items"]] == [
        item["metadata"]["resourceVersion"] for item in after["items"]
    ]
    done = await helm.ensure("demo", place, chart, {})
    assert (done.action, done.release.values, done.release.revision) == ("upgraded", {}, 2)
    assert [item["kind"] for item in done.release.objects()] == ["ConfigMap"]
    assert (await helm.rollback("demo", place, 1)).values == {"text": "a"}
    assert await helm.uninstall("demo", place) is True
    assert await helm.uninstall("demo", place) is False
    leases = await kubernetes.list("coordination.k8s.io/v1", "Lease", "kube-system")
    assert [item["metadata"]["name"] for item in leases if item["metadata"]["name"].startswith("plumbline")] == []


@on_both
async def test_what_a_failed_upgrade_made_does_not_stay(
    helm: HelmClient, kubernetes: KubernetesClient, chart: Path, major: int
) -> None:
    place = f"failed-{major}"
    await helm.ensure("demo", place, chart, {})
    with pytest.raises(DeadlineExceeded):
        await helm.ensure("demo", place, chart, {"slow": True}, timeout=2)
    assert await kubernetes.get("apps/v1", "Deployment", "demo-slow", place) is not None
    done = await helm.ensure("demo", place, chart, {"text": "new"})
    assert done.pruned == (f"Deployment {place}/demo-slow",)
    assert (await helm.ensure("demo", place, chart, {"text": "new"})).action == "unchanged"


@on_both
async def test_a_cancelled_install_leaves_no_helm_and_no_pending_release(
    helm: HelmClient, chart: Path, major: int
) -> None:
    place = f"cancelled-{major}"
    task = asyncio.create_task(helm.ensure("demo", place, chart, {"slow": True}))
    await pending(helm, place)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert helms() == []
    assert (await helm.ensure("demo", place, chart, {})).release.status == "deployed"


@pytest.mark.parametrize("first", [True, False], ids=["install", "upgrade"])
async def test_recovery_from_kill_9(
    helm: HelmClient, kubernetes: KubernetesClient, chart: Path, settings: Settings, first: bool
) -> None:
    namespace = "killed-install" if first else "killed-upgrade"
    if not first:
        await helm.ensure("demo", namespace, chart, {})
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from infra.clients.helm import HelmClient; from infra.settings import Settings\n"
        "async def main():\n"
        "    settings = Settings(state_dir=sys.argv[4], helm_timeout=60)\n"
        "    async with HelmClient(Path(sys.argv[1]), settings) as helm:\n"
        "        await helm.ensure('demo', sys.argv[2], Path(sys.argv[3]), {'slow': True})\n"
        "asyncio.run(main())"
    )
    arguments = [str(kubernetes.kubeconfig), namespace, str(chart), str(settings.state_dir)]
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *arguments, cwd=ROOT)
    try:
        status = await pending(helm, namespace)
        with pytest.raises(Conflict, match="Another Plumbline"):
            await helm.ensure("demo", namespace, chart, {})
    finally:
        writer.kill()
        await writer.wait()
    (orphan,) = helms()
    with pytest.raises(Conflict, match="Another Plumbline"):  # its helm still lives and still writes
        await helm.ensure("demo", namespace, chart, {})
    os.kill(orphan, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(orphan)] if psutil.pid_exists(orphan) else [], timeout=5)
    done = await helm.ensure("demo", namespace, chart, {"text": "after"})
    assert (done.recovered, done.release.status) == (status, "deployed")
    assert await kubernetes.get("apps/v1", "Deployment", "demo-slow", namespace) is None
    assert (await helm.ensure("demo", namespace, chart, {"text": "after"})).action == "unchanged"


async def pending(helm: HelmClient, namespace: str) -> str:
    for _ in range(600):
        release = await helm.release("demo", namespace)
        if release is not None and release.pending:
            return release.status
        await asyncio.sleep(0.05)
    raise AssertionError("helm never began")


def helms() -> list[int]:
    """The helm processes that a client of ours started and that still run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get(WRITER) and process.status() != psutil.STATUS_ZOMBIE
            if ours and process.name() == "helm":
                found.append(process.pid)
    return found
