"""Steps of the certificates plane."""

from __future__ import annotations

from infra.clients.errors import InvalidInput
from infra.drift.findings import PlaneName
from infra.planes import certificates, handshakes, teardown
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tasks.step import After, step


@step("certificate", timeout=300)
async def converge_certificate(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring the issuer and the environment's certificate into step."""
    wanted = _declared(certificates.issuing(environment, clients.settings), environment)
    return await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")


@step("certificate issued", timeout=1200)
async def probe_certificate_issued(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Wait until issuer and certificate are Ready for what was declared."""
    wanted = _declared(certificates.issuing(environment, clients.settings), environment)
    sentence = await certificates.probe_issued(wanted, clients)
    return Outcome(plane=PlaneName.CERTIFICATES, name="certificate", sentence=sentence)


@step("canary host", timeout=300)
async def converge_canary(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring the host into step that serves the certificate for our own handshakes."""
    wanted = _declared(certificates.serving(environment), environment)
    return await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="canary host")


@step("certificate served", timeout=1200)
async def probe_certificate_served(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Shake hands with the canary host: right issuer, chain, names and expiry."""
    wanted = _declared(certificates.serving(environment), environment)
    sentence = await handshakes.probe(environment, [wanted.host], clients)
    return Outcome(plane=PlaneName.CERTIFICATES, name="canary host", sentence=sentence)


@step("pages served", timeout=1200)
async def probe_pages(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Shake hands with every add-on's page, as with the canary host."""
    sentence = await handshakes.probe_pages(environment, clients)
    return Outcome(plane=PlaneName.CERTIFICATES, name="pages", sentence=sentence)


@step("end challenges", timeout=600)
async def end_challenges(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Delete namespaces with open ACME challenges while cert-manager is there to clean up after them."""
    if not clients.connected:
        return Outcome.removed(PlaneName.CERTIFICATES, "challenges", [])
    removed, left = await teardown.end_challenges(clients)
    outcome = Outcome.removed(PlaneName.CERTIFICATES, "challenges", removed, nothing="none was open")
    if left:
        outcome.sentence += f"; {left}"
    return outcome


def _declared(wanted: certificates.Wanted | None, environment: Environment) -> certificates.Wanted:
    if wanted is None:
        raise InvalidInput(f"spec.certificates: {environment.name} declares no certificates.")
    return wanted
