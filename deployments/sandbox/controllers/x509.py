"""X.509 for the sandbox: keys, authorities and leaf certificates, all real."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

BACKDATE = dt.timedelta(minutes=1)
"""How far before now a certificate begins to be valid, so that a clock slightly behind accepts it."""

EXTENDED_USAGES = {"server auth": ExtendedKeyUsageOID.SERVER_AUTH, "client auth": ExtendedKeyUsageOID.CLIENT_AUTH}
SERVER_USAGES = ("digital signature", "key encipherment", "server auth")
CLIENT_USAGES = ("digital signature", "client auth")
NO_USAGE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True)
class Subject:
    """What a certificate is for."""

    common_name: str = ""
    organizations: Sequence[str] = ()
    dns_names: Sequence[str] = ()
    ip_addresses: Sequence[str] = ()
    is_ca: bool = False
    usages: Sequence[str] = ("digital signature", "key encipherment")


@dataclass(frozen=True)
class Authority:
    """A certificate that may sign, with its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @classmethod
    def make(cls, name: str, duration: dt.timedelta) -> Authority:
        """A new one, which signs itself."""
        key = generate_key()
        return cls(self_sign(key, Subject(name, is_ca=True), duration), key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> Authority:
        """Read an authority from PEM.

        Raises:
            ValueError: the text is no certificate, or no key.
        """
        return cls(x509.load_pem_x509_certificate(certificate_pem), load_key(key_pem))

    def issue(self, subject: Subject, duration: dt.timedelta) -> tuple[str, str]:
        """A certificate with a new key, both PEM."""
        key = generate_key()
        return pem(sign(self, key.public_key(), subject, duration)).decode(), key_pem(key).decode()


def generate_key(algorithm: str = "ECDSA", bits: int = 2048) -> PrivateKey:
    """A new private key: ECDSA on the curve P-256, or RSA with so many bits."""
    if algorithm == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(ec.SECP256R1())


def load_key(pem: bytes) -> PrivateKey:
    """Read an unencrypted private key from PEM; ValueError where it is not one of ours."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, PrivateKey):
        raise ValueError("not an RSA or ECDSA key")
    return key


def key_pem(key: PrivateKey) -> bytes:
    """The private key as PEM."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def public_pem(key: PrivateKey) -> bytes:
    """The public half as PEM."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as one PEM bundle, in the order given."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def server_context(chain: bytes, key: bytes) -> ssl.SSLContext:
    """A server's TLS with this certificate, chain and key, all PEM; ssl.SSLError where they are not a pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # The ssl module reads certificates from files only.
    with tempfile.NamedTemporaryFile() as file:
        file.write(chain + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def made_up_context(name: str) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody but itself has signed."""
    key = generate_key()
    subject = Subject(name, dns_names=[name.lower()], usages=("digital signature", "server auth"))
    return server_context(pem(self_sign(key, subject, dt.timedelta(days=365))), key_pem(key))


def self_sign(key: PrivateKey, subject: Subject, duration: dt.timedelta) -> x509.Certificate:
    """A certificate signed by its own key."""
    begin = dt.datetime.now(dt.UTC)
    builder = _builder(subject, key.public_key(), _name(subject), key.public_key())
    return _valid(builder, begin, begin + duration).sign(key, hashes.SHA256())


def sign(
    authority: Authority, public_key: Any, subject: Subject, duration: dt.timedelta, *, now: dt.datetime | None = None
) -> x509.Certificate:
    """A certificate for `public_key` signed by `authority`, never outliving it."""
    by, begin = authority.certificate, now or dt.datetime.now(dt.UTC)
    builder = _builder(subject, public_key, by.subject, by.public_key())
    return _valid(builder, begin, min(begin + duration, by.not_valid_after_utc)).sign(authority.key, hashes.SHA256())


def _valid(builder: x509.CertificateBuilder, begin: dt.datetime, end: dt.datetime) -> x509.CertificateBuilder:
    return builder.not_valid_before(begin - BACKDATE).not_valid_after(end)


def _builder(subject: Subject, public_key: Any, issuer: x509.Name, issuer_key: Any) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=subject.is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .add_extension(_key_usage(subject), critical=True)
    )
    extended = [EXTENDED_USAGES[usage] for usage in subject.usages if usage in EXTENDED_USAGES]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in subject.dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in subject.ip_addresses]
    if names:
        # RFC 5280 4.2.1.6: critical where the subject is empty.
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(_name(subject)))
    return builder


def _key_usage(subject: Subject) -> x509.KeyUsage:
    words = {usage.replace(" ", "_") for usage in subject.usages} & NO_USAGE.keys()
    words |= {"key_cert_sign", "crl_sign"} if subject.is_ca else set()
    return x509.KeyUsage(**NO_USAGE | dict.fromkeys(words, True))


def _name(subject: Subject) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in subject.organizations]
    if subject.common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name))
    return x509.Name(attributes)
