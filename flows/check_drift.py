"""Look for drift in an environment: what git declares against what is really there. Nothing is changed.

python -m flows.check_drift dev
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed

from flows import logs
from flows.cancelling import cancelled_by_sigterm
from flows.checking import check, failing_loudly, open_ledger
from flows.parameters import Commit, EnvironmentName
from infra.catalog import Catalog
from infra.clients.errors import explained
from infra.drift.verdict import Verdict
from infra.settings import get_settings
from tasks.declaration import load_environment
from tasks.superseding import SKIPPED, superseded

LONGEST = timedelta(minutes=20)
LAST_WORDS = timedelta(minutes=2)
"""Of them, what is left for saying that the others were not enough."""


@flow(name="check-drift", flow_run_name="check {name}", timeout_seconds=LONGEST.total_seconds())
async def check_drift(name: EnvironmentName, commit: Commit = None, canary: bool = False) -> Verdict | State[None]:
    """Look for drift in an environment, over cloud, Helm releases, live objects, DNS and TLS, and change nothing.

    The verdict says of each plane whether it is in step, has drifted, or could not be looked at.

    Args:
        name: Name of the environment: the file environments/NAME.yaml in the repository of environments.
        commit: The exact commit to compare with, 7 to 40 hexadecimal digits; when empty, the newest of the branch.
        canary: First make a known difference in a ConfigMap and a recordset of Plumbline's own, see whether the look
            finds both, and set them back. If it does not, this and later verdicts are marked stale.
    """
    logs.set_up()
    until = asyncio.get_running_loop().time() + (LONGEST - LAST_WORDS).total_seconds()
    with cancelled_by_sigterm(), explained():
        needless = await _needless(commit)
        if needless is not None:
            return Completed(name=SKIPPED, message=needless)
        settings, catalog = get_settings(), Catalog.load()
        async with open_ledger(name, settings) as ledger, failing_loudly(name, ledger, settings, until=until):
            loaded = await load_environment(name, commit, settings, frozenset(catalog))
            return await check(loaded, settings, catalog, ledger, canary=canary)


async def _needless(commit: str | None) -> str | None:
    """Why this run, which a deployment has started, is not needed.

    One started by hand in a terminal always is, and so is one that asks about a commit: no other answers that.
    """
    # Not prefect.runtime: of a run without a deployment that asks the server, and blocks the loop until it answers.
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if commit is not None or run is None or run.deployment_id is None:
        return None
    return await superseded(run, LONGEST)


if __name__ == "__main__":
    from flows.command import main
    from infra.drift import verdict_report

    main(check_drift, formats={"markdown": verdict_report.text})
