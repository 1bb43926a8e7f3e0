"""Steps of the runners plane: one scale set for each declared set of runners."""

from __future__ import annotations

from infra.drift.findings import PlaneName
from infra.planes import runners
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment, Runner
from tasks.step import After, step


@step("runners {runner.name}", timeout=1800)
async def install_runners(runner: Runner, environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring a runner set into step: its GitHub secret and its scale set."""
    wanted = runners.desired(environment, runner, clients.catalog)
    return await bring_into_step(runners, wanted, clients, name=PlaneName.RUNNERS, step=f"runners {runner.name}")


@step("runners {runner.name} ready", timeout=1200)
async def probe_runners(runner: Runner, environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Wait until the runner set is registered with GitHub and its listener runs."""
    sentence = await runners.probe(runners.desired(environment, runner, clients.catalog), clients)
    return Outcome(plane=PlaneName.RUNNERS, name=f"runners {runner.name}", sentence=sentence)


@step("remove runners", timeout=1200)
async def remove_runners(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Uninstall every runner set while its controller still runs to deregister it."""
    removed = await runners.remove(environment, clients)
    return Outcome.removed(PlaneName.RUNNERS, "runners", removed)
