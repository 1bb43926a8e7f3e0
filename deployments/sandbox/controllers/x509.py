"""X.509 for the sandbox: keys, authorities, signing requests and leaf certificates, all real."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

CURVES: dict[int, type[ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}
BACKDATE = dt.timedelta(minutes=1)
"""How far before now a certificate begins to be valid, so that a clock slightly behind accepts it."""

EXTENDED_USAGES = {"server auth": ExtendedKeyUsageOID.SERVER_AUTH, "client auth": ExtendedKeyUsageOID.CLIENT_AUTH}
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
class Authority:
    """A certificate that may sign, with its key and what leads from it to its root."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def root(self) -> x509.Certificate:
        """The last certificate of the chain."""
        return self.chain[-1] if self.chain else self.certificate

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> Authority:
        """Read an authority from PEM.

        Raises:
            ValueError: the PEM is not one, or the key does not belong to the certificate.
        """
        certificates = x509.load_pem_x509_certificates(certificate_pem)
        key = load_key(key_pem)
        if public_bytes(certificates[0].public_key()) != public_bytes(key.public_key()):
            raise ValueError("the private key does not belong to the certificate")
        return cls(certificates[0], key, tuple(certificates[1:]))


@dataclass(frozen=True)
class Subject:
    """What a certificate is for."""

    common_name: str = ""
    organizations: Sequence[str] = ()
    dns_names: Sequence[str] = ()
    ip_addresses: Sequence[str] = ()
    uris: Sequence[str] = ()
    emails: Sequence[str] = ()
    is_ca: bool = False
    usages: Sequence[str] = field(default=("digital signature", "key encipherment"))


def generate_key(algorithm: str = "ECDSA", size: int | None = None) -> PrivateKey:
    """Make a private key.

    Args:
        algorithm: RSA, ECDSA or Ed25519, as cert-manager spells them.
        size: bits; 2048 for RSA and 256 for ECDSA where None.

    Raises:
        ValueError: no such algorithm or size.
    """
    if algorithm == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=size or 2048)
    if algorithm == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ECDSA":
        curve = CURVES.get(size or 256)
        if curve is None:
            raise ValueError(f"ECDSA keys have 256, 384 or 521 bits, not {size}")
        return ec.generate_private_key(curve())
    raise ValueError(f"unknown private key algorithm {algorithm!r}")


def load_key(pem: bytes) -> PrivateKey:
    """Read an unencrypted private key from PEM; ValueError where it is not one of ours."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("not an RSA, ECDSA or Ed25519 key")
    return key


def key_pem(key: PrivateKey, *, encoding: str = "PKCS8") -> bytes:
    """The private key as PEM, in PKCS8 or the older PKCS1/SEC1 form that is cert-manager's default."""
    traditional = encoding == "PKCS1" and not isinstance(key, ed25519.Ed25519PrivateKey)
    kind = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


def public_bytes(key: object) -> bytes:
    """A public key's DER, to compare keys by."""
    der: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def public_pem(key: PrivateKey) -> bytes:
    """The public half as PEM."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as one PEM bundle, in the order given."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def server_context(chain: bytes, key: bytes) -> ssl.SSLContext:
    """A server's TLS with this certificate, chain and key, all PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # The ssl module reads certificates from files only.
    with tempfile.NamedTemporaryFile() as file:
        file.write(chain + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def request(key: PrivateKey, subject: Subject) -> bytes:
    """A PKCS#10 signing request as PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(subject))
    names = _alternative_names(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject.common_name)
    return builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM)


def self_sign(
    key: PrivateKey, subject: Subject, duration: dt.timedelta, *, now: dt.datetime | None = None
) -> x509.Certificate:
    """A certificate signed by its own key."""
    return _sign(key.public_key(), subject, _name(subject), key, duration, now=now, issuer_public=key.public_key())


def sign(
    authority: Authority,
    public_key: object,
    subject: Subject,
    duration: dt.timedelta,
    *,
    now: dt.datetime | None = None,
) -> x509.Certificate:
    """A certificate for `public_key` signed by `authority`, never outliving it."""
    return _sign(
        public_key,
        subject,
        authority.certificate.subject,
        authority.key,
        duration,
        now=now,
        issuer_public=authority.certificate.public_key(),
        latest=authority.certificate.not_valid_after_utc,
    )


def _sign(
    public_key: object,
    subject: Subject,
    issuer: x509.Name,
    key: PrivateKey,
    duration: dt.timedelta,
    *,
    now: dt.datetime | None,
    issuer_public: object,
    latest: dt.datetime | None = None,
) -> x509.Certificate:
    begin = (now or dt.datetime.now(dt.UTC)).replace(microsecond=0)
    end = min(begin + duration, latest) if latest else begin + duration
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(public_key)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - BACKDATE)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=subject.is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)  # type: ignore[arg-type]
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public),  # type: ignore[arg-type]
            critical=False,
        )
        .add_extension(_key_usage(subject), critical=True)
    )
    extended = [EXTENDED_USAGES[usage] for usage in subject.usages if usage in EXTENDED_USAGES]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    names = _alternative_names(subject)
    if names:
        # RFC 5280 4.2.1.6: critical where the subject is empty.
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(_name(subject)))
    return builder.sign(key, _digest(key))


def _key_usage(subject: Subject) -> x509.KeyUsage:
    usage = dict(NO_USAGE)
    for word in subject.usages:
        attribute = {"signing": "digital_signature", "cert sign": "key_cert_sign"}.get(word, word.replace(" ", "_"))
        if attribute in usage:
            usage[attribute] = True
    if subject.is_ca:
        usage["key_cert_sign"] = usage["crl_sign"] = True
    return x509.KeyUsage(**usage)


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _name(subject: Subject) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in subject.organizations]
    if subject.common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name))
    return x509.Name(attributes)


def _alternative_names(subject: Subject) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in _unique(subject.dns_names)]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in _unique(subject.ip_addresses)]
    names += [x509.UniformResourceIdentifier(each) for each in _unique(subject.uris)]
    return names + [x509.RFC822Name(each) for each in _unique(subject.emails)]


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
