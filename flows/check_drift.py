"""Look for drift in an environment: what git declares against what is really there. Nothing is changed.

python -m flows.check_drift dev
"""

from __future__ import annotations

from prefect import flow

from flows import logs
from flows.cancelling import cancelled_by_sigterm
from flows.checking import check, failing_loudly
from flows.parameters import Commit, EnvironmentName
from infra.catalog import Catalog
from infra.clients.errors import explained
from infra.drift.verdict import Verdict
from infra.ledger import Ledger
from infra.settings import get_settings
from tasks.declaration import load_environment


@flow(name="check-drift", flow_run_name="check {name}", timeout_seconds=1200)
async def check_drift(name: EnvironmentName, commit: Commit = None) -> Verdict:
    """Look for drift in an environment, over cloud, Helm releases, live objects, DNS and TLS, and change nothing.

    The verdict says of each plane whether it is in step, has drifted, or could not be looked at.

    Args:
        name: Name of the environment: the file environments/NAME.yaml in the repository of environments.
        commit: The exact commit to compare with, 7 to 40 hexadecimal digits; when empty, the newest of the branch.
    """
    logs.set_up()
    with cancelled_by_sigterm(), explained():
        settings, catalog = get_settings(), Catalog.load()
        async with Ledger.open(settings) as ledger, failing_loudly(name, ledger, settings):
            loaded = await load_environment(name, commit, settings, frozenset(catalog))
            return await check(loaded, settings, catalog, ledger)


if __name__ == "__main__":
    from flows.command import main

    main(check_drift)
