"""The certificates plane: what is declared in each shape, and when it counts as issued."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from infra.clients.errors import DeadlineExceeded
from infra.drift.findings import PlaneName
from infra.planes import certificates
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from infra.settings import Settings
from infra.spec.models import Environment
from tests.unit.planes.fakes import FakeJournal, FakeKubernetes, declared
from tests.unit.planes.test_handshakes import issued

GOLDEN = Path(__file__).parent / "golden"
HTTP01 = {"email": "ops@example.org", "issuer": "letsencrypt-staging", "challenge": "http01"}
DNS01 = {"email": "ops@example.org", "issuer": "letsencrypt", "challenge": "dns01"}
SANDBOX = {"email": "ops@example.org", "issuer": "sandbox", "challenge": "dns01"}
AUTHORITY = issued("Company CA", "")
PEM = AUTHORITY[0].public_bytes(serialization.Encoding.PEM).decode()
BINDING = {"keyId": "kid-1", "secret": "acme-account"}
ACME: dict[str, Any] = {
    "email": "ops@example.org",
    "issuer": "acme",
    "acme": {"server": "https://acme.example.org/directory", "caBundle": PEM, "externalAccountBinding": BINDING},
}
CA: dict[str, Any] = {"issuer": "ca", "ca": {"secret": "company-ca"}}


@pytest.fixture
def settings(clients: Clients) -> Settings:
    return clients.settings


def shaped(spec: dict[str, Any], *hostnames: str) -> Environment:
    dns = {"zone": "sandbox.example.", "domain": "dev.sandbox.example.", "ttl": 300, "hostnames": list(hostnames)}
    return declared(certificates=spec, dns=dns)


@pytest.mark.parametrize("name", ["http01", "dns01", "sandbox", "acme", "ca"])
def test_the_manifests_of_each_shape(name: str, settings: Settings) -> None:
    """Golden: to accept a change, read the difference and write the file anew."""
    spec: dict[str, Any] = {"http01": HTTP01, "dns01": DNS01, "sandbox": SANDBOX, "acme": ACME, "ca": CA}[name]
    environment = shaped(spec, "shop.dev.sandbox.example.", "a.b.dev.sandbox.example.")
    issuing, serving = certificates.issuing(environment, settings), certificates.serving(environment)
    assert issuing is not None
    assert serving is not None
    secrets = {one.address: one.source for one in issuing.credentials}
    found: dict[str, Any] = {"issuing": list(issuing.objects), "serving": list(serving.objects), "host": serving.host}
    found |= {"secrets": secrets} if secrets else {}
    # Made anew for each run of the tests.
    bundle = found["issuing"][1]["spec"].get("acme", {}).pop("caBundle", None)
    assert bundle is None if name != "acme" else base64.b64decode(bundle).decode() == PEM
    assert found == yaml.safe_load((GOLDEN / f"certificates-{name}.yaml").read_text())


def test_a_wildcard_comes_before_the_ingress_and_is_served_without_a_secret_of_the_hosts() -> None:
    assert certificates.before_ingress(shaped(DNS01))
    assert not certificates.before_ingress(shaped(HTTP01))
    assert not certificates.before_ingress(declared(certificates=None))


def test_nothing_is_declared_without_certificates(settings: Settings) -> None:
    assert certificates.issuing(declared(certificates=None), settings) is None
    assert certificates.serving(declared(certificates=None)) is None


@pytest.mark.parametrize("part", ["issuing", "serving"])
async def test_objects_are_applied_and_the_second_run_changes_nothing(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal, part: str
) -> None:
    environment = shaped(HTTP01)
    found = {
        "issuing": certificates.issuing(environment, clients.settings),
        "serving": certificates.serving(environment),
    }
    wanted = found[part]
    assert wanted is not None
    first = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert kubernetes.writes == [f"apply {where}" for where in first.made] == journal.actions
    assert len(first.made) == 3
    second = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert second.made == ()
    assert len(kubernetes.writes) == 3


async def test_only_what_differs_is_applied(clients: Clients, kubernetes: FakeKubernetes) -> None:
    wanted = certificates.issuing(shaped(SANDBOX), clients.settings)
    assert wanted is not None
    await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    kubernetes.live("ClusterIssuer", "sandbox")["spec"]["acme"]["server"] = "https://other"
    outcome = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert outcome.made == ("ClusterIssuer/sandbox",)


def store(clients: Clients, name: str, **values: str) -> None:
    folder = clients.settings.secrets_dir / name
    folder.mkdir(parents=True, mode=0o700)
    for key, value in values.items():
        (folder / key.replace("_", ".")).write_text(value)
        (folder / key.replace("_", ".")).chmod(0o600)


async def test_an_authoritys_key_goes_from_the_store_to_where_cert_manager_reads_it(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    store(clients, "company-ca", tls_crt=PEM, tls_key="key")
    wanted = certificates.issuing(shaped(CA), clients.settings)
    assert wanted is not None
    outcome = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert outcome.made[0] == "Secret/cert-manager/ca-key-pair"
    assert set(kubernetes.live("Secret", "ca-key-pair", "cert-manager")["data"]) == {"tls.crt", "tls.key"}
    assert kubernetes.live("ClusterIssuer", "ca")["spec"] == {"ca": {"secretName": "ca-key-pair"}}
    again = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert again.made == ()
    kubernetes.live("Secret", "ca-key-pair", "cert-manager")["data"]["tls.key"] = ""
    again = await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")
    assert again.made == ("Secret/cert-manager/ca-key-pair",)


# -- issued ---------------------------------------------------------------------------------------------------------


def ready(status: str = "True", *, seen: int | None = 1, message: str = "ok") -> dict[str, Any]:
    condition: dict[str, Any] = {"type": "Ready", "status": status, "message": message}
    if seen is not None:
        condition["observedGeneration"] = seen
    return {"conditions": [condition]}


@pytest.fixture
def issuing(kubernetes: FakeKubernetes, settings: Settings) -> certificates.Wanted:
    """What is wanted, and applied: the issuer is ready for it."""
    wanted = certificates.issuing(shaped({**SANDBOX, "challenge": "http01"}), settings)
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
