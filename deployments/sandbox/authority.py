"""The sandbox's own certificate authority, and its made-up GitHub App."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from deployments.sandbox.layout import write

VALID = timedelta(days=3650)


def make_authority(folder: Path) -> None:
    """Make ca.crt and ca.key in `folder`, once: certificates have to stay good over restarts."""
    certificate, private = folder / "ca.crt", folder / "ca.key"
    if certificate.exists() and private.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Plumbline sandbox CA")])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(_key_usage(), critical=True)
        .sign(key, hashes.SHA256())
    )
    write(private, _pem(key))
    write(certificate, signed.public_bytes(serialization.Encoding.PEM).decode())


def make_github_app(folder: Path) -> None:
    """Make the secret `github-app`: what ARC authenticates with, random and good for nothing else."""
    if (folder / "github_app_private_key").exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(folder / "github_app_id", str(secrets.randbelow(900_000) + 100_000))
    write(folder / "github_app_installation_id", str(secrets.randbelow(90_000_000) + 10_000_000))
    write(folder / "github_app_private_key", _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
