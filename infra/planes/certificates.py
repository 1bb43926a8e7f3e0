"""The certificates plane: an issuer, a certificate for the environment's names, and a host that serves it.

The canary host is ours and always declared, so that "a certificate is issued *and* served" can be asked of every
environment by a TLS handshake from outside, whatever else runs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.catalog import WILDCARD_SECRET, wildcard
from infra.clients.errors import NotYet
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import handshakes, manifests
from infra.planes.clients import Clients
from infra.planes.looking import Looked, holds
from infra.planes.manifests import SYSTEM_NAMESPACE
from infra.spec.models import Environment
from infra.spec.names import certificate_hosts, probe_host

PLANE = PlaneName.CERTIFICATES
CANARY = "canary"
CERTIFICATE = ("cert-manager.io/v1", "Certificate")
ISSUER = ("cert-manager.io/v1", "ClusterIssuer")
CHALLENGE = ("acme.cert-manager.io/v1", "Challenge")
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

    "Ready" of an older generation is an answer to an older question, and an issuer can be Ready while a challenge
    hangs; the sentence therefore carries what cert-manager says of the challenge.
    """

    async def issued() -> None:
        for manifest in _to_be_ready(wanted):
            await _ready(manifest, clients)

    await clients.until(issued, describe=f"a certificate for {', '.join(wanted.names)}")
    return f"issued for {', '.join(wanted.names)}"


def _to_be_ready(wanted: Wanted) -> list[dict[str, Any]]:
    return [item for item in wanted.objects if (item["apiVersion"], item["kind"]) in (ISSUER, CERTIFICATE)]


async def look(environment: Environment, clients: Clients) -> Looked:
    """Issuer, certificate and canary host as declared and Ready, and the right certificates served."""
    issued, served = issuing(environment), serving(environment)
    if issued is None or served is None:
        return Looked()
    ready = [
        await holds(PLANE, f"{manifests.address(item)}/ready", _ready(item, clients), Severity.CONFIG)
        for item in _to_be_ready(issued)
    ]
    objects = {manifests.address(item): item for item in (*issued.objects, *served.objects)}
    return Looked.together(
        [
            await clients.live.look(PLANE, list(objects.values())),
            *ready,
            await handshakes.look(environment, clients),
        ]
    )


async def _ready(manifest: dict[str, Any], clients: Clients) -> None:
    where = manifests.address(manifest)
    live = await clients.kubernetes.get_like(manifest)
    if live is None:
        raise NotYet(f"{where} is not there.")
    generation = live["metadata"].get("generation", 0)
    conditions = live.get("status", {}).get("conditions") or []
    ready = next((item for item in conditions if item["type"] == "Ready"), None)
    if ready is None or ready.get("observedGeneration", generation) < generation:
        raise NotYet(f"{where} has not been looked at yet.")
    if ready["status"] != "True":
        why = ready.get("message", ready.get("reason", "no reason given"))
        namespace = manifest["metadata"].get("namespace")
        challenges = await clients.kubernetes.list(*CHALLENGE, namespace) if namespace else []
        raise NotYet(f"{where} is not ready: {why}", detail=_challenged(challenges))


def _challenged(challenges: list[dict[str, Any]]) -> str | None:
    """What each open challenge waits for (pure): the certificate itself only says that it is being issued."""
    open_ones = [
        f"{item['spec'].get('dnsName')}: {item['status']['reason']}"
        for item in challenges
        if item.get("status", {}).get("reason") and item["status"].get("state") != "valid"
    ]
    return "; ".join(sorted(open_ones)) or None


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
