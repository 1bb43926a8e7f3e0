"""Whether an environment may be reconciled: it was made, nobody takes it away, and nobody else is at work in it.

A reconciliation may be started by a schedule, or by a check's event. What it may not do is bring something to stand
that nobody has asked for by its name: that is `create-environment`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from flows.run import Run
from infra.clients.errors import explained
from infra.ledger import Ledger
from infra.ledger.records import RunRecord
from infra.settings import get_settings
from infra.terraform.looking import PlanReader
from infra.terraform.variables import Variables
from tasks.superseding import ended

CREATE, DESTROY, RECONCILE = "create-environment", "destroy-environment", "reconcile"
READY, ANY = ("ready",), ("running", "ready", "removed", "failed", "cancelled", "interrupted")


async def why_not(run: Run) -> str | None:
    """Why the environment of a run must not be reconciled now; None where it may be.

    Raises:
        PlumblineError: it is not known whether it was ever made: Terraform's state cannot be read.
    """
    async for other in _before(run):
        return f"{other.flow} is at work in {run.environment.name} since {_at(other.started)}."
    name, book = run.environment.name, run.book
    asked, gone = await book.last_run(CREATE, name, ANY), await book.last_run(DESTROY, name, ANY)
    if gone is not None and not (asked is not None and asked.started > gone.started):
        return _destroyed(name, gone)
    made = [await book.last_run(flow, name, READY) for flow in (CREATE, RECONCILE)]
    if any(one is not None and (gone is None or one.started > gone.started) for one in made):
        return None
    variables = Variables.of(run.environment, cluster_timeout=run.settings.cluster_timeout)
    if await PlanReader(variables, settings=run.settings).knows_anything():
        return None
    return (
        f"{name} was never created: no run has brought it to stand, and Terraform's state knows nothing of it. "
        "create-environment makes it, or adopts what there is of it."
    )


async def why_undeclared(name: str) -> str | None:
    """Why an environment that git does not declare is left alone; None where nobody has ever heard of it."""
    with explained():
        async with Ledger.open(get_settings()) as ledger:
            known = await ledger.history(name, limit=1) or await ledger.checks(name, limit=1)
    if not known:
        return None
    return (
        f"{name} is not declared in git any more. destroy-environment --help says how to take down what is left of it."
    )


async def _before(run: Run) -> AsyncIterator[RunRecord]:
    """Runs that this one leaves the environment to: any that creates or destroys it, and earlier reconciliations.

    One whose process is lost on another host is at work for ever as far as the ledger knows; Prefect may know better.
    """
    running = await run.book.running(run.environment.name)
    began = next((one.started for one in running if one.id == run.ledger.id), None)
    for other in running:
        earlier = began is None or (other.started, other.id) < (began, run.ledger.id)
        first = other.flow in (CREATE, DESTROY) or (other.flow == RECONCILE and earlier)
        if first and other.id != run.ledger.id and not await ended(other.flow_run_id):
            yield other


def _destroyed(name: str, gone: RunRecord) -> str:
    if gone.state == "removed":
        return f"{name} was destroyed at {_at(gone.ended or gone.started)}. create-environment makes it anew."
    return (
        f"{name} may be half destroyed: destroy-environment was begun at {_at(gone.started)}, and did not finish. "
        f"Start it again to finish it, or create-environment to have {name} back."
    )


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
