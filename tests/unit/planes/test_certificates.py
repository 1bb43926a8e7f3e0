"""The certificates plane: what is declared in each shape, and when it counts as issued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.clients.errors import DeadlineExceeded
from infra.drift.findings import PlaneName
from infra.planes import certificates
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tests.unit.planes.fakes import FakeJournal, FakeKubernetes, declared

GOLDEN = Path(__file__).parent / "golden"
HTTP01 = {"email": "ops@example.org", "issuer": "letsencrypt-staging", "challenge": "http01"}
DNS01 = {"email": "ops@example.org", "issuer": "letsencrypt", "challenge": "dns01"}
SANDBOX = {"email": "ops@example.org", "issuer": "sandbox", "challenge": "http01"}


def shaped(spec: dict[str, str], *hostnames: str) -> Environment:
    dns = {"zone": "sandbox.example.", "domain": "dev.sandbox.example.", "ttl": 300, "hostnames": list(hostnames)}
    return declared(certificates=spec, dns=dns)


@pytest.mark.parametrize("name", ["http01", "dns01", "sandbox"])
def test_the_manifests_of_each_shape(name: str) -> None:
    """Golden: to accept a change, read the difference and write the file anew."""
    spec = {"http01": HTTP01, "dns01": DNS01, "sandbox": SANDBOX}[name]
    environment = shaped(spec, "shop.dev.sandbox.example.", "a.b.dev.sandbox.example.")
    issuing, serving = certificates.issuing(environment), certificates.serving(environment)
    assert issuing is not None
    assert serving is not None
    found = {"issuing": list(issuing.objects), "serving": list(serving.objects), "host": serving.host}
    assert found == yaml.safe_load((GOLDEN / f"certificates-{name}.yaml").read_text())


def test_a_wildcard_comes_before_the_ingress_and_is_served_without_a_secret_of_the_hosts() -> None:
    assert certificates.before_ingress(shaped(DNS01))
    assert not certificates.before_ingress(shaped(HTTP01))
    assert not certificates.before_ingress(declared(certificates=None))


def test_nothing_is_declared_without_certificates() -> None:
    assert certificates.issuing(declared(certificates=None)) is None
    assert certificates.serving(declared(certificates=None)) is None


@pytest.mark.parametrize("shape", [certificates.issuing, certificates.serving])
async def test_objects_are_applied_and_the_second_run_changes_nothing(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal, shape: Any
) -> None:
    wanted = shape(shaped(HTTP01))
    first = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert kubernetes.writes == [f"apply {where}" for where in first.made] == journal.actions
    assert len(first.made) == 3
    second = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert second.made == ()
    assert len(kubernetes.writes) == 3


async def test_only_what_differs_is_applied(clients: Clients, kubernetes: FakeKubernetes) -> None:
    wanted = certificates.issuing(shaped(SANDBOX))
    assert wanted is not None
    await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    kubernetes.live("ClusterIssuer", "sandbox")["spec"]["ca"]["secretName"] = "other"
    outcome = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert outcome.made == ("ClusterIssuer/sandbox",)


# -- issued ---------------------------------------------------------------------------------------------------------


def ready(status: str = "True", *, seen: int | None = 1, message: str = "ok") -> dict[str, Any]:
    condition: dict[str, Any] = {"type": "Ready", "status": status, "message": message}
    if seen is not None:
        condition["observedGeneration"] = seen
    return {"conditions": [condition]}


@pytest.fixture
def issuing(kubernetes: FakeKubernetes) -> certificates.Wanted:
    """What is wanted, and applied: the issuer is ready for it."""
    wanted = certificates.issuing(shaped(SANDBOX))
    assert wanted is not None
    for manifest in wanted.objects:
        kubernetes.put(manifest)
    kubernetes.live("ClusterIssuer", "sandbox")["status"] = ready()
    return wanted


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({}, "has not been looked at yet"),
        (ready(seen=1), "has not been looked at yet"),
        (ready("False", seen=2, message="Issuing certificate"), "is not ready: Issuing certificate"),
        ({"conditions": [{"type": "Issuing", "status": "True"}]}, "has not been looked at yet"),
    ],
)
async def test_ready_counts_only_for_the_generation_that_was_declared(
    clients: Clients, kubernetes: FakeKubernetes, issuing: certificates.Wanted, status: Any, why: str
) -> None:
    live = kubernetes.live("Certificate", "canary-tls", "plumbline-system")
    live["metadata"]["generation"], live["status"] = 2, status
    with pytest.raises(DeadlineExceeded, match=f"Certificate/plumbline-system/canary-tls {why}"):
        await certificates.probe_issued(issuing, clients)


async def test_issuer_and_certificate_have_to_be_ready(
    clients: Clients, kubernetes: FakeKubernetes, issuing: certificates.Wanted
) -> None:
    kubernetes.live("Certificate", "canary-tls", "plumbline-system")["status"] = ready(seen=None)
    assert await certificates.probe_issued(issuing, clients) == f"issued for {', '.join(issuing.names)}"
    del kubernetes.objects["ClusterIssuer", None, "sandbox"]
    with pytest.raises(DeadlineExceeded, match="ClusterIssuer/sandbox is not there"):
        await certificates.probe_issued(issuing, clients)
