"""What the ingress serves: handshakes with the canary host and with the add-ons' pages, judged as a browser would.

An ingress controller without a host's certificate serves its own self-signed one with a 200: so issuer, chain, names
and expiry are judged, not the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from infra.catalog import Catalog, wildcard
from infra.clients.errors import NotYet, TlsRefused
from infra.clients.tls import Certificate, Problem, Trust, judge
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import addons
from infra.planes.clients import Clients
from infra.planes.looking import Looked, look_at
from infra.planes.signers import ISSUED_BY
from infra.planes.signers import trust as trust_of
from infra.spec.models import Environment
from infra.spec.names import probe_host

PLANE = PlaneName.CERTIFICATES
INGRESS = ("networking.k8s.io/v1", "Ingress")
ISSUER = "cert-manager.io/cluster-issuer"
"""The annotation by which cert-manager issues a certificate for an Ingress."""
LEAST_DAYS = 14.0
"""cert-manager renews a certificate of 90 days with 30 left; one with fewer than 14 was not renewed. Days."""
LEAST_PART = 1 / 6
"""The same of one that is valid for fewer days: renewed with a third of its time left. Part of the whole."""


def pages(environment: Environment, catalog: Catalog, ingresses: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The hosts of the add-ons' Ingresses for whose certificate the environment's issuer stands (pure).

    Asked of the cluster and not of the catalogue: a declaration's own values can leave an add-on's page out, or give
    it another name or another issuer.
    """
    releases = {(release.namespace, release.name) for release in catalog.releases(environment)}
    found: dict[str, None] = {}
    for ingress in ingresses:
        notes = ingress["metadata"].get("annotations") or {}
        if (notes.get("meta.helm.sh/release-namespace"), notes.get("meta.helm.sh/release-name")) not in releases:
            continue
        for tls in ingress.get("spec", {}).get("tls") or []:
            if _ours(environment, notes.get(ISSUER), tls.get("secretName")):
                found |= dict.fromkeys(tls.get("hosts") or [])
    return tuple(found)


def _ours(environment: Environment, issuer: str | None, secret: str | None) -> bool:
    certificates = environment.spec.certificates
    if certificates is None:
        return False
    # Without a Secret of its own, a host is served with the controller's wildcard certificate.
    return issuer == certificates.issuer or (not secret and wildcard(environment))


async def probe(environment: Environment, hosts: Iterable[str], clients: Clients) -> str:
    """Shake hands with each host until it serves the right certificate.

    Raises:
        DeadlineExceeded: one did not within `settings.probe_timeout`, with what it served last.
    """
    trust = await _trust(environment, clients)
    address = await addons.ingress_address(environment, clients)

    async def waited(host: str) -> str:
        return await clients.until(
            lambda: _right(environment, host, address, trust, clients), describe=f"{host} to serve its certificate"
        )

    return "; ".join(await asyncio.gather(*map(waited, hosts)))


async def probe_pages(environment: Environment, clients: Clients) -> str:
    """Shake hands with every add-on's page; errors as of `probe`."""
    hosts = pages(environment, clients.catalog, await clients.kubernetes.list(*INGRESS))
    return await probe(environment, hosts, clients) if hosts else "no add-on has a page"


async def look(environment: Environment, clients: Clients) -> Looked:
    """The right certificate served for the canary host and for every add-on's page."""
    host = probe_host(environment)
    if environment.spec.certificates is None or host is None:
        return Looked()
    # Asked once; where there is none, that is why no host could be looked at.
    known = asyncio.gather(addons.ingress_address(environment, clients), _trust(environment, clients))

    async def one(host: str) -> Looked:
        async def judged() -> list[Finding]:
            return await _judged(environment, host, *(await known), clients)

        return await look_at(PLANE, f"certificate served for {host}", judged(), hides=[_address(host)])

    async def rest() -> Looked:
        live = await clients.live.of(*INGRESS)
        hosts = pages(environment, clients.catalog, live.values())
        return Looked.together(await asyncio.gather(*map(one, hosts)))

    return Looked.together([await one(host), await look_at(PLANE, "the add-ons' pages", rest(), hides=[_address("*")])])


async def _right(environment: Environment, host: str, address: str, trust: Trust, clients: Clients) -> str:
    leaf, problems = await _served(environment, host, address, trust, clients)
    if problems:
        sentences = " ".join(problem.sentence for problem in problems)
        raise NotYet(f"{host} does not serve its certificate yet.", detail=sentences)
    return f"{host} serves a certificate of {leaf.issuer}, valid until {leaf.not_after:%Y-%m-%d}"


async def _judged(environment: Environment, host: str, address: str, trust: Trust, clients: Clients) -> list[Finding]:
    try:
        leaf, problems = await _served(environment, host, address, trust, clients)
    except TlsRefused as error:
        return [_finding(host, "", str(error), None)]
    seen = f"{leaf.issuer}, for {', '.join(leaf.sans)}, valid until {leaf.not_after:%Y-%m-%d %H:%M} UTC"
    return [_finding(host, f".{problem.about}", problem.sentence, seen) for problem in problems]


async def _served(
    environment: Environment, host: str, address: str, trust: Trust, clients: Clients
) -> tuple[Certificate, list[Problem]]:
    """The certificate that is served for a host, and what is wrong with it."""
    issuer = environment.spec.certificates.issuer if environment.spec.certificates else ""
    chain = await clients.tls.served(host, clients.settings.ingress_https_port, address=address)
    lasts = (chain.leaf.not_after - chain.leaf.not_before).total_seconds() / 86400
    days = min(LEAST_DAYS, lasts * LEAST_PART)
    return chain.leaf, judge(chain, host=host, trust=trust, issuer_pattern=ISSUED_BY.get(issuer), min_days=days)


async def _trust(environment: Environment, clients: Clients) -> Trust:
    certificates = environment.spec.certificates
    if certificates is None:
        return Trust(clients.settings.tls_ca_file)
    return await trust_of(certificates, clients.settings, clients.secrets)


def _address(host: str) -> str:
    return f"tls/{host}"


def _finding(host: str, path: str, sentence: str, seen: str | None) -> Finding:
    where, severity = _address(host), Severity.SECURITY
    return Finding(plane=PLANE, address=where, path=path, observed=seen, sentence=sentence, severity=severity)
