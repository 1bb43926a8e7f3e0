"""Handshakes with real servers, and the judgement on what they serve."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.clients.errors import Misconfigured, TlsRefused, Unavailable
from infra.clients.tls import Served, TlsClient, Trust, judge, parse

NOW = datetime.now(UTC)


class Issued:
    """A certificate with its key, issued by another or by itself."""

    def __init__(self, name: str, by: Issued | None = None, *, sans: tuple[str, ...] = (), days: float = 90) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = by or self
        builder = x509.CertificateBuilder().subject_name(self.name).issuer_name(issuer.name)
        builder = builder.public_key(self.key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(NOW - timedelta(days=100)).not_valid_after(NOW + timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=not sans, path_length=None), critical=True)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(san) for san in sans]), False)
        self.certificate = builder.sign(issuer.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


ROOT = Issued("Plumbline Sandbox CA")
MIDDLE = Issued("R1", ROOT)
LEAF = Issued("leaf", MIDDLE, sans=("*.dev.example", "dev.example"))


def served(*chain: Issued, host: str = "web.dev.example") -> Served:
    certificates = tuple(parse(item.certificate) for item in chain)
    return Served(host=host, address="127.0.0.1", port=443, chain=certificates, protocol="TLSv1.3")


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(ROOT.pem)
    return Trust(bundle)


def test_a_right_chain_has_no_problems(trust: Trust) -> None:
    assert judge(served(LEAF, MIDDLE), host="web.dev.example", trust=trust, issuer_pattern="R1$") == []
    assert judge(served(LEAF, MIDDLE), host="DEV.example.", trust=trust) == []


@pytest.mark.parametrize(
    ("chain", "host", "options", "said"),
    [
        ((LEAF,), "web.dev.example", {}, "does not lead to"),
        ((Issued("x", Issued("other"), sans=("a.example",)),), "a.example", {}, "does not lead to"),
        ((LEAF, MIDDLE), "a.b.dev.example", {}, "not for a.b.dev.example but for"),
        ((LEAF, MIDDLE), "web.dev.example", {"issuer_pattern": "Let's Encrypt"}, "issued by CN=R1"),
        ((LEAF, MIDDLE), "web.dev.example", {"min_days": 100}, "renewal is due"),
        ((Issued("x", ROOT, sans=("a.example",), days=-1),), "a.example", {}, "expired on"),
        ((LEAF, MIDDLE), "web.dev.example", {"now": NOW - timedelta(days=200)}, "valid only from"),
        ((Issued("Fake Certificate", sans=("ingress.local",)),), "web.dev.example", {}, "self-signed"),
    ],
)
def test_each_problem_is_a_sentence(trust: Trust, chain: Any, host: str, options: Any, said: str) -> None:
    problems = judge(served(*chain), host=host, trust=trust, **options)
    assert any(said in problem.sentence for problem in problems), problems


def test_the_default_certificate_is_wrong_twice(trust: Trust) -> None:
    problems = judge(served(Issued("Fake", sans=("ingress.local",))), host="web.dev.example", trust=trust)
    assert len(problems) == 2


def test_bundles_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be used"):
        Trust(tmp_path / "missing.crt")
    assert Trust().authorities


async def serve(tmp_path: Path, chain: tuple[Issued, ...]) -> asyncio.Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files(tmp_path, chain)
    context.load_cert_chain(tmp_path / "chain.crt", tmp_path / "key.pem")

    async def done(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    return await asyncio.start_server(done, "127.0.0.1", 0, ssl=context)


def files(folder: Path, chain: tuple[Issued, ...]) -> None:
    (folder / "chain.crt").write_bytes(b"".join(item.pem for item in chain))
    key = chain[0].key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(key)


async def test_the_whole_served_chain_is_read_unverified(tmp_path: Path, settings: Any, trust: Trust) -> None:
    async with await serve(tmp_path, (LEAF, MIDDLE)) as server:
        port = server.sockets[0].getsockname()[1]
        found = await TlsClient(settings).served("web.dev.example", port, address="127.0.0.1")
    assert [item.subject for item in found.chain] == ["CN=leaf", "CN=R1"]
    assert found.leaf.sans == ("*.dev.example", "dev.example")
    assert judge(found, host="web.dev.example", trust=trust) == []


async def test_nobody_there_and_no_tls(settings: Any, httpserver: Any) -> None:
    client = TlsClient(settings)
    with pytest.raises(Unavailable):
        await client.served("127.0.0.1", 9)
    with pytest.raises(TlsRefused):
        await client.served("localhost", httpserver.port, address="127.0.0.1")
