"""The runners plane: for each declared set of runners its GitHub secret and its scale set, registered and listening.

The secret goes from our secret store into the cluster and nowhere else: not into Helm's values, whose copy every
release record keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.catalog import Catalog, Release
from infra.clients.errors import NotYet
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import credentials, releases
from infra.planes.clients import Clients
from infra.planes.credentials import Credential
from infra.planes.looking import Looked, holds, look_at
from infra.spec.models import Environment, Runner

PLANE = PlaneName.RUNNERS
SCALE_SET = ("actions.github.com/v1alpha1", "AutoscalingRunnerSet")
LISTENER = ("actions.github.com/v1alpha1", "AutoscalingListener")
REGISTERED = "runner-scale-set-id"
"""The annotation in which the controller notes the set's id at GitHub."""


@dataclass(frozen=True)
class Wanted:
    """One set of runners."""

    runner: Runner
    release: Release

    @property
    def credential(self) -> Credential:
        """What the set signs in at GitHub with."""
        name = self.runner.credentials
        return Credential(source=name, namespace=self.release.namespace, name=name)


@dataclass(frozen=True)
class Observed:
    """The set's secret and its release."""

    secret: str | None
    """What is wrong with its Secret."""
    releases: list[releases.Observed]


def desired(environment: Environment, runner: Runner, catalog: Catalog) -> Wanted:
    """The release of one set (pure)."""
    return Wanted(runner, catalog.runner_release(environment, runner))


async def observe(wanted: Wanted, clients: Clients) -> Observed:
    """Read the Secret and the release's record; what the Secret holds is compared here and goes no further."""
    secret = await credentials.difference(wanted.credential, clients)
    return Observed(secret, await releases.observe(PLANE, (wanted.release,), clients))


def compare(wanted: Wanted, observed: Observed) -> list[Finding]:
    """The Secret as in the store, the release as declared."""
    secret = credentials.findings(PLANE, wanted.credential, observed.secret)
    return secret + releases.compare(PLANE, observed.releases)


async def converge(wanted: Wanted, observed: Observed, findings: list[Finding], clients: Clients) -> list[str]:
    """Write the Secret, then install the set that reads it."""
    made = []
    if observed.secret is not None:
        made.append(await credentials.write(PLANE, wanted.credential, clients))
    return made + await releases.converge(PLANE, observed.releases, findings, clients)


async def probe(wanted: Wanted, clients: Clients) -> str:
    """Wait until the set has its id from GitHub, and its listener runs.

    The controller's pod runs long before that: a GitHub App without the right permission shows only here.
    """

    registered = f"runner set {wanted.release.name} to register with GitHub"
    return await clients.until(lambda: listening(wanted, clients), describe=registered)


async def listening(wanted: Wanted, clients: Clients) -> str:
    """Look once whether the set is registered and its listener runs.

    Raises:
        NotYet: it is not.
    """
    live = await clients.kubernetes.get(*SCALE_SET, wanted.release.name, wanted.release.namespace)
    if live is None:
        raise NotYet(f"There is no AutoscalingRunnerSet {wanted.release.name}.")
    number = (live["metadata"].get("annotations") or {}).get(REGISTERED)
    if not number:
        raise NotYet(f"The runner set {wanted.release.name} is not registered with GitHub.")
    if not await _listener_runs(wanted, clients):
        raise NotYet(f"The runner set {wanted.release.name} has no running listener.")
    return f"registered as {number}, listening"


async def look(environment: Environment, clients: Clients) -> Looked:
    """Each declared set: its Secret, its release and the objects of that, registered and listening."""
    parts = []
    for runner in environment.spec.runners:
        wanted = desired(environment, runner, clients.catalog)
        where = f"runners/{wanted.release.name}"
        secret = credentials.look(PLANE, wanted.credential, clients)
        parts += [
            await look_at(PLANE, wanted.credential.address, secret, hides=[wanted.credential.address]),
            await releases.look(PLANE, (wanted.release,), clients),
            await holds(PLANE, f"{where}/listening", listening(wanted, clients), Severity.CONFIG),
        ]
    return Looked.together(parts)


async def remove(environment: Environment, clients: Clients) -> list[str]:
    """Uninstall every set while the controller still runs: its finalizer deregisters the set, and hangs without it."""
    removed: list[str] = []
    if not clients.connected:
        return removed
    for runner in environment.spec.runners:
        release = clients.catalog.runner_release(environment, runner)
        async with clients.journal.write(PLANE, "helm uninstall", releases.address(release)):
            gone = await clients.helm.uninstall(release.name, release.namespace)
        await clients.kubernetes.wait_deleted(
            *SCALE_SET, release.name, release.namespace, timeout=clients.settings.probe_timeout
        )
        if gone:
            removed.append(releases.address(release))
    return removed


async def _listener_runs(wanted: Wanted, clients: Clients) -> bool:
    for listener in await clients.kubernetes.list(*LISTENER):
        spec = listener.get("spec", {})
        ours = (spec.get("autoscalingRunnerSetName"), spec.get("autoscalingRunnerSetNamespace"))
        if ours == (wanted.release.name, wanted.release.namespace):
            metadata = listener["metadata"]
            pod = await clients.kubernetes.get("v1", "Pod", metadata["name"], metadata["namespace"])
            return bool((pod or {}).get("status", {}).get("phase") == "Running")
    return False
