"""Who signs an environment's certificates: Let's Encrypt, another ACME server, or a certificate authority's own key."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from cryptography import x509
from pydantic import AfterValidator, Field, model_validator

from infra.spec.fields import Email, SecretName
from infra.spec.part import Part
from infra.spec.problems import At, is_secret, wrong, wrongs
from infra.spec.urls import AcmeUrl

PEM_LIMIT = 65536


def _certificates(value: str) -> str:
    """Check a bundle of certificates in PEM; the value is never quoted."""
    right = "paste certificates as -----BEGIN CERTIFICATE----- blocks"
    if is_secret(value):
        raise wrong("has a private key, which must never stand in git", right + "; then replace that key")
    try:
        found = x509.load_pem_x509_certificates(value.encode())
    except ValueError:
        raise wrong("is not a bundle of certificates that can be read", right) from None
    if len(value) > PEM_LIMIT or not found:
        raise wrong("is too long" if found else "has no certificate", right)
    return value


PemBundle = Annotated[
    str,
    AfterValidator(_certificates),
    Field(json_schema_extra={"minLength": 1, "maxLength": PEM_LIMIT, "pattern": "-----BEGIN CERTIFICATE-----"}),
]


def _key_id(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,255}", value) or is_secret(value):
        raise wrong("is not a key identifier", "write the key identifier (not the key) that the ACME server gave you")
    return value


KeyId = Annotated[str, AfterValidator(_key_id), Field(json_schema_extra={"minLength": 1, "maxLength": 255})]


class ExternalAccountBinding(Part):
    """The account at the ACME server's owner that the ACME account is tied to (RFC 8555, 7.3.4)."""

    key_id: Annotated[str, AfterValidator(_key_id), Field(json_schema_extra={"minLength": 1, "maxLength": 255})] = (
        Field(description="The key identifier that the ACME server's owner gave.")
    )
    secret: SecretName = Field(
        description="Name of the secret with the key `hmac`, base64url as the ACME server's owner gave it.",
        examples=["acme-binding"],
    )


class Acme(Part):
    """An ACME server other than Let's Encrypt's (RFC 8555)."""

    server: AcmeUrl = Field(description="Its directory.", examples=["https://acme.example.org/directory"])
    ca_bundle: PemBundle | None = Field(
        default=None,
        description="Certificates in PEM that the server's own TLS certificate must chain to; cert-manager's system "
        "store when left out.",
    )
    roots: PemBundle | None = Field(
        default=None,
        description="Certificates in PEM that what it issues must chain to; those of the setting tls_ca_file, or the "
        "system's, when left out.",
    )
    external_account_binding: ExternalAccountBinding | None = Field(
        default=None, description="What ties the account to one at the server's owner; where the server asks for it."
    )


class Authority(Part):
    """A certificate authority whose key cert-manager signs with; nothing is proved to it."""

    secret: SecretName = Field(
        description="Name of the secret with the keys `tls.crt` and `tls.key`, and `ca.crt` where that is no root.",
        examples=["company-ca"],
    )


class Certificates(Part):
    """Who signs the environment's certificates, and how it proves its names."""

    email: Email | None = Field(
        default=None,
        description="ACME account's contact; expiry warnings go there. Only the issuer `ca` needs none.",
        examples=["ops@example.org"],
    )
    issuer: Literal["letsencrypt", "letsencrypt-staging", "acme", "ca", "sandbox"] = Field(
        default="letsencrypt-staging",
        description="Let's Encrypt, its staging (untrusted, generous limits), another ACME server, a certificate "
        "authority's own key, or the sandbox's ACME server.",
    )
    acme: Acme | None = Field(default=None, description="The ACME server; with the issuer `acme`.")
    ca: Authority | None = Field(default=None, description="The certificate authority; with the issuer `ca`.")
    challenge: Literal["http01", "dns01"] = Field(
        default="http01",
        description="ACME challenge. dns01 gives one certificate for `*.<domain>`; http01 cannot (RFC 8555, 7.1.3) and "
        "gives one that names Plumbline's own host name and each declared one.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        found = []
        for name, part in (("acme", self.acme), ("ca", self.ca)):
            if self.issuer == name and part is None:
                found.append(At((name,), f"is missing: the issuer is {name}", f"say which one in {name}"))
            elif self.issuer != name and part is not None:
                right = f"leave it out, or write issuer: {name}"
                found.append(At((name,), f"stands beside the issuer {self.issuer}", right))
        if self.issuer != "ca" and self.email is None:
            found.append(
                At(("email",), "is missing: an ACME account has a contact", "write one, such as ops@example.org")
            )
        if found:
            raise wrongs(found)
        return self
