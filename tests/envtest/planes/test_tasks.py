"""The tasks that write to a cluster, called as plain coroutines: which plane is asked, and what they answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from infra.clients.kubernetes import KubernetesClient
from infra.planes import leftovers, manifests
from infra.planes.bring import Outcome
from infra.planes.clients import Clients
from tasks import delivery, storage
from tests.envtest.planes.conftest import Define
from tests.envtest.planes.test_storage import provision
from tests.unit.planes.fakes import declared

pytestmark = pytest.mark.envtest
BARE = declared(dns=None, certificates=None, delivery=None, runners=None)


def said(outcome: Outcome) -> tuple[str, str, str, bool]:
    return str(outcome.plane), outcome.name, outcome.sentence, outcome.taken_away


async def test_storage_is_brought_into_step(clients: Clients, kubernetes: KubernetesClient) -> None:
    outcome = await storage.converge_storage.fn(declared(), clients)
    assert said(outcome) == ("storage", "storage class", "1 made or changed", False)
    outcome, _ = await asyncio.gather(storage.probe_storage.fn(declared(), clients), provision(kubernetes))
    assert said(outcome) == ("storage", "storage class", "a 1 GiB claim was bound and deleted", False)


async def test_cloud_resources_are_given_back_load_balancers_first(
    clients: Clients, kubernetes: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kubernetes.create(manifests.namespace("web"))
    ports, size = [{"port": 443}], {"requests": {"storage": "1Gi"}}
    for kind, name, spec in (
        ("Service", "balanced", {"type": "LoadBalancer", "ports": ports}),
        ("PersistentVolumeClaim", "c", {"accessModes": ["ReadWriteOnce"], "resources": size}),
    ):
        where = {"name": name, "namespace": "web"}
        await kubernetes.create({"apiVersion": "v1", "kind": kind, "metadata": where, "spec": spec})
    outcome = await storage.release_cloud_resources.fn(declared(), clients)
    assert outcome.made == ("Service/web/balanced", "PersistentVolumeClaim/web/c")
    clients.disconnect()

    async def cleared(*_: object) -> list[str]:
        return ["load-balancer/kube_service_dev_web_web"]

    # A cluster that does not answer cannot give anything back itself.
    monkeypatch.setattr(leftovers, "clear_the_way", cleared)
    outcome = await storage.release_cloud_resources.fn(declared(), clients)
    assert said(outcome) == ("storage", "cloud resources", "1 removed", True)


async def test_delivery_and_its_removal(clients: Clients, kubernetes: KubernetesClient, define: Define) -> None:
    await define("argo-cd/files/crds/*applications.yaml")
    await kubernetes.create(manifests.namespace("argocd"))
    outcome = await delivery.converge_delivery.fn(declared(), clients)
    assert (outcome.name, outcome.made) == ("application", ("Application/argocd/dev",))

    async def head(_repository: str, _revision: str) -> str:
        return "a" * 40

    clients.git = SimpleNamespace(head=head)  # type: ignore[assignment]
    # What Argo CD would write, and take away at the end.
    status = {"sync": {"status": "Synced", "revision": "a" * 40}, "health": {"status": "Healthy"}}
    written = {"status": status, "metadata": {"finalizers": []}}
    await kubernetes.patch("argoproj.io/v1alpha1", "Application", "dev", written, "argocd")
    assert (await delivery.probe_delivery.fn(declared(), clients)).sentence == "Synced to aaaaaaaaaa and Healthy"
    assert (await delivery.remove_delivery.fn(declared(), clients)).made == ("Application/argocd/dev",)
    assert (await delivery.remove_delivery.fn(BARE, clients)).sentence == "nothing was there"
