"""Steps of the add-ons plane: one installation and one proof for each add-on."""

from __future__ import annotations

from infra.drift.findings import PlaneName
from infra.planes import addons
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tasks.step import After, step


@step("{addon}", timeout=1800)
async def install_addon(addon: str, environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring an add-on's Helm releases into step: chart version, values, deployed."""
    wanted = addons.desired(environment, addon, clients.catalog)
    return await bring_into_step(addons, wanted, clients, name=PlaneName.ADDONS, step=addon)


@step("{addon} ready", timeout=1200)
async def probe_addon(addon: str, environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Prove that an add-on works, by the probes it names in the catalogue."""
    sentence = await addons.probe(addon, clients)
    return Outcome(plane=PlaneName.ADDONS, name=addon, sentence=sentence)
