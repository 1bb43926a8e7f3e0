"""Helm releases as a plane sees them: chart and values as declared, deployed; shared by add-ons and runner sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from infra.catalog import Release, crds_of, fetch
from infra.clients.errors import NotYet, PlumblineError
from infra.clients.helm import Ensured, HelmRelease
from infra.clients.helm_chart import ChartFile, read_chart, same
from infra.clients.kubernetes import FIELD_MANAGER, UnknownKind
from infra.drift.findings import Changed, Finding, PlaneName, Severity
from infra.planes import credentials, manifests
from infra.planes.clients import Clients
from infra.planes.credentials import Credential
from infra.planes.live import NAMELESS
from infra.planes.looking import Looked, blind_spot, look_at

HELM = "helm"
"""The field manager in whose name Helm writes."""


@dataclass(frozen=True)
class Observed:
    """One release: the chart that was fetched and checked, and what is deployed."""

    wanted: Release
    chart: ChartFile
    deployed: HelmRelease | None
    drift: tuple[Finding, ...] = ()
    """Objects of it that are not as its stored manifest says."""
    secrets: tuple[tuple[Credential, str], ...] = ()
    """Those of its Secrets that are not as in the store, and a sentence for each."""


async def observe(plane: PlaneName, wanted: tuple[Release, ...], clients: Clients) -> list[Observed]:
    """Fetch each chart (once, checked against the lock), read each release's record and every object of it.

    Raises:
        NotYet: some of the objects could not be looked at.
    """
    clients.look_again()
    return [await _observe(plane, release, clients) for release in wanted]


async def _observe(plane: PlaneName, release: Release, clients: Clients) -> Observed:
    path = await fetch(release, charts_folder(clients), settings=clients.settings)
    deployed = await clients.helm.release(release.name, release.namespace)
    drift = Looked()
    if deployed is not None and not deployed.pending:
        drift = await _objects(plane, release, deployed, clients)
    # What cannot be found by its name is nothing that could be repaired either.
    unseen = [spot for spot in drift.blind_spots if spot.category not in (UnknownKind.category, NAMELESS)]
    if unseen:
        raise NotYet(f"{unseen[0].what} could not be looked at.", detail=unseen[0].why)
    # What is of a kind that is not served is not there.
    absent = [
        Finding(plane=plane, address=spot.what, sentence=spot.why, severity=Severity.DESTRUCTIVE)
        for spot in drift.blind_spots
        if spot.category == UnknownKind.category
    ]
    secrets = tuple([item async for item in _secrets(release, clients)])
    return Observed(release, read_chart(path), deployed, (*drift.findings, *absent), secrets)


async def _secrets(release: Release, clients: Clients) -> AsyncIterator[tuple[Credential, str]]:
    for secret in release.requires:
        if secret.source == "store":
            credential = Credential(source=secret.name, namespace=secret.namespace, name=secret.name)
            sentence = await credentials.difference(credential, clients)
            if sentence is not None:
                yield credential, sentence


def charts_folder(clients: Clients) -> Path:
    """Where fetched charts are kept between runs."""
    return clients.settings.state_dir / "charts"


def compare(plane: PlaneName, observed: list[Observed]) -> list[Finding]:
    """Each release deployed, from the declared chart, with the declared values, its objects as it made them (pure).

    Values may hold what is nobody's business: which ones differ is not said.
    """
    findings = []
    for item in observed:
        for secret, said in item.secrets:
            findings += credentials.findings(plane, secret, said)
        sentence = _difference(item)
        if sentence is not None:
            severity = Severity.DESTRUCTIVE if item.deployed is None else Severity.CONFIG
            where = address(item.wanted)
            changed = written(item.deployed) if item.deployed else None
            findings.append(Finding(plane=plane, address=where, sentence=sentence, severity=severity, changed=changed))
        findings += item.drift
    return findings


def written(release: HelmRelease) -> Changed:
    """The last write to a release; whoever made it, Helm does not say.

    No measure of how long it differs: it may be git that has changed since.
    """
    when = release.updated.astimezone(UTC) if release.updated else None
    return Changed(who="helm", when=when, how=f"revision {release.revision}", by_then=True)


async def look(plane: PlaneName, wanted: tuple[Release, ...], clients: Clients) -> Looked:
    """Each release deployed as declared, and every object of it as its stored manifest says.

    The stored manifest and no other: a chart that is rendered again draws new passwords.
    """
    return Looked.together([part for release in wanted for part in await _look(plane, release, clients)])


async def _look(plane: PlaneName, wanted: Release, clients: Clients) -> list[Looked]:
    where = address(wanted)
    try:
        deployed = await clients.live.release(wanted.name, wanted.namespace)
    except PlumblineError as error:
        return [Looked(blind_spots=(blind_spot(plane, where, error),))]
    record, hides = _record(plane, wanted, deployed, clients), [where, f"{credentials.SECRET[1]}/*"]
    parts = [await look_at(plane, f"chart and Secrets of {where}", record, hides=hides)]
    if deployed is not None:
        objects = _objects(plane, wanted, deployed, clients)
        parts.append(await look_at(plane, f"manifest of {where}", objects))
    return parts


async def _record(plane: PlaneName, wanted: Release, deployed: HelmRelease | None, clients: Clients) -> list[Finding]:
    path = await fetch(wanted, charts_folder(clients), settings=clients.settings)
    secrets = tuple([item async for item in _secrets(wanted, clients)])
    return compare(plane, [Observed(wanted, read_chart(path), deployed, secrets=secrets)])


async def _objects(plane: PlaneName, wanted: Release, deployed: HelmRelease, clients: Clients) -> Looked:
    ignores = clients.catalog.addon(wanted.addon).ignore
    return await clients.live.look(plane, deployed.objects(), namespace=deployed.namespace, ignores=ignores)


def _difference(item: Observed) -> str | None:
    wanted, deployed, chart = item.wanted, item.deployed, item.chart
    if deployed is None:
        return f"The release {wanted.name} is not installed."
    if deployed.status != "deployed":
        return f"The release {wanted.name} is {deployed.status}."
    if (deployed.chart, deployed.chart_version) != (chart.name, chart.version):
        there = f"{deployed.chart} {deployed.chart_version}"
        return f"The release {wanted.name} is {there} instead of {chart.name} {chart.version}."
    if not same(deployed, chart, wanted.values):
        return f"The release {wanted.name} has other values, or another chart of the same version."
    return None


async def converge(plane: PlaneName, observed: list[Observed], findings: list[Finding], clients: Clients) -> list[str]:
    """Install or upgrade what a finding names, in the declared order, each after the Secrets it needs.

    Where the release is right and objects of it are not, those alone are set back to its stored manifest: an upgrade
    would also touch what is right, and leave a revision that says nothing.

    Raises:
        NotYet: a Secret that a release's pods need is not there yet.
    """
    named = {finding.address for finding in findings}
    made = []
    for item in observed:
        for secret, _ in item.secrets:
            made.append(await credentials.write(plane, secret, clients))
        where = address(item.wanted)
        if where not in named:
            made += await _repair(plane, item, findings, clients)
            continue
        await _check_secrets(item.wanted, clients)
        if item.deployed is not None and item.wanted.crds.carried == "folder":
            await _upgrade_crds(plane, item, clients)
        async with clients.journal.write(plane, "helm upgrade --install", where):
            done = await clients.helm.ensure(
                item.wanted.name, item.wanted.namespace, item.chart.path, item.wanted.values, wait=True
            )
        made.append(f"{where} {item.chart.version}{_unchecked(done)}")
    return made


def _unchecked(done: Ensured) -> str:
    """What nobody has looked at: a worker fetches no schema from the internet."""
    if not done.unchecked:
        return ""
    return f" (values not checked against {', '.join(done.unchecked)}, where the chart's schema points)"


async def _repair(plane: PlaneName, item: Observed, findings: list[Finding], clients: Clients) -> list[str]:
    """Set those objects of a release back that a finding names."""
    if item.deployed is None or not item.drift:
        return []
    namespace = item.deployed.namespace
    objects = await clients.live.placed(item.deployed.objects(), namespace)
    ignores = clients.catalog.addon(item.wanted.addon).ignore
    scalers = await clients.live.scalers(objects)
    return await manifests.apply(
        clients.kubernetes,
        clients.journal,
        plane,
        objects,
        findings,
        ignores=ignores,
        scalers=scalers,
        # What Helm has applied is set back in its name: what a later chart leaves out, Helm then takes away.
        field_manager=HELM if item.deployed.server_side else FIELD_MANAGER,
    )


async def _upgrade_crds(plane: PlaneName, item: Observed, clients: Clients) -> None:
    """Helm installs a chart's crds/ folder once and never upgrades it."""
    definitions = crds_of(item.chart.path)
    findings = manifests.compare(plane, definitions, await manifests.read(clients.kubernetes, definitions))
    await manifests.apply(clients.kubernetes, clients.journal, plane, definitions, findings)


async def _check_secrets(release: Release, clients: Clients) -> None:
    for secret in release.requires:
        live = await clients.kubernetes.get("v1", "Secret", secret.name, secret.namespace)
        missing = [key for key in secret.keys if key not in ((live or {}).get("data") or {})]
        if missing:
            raise NotYet(f"{release.name} needs the Secret {secret.namespace}/{secret.name}.", detail=secret.why)


def address(release: Release) -> str:
    """`release/<namespace>/<name>`."""
    return f"release/{release.namespace}/{release.name}"
