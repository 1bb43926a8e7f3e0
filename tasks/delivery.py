"""Steps of the delivery plane."""

from __future__ import annotations

from infra.clients.errors import InvalidInput
from infra.drift.findings import PlaneName
from infra.planes import delivery
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tasks.step import After, step


@step("delivery", timeout=300)
async def converge_delivery(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring the Argo CD Application into step."""
    return await bring_into_step(delivery, _wanted(environment), clients, name=PlaneName.DELIVERY, step="application")


@step("delivery ready", timeout=1200)
async def probe_delivery(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Wait until Argo CD is Synced to the repository's head and Healthy."""
    sentence = await delivery.probe(_wanted(environment), clients)
    return Outcome(plane=PlaneName.DELIVERY, name="application", sentence=sentence)


@step("remove delivery", timeout=1200)
async def remove_delivery(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Delete the Application, and with it the workloads it delivered."""
    wanted = delivery.desired(environment)
    removed = await delivery.remove(wanted, clients) if wanted is not None else []
    return Outcome.removed(PlaneName.DELIVERY, "application", removed)


def _wanted(environment: Environment) -> delivery.Wanted:
    wanted = delivery.desired(environment)
    if wanted is None:
        raise InvalidInput(f"spec.delivery: {environment.name} declares nothing to deliver.")
    return wanted
