"""What the ingress serves: only the right certificate counts, for the canary host and for every add-on's page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.clients.errors import DeadlineExceeded, TlsRefused, Unavailable
from infra.clients.tls import Served, parse
from infra.drift.findings import Severity
from infra.planes import handshakes
from infra.planes.clients import Clients
from infra.planes.looking import Looked
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import catalog, declared

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


ROOT = issued("Pebble Intermediate CA 1a2b3c", "")
HOST = "plumbline.dev.sandbox.example"


Look = x509.Certificate | Exception


class FakeHandshakes:
    """What the ingress serves for a host, look after look; the last stays."""

    def __init__(self, **looks: list[Look]) -> None:
        self.looks = looks
        self.asked: list[tuple[str, int, str]] = []

    async def served(self, host: str, port: int, *, address: str) -> Served:
        self.asked.append((host, port, address))
        looks = self.looks[host.partition(".")[0]]
        look = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(look, Exception):
            raise look
        return Served(host=host, address=address, port=port, chain=(parse(look),), protocol="TLSv1.3")


@pytest.fixture
def serve(clients: Clients, kubernetes: Answering, tmp_path: Path) -> Callable[..., FakeHandshakes]:
    """Have the ingress serve these certificates, by the first label of their host."""
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(ROOT[0].public_bytes(serialization.Encoding.PEM))
    update = {"tls_ca_file": bundle, "ingress_https_port": 8443}
    clients.settings = clients.settings.model_copy(update=update)
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}
    metadata = {"name": "nginx-ingress-controller", "namespace": "nginx-ingress"}
    kubernetes.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": status})

    def serving(**looks: Look | list[Look]) -> FakeHandshakes:
        made = FakeHandshakes(**{host: look if isinstance(look, list) else [look] for host, look in looks.items()})
        clients.tls = made  # type: ignore[assignment]
        return made

    return serving


async def test_the_right_certificate_is_waited_for_over_what_the_ingress_serves_meanwhile(
    clients: Clients, serve: Callable[..., FakeHandshakes]
) -> None:
    fake = issued("NGINXIngressController", HOST)[0]
    right = issued("leaf", HOST, by=ROOT, days=0.5)[0]  # lasts 1.5 days: a third of it is left
    served = serve(plumbline=[Unavailable("refused"), fake, right])
    said = await handshakes.probe(declared(), [HOST], clients)
    assert said.startswith(f"{HOST} serves a certificate of CN=Pebble Intermediate CA 1a2b3c, valid until 20")
    assert served.asked == [(HOST, 8443, "203.0.113.7")] * 3


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (issued("NGINXIngressController", HOST)[0], "self-signed"),
        (issued("leaf", HOST, by=issued("Other CA", ""))[0], "is issued by CN=Other CA"),
        (issued("leaf", "other.example.org", by=ROOT)[0], "is not for"),
        (issued("leaf", HOST, by=ROOT, days=0.1)[0], "renewal is due"),
        (issued("leaf", HOST, by=issued("Pebble Intermediate CA 1a2b3c", ""))[0], "does not lead to"),
    ],
    ids=["the ingress' own", "another issuer", "another name", "about to expire", "another authority of that name"],
)
async def test_another_certificate_is_not_taken_for_it(
    clients: Clients, serve: Callable[..., FakeHandshakes], made: x509.Certificate, why: str
) -> None:
    serve(plumbline=made)
    with pytest.raises(DeadlineExceeded, match=why):
        await handshakes.probe(declared(), [HOST], clients)
    (finding,) = (await handshakes.look(declared(), clients)).findings
    assert why in finding.sentence
    assert (finding.address, finding.severity) == (f"tls/{HOST}", Severity.SECURITY)


# -- pages ----------------------------------------------------------------------------------------------------------

PAGE = "argocd.dev.sandbox.example"
DNS01 = {"email": "ops@example.org", "issuer": "sandbox", "challenge": "dns01"}


def page(*, release: str | None = "argocd", issuer: str | None = "sandbox", secret: str | None = "s") -> dict[str, Any]:
    """Argo CD's Ingress as Helm has made it; another's where no release of ours is named."""
    notes = {
        "meta.helm.sh/release-name": release,
        "meta.helm.sh/release-namespace": "argocd",
        handshakes.ISSUER: issuer,
    }
    tls = {"hosts": [PAGE], "secretName": secret}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "argocd-server",
            "namespace": "argocd",
            "annotations": {name: note for name, note in notes.items() if note},
        },
        "spec": {"tls": [{name: value for name, value in tls.items() if value}]},
    }


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ({}, True),
        ({"release": "theirs"}, False),
        ({"release": None}, False),
        ({"issuer": "the-companys"}, False),
        ({"issuer": None}, False),
        ({"issuer": None, "secret": None}, False),
    ],
)
def test_a_page_counts_where_the_environments_issuer_stands_for_it(shape: dict[str, Any], found: bool) -> None:
    assert handshakes.pages(declared(), catalog(), [page(**shape)]) == ((PAGE,) if found else ())


def test_with_a_wildcard_a_page_without_a_secret_of_its_own_counts() -> None:
    environment = declared(certificates=DNS01)
    assert handshakes.pages(environment, catalog(), [page(issuer=None, secret=None)]) == (PAGE,)
    assert handshakes.pages(environment, catalog(), [page(issuer=None)]) == ()
    assert handshakes.pages(declared(certificates=None), catalog(), [page(secret=None)]) == ()


async def test_every_page_is_waited_for(
    clients: Clients, kubernetes: Answering, serve: Callable[..., FakeHandshakes]
) -> None:
    assert await handshakes.probe_pages(declared(), clients) == "no add-on has a page"
    kubernetes.put(page())
    serve(argocd=[issued("NGINXIngressController", PAGE)[0], issued("leaf", PAGE, by=ROOT)[0]])
    assert (await handshakes.probe_pages(declared(), clients)).startswith(f"{PAGE} serves a certificate of")
    serve(argocd=issued("NGINXIngressController", PAGE)[0])
    with pytest.raises(DeadlineExceeded, match="self-signed"):
        await handshakes.probe_pages(declared(), clients)


async def test_a_page_that_is_served_with_another_certificate_is_drift(
    clients: Clients, kubernetes: Answering, serve: Callable[..., FakeHandshakes]
) -> None:
    kubernetes.put(page())
    right = issued("leaf", HOST, by=ROOT, days=0.5)[0]  # lasts 1.5 days: a third of it is left
    serve(plumbline=right, argocd=issued("leaf", PAGE, by=ROOT)[0])
    assert await handshakes.look(declared(), clients) == Looked()
    serve(plumbline=right, argocd=issued("NGINXIngressController", PAGE)[0])
    (finding,) = (await handshakes.look(declared(), clients)).findings
    assert (finding.address, finding.path, finding.severity) == (f"tls/{PAGE}", ".issuer", Severity.SECURITY)
    serve(plumbline=right, argocd=TlsRefused("It does not speak TLS."))
    (finding,) = (await handshakes.look(declared(), clients)).findings
    assert finding.sentence == "It does not speak TLS."
    serve(plumbline=right, argocd=Unavailable("It does not answer."))
    looked = await handshakes.look(declared(), clients)
    assert looked.findings == ()
    assert [spot.hides for spot in looked.blind_spots] == [(f"tls/{PAGE}",)]


async def test_nothing_is_served_where_no_certificates_are_declared(clients: Clients) -> None:
    assert await handshakes.look(declared(certificates=None), clients) == Looked()
