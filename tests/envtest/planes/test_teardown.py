"""What a cluster holds in the cloud is given back before it goes: on a real API server, with its own protections."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.drift.findings import PlaneName
from infra.planes import manifests, teardown
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeJournal

pytestmark = pytest.mark.envtest
Object = dict[str, Any]


def item(version: str, kind: str, name: str, namespace: str | None = "web", **parts: Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **parts.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def service(name: str, **spec: Any) -> Object:
    return item("v1", "Service", name, spec={"selector": {"app": name}, "ports": [{"port": 80}], **spec})


@pytest.fixture(autouse=True)
async def namespaces(kubernetes: KubernetesClient) -> None:
    for name in ("web", "calm"):
        await kubernetes.create(manifests.namespace(name))


async def test_load_balancers_are_given_back_and_other_services_stay(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    for made in (service("a", type="LoadBalancer"), service("b", type="ClusterIP"), service("c")):
        await kubernetes.create(made)
    assert await teardown.release_load_balancers(clients) == ["Service/web/a"]
    assert journal.actions == ["delete Service/web/a"]
    left = {one["metadata"]["name"] for one in await kubernetes.list("v1", "Service", "web")}
    assert left == {"b", "c"}
    assert await teardown.release_load_balancers(clients) == []


async def test_a_load_balancer_that_is_not_given_back_is_no_success(
    clients: Clients, kubernetes: KubernetesClient
) -> None:
    held = {**service("a", type="LoadBalancer")}
    held["metadata"]["finalizers"] = ["service.kubernetes.io/load-balancer-cleanup"]
    await kubernetes.create(held)
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 0.5})
    with pytest.raises(DeadlineExceeded, match="the end of Service a"):
        await teardown.release_load_balancers(clients)


def claimed(name: str, namespace: str = "web") -> list[Object]:
    """A claim and the volume for it, which is kept when the claim goes."""
    size = {"storage": "1Gi"}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": f"{namespace}-{name}"}
    volume = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": size,
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"name": name, "namespace": namespace},
        "hostPath": {"path": f"/volumes/{name}"},
    }
    return [
        item("v1", "PersistentVolume", f"{namespace}-{name}", None, spec=volume),
        item("v1", "PersistentVolumeClaim", name, namespace, spec={**claim, "resources": {"requests": size}}),
    ]


def pod(claim: str | None) -> Object:
    """The spec of a pod that uses a claim."""
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    return {"containers": [{"name": "c", "image": "example.org/c"}], "volumes": volumes}


def workload(kind: str, name: str, namespace: str, claim: str | None) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod(claim)}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return item("apps/v1", kind, name, namespace, spec=spec | ({"serviceName": name} if kind == "StatefulSet" else {}))


async def running(kubernetes: KubernetesClient, count: int) -> None:
    phases = [one["status"].get("phase") for one in await kubernetes.list("v1", "Pod")]
    if phases.count("Running") != count:
        raise NotYet(f"The pods are {phases}.")


async def test_claims_go_after_their_users_whoever_owns_those(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    await kubernetes.create(item("v1", "Node", "n1", None, status={"capacity": room, "allocatable": room}))
    for made in (*claimed("data"), *claimed("work"), *claimed("idle", "calm")):
        await kubernetes.create(made)
    await kubernetes.create(workload("StatefulSet", "db", "web", "data"))
    await kubernetes.create(workload("Deployment", "web", "web", None))
    await kubernetes.create(workload("Deployment", "unconcerned", "calm", None))
    await kubernetes.create(item("v1", "Pod", "job-x1", spec=pod("work")))
    await wait_until(partial(running, kubernetes, 4), describe="the pods", timeout=60, interval=0.2)
    gone = await teardown.release_volumes(clients)
    assert sorted(gone) == [f"PersistentVolumeClaim/{name}" for name in ("calm/idle", "web/data", "web/work")]
    scaled = ["scale to 0 StatefulSet/web/db", "scale to 0 Deployment/web/web"]
    assert journal.actions[:2] == scaled
    assert sorted(journal.actions[2:4]) == ["delete Pod/web/db-0", "delete Pod/web/job-x1"]
    for kind, name, namespace, replicas in (("StatefulSet", "db", "web", 0), ("Deployment", "unconcerned", "calm", 1)):
        live = await kubernetes.get("apps/v1", kind, name, namespace)
        assert live is not None and live["spec"]["replicas"] == replicas
    journal.began.clear()
    assert await teardown.release_volumes(clients) == []
    assert journal.actions == []


async def test_objects_are_removed_in_the_reverse_order(clients: Clients, journal: FakeJournal) -> None:
    two = [item("v1", "ConfigMap", name) for name in ("first", "second")]
    for one in two:
        await clients.kubernetes.create(one)
    arguments = (clients.kubernetes, clients.journal, PlaneName.DNS, two)
    assert await manifests.remove(*arguments, timeout=10) == ["ConfigMap/web/second", "ConfigMap/web/first"]
    assert journal.ended == ["done", "done"]
    assert await manifests.remove(*arguments, timeout=10) == []


def challenge(name: str, namespace: str, *finalizers: str) -> Object:
    spec = {
        "type": "HTTP-01",
        "url": "https://acme.example.org/chall",
        "authorizationURL": "https://acme.example.org/authz",
        "dnsName": f"{name}.example.org",
        "token": "t",
        "key": "k",
        "solver": {},
        "issuerRef": {"name": "le"},
    }
    metadata = {"finalizers": list(finalizers)}
    return item("acme.cert-manager.io/v1", "Challenge", name, namespace, spec=spec, metadata=metadata)


@pytest.mark.usefixtures("certificates_defined")
async def test_namespaces_with_open_challenges_go_while_cert_manager_can_clean_up(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    await kubernetes.create(manifests.namespace("cert-manager"))
    for name, namespace in (("a", "web"), ("b", "web"), ("c", "cert-manager"), ("d", "default")):
        await kubernetes.create(challenge(name, namespace))
    assert await teardown.end_challenges(clients) == (["Namespace/web"], None)
    assert journal.actions == ["delete Namespace/web"]
    left = {one["metadata"]["name"] for one in await kubernetes.list("acme.cert-manager.io/v1", "Challenge")}
    assert left == {"c", "d"}
    assert await teardown.end_challenges(clients) == ([], None)


@pytest.mark.usefixtures("certificates_defined")
async def test_a_solver_that_does_not_clean_up_is_told_and_does_not_keep_the_environment_alive(
    clients: Clients, kubernetes: KubernetesClient
) -> None:
    made = await kubernetes.create(challenge("shop", "web", "acme.cert-manager.io/finalizer"))
    said = {**made, "status": {"state": "pending", "reason": "the solver says no"}}
    await kubernetes.replace(said, subresource="status")
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 1})
    removed, left = await teardown.end_challenges(clients)
    assert removed == ["Namespace/web"]
    assert left == "not cleaned up: the challenge for shop.example.org (the solver says no)"
