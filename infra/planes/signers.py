"""Who signs the certificates: the issuer as cert-manager is to know it, and what a served chain must end in."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.catalog import CLUSTER_RESOURCES
from infra.clients.errors import Misconfigured
from infra.clients.secrets import SecretStore
from infra.clients.tls import STAGING_ROOTS, Trust
from infra.planes import manifests
from infra.planes.credentials import Credential
from infra.planes.issuance import ISSUER
from infra.settings import Settings
from infra.spec.certificates import Acme, Certificates

LETS_ENCRYPT = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
ISSUED_BY = {
    "letsencrypt": r"^(?!.*\(STAGING\)).*O=Let's Encrypt",
    "letsencrypt-staging": r"\(STAGING\)",
    "sandbox": r"CN=Pebble Intermediate CA",
}
"""What the issuer of a served certificate is called; of other signers the roots alone decide."""
BINDING, KEY_PAIR = "acme-binding", "ca-key-pair"
"""The Secrets beside cert-manager: what an ACME account is bound with, and an authority's certificate and key."""


@dataclass(frozen=True)
class Signer:
    """An issuer, and the Secrets it reads."""

    manifest: dict[str, Any]
    credentials: tuple[Credential, ...] = ()


def signer(certificates: Certificates, settings: Settings) -> Signer:
    """The ClusterIssuer after `spec.certificates`; it is called as the declaration calls it.

    Raises:
        Misconfigured: it is the sandbox's, and the settings do not say where that is.
    """
    if certificates.ca is not None:
        return Signer(
            _manifest(certificates.issuer, {"ca": {"secretName": KEY_PAIR}}),
            (Credential(source=certificates.ca.secret, namespace=CLUSTER_RESOURCES, name=KEY_PAIR),),
        )
    acme = certificates.acme
    account = f"{certificates.issuer}-account"
    if acme is not None:
        # cert-manager trusts in an account it has, whatever else changes on that server's host: another, another key.
        account += f"-{hashlib.sha256(acme.server.encode()).hexdigest()[:8]}"
    elif certificates.issuer == "sandbox":
        acme = _sandbox(settings)
    else:
        acme = Acme.model_validate({"server": LETS_ENCRYPT[certificates.issuer]})
    spec: dict[str, Any] = {
        "email": certificates.email,
        "server": acme.server,
        "privateKeySecretRef": {"name": account},
        "solvers": [_solver(certificates)],
    }
    if acme.ca_bundle is not None:
        spec["caBundle"] = base64.b64encode(acme.ca_bundle.encode()).decode()
    binding = acme.external_account_binding
    if binding is None:
        return Signer(_manifest(certificates.issuer, {"acme": spec}))
    spec["externalAccountBinding"] = {"keyID": binding.key_id, "keySecretRef": {"name": BINDING, "key": "hmac"}}
    secret = Credential(source=binding.secret, namespace=CLUSTER_RESOURCES, name=BINDING)
    return Signer(_manifest(certificates.issuer, {"acme": spec}), (secret,))


async def trust(certificates: Certificates, settings: Settings, secrets: SecretStore) -> Trust:
    """What a chain must end in that this signer stands behind.

    Raises:
        Misconfigured: there is no such bundle, or it cannot be used.
        NotFound: the authority's secret is not in the store.
    """
    if certificates.issuer == "letsencrypt-staging":
        return Trust(STAGING_ROOTS)
    if certificates.ca is not None:
        secret = await secrets.read(certificates.ca.secret)
        pem = secret["ca.crt" if "ca.crt" in secret else "tls.crt"].get_secret_value()
        return Trust.of(pem, f"the authority in the secret {certificates.ca.secret}")
    if certificates.acme is not None and certificates.acme.roots is not None:
        return Trust.of(certificates.acme.roots, "the declared roots")
    return Trust(settings.tls_ca_file)


def _sandbox(settings: Settings) -> Acme:
    if settings.acme_server is None:
        raise Misconfigured(
            "The issuer `sandbox` stands for the ACME server that the setting acme_server names, and it names none.",
            hint="The sandbox sets it: source .sandbox/env. Elsewhere declare the issuer `acme`.",
        )
    bundle = _read(settings.acme_ca_file) if settings.acme_ca_file else None
    return Acme.model_validate({"server": settings.acme_server, "caBundle": bundle})


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Misconfigured(f"The CA bundle {path} cannot be read.", detail=str(error)) from error


def _solver(certificates: Certificates) -> dict[str, Any]:
    if certificates.challenge == "http01":
        return {"http01": {"ingress": {"ingressClassName": "nginx"}}}
    # The Designate solver is a webhook of its own: github.com/syseleven/designate-certmanager-webhook.
    solver: dict[str, Any] = {"dns01": {"webhook": {"groupName": "acme.syseleven.de", "solverName": "designatedns"}}}
    if certificates.issuer == "sandbox":
        # cert-manager's own look takes a fixed minute per name; the sandbox's solver says "done" when it is served.
        solver["waitInsteadOfSelfCheck"] = "0s"
    return solver


def _manifest(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "labels": dict(manifests.MANAGED_BY)}
    return {"apiVersion": ISSUER[0], "kind": ISSUER[1], "metadata": metadata, "spec": spec}
