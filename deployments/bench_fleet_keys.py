"""The keys of a recorded fleet's API servers and ingresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.clients.private import write_private
from infra.sandbox.authority import make_authority

VALID = timedelta(days=90)


@dataclass(frozen=True)
class Authority:
    """Signs certificates of servers and of those who ask them."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Of `ca.crt` and `ca.key` in a folder; made when they are not there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_authority(folder)
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        return cls(certificate, cast(ec.EllipticCurvePrivateKey, key))

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, request: str) -> str:
        """A client certificate for a request, both PEM."""
        asked = x509.load_pem_x509_csr(request.encode())
        builder = x509.CertificateBuilder().subject_name(asked.subject).public_key(asked.public_key())
        return self._signed(builder)

    def serve(self, folder: Path, names: Iterable[str]) -> None:
        """Make `server.crt` (with our own certificate after it) and `server.key` for host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "recorded fleet")])
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
        certificate = self._signed(builder.add_extension(alternatives, critical=False))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(folder / "server.crt", certificate + self.pem)
        write_private(folder / "server.key", private.decode())

    def _signed(self, builder: x509.CertificateBuilder) -> str:
        now = datetime.now(UTC)
        dated = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + VALID)
        named = dated.issuer_name(self.certificate.subject).serial_number(x509.random_serial_number())
        return named.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
