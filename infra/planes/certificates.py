"""The certificates plane: an issuer, a certificate for the environment's names, and a host that serves it.

The canary host is ours and always declared, so that "a certificate is issued *and* served" can be asked of every
environment by a TLS handshake from outside, whatever else runs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.catalog import WILDCARD_SECRET, wildcard
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import handshakes, issuance, manifests
from infra.planes.clients import Clients
from infra.planes.issuance import CERTIFICATE, ISSUER
from infra.planes.looking import Looked, holds
from infra.planes.manifests import SYSTEM_NAMESPACE
from infra.planes.reissuing import Reissuing
from infra.spec.models import Environment
from infra.spec.names import certificate_hosts, probe_host
from infra.spec.rules import CERT_MANAGER

PLANE = PlaneName.CERTIFICATES
CANARY = "canary"
ACME_SERVERS = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}


@dataclass(frozen=True)
class Wanted:
    """The objects to apply, and what a handshake has to show."""

    objects: tuple[dict[str, Any], ...]
    host: str
    names: tuple[str, ...]


def before_ingress(environment: Environment) -> bool:
    """Whether the certificate comes before the ingress controller.

    A wildcard certificate does: the controller does not start without the Secret it serves by default, and DNS-01
    needs no ingress. HTTP-01 is answered through the ingress, so there the controller comes first.
    """
    return wildcard(environment)


def issuing(environment: Environment) -> Wanted | None:
    """Issuer and certificate after `spec.certificates` and `spec.dns` (pure); `None` where none are declared."""
    certificates, host = environment.spec.certificates, probe_host(environment)
    if certificates is None or host is None:
        return None
    namespace, secret = WILDCARD_SECRET if before_ingress(environment) else (SYSTEM_NAMESPACE, f"{CANARY}-tls")
    names = certificate_hosts(environment)
    return Wanted(
        objects=(
            manifests.namespace(namespace),
            _issuer(certificates.issuer, certificates.email, certificates.challenge),
            _certificate(namespace, secret, names, certificates.issuer),
        ),
        host=host,
        names=names,
    )


def serving(environment: Environment) -> Wanted | None:
    """The canary host that serves the certificate (pure); `None` where none is declared."""
    issued = issuing(environment)
    if issued is None:
        return None
    secret = None if before_ingress(environment) else f"{CANARY}-tls"
    objects = (manifests.namespace(SYSTEM_NAMESPACE), _service(), _ingress(issued.host, secret))
    return Wanted(objects=objects, host=issued.host, names=issued.names)


async def observe(wanted: Wanted, clients: Clients) -> dict[str, dict[str, Any] | None]:
    """Read each of the objects."""
    return await manifests.read(clients.kubernetes, wanted.objects)


def compare(wanted: Wanted, observed: dict[str, dict[str, Any] | None]) -> list[Finding]:
    """Each object there, and as declared."""
    return manifests.compare(PLANE, wanted.objects, observed)


async def converge(
    wanted: Wanted, observed: dict[str, dict[str, Any] | None], findings: list[Finding], clients: Clients
) -> list[str]:
    """Apply what a finding names."""
    del observed
    return await manifests.apply(clients.kubernetes, clients.journal, PLANE, wanted.objects, findings)


async def probe_issued(wanted: Wanted, clients: Clients) -> str:
    """Wait until issuer and certificate are Ready for the generation that was declared.

    What cert-manager has left alone after a failure is tried again, once; see `reissuing`.

    Raises:
        Failed: it failed again, with the cause and the time at which cert-manager tries next.
        DeadlineExceeded: not within `settings.probe_timeout`, with the deepest cause that cert-manager names.
    """
    reissuing = Reissuing(clients, _account(wanted, clients))

    async def issued() -> None:
        for manifest in _to_be_ready(wanted):
            await reissuing.ready(manifest)

    await clients.until(issued, describe=f"a certificate for {', '.join(wanted.names)}")
    return f"issued for {', '.join(wanted.names)}"


def _account(wanted: Wanted, clients: Clients) -> tuple[str, str] | None:
    """Namespace and name of the Secret with the ACME account's key: a ClusterIssuer's lie beside cert-manager."""
    acme = next(item for item in wanted.objects if item["kind"] == ISSUER[1])["spec"].get("acme")
    namespace = clients.catalog.addon(CERT_MANAGER).spec.releases[0].namespace
    return (namespace, acme["privateKeySecretRef"]["name"]) if acme else None


def _to_be_ready(wanted: Wanted) -> list[dict[str, Any]]:
    return [item for item in wanted.objects if (item["apiVersion"], item["kind"]) in (ISSUER, CERTIFICATE)]


async def look(environment: Environment, clients: Clients) -> Looked:
    """Issuer, certificate and canary host as declared and Ready, and the right certificates served."""
    issued, served = issuing(environment), serving(environment)
    if issued is None or served is None:
        return Looked()
    ready = [
        await holds(PLANE, f"{where}/ready", issuance.ready(item, clients.kubernetes), Severity.CONFIG)
        for where, item in ((manifests.address(item), item) for item in _to_be_ready(issued))
    ]
    objects = {manifests.address(item): item for item in (*issued.objects, *served.objects)}
    return Looked.together(
        [
            await clients.live.look(PLANE, list(objects.values())),
            *ready,
            await handshakes.look(environment, clients),
        ]
    )


def _issuer(issuer: str, email: str, challenge: str) -> dict[str, Any]:
    if issuer == "sandbox":
        spec: dict[str, Any] = {"ca": {"secretName": "sandbox-ca"}}
    else:
        solver: dict[str, Any] = {"http01": {"ingress": {"ingressClassName": "nginx"}}}
        if challenge == "dns01":
            # The Designate solver is a webhook of its own: github.com/syseleven/designate-certmanager-webhook.
            solver = {"dns01": {"webhook": {"groupName": "acme.syseleven.de", "solverName": "designatedns"}}}
        spec = {
            "acme": {
                "email": email,
                "server": ACME_SERVERS[issuer],
                "privateKeySecretRef": {"name": f"{issuer}-account"},
                "solvers": [solver],
            }
        }
    return {
        "apiVersion": ISSUER[0],
        "kind": ISSUER[1],
        "metadata": {"name": issuer, "labels": dict(manifests.MANAGED_BY)},
        "spec": spec,
    }


def _named(namespace: str, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": dict(manifests.MANAGED_BY)}


def _certificate(namespace: str, secret: str, names: tuple[str, ...], issuer: str) -> dict[str, Any]:
    return {
        "apiVersion": CERTIFICATE[0],
        "kind": CERTIFICATE[1],
        "metadata": _named(namespace, secret),
        "spec": {
            "secretName": secret,
            "dnsNames": list(names),
            "issuerRef": {"group": "cert-manager.io", "kind": ISSUER[1], "name": issuer},
            "privateKey": {"rotationPolicy": "Always"},
        },
    }


def _service() -> dict[str, Any]:
    # Selects nothing: the canary is about the handshake, and an error page behind it is fine.
    selector = {"plumbline.dev/canary": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _named(SYSTEM_NAMESPACE, CANARY),
        "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "selector": selector},
    }


def _ingress(host: str, secret: str | None) -> dict[str, Any]:
    backend = {"service": {"name": CANARY, "port": {"number": 80}}}
    # Without a Secret of its own, a host is served with the controller's wildcard certificate.
    tls = {"hosts": [host], "secretName": secret} if secret else {"hosts": [host]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _named(SYSTEM_NAMESPACE, CANARY),
        "spec": {
            "ingressClassName": "nginx",
            "tls": [tls],
            "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    }
