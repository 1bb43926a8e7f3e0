"""What counts as available, reading a field by its path, and what each kind of probe does not fall for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infra.catalog.models import (
    ConditionProbe,
    CrdEstablishedProbe,
    DryRunCreateProbe,
    LoadBalancerProbe,
    WorkloadsProbe,
)
from infra.clients.errors import DeadlineExceeded, NotYet
from infra.planes.clients import Clients
from infra.planes.probes import describe, field, look, not_available, prove
from tests.unit.planes.answering import Answering, Refusal


def workload(kind: str = "Deployment", *, generation: int = 2, spec: Any = None, **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": generation}, "spec": spec or {"replicas": 2}, "status": status}


@pytest.mark.parametrize(
    ("live", "why"),
    [
        (workload(observedGeneration=2, updatedReplicas=2, availableReplicas=2), None),
        (workload(observedGeneration=1, updatedReplicas=2, availableReplicas=2), "has not been looked at"),
        (workload(observedGeneration=2, updatedReplicas=1, availableReplicas=2), "1 of 2 replicas are updated"),
        (workload(observedGeneration=2, updatedReplicas=2, availableReplicas=1), "1 of 2 replicas are available"),
        (workload(observedGeneration=2), "0 of 2 replicas are updated"),
        (workload(spec={"replicas": 0}, observedGeneration=2), None),
        (workload("StatefulSet", observedGeneration=2, updatedReplicas=2, readyReplicas=2), None),
        (workload("StatefulSet", observedGeneration=2, updatedReplicas=2, readyReplicas=1), "1 of 2"),
        (
            workload(
                "DaemonSet", observedGeneration=2, desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=3
            ),
            None,
        ),
        (
            workload(
                "DaemonSet", observedGeneration=2, desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=2
            ),
            "2 of 3",
        ),
    ],
)
def test_a_workload_is_available_only_at_the_generation_that_was_declared(live: Any, why: str | None) -> None:
    said = not_available(live)
    assert (said is None) if why is None else (said is not None and why in said)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status.phase", "Ready"),
        ("status.conditions[type=Ready].status", "True"),
        ("status.conditions[type=Other].status", None),
        ("status.nothing.there", None),
        ("status.phase.deeper", None),
    ],
)
def test_a_path_reads_mappings_and_picks_list_items_by_type(path: str, value: Any) -> None:
    live = {"status": {"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert field(live, path) == value


def test_a_deployment_whose_pods_are_ready_but_not_long_enough_is_not_available() -> None:
    """`availableReplicas` is left out while it is zero (minReadySeconds)."""
    live = workload(observedGeneration=2, updatedReplicas=2, readyReplicas=2)
    assert not_available(live) == "0 of 2 replicas are available"


# -- each kind of probe: what looks ready and is not ------------------------------------------------------------------

WORKLOADS = WorkloadsProbe(kind="workloads", namespace="web", release="web")
WEBHOOK = DryRunCreateProbe(
    kind="dry-run-create",
    object={
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "p", "namespace": "cert-manager"},
    },
)
ADDRESS = LoadBalancerProbe(kind="load-balancer", namespace="web", service="web")
LABELLED = "&labelSelector=app.kubernetes.io%2Finstance%3Dweb"
KINDS = CrdEstablishedProbe(kind="crd-established", names=("a.example.org", "b.example.org"))
CONDITION = ConditionProbe(
    kind="condition",
    api_version="ceph.rook.io/v1",
    resource="CephCluster",
    namespace="rook-ceph",
    name="rook-ceph",
    path="status.conditions[type=Ready].status",
    equals="True",
)


def there(kind: str, name: str, namespace: str | None = "web", **parts: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/instance": "web"}}
    if namespace:
        metadata["namespace"] = namespace
    metadata["generation"] = parts.pop("generation", 1)
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts}


GOOD = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}
DAEMONS = {
    "observedGeneration": 1,
    "desiredNumberScheduled": 1,
    "updatedNumberScheduled": 1,
    "numberAvailable": 1,
}


async def test_every_workload_of_the_release_counts_and_no_other(clients: Clients, kubernetes: Answering) -> None:
    def labelled(kind: str, *items: dict[str, Any]) -> None:
        """The workloads that carry the release's label; those of others are not among them."""
        kubernetes.answer(kubernetes.listing(kind, "web", LABELLED), {"items": list(items)})

    for kind in ("Deployment", "DaemonSet", "StatefulSet"):
        labelled(kind)
    with pytest.raises(NotYet, match="There are no workloads of web in web"):
        await look(WORKLOADS, clients)
    labelled("Deployment", there("Deployment", "web", spec={"replicas": 1}, status=GOOD))
    labelled("DaemonSet", there("DaemonSet", "agents", status=DAEMONS))
    assert await look(WORKLOADS, clients) == "2 workloads are available"
    labelled("StatefulSet", there("StatefulSet", "db", spec={"replicas": 1}, status={**GOOD, "availableReplicas": 0}))
    with pytest.raises(NotYet, match="StatefulSet db: 0 of 1 replicas are available"):
        await look(WORKLOADS, clients)


DRY_CREATE = "POST /apis/cert-manager.io/v1/namespaces/cert-manager/certificates?fieldManager=plumbline&dryRun=All"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "failed calling webhook: no endpoints available for service cert-manager-webhook"),
        (404, "the server could not find the requested resource"),
        (422, "admission webhook denied the request: not like this"),
    ],
)
async def test_a_webhook_that_refuses_is_not_ready_though_helm_is_done(
    clients: Clients, kubernetes: Answering, status: int, message: str
) -> None:
    kubernetes.answer(DRY_CREATE, Refusal(status, message), Refusal(status, message), dict(WEBHOOK.object))
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 30})
    assert await prove(WEBHOOK, clients) == "a Certificate is accepted (dry run)"
    assert kubernetes.writes == [DRY_CREATE] * 3


async def test_a_kind_that_is_not_served_is_not_ready(clients: Clients, kubernetes: Answering) -> None:
    del kubernetes.kinds["Certificate"]
    with pytest.raises(NotYet, match="A Certificate is refused"):
        await look(WEBHOOK, clients)


async def test_a_service_without_an_address_is_not_ready(clients: Clients, kubernetes: Answering) -> None:
    with pytest.raises(NotYet, match="There is no Service web/web"):
        await look(ADDRESS, clients)
    about = kubernetes.listing("Event", "web", "&fieldSelector=involvedObject.name%3Dweb")
    kubernetes.answer(about, {"items": []})
    without: list[dict[str, Any]] = [{}, {"loadBalancer": {}}, {"loadBalancer": {"ingress": [{"hostname": "x"}]}}]
    for status in without:
        kubernetes.put(there("Service", "web", status=status))
        with pytest.raises(NotYet, match="has no load balancer address yet"):
            await look(ADDRESS, clients)
    for said, right in (
        ("load balancer 1 is not ACTIVE, current provisioning status: ERROR", "Octavia could not make it"),
        ("No more IP addresses available on network 1.", "has no free address"),
        ("Quota exceeded for resources: ['load_balancer'].", "quota is used up"),
    ):
        event = there("Event", "web.1", message=f"Error syncing load balancer: {said}", type="Warning")
        about_it = {"involvedObject": {"kind": "Service", "name": "web"}}
        kubernetes.answer(about, {"items": [event | about_it]})
        with pytest.raises(NotYet, match=said[:20]) as caught:
            await look(ADDRESS, clients)
        assert right in str(caught.value)
    kubernetes.put(there("Service", "web", status={"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}))
    assert await look(ADDRESS, clients) == "203.0.113.7"


async def test_every_definition_has_to_be_established(clients: Clients, kubernetes: Answering) -> None:
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    kubernetes.put(there("CustomResourceDefinition", "a.example.org", None, status=established))
    with pytest.raises(NotYet, match=r"b\.example\.org is not established"):
        await look(KINDS, clients)
    refused = {"conditions": [{"type": "Established", "status": "False"}]}
    kubernetes.put(there("CustomResourceDefinition", "b.example.org", None, status=refused))
    with pytest.raises(NotYet):
        await look(KINDS, clients)
    kubernetes.put(there("CustomResourceDefinition", "b.example.org", None, status=established))
    assert await look(KINDS, clients) == "2 custom resource definitions are established"


@pytest.mark.parametrize(
    ("generation", "status", "why"),
    [
        (1, {}, "is None, not 'True'"),
        (1, {"conditions": [{"type": "Ready", "status": "False"}]}, "is 'False', not 'True'"),
        (2, {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}, "since its last change"),
        (2, {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}, "since its last change"),
        (2, {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]}, None),
    ],
)
async def test_a_condition_of_an_older_generation_answers_an_older_question(
    clients: Clients, kubernetes: Answering, generation: int, status: Any, why: str | None
) -> None:
    with pytest.raises(NotYet, match="There is no CephCluster rook-ceph"):
        await look(CONDITION, clients)
    kubernetes.put(there("CephCluster", "rook-ceph", "rook-ceph", generation=generation, status=status))
    if why is None:
        said = await look(CONDITION, clients)
        assert said == "CephCluster rook-ceph: status.conditions[type=Ready].status is True"
    else:
        with pytest.raises(NotYet, match=re.escape(why)):
            await look(CONDITION, clients)


@pytest.mark.parametrize("probe", [WORKLOADS, WEBHOOK, ADDRESS, KINDS, CONDITION], ids=lambda probe: probe.kind)
async def test_what_does_not_come_true_ends_with_what_was_waited_for(
    clients: Clients, kubernetes: Answering, probe: Any
) -> None:
    kubernetes.answer(DRY_CREATE, Refusal(422))
    for kind in ("Deployment", "DaemonSet", "StatefulSet"):
        kubernetes.answer(kubernetes.listing(kind, "web", LABELLED), {"items": []})
    with pytest.raises(DeadlineExceeded) as caught:
        await prove(probe, clients)
    assert f"waiting for {describe(probe)} after" in caught.value.summary
