"""Bring an environment back into step with what git declares: look, close what differs, look again.

python -m flows.reconcile dev
"""

from __future__ import annotations

from prefect import flow

from flows.checking import check
from flows.create_environment import converge
from flows.parameters import Commit, EnvironmentName, ReconcileMode
from flows.run import Run, open_run
from infra.drift.verdict import Verdict
from infra.planes.reconciliation import Mode, Reconciliation
from tasks.report import publish_reconciliation


@flow(name="reconcile", flow_run_name="reconcile {name}")
async def reconcile(name: EnvironmentName, mode: ReconcileMode = "heal", commit: Commit = None) -> Reconciliation:
    """Bring an environment back into step with what git declares; where nothing is wrong, nothing is written.

    Args:
        name: Name of the environment: the file environments/NAME.yaml in the repository of environments.
        mode: `heal` closes what a look finds; `preview` only says what it would close.
        commit: The exact commit to bring it to, 7 to 40 hexadecimal digits; when empty, the newest of the branch.
    """
    async with open_run("reconcile", name, commit) as run:
        before = await _look(run)
        if mode == "preview" or not before.findings:
            return await _done_nothing(run, mode, before)
        steps = await converge(run)
        after = await _look(run)
        report = await run.report(steps)
        done = Reconciliation(environment=name, mode=mode, before=before, report=report, after=after)
        await publish_reconciliation(done)
        run.judge(report)
        return done


async def _look(run: Run) -> Verdict:
    return await check(run.loaded, run.settings, run.clients.catalog, run.book, besides=run.ledger.id)


async def _done_nothing(run: Run, mode: Mode, before: Verdict) -> Reconciliation:
    """Nothing was wrong, or nothing was to be done about it: neither makes an environment ready."""
    done = Reconciliation(environment=run.environment.name, mode=mode, before=before)
    await run.ledger.end("looked", done.sentence())
    await publish_reconciliation(done)
    return done


if __name__ == "__main__":
    from flows.command import main

    main(reconcile)
