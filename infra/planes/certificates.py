"""The certificates plane: an issuer, a certificate for the environment's names, and a host that serves it.

The canary host is ours and always declared, so that "a certificate is issued *and* served" can be asked of every
environment by a TLS handshake from outside, whatever else runs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.catalog import CLUSTER_RESOURCES, WILDCARD_SECRET, wildcard
from infra.clients.errors import Misconfigured
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import credentials, handshakes, issuance, manifests, signers
from infra.planes.clients import Clients
from infra.planes.credentials import Credential
from infra.planes.issuance import CERTIFICATE, ISSUER
from infra.planes.looking import Looked, blind_spot, holds, look_at
from infra.planes.manifests import SYSTEM_NAMESPACE
from infra.planes.reissuing import Reissuing
from infra.settings import Settings
from infra.spec.models import Environment
from infra.spec.names import certificate_hosts, probe_host

PLANE = PlaneName.CERTIFICATES
CANARY = "canary"


@dataclass(frozen=True)
class Wanted:
    """The objects to apply, and what a handshake has to show."""

    objects: tuple[dict[str, Any], ...]
    host: str
    names: tuple[str, ...]
    credentials: tuple[Credential, ...] = ()


@dataclass(frozen=True)
class Observed:
    """The objects as they are, and what is wrong with the Secrets that the issuer reads."""

    objects: dict[str, dict[str, Any] | None]
    secrets: tuple[tuple[Credential, str], ...] = ()


def before_ingress(environment: Environment) -> bool:
    """Whether the certificate comes before the ingress controller.

    A wildcard certificate does: the controller does not start without the Secret it serves by default, and DNS-01
    needs no ingress. HTTP-01 is answered through the ingress, so there the controller comes first.
    """
    return wildcard(environment)


def issuing(environment: Environment, settings: Settings) -> Wanted | None:
    """Issuer and certificate after `spec.certificates` and `spec.dns`; `None` where none are declared.

    Raises:
        Misconfigured: the declaration stands for something that the settings do not have.
    """
    certificates, host = environment.spec.certificates, probe_host(environment)
    if certificates is None or host is None:
        return None
    namespace, secret = _place(environment)
    names = certificate_hosts(environment)
    signer = signers.signer(certificates, settings)
    return Wanted(
        objects=(
            manifests.namespace(namespace),
            signer.manifest,
            _certificate(namespace, secret, names, certificates.issuer, _in_place(environment)),
        ),
        host=host,
        names=names,
        credentials=signer.credentials,
    )


def _in_place(environment: Environment) -> dict[str, str]:
    """The annotation by which a challenge is answered through the canary's own Ingress.

    F5's controller serves one Ingress for each host, the oldest: a solver's own would come too late
    (https://docs.nginx.com/nginx-ingress-controller/configuration/host-and-listener-collisions/).
    """
    certificates = environment.spec.certificates
    proved = certificates is not None and certificates.challenge == "http01" and certificates.ca is None
    return {"acme.cert-manager.io/http01-override-ingress-name": CANARY} if proved else {}


def _place(environment: Environment) -> tuple[str, str]:
    """Namespace and name of the certificate and its Secret."""
    return WILDCARD_SECRET if before_ingress(environment) else (SYSTEM_NAMESPACE, f"{CANARY}-tls")


def serving(environment: Environment) -> Wanted | None:
    """The canary host that serves the certificate (pure); `None` where none is declared."""
    host = probe_host(environment)
    if environment.spec.certificates is None or host is None:
        return None
    secret = None if before_ingress(environment) else f"{CANARY}-tls"
    objects = (manifests.namespace(SYSTEM_NAMESPACE), _service(), _ingress(host, secret))
    return Wanted(objects=objects, host=host, names=certificate_hosts(environment))


async def observe(wanted: Wanted, clients: Clients) -> Observed:
    """Read each of the objects, and compare the issuer's Secrets with the store's."""
    secrets = [(one, await credentials.difference(one, clients)) for one in wanted.credentials]
    wrong = tuple((one, sentence) for one, sentence in secrets if sentence is not None)
    return Observed(await manifests.read(clients.kubernetes, wanted.objects), wrong)


def compare(wanted: Wanted, observed: Observed) -> list[Finding]:
    """Each object there, and as declared; the Secrets as in the store."""
    secrets = [finding for one, said in observed.secrets for finding in credentials.findings(PLANE, one, said)]
    return [*secrets, *manifests.compare(PLANE, wanted.objects, observed.objects)]


async def converge(wanted: Wanted, observed: Observed, findings: list[Finding], clients: Clients) -> list[str]:
    """Write the Secrets, then apply what a finding names."""
    made = [await credentials.write(PLANE, one, clients) for one, _ in observed.secrets]
    return made + await manifests.apply(clients.kubernetes, clients.journal, PLANE, wanted.objects, findings)


async def probe_issued(wanted: Wanted, clients: Clients) -> str:
    """Wait until issuer and certificate are Ready for the generation that was declared.

    What cert-manager has left alone after a failure is tried again, once; see `reissuing`.

    Raises:
        Failed: it failed again, with the cause and the time at which cert-manager tries next.
        DeadlineExceeded: not within `settings.probe_timeout`, with the deepest cause that cert-manager names.
    """
    reissuing = Reissuing(clients, _account(wanted))

    async def issued() -> None:
        for manifest in _to_be_ready(wanted):
            await reissuing.ready(manifest)

    await clients.until(issued, describe=f"a certificate for {', '.join(wanted.names)}")
    return f"issued for {', '.join(wanted.names)}"


def _account(wanted: Wanted) -> tuple[str, str] | None:
    """Namespace and name of the Secret with the key of the issuer's ACME account; None where it has no account."""
    acme = next(item for item in wanted.objects if item["kind"] == ISSUER[1])["spec"].get("acme")
    return (CLUSTER_RESOURCES, acme["privateKeySecretRef"]["name"]) if acme else None


def _to_be_ready(wanted: Wanted) -> list[dict[str, Any]]:
    return [item for item in wanted.objects if (item["apiVersion"], item["kind"]) in (ISSUER, CERTIFICATE)]


async def look(environment: Environment, clients: Clients) -> Looked:
    """Issuer, its Secrets, certificate and canary host as declared and Ready, and the right certificates served."""
    try:
        issued, served = issuing(environment, clients.settings), serving(environment)
    except Misconfigured as error:
        return Looked(blind_spots=(blind_spot(PLANE, "the issuer", error),))
    if issued is None or served is None:
        return Looked()
    ready = [
        await holds(PLANE, f"{where}/ready", issuance.ready(item, clients.kubernetes), Severity.CONFIG)
        for where, item in ((manifests.address(item), item) for item in _to_be_ready(issued))
    ]
    secrets = [
        await look_at(PLANE, one.address, credentials.look(PLANE, one, clients), hides=[one.address])
        for one in issued.credentials
    ]
    objects = {manifests.address(item): item for item in (*issued.objects, *served.objects)}
    return Looked.together(
        [
            await clients.live.look(PLANE, list(objects.values())),
            *secrets,
            *ready,
            await handshakes.look(environment, clients),
        ]
    )


def _named(namespace: str, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": dict(manifests.MANAGED_BY)}


def _certificate(
    namespace: str, secret: str, names: tuple[str, ...], issuer: str, notes: dict[str, str]
) -> dict[str, Any]:
    return {
        "apiVersion": CERTIFICATE[0],
        "kind": CERTIFICATE[1],
        "metadata": _named(namespace, secret) | ({"annotations": notes} if notes else {}),
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
