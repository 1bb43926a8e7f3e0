"""The add-ons plane: each add-on's Helm releases as declared, and the probes that say whether it works."""

from __future__ import annotations

from dataclasses import dataclass

from infra.catalog import Catalog, Release
from infra.catalog.models import DryRunCreateProbe, LoadBalancerProbe
from infra.clients.errors import InvalidInput
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import probes, releases
from infra.planes.clients import Clients
from infra.planes.looking import Looked, holds, look_at
from infra.spec.models import Environment

PLANE = PlaneName.ADDONS
INGRESS = "nginx-ingress"
"""The add-on whose load balancer the names lead to."""


@dataclass(frozen=True)
class Wanted:
    """One add-on's releases, in the order in which they are installed."""

    releases: tuple[Release, ...]


def order(environment: Environment, catalog: Catalog) -> tuple[str, ...]:
    """The environment's add-ons, each after those it needs (pure)."""
    return tuple(name for wave in catalog.install_order(environment) for name in wave)


def desired(environment: Environment, addon: str, catalog: Catalog) -> Wanted:
    """The releases of one add-on (pure)."""
    return Wanted(tuple(catalog.addon(addon).releases(environment)))


async def observe(wanted: Wanted, clients: Clients) -> list[releases.Observed]:
    """Fetch the charts and read the release records."""
    return await releases.observe(PLANE, wanted.releases, clients)


def compare(wanted: Wanted, observed: list[releases.Observed]) -> list[Finding]:
    """Each release deployed, from the declared chart, with the declared values."""
    del wanted
    return releases.compare(PLANE, observed)


async def converge(
    wanted: Wanted, observed: list[releases.Observed], findings: list[Finding], clients: Clients
) -> list[str]:
    """Install or upgrade what a finding names."""
    del wanted
    return await releases.converge(PLANE, observed, findings, clients)


async def look(environment: Environment, clients: Clients) -> Looked:
    """Every declared add-on as declared and at work, and none of the catalogue's others installed."""
    parts = []
    for addon in order(environment, clients.catalog):
        parts.append(await releases.look(PLANE, desired(environment, addon, clients.catalog).releases, clients))
        # A dry run reads nothing, and asks for the right to write: that a webhook's pods are gone is seen without it.
        reading = [one for one in clients.catalog.addon(addon).probes if not isinstance(one, DryRunCreateProbe)]
        for probe in reading:
            where = f"probe/{addon}/{probe.kind}"
            parts.append(await holds(PLANE, where, probes.look(probe, clients), Severity.CONFIG))
    parts.append(await look_at(PLANE, "releases nobody declares", _undeclared(environment, clients)))
    return Looked.together(parts)


async def _undeclared(environment: Environment, clients: Clients) -> list[Finding]:
    """Releases of the catalogue's add-ons that are installed although git does not name them."""
    declared = frozenset(environment.spec.enabled_addons)
    found = []
    for name in sorted(frozenset(clients.catalog) - declared):
        for release in clients.catalog.addon(name).spec.releases:
            there = await clients.live.release(release.name, release.namespace)
            if there is not None and there.chart == release.chart.name:
                where = f"release/{release.namespace}/{release.name}"
                sentence = f"The release {release.name} of the add-on {name} is installed, and nobody declares it."
                changed = releases.written(there)
                found.append(
                    Finding(plane=PLANE, address=where, sentence=sentence, severity=Severity.SECURITY, changed=changed)
                )
    return found


async def probe(addon: str, clients: Clients) -> str:
    """Prove each of the add-on's probes in turn."""
    return "; ".join([await probes.prove(probe, clients) for probe in clients.catalog.addon(addon).probes])


async def ingress_address(environment: Environment, clients: Clients) -> str:
    """The address of the load balancer that every name leads to.

    Raises:
        InvalidInput: no ingress controller is declared.
        NotYet: it has no address yet.
    """
    if not environment.spec.addon_enabled(INGRESS):
        raise InvalidInput(
            f"spec.addons: {INGRESS} is needed for names and certificates.", hint=f"Add `{INGRESS}: {{}}`."
        )
    for probe in clients.catalog.addon(INGRESS).probes:
        if isinstance(probe, LoadBalancerProbe):
            return await probes.load_balancer_address(probe.namespace, probe.service, clients)
    raise InvalidInput(f"The add-on {INGRESS} names no load balancer among its probes.")
