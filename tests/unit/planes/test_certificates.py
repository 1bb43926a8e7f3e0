"""The certificates plane: what is declared in each shape, and when it counts as issued."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from infra.clients.errors import DeadlineExceeded
from infra.planes import certificates
from infra.planes.clients import Clients
from infra.settings import Settings
from infra.spec.models import Environment
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import declared
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


# -- issued ---------------------------------------------------------------------------------------------------------


def ready(status: str = "True", *, seen: int | None = 1, message: str = "ok") -> dict[str, Any]:
    condition: dict[str, Any] = {"type": "Ready", "status": status, "message": message}
    if seen is not None:
        condition["observedGeneration"] = seen
    return {"conditions": [condition]}


@pytest.fixture
def issuing(kubernetes: Answering, settings: Settings) -> certificates.Wanted:
    """What is wanted, and applied: the issuer is ready for it."""
    wanted = certificates.issuing(shaped({**SANDBOX, "challenge": "http01"}), settings)
    assert wanted is not None
    for manifest in wanted.objects:
        kubernetes.put({**manifest, "status": ready()} if manifest["kind"] == "ClusterIssuer" else manifest)
    return wanted


def put_certificate(kubernetes: Answering, wanted: certificates.Wanted, status: Any, generation: int = 1) -> None:
    """Have the certificate there with a status."""
    (manifest,) = [one for one in wanted.objects if one["kind"] == "Certificate"]
    kubernetes.put({**manifest, "metadata": {**manifest["metadata"], "generation": generation}, "status": status})


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
    clients: Clients, kubernetes: Answering, issuing: certificates.Wanted, status: Any, why: str
) -> None:
    put_certificate(kubernetes, issuing, status, generation=2)
    with pytest.raises(DeadlineExceeded, match=f"Certificate/plumbline-system/canary-tls {why}"):
        await certificates.probe_issued(issuing, clients)


async def test_issuer_and_certificate_have_to_be_ready(
    clients: Clients, kubernetes: Answering, issuing: certificates.Wanted
) -> None:
    put_certificate(kubernetes, issuing, ready(seen=None))
    assert await certificates.probe_issued(issuing, clients) == f"issued for {', '.join(issuing.names)}"
    kubernetes.clear("ClusterIssuer")
    with pytest.raises(DeadlineExceeded, match="ClusterIssuer/sandbox is not there"):
        await certificates.probe_issued(issuing, clients)
