"""Bring an environment back into step with what git declares: look, close what differs, look again.

python -m flows.reconcile dev
"""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.checking import check
from flows.create_environment import converge
from flows.parameters import Commit, EnvironmentName, ReconcileMode
from flows.run import Run, open_run
from flows.standing import why_not, why_undeclared
from infra.drift.verdict import Verdict
from infra.planes.reconciliation import LeftAlone, Mode, Reconciliation
from infra.spec.repository import Undeclared
from tasks.report import publish_reconciliation
from tasks.superseding import SKIPPED


@flow(name="reconcile", flow_run_name="reconcile {name}")
async def reconcile(
    name: EnvironmentName, mode: ReconcileMode = "heal", commit: Commit = None
) -> Reconciliation | State[LeftAlone]:
    """Bring an environment back into step with what git declares; where nothing is wrong, nothing is written.

    An environment that was never created, that was destroyed or is half destroyed, that git does not declare any more,
    or in which another run is at work, is left alone: the run ends as Skipped, and says why.

    Args:
        name: Name of the environment: the file environments/NAME.yaml in the repository of environments.
        mode: `heal` closes what a look finds; `preview` only says what it would close.
        commit: The exact commit to bring it to, 7 to 40 hexadecimal digits; when empty, the newest of the branch.
    """
    try:
        async with open_run("reconcile", name, commit) as run:
            return await _reconcile(run, mode)
    except Undeclared:
        why = await why_undeclared(name) if commit is None else None
        if why is None:
            raise
        return _skipped(name, why)


async def _reconcile(run: Run, mode: Mode) -> Reconciliation | State[LeftAlone]:
    if why := await why_not(run):
        return await _leave(run, why)
    before = await _look(run)
    if mode == "preview" or not before.findings:
        return await _done_nothing(run, mode, before)
    # A look takes a while: somebody may have begun to destroy the environment meanwhile.
    if why := await why_not(run):
        return await _leave(run, why)
    steps = await converge(run)
    after = await _look(run)
    report = await run.report(steps)
    done = Reconciliation(environment=run.environment.name, mode=mode, before=before, report=report, after=after)
    await publish_reconciliation(done)
    run.judge(report)
    return done


async def _look(run: Run) -> Verdict:
    return await check(run.loaded, run.settings, run.clients.catalog, run.book, besides=run.ledger.id)


async def _leave(run: Run, why: str) -> State[LeftAlone]:
    await run.ledger.end("skipped", why)
    return _skipped(run.environment.name, why)


def _skipped(name: str, why: str) -> State[LeftAlone]:
    return Completed(name=SKIPPED, message=why, data=LeftAlone(environment=name, skipped=why))


async def _done_nothing(run: Run, mode: Mode, before: Verdict) -> Reconciliation:
    """Nothing was wrong, or nothing was to be done about it: neither makes an environment ready."""
    done = Reconciliation(environment=run.environment.name, mode=mode, before=before)
    await run.ledger.end("looked", done.sentence())
    await publish_reconciliation(done)
    return done


if __name__ == "__main__":
    from flows.command import main

    main(reconcile, formats={"markdown": lambda done: done.markdown()})
