"""What a Certificate asks for, and whether a Secret gives it. Pure."""

from __future__ import annotations

import base64
import datetime as dt
import re
from dataclasses import dataclass

from cryptography import x509 as cx509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.kube.objects import annotated, short_hash
from deployments.sandbox.controllers.kube.resources import Obj

DEFAULT_DURATION = dt.timedelta(days=90)
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
PREFIX = "cert-manager.io/"


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its key as a Secret carries them."""

    chain: list[cx509.Certificate]
    key: x509.PrivateKey

    @property
    def leaf(self) -> cx509.Certificate:
        """The first certificate."""
        return self.chain[0]


def go_duration(text: str) -> dt.timedelta:
    """A Go duration such as `2160h` or `1h30m`; ValueError where it is none."""
    parts = re.findall(r"([0-9.]+)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration")
    return dt.timedelta(seconds=sum(float(number) * UNITS[unit] for number, unit in parts))


def duration(spec: Obj) -> dt.timedelta:
    """How long the certificate is to be valid."""
    return go_duration(spec["duration"]) if spec.get("duration") else DEFAULT_DURATION


def renewal_time(spec: Obj, leaf: cx509.Certificate) -> dt.datetime:
    """When to renew: `renewBefore` ahead of the end, else after two thirds (cert-manager's rule)."""
    whole = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    ahead = whole / 3
    if spec.get("renewBefore"):
        ahead = go_duration(spec["renewBefore"])
    elif spec.get("renewBeforePercentage"):
        ahead = whole * int(spec["renewBeforePercentage"]) / 100
    if ahead >= whole:
        ahead = whole / 3
    return leaf.not_valid_after_utc - ahead


def subject(spec: Obj) -> x509.Subject:
    """The certificate's subject and alternative names."""
    return x509.Subject(
        common_name=spec.get("commonName", ""),
        organizations=(spec.get("subject") or {}).get("organizations") or [],
        dns_names=spec.get("dnsNames") or [],
        ip_addresses=spec.get("ipAddresses") or [],
        uris=spec.get("uris") or [],
        emails=spec.get("emailAddresses") or [],
        is_ca=bool(spec.get("isCA")),
        usages=spec.get("usages") or ["digital signature", "key encipherment"],
    )


def new_key(spec: Obj) -> x509.PrivateKey:
    """A private key as the spec wants it; RSA 2048 by default."""
    wanted = spec.get("privateKey") or {}
    return x509.generate_key(wanted.get("algorithm", "RSA"), wanted.get("size"))


def encoding(spec: Obj) -> str:
    """The private key's form."""
    return str((spec.get("privateKey") or {}).get("encoding", "PKCS1"))


def fingerprint(spec: Obj) -> str:
    """What of the spec a request depends on, as one word."""
    relevant = {name: value for name, value in spec.items() if name not in {"secretTemplate", "renewBefore"}}
    return short_hash(relevant)


def issuer_of(spec: Obj) -> tuple[str, str, str]:
    """Group, kind and name of the issuer."""
    reference = spec["issuerRef"]
    return (
        reference.get("group") or "cert-manager.io",
        reference.get("kind") or "Issuer",
        reference["name"],
    )


def read_pair(secret: Obj) -> Pair:
    """The chain and key in a tls Secret; ValueError where they are not there or do not belong together."""
    data = secret.get("data") or {}
    certificate, key = (base64.b64decode(data.get(name) or "") for name in ("tls.crt", "tls.key"))
    if not certificate or not key:
        raise ValueError("the Secret has no tls.crt or no tls.key")
    authority = x509.Authority.load(certificate, key)
    return Pair([authority.certificate, *authority.chain], authority.key)


def secret_annotations(certificate: Obj, leaf: cx509.Certificate) -> dict[str, str]:
    """What cert-manager notes on the Secret it writes."""
    spec = certificate["spec"]
    group, kind, name = issuer_of(spec)
    dns, addresses = alternative_names(leaf)
    return {
        f"{PREFIX}certificate-name": certificate["metadata"]["name"],
        f"{PREFIX}common-name": common_name(leaf),
        f"{PREFIX}alt-names": ",".join(dns),
        f"{PREFIX}ip-sans": ",".join(addresses),
        f"{PREFIX}uri-sans": ",".join(spec.get("uris") or []),
        f"{PREFIX}issuer-group": group,
        f"{PREFIX}issuer-kind": kind,
        f"{PREFIX}issuer-name": name,
    }


def common_name(leaf: cx509.Certificate) -> str:
    """The subject's common name, or nothing."""
    found = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def common_name_of(csr: cx509.CertificateSigningRequest) -> str:
    """The common name a request asks for, or nothing."""
    found = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def alternative_names(leaf: cx509.Certificate | cx509.CertificateSigningRequest) -> tuple[list[str], list[str]]:
    """DNS names and addresses of a certificate or request."""
    try:
        names = leaf.extensions.get_extension_for_class(cx509.SubjectAlternativeName).value
    except cx509.ExtensionNotFound:
        return [], []
    addresses = [str(each) for each in names.get_values_for_type(cx509.IPAddress)]
    return list(names.get_values_for_type(cx509.DNSName)), addresses


def reissue_reason(certificate: Obj, secret: Obj | None, now: dt.datetime) -> tuple[str, str] | None:
    """Why a new certificate is needed, as cert-manager words it, or None (pkg/controller/certificates/policies)."""
    spec = certificate["spec"]
    if secret is None:
        return "DoesNotExist", f"Issuing certificate as Secret does not exist ({spec['secretName']})"
    if not (secret.get("data") or {}).get("tls.crt") or not (secret.get("data") or {}).get("tls.key"):
        return "MissingData", "Issuing certificate as Secret does not contain a certificate and a private key"
    try:
        pair = read_pair(secret)
    except ValueError as error:
        return "InvalidKeyPair", f"Issuing certificate as Secret contains an invalid key-pair: {error}"
    return _unfit(spec, annotated(secret), pair) or _age(spec, pair.leaf, now)


def _unfit(spec: Obj, notes: dict[str, str], pair: Pair) -> tuple[str, str] | None:
    names = [notes.get(f"{PREFIX}issuer-{part}", "") for part in ("group", "kind", "name")]
    noted = (names[0] or "cert-manager.io", *names[1:])
    if noted != issuer_of(spec):
        return "IncorrectIssuer", "Issuing certificate as Secret was previously issued by " + "/".join(noted)
    mismatch = _mismatch(spec, pair)
    if mismatch:
        return "SecretMismatch", f"Issuing certificate as Existing issued Secret is not up to date for spec: {mismatch}"
    return None


def _age(spec: Obj, leaf: cx509.Certificate, now: dt.datetime) -> tuple[str, str] | None:
    if leaf.not_valid_after_utc <= now:
        return "Expired", "Issuing certificate as the one in the Secret has expired"
    if renewal_time(spec, leaf) <= now:
        return "Renewing", "Renewing certificate as renewal was scheduled"
    return None


def _mismatch(spec: Obj, pair: Pair) -> list[str]:
    dns, addresses = alternative_names(pair.leaf)
    wanted = subject(spec)
    differences = []
    if set(dns) != set(wanted.dns_names):
        differences.append("spec.dnsNames")
    if set(addresses) != set(wanted.ip_addresses):
        differences.append("spec.ipAddresses")
    if common_name(pair.leaf) != wanted.common_name:
        differences.append("spec.commonName")
    if not _key_fits(spec.get("privateKey") or {}, pair.key):
        differences.append("spec.privateKey")
    asked = duration(spec)
    # A certificate never outlives its CA, so only a longer one than asked is wrong.
    if pair.leaf.not_valid_after_utc - pair.leaf.not_valid_before_utc > asked + dt.timedelta(minutes=5):
        differences.append("spec.duration")
    return differences


def _key_fits(wanted: Obj, key: x509.PrivateKey) -> bool:
    algorithm = wanted.get("algorithm", "RSA")
    kinds: dict[str, type] = {
        "RSA": rsa.RSAPrivateKey,
        "ECDSA": ec.EllipticCurvePrivateKey,
        "Ed25519": ed25519.Ed25519PrivateKey,
    }
    if not isinstance(key, kinds[algorithm]):
        return False
    size = wanted.get("size") or (2048 if algorithm == "RSA" else 256)
    return algorithm == "Ed25519" or getattr(key, "key_size", None) == size
