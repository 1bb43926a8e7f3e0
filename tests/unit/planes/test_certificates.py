"""The certificates plane: what is declared in each shape, and that only the right certificate counts as served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.clients.errors import DeadlineExceeded, Unavailable
from infra.clients.tls import Served, parse
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


async def test_a_hanging_challenge_says_what_it_waits_for(
    clients: Clients, kubernetes: FakeKubernetes, issuing: certificates.Wanted
) -> None:
    live = kubernetes.live("Certificate", "canary-tls", "plumbline-system")
    live["status"] = ready("False", message="Issuing certificate as Secret does not exist")
    for name, state, reason in (("a", "valid", "done"), ("b", "pending", "wrong status code '404', expected '200'")):
        kubernetes.put(
            {
                "apiVersion": "acme.cert-manager.io/v1",
                "kind": "Challenge",
                "metadata": {"name": name, "namespace": "plumbline-system"},
                "spec": {"dnsName": f"{name}.example.org"},
                "status": {"state": state, "reason": reason},
            }
        )
    with pytest.raises(DeadlineExceeded, match=r"\(b\.example\.org: wrong status code '404', expected '200'\)"):
        await certificates.probe_issued(issuing, clients)


async def test_issuer_and_certificate_have_to_be_ready(
    clients: Clients, kubernetes: FakeKubernetes, issuing: certificates.Wanted
) -> None:
    kubernetes.live("Certificate", "canary-tls", "plumbline-system")["status"] = ready(seen=None)
    assert await certificates.probe_issued(issuing, clients) == f"issued for {', '.join(issuing.names)}"
    del kubernetes.objects["ClusterIssuer", None, "sandbox"]
    with pytest.raises(DeadlineExceeded, match="ClusterIssuer/sandbox is not there"):
        await certificates.probe_issued(issuing, clients)


# -- served ---------------------------------------------------------------------------------------------------------

NOW = datetime.now(UTC)


def issued(
    subject: str, host: str, by: tuple[x509.Certificate, Any] | None = None, days: float = 30
) -> tuple[x509.Certificate, Any]:
    """A certificate and its key; self-signed where nobody issues it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    issuer, signer = (by[0].subject, by[1]) if by else (name, key)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=not host, path_length=None), critical=True)
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return builder.sign(signer, hashes.SHA256()), key


ROOT = issued("Plumbline Sandbox CA", "")
HOST = "plumbline.dev.sandbox.example"


class FakeHandshakes:
    """What the ingress serves, look after look; the last stays."""

    def __init__(self, *looks: x509.Certificate | Exception) -> None:
        self.looks = list(looks)
        self.asked: list[tuple[str, int, str]] = []

    async def served(self, host: str, port: int, *, address: str) -> Served:
        self.asked.append((host, port, address))
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return Served(host=host, address=address, port=port, chain=(parse(look),), protocol="TLSv1.3")


@pytest.fixture
def serving(clients: Clients, tmp_path: Path) -> certificates.Wanted:
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(ROOT[0].public_bytes(serialization.Encoding.PEM))
    update = {"tls_ca_file": bundle, "ingress_https_port": 8443}
    clients.settings = clients.settings.model_copy(update=update)
    wanted = certificates.serving(shaped(SANDBOX))
    assert wanted is not None
    return wanted


async def test_the_right_certificate_is_waited_for_over_what_the_ingress_serves_meanwhile(
    clients: Clients, serving: certificates.Wanted
) -> None:
    fake = issued("NGINXIngressController", serving.host)[0]
    right = issued("leaf", serving.host, by=ROOT)[0]
    handshakes = FakeHandshakes(Unavailable("refused"), fake, right)
    clients.tls = handshakes  # type: ignore[assignment]
    said = await certificates.probe_served(serving, "203.0.113.7", clients)
    assert said.startswith(f"{serving.host} serves a certificate of CN=Plumbline Sandbox CA, valid until 20")
    assert handshakes.asked == [(serving.host, 8443, "203.0.113.7")] * 3


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda host: issued("NGINXIngressController", host)[0], "self-signed"),
        (lambda host: issued("leaf", host, by=issued("Other CA", ""))[0], "is issued by CN=Other CA"),
        (lambda _host: issued("leaf", "other.example.org", by=ROOT)[0], "is not for"),
        (lambda host: issued("leaf", host, by=ROOT, days=0.5)[0], "renewal is due"),
        (lambda host: issued("leaf", host, by=issued("Plumbline Sandbox CA", ""))[0], "does not lead to"),
    ],
    ids=["the ingress' own", "another issuer", "another name", "about to expire", "another authority of that name"],
)
async def test_another_certificate_is_not_taken_for_it(
    clients: Clients, serving: certificates.Wanted, make: Any, why: str
) -> None:
    clients.tls = FakeHandshakes(make(serving.host))  # type: ignore[assignment]
    with pytest.raises(DeadlineExceeded, match=why):
        await certificates.probe_served(serving, "203.0.113.7", clients)
