"""The keys of a recorded fleet's API servers and ingresses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cryptography.x509 import load_pem_x509_csr
from cryptography.x509.oid import NameOID

from deployments.sandbox.authority import make_authority
from deployments.sandbox.controllers import x509
from infra.clients.private import write_private

VALID = timedelta(days=90)


def authority(folder: Path) -> x509.Authority:
    """The one of `ca.crt` and `ca.key` in a folder; made when they are not there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_authority(folder)
    return x509.Authority.load((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())


def sign(by: x509.Authority, request: str) -> str:
    """A client certificate for a request, both PEM."""
    asked = load_pem_x509_csr(request.encode())
    (name,) = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    subject = x509.Subject(
        common_name=str(name.value),
        organizations=[str(one.value) for one in asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)],
        usages=("digital signature", "client auth"),
    )
    return x509.pem(x509.sign(by, asked.public_key(), subject, VALID)).decode()


def serve(by: x509.Authority, folder: Path, *, hosts: Sequence[str] = (), addresses: Sequence[str] = ()) -> None:
    """Make `server.crt` (with the authority's own certificate after it) and `server.key` for names and addresses."""
    key = x509.generate_key()
    subject = x509.Subject(
        common_name="recorded fleet",
        dns_names=hosts,
        ip_addresses=addresses,
        usages=("digital signature", "key encipherment", "server auth"),
    )
    certificate = x509.sign(by, key.public_key(), subject, VALID)
    write_private(folder / "server.crt", x509.pem(certificate, by.certificate).decode())
    write_private(folder / "server.key", x509.key_pem(key).decode())
