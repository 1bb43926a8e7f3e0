"""What a server really presents: the chain from its TLS handshake, and what is wrong with it.

An ingress that answers 200 may do so with its built-in default certificate; only the served chain tells.
`TlsClient.served` takes whatever is served, unverified; `judge` is pure and says in sentences what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError
from pydantic import BaseModel, ConfigDict

from infra.clients.errors import Misconfigured, TlsRefused, Unavailable
from infra.clients.stopwatch import waiting_for
from infra.settings import Settings, get_settings

STAGING_ROOTS = Path(__file__).with_name("roots") / "letsencrypt-staging.pem"
"""The roots of Let's Encrypt's staging, which are in no store: https://letsencrypt.org/docs/staging-environment/."""


class Certificate(BaseModel):
    """One certificate of a served chain."""

    model_config = ConfigDict(frozen=True)

    subject: str
    issuer: str
    sans: tuple[str, ...]
    """DNS names and IP addresses."""
    not_before: datetime
    not_after: datetime
    sha256: str
    serial: int
    pem: str

    @property
    def self_signed(self) -> bool:
        """Issued by its own subject."""
        return self.subject == self.issuer

    def covers(self, host: str) -> bool:
        """Whether a name or address stands in the certificate, wildcards included (RFC 6125, 6.4.3)."""
        return any(_matches(san, host) for san in self.sans)


class Served(BaseModel):
    """What a handshake brought, leaf first."""

    model_config = ConfigDict(frozen=True)

    host: str
    address: str
    port: int
    chain: tuple[Certificate, ...]
    protocol: str

    @property
    def leaf(self) -> Certificate:
        """The server's own certificate."""
        return self.chain[0]


class Trust:
    """The authorities a chain must end in.

    Args:
        ca_file: a PEM bundle; the system's store when None.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        self.name = str(ca_file) if ca_file else "the system's store"
        try:
            context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"The CA bundle {ca_file} cannot be used.", detail=str(error)) from error
        if ca_file is None:
            context.load_default_certs()
        self._hold(context)

    @classmethod
    def of(cls, pem: str, name: str) -> Trust:
        """The authorities of a PEM bundle that is no file; `name` is what it is called in sentences.

        Raises:
            Misconfigured: it cannot be used.
        """
        trust = cls.__new__(cls)
        trust.name = name
        try:
            trust._hold(ssl.create_default_context(cadata=pem))
        except (ValueError, ssl.SSLError) as error:
            raise Misconfigured(f"The certificates of {name} cannot be used.", detail=str(error)) from error
        return trust

    def _hold(self, context: ssl.SSLContext) -> None:
        self.authorities = _authorities(context)
        if not self.authorities:
            raise Misconfigured(f"There are no certificate authorities in {self.name}.")


def _authorities(context: ssl.SSLContext) -> list[x509.Certificate]:
    """The certificates of a store, without those that are not well-formed today: nothing current chains to them."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for der in context.get_ca_certs(binary_form=True):
            with contextlib.suppress(ValueError, CryptographyDeprecationWarning):
                found.append(x509.load_der_x509_certificate(der))
    return found


class TlsClient:
    """Handshakes.

    Args:
        settings: `request_timeout` bounds a handshake.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._timeout = (settings or get_settings()).request_timeout

    async def served(self, host: str, port: int, *, address: str | None = None) -> Served:
        """The chain a server presents for `host` (SNI), whatever it is worth.

        Args:
            address: connect there instead of resolving `host`, which asks a resolver too early.

        Raises:
            Unavailable: nothing answers.
            TlsRefused: something answers, but not with TLS for this name.
        """
        with waiting_for("tls"):
            return await asyncio.to_thread(self._handshake, host, port, address or host)

    def _handshake(self, host: str, port: int, address: str) -> Served:
        # Whatever is served is to be looked at, not to be believed: so no authorities are read, either.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with socket.create_connection((address, port), timeout=self._timeout) as plain:
                plain.settimeout(self._timeout)
                with context.wrap_socket(plain, server_hostname=host) as secure:
                    ders = _chain(secure)
                    protocol = secure.version() or ""
        except ssl.SSLError as error:
            raise TlsRefused(f"{address}:{port} does not speak TLS for {host}.", detail=str(error)) from error
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"{address}:{port} does not answer.", detail=str(error)) from error
        if not ders:
            raise TlsRefused(f"{address}:{port} presents no certificate for {host}.")
        chain = tuple(parse(x509.load_der_x509_certificate(der)) for der in ders)
        return Served(host=host, address=address, port=port, chain=chain, protocol=protocol)


def _chain(secure: ssl.SSLSocket) -> list[bytes]:
    """The served chain; `get_unverified_chain` is public from Python 3.13 on and there in 3.10 to 3.12."""
    inner = getattr(secure, "_sslobj", None)
    ask = getattr(secure, "get_unverified_chain", None) or getattr(inner, "get_unverified_chain", None)
    certificates = ask() if ask else None
    if certificates:
        return [
            item if isinstance(item, bytes) else ssl.PEM_cert_to_DER_cert(item.public_bytes()) for item in certificates
        ]
    leaf = secure.getpeercert(binary_form=True)
    return [leaf] if leaf else []


def parse(certificate: x509.Certificate) -> Certificate:
    """What we look at in a certificate."""
    sans: list[str] = []
    with contextlib.suppress(x509.ExtensionNotFound):
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        sans += extension.get_values_for_type(x509.DNSName)
        sans += [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        sans=tuple(sans),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        serial=certificate.serial_number,
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
    )


class Problem(NamedTuple):
    """One thing that is wrong with a served chain."""

    about: Literal["issuer", "names", "validity", "chain"]
    sentence: str


def judge(
    served: Served,
    *,
    host: str,
    trust: Trust,
    issuer_pattern: str | None = None,
    min_days: float = 14,
    now: datetime | None = None,
) -> list[Problem]:
    """What is wrong with a served chain; empty when it is right.

    Args:
        host: the name it must be for.
        trust: the authorities it must chain to.
        issuer_pattern: a regular expression that the leaf's issuer must match.
        min_days: days it must still be valid.
    """
    now = now or datetime.now(UTC)
    leaf = served.leaf
    problems: list[Problem] = []
    if leaf.self_signed:
        said = f"{host} is served with a self-signed certificate ({leaf.subject}): the ingress' default?"
        problems.append(Problem("issuer", said))
    elif issuer_pattern and not re.search(issuer_pattern, leaf.issuer):
        said = f"The certificate of {host} is issued by {leaf.issuer}, not by {issuer_pattern}."
        problems.append(Problem("issuer", said))
    if not leaf.covers(host):
        said = f"The certificate is not for {host} but for {', '.join(leaf.sans) or 'no name at all'}."
        problems.append(Problem("names", said))
    problems += _dates(leaf, host, min_days, now)
    if not leaf.self_signed and not problems:
        broken = chain_problem(served.chain, host, trust, now)
        if broken:
            problems.append(Problem("chain", f"The chain of {host} does not lead to {trust.name}: {broken}."))
    return problems


def _dates(leaf: Certificate, host: str, min_days: float, now: datetime) -> list[Problem]:
    left = (leaf.not_after - now).total_seconds() / 86400
    said = None
    if now < leaf.not_before:
        said = f"The certificate of {host} is valid only from {leaf.not_before:%Y-%m-%d %H:%M} UTC."
    elif left <= 0:
        said = f"The certificate of {host} expired on {leaf.not_after:%Y-%m-%d %H:%M} UTC."
    elif left < min_days:
        said = f"The certificate of {host} expires in {left:.1f} days, on {leaf.not_after:%Y-%m-%d}: renewal is due."
    return [Problem("validity", said)] if said else []


def chain_problem(chain: Sequence[Certificate], host: str, trust: Trust, now: datetime) -> str | None:
    """Why a chain does not lead to the trusted authorities, None when it does.

    The names are judged by `Certificate.covers`; here only signatures, dates and constraints count.
    """
    certificates = [x509.load_pem_x509_certificate(item.pem.encode()) for item in chain]
    # What OpenSSL checks; the stricter profile of public CAs would refuse many a private one.
    authority = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    leaf = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    builder = PolicyBuilder().store(Store(trust.authorities)).time(now)
    builder = builder.extension_policies(ca_policy=authority, ee_policy=leaf)
    try:
        subject = _general_name(chain[0].sans[0] if chain[0].sans else host)
        builder.build_server_verifier(subject).verify(certificates[0], certificates[1:])
    except (VerificationError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def _general_name(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        # A verifier asks for a host; one that the wildcard covers.
        return x509.DNSName(name.replace("*", "any", 1))


def _matches(san: str, host: str) -> bool:
    san, host = san.lower().rstrip("."), host.lower().rstrip(".")
    if san == host:
        return True
    label, _, rest = host.partition(".")
    return san.startswith("*.") and bool(label) and san[2:] == rest
