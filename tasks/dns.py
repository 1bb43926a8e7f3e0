"""Steps of the DNS plane."""

from __future__ import annotations

from infra.clients.errors import InvalidInput
from infra.drift.findings import PlaneName
from infra.planes import addons, dns
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tasks.step import After, step


@step("dns", timeout=900)
async def converge_dns(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring the wildcard and the declared names into step in Designate."""
    return await bring_into_step(dns, await _wanted(environment, clients), clients, name=PlaneName.DNS, step="names")


@step("dns ready", timeout=900)
async def probe_dns(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Wait until every authoritative server answers every name, and then the resolver."""
    sentence = await dns.probe(await _wanted(environment, clients), clients)
    return Outcome(plane=PlaneName.DNS, name="names", sentence=sentence)


@step("remove dns", timeout=900)
async def remove_dns(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Delete the recordsets that carry the environment's mark."""
    removed = await dns.remove(environment, clients)
    return Outcome.removed(PlaneName.DNS, "names", removed)


async def _wanted(environment: Environment, clients: Clients) -> dns.Wanted:
    wanted = dns.desired(environment, await addons.ingress_address(environment, clients))
    if wanted is None:
        raise InvalidInput(f"spec.dns: {environment.name} declares no names.")
    return wanted
