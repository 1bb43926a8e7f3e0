"""Octavia provider `sandbox`: load balancers that exist in Octavia's books, with real ports in Neutron.

The data path is no business of ours: whoever serves on a load balancer's floating IP does so by himself. A moment after
each change whatever is pending is done. What is pending, the database says: nothing is lost when we are restarted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from octavia.api.drivers.driver_agent import driver_updater
from octavia.api.drivers.noop_driver import driver
from octavia.common import constants
from octavia.db import api, models
from octavia_lib.api.drivers import exceptions
from octavia_lib.common import constants as library

from deployments.sandbox.openstack.faults import FaultFile, fate

LOG = logging.getLogger(__name__)

WORK_SECONDS = 0.3
"""How long a change takes."""
LOOK_SECONDS = 1.0
"""How often what hangs is looked at."""
DOINGS = {
    constants.PENDING_CREATE: "create",
    constants.PENDING_UPDATE: "create",
    constants.PENDING_DELETE: "delete",
}
CHANGES = [
    *(
        f"{kind}_{change}"
        for kind in ("loadbalancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule")
        for change in ("create", "update", "delete")
    ),
    "loadbalancer_failover",
    "member_batch_update",
]

Statuses = dict[str, list[dict[str, str]]]


class SandboxProvider(driver.NoopProviderDriver):  # type: ignore[misc]
    """What Octavia asks of a provider."""

    work: ClassVar[threading.Event] = threading.Event()
    """Set when something has changed."""

    def create_vip_port(self, *arguments: Any) -> None:
        """Leave it to Octavia, which makes a port in Neutron."""
        raise exceptions.NotImplementedError

    def _changed(self, *arguments: Any, **options: Any) -> None:
        self.work.set()


for _change in CHANGES:
    setattr(SandboxProvider, _change, SandboxProvider._changed)


class Worker:
    """Carries out what is pending, in a thread of its own."""

    def __init__(self, home: Path) -> None:
        self._faults = FaultFile(home / "faults.json")

    def start(self) -> None:
        """Begin, with what an earlier process left."""
        SandboxProvider.work.set()
        threading.Thread(target=self._run, name="provider", daemon=True).start()

    def _run(self) -> None:
        left = False
        while True:
            SandboxProvider.work.wait(LOOK_SECONDS if left else None)
            time.sleep(WORK_SECONDS)
            SandboxProvider.work.clear()
            try:
                left = self._settle()
            except Exception:  # the database is busy, or being made: the next look does it
                LOG.exception("Load balancers could not be settled")
                left = True

    def _settle(self) -> bool:
        """Do what is pending; returns whether something is left for later."""
        fates = self._faults.current().load_balancers
        left, outcomes = False, []
        with api.session().begin() as session:
            rows = session.query(models.LoadBalancer)
            for row in rows.filter(models.LoadBalancer.provisioning_status.in_(DOINGS)):
                end = getattr(fate(fates, row.name or row.id), DOINGS[row.provisioning_status])
                if end == "hang":
                    left = True
                else:
                    outcomes.append(outcome(row, failed=end == "fail"))
        for statuses in outcomes:
            answer = driver_updater.DriverUpdater().update_loadbalancer_status(statuses)
            if answer[library.STATUS_CODE] != library.DRVR_STATUS_CODE_OK:
                LOG.error("Octavia refuses a status: %s", answer)
                left = True
        return left


def outcome(balancer: Any, *, failed: bool) -> Statuses:
    """The statuses after a change, for `update_loadbalancer_status`."""
    deleting = balancer.provisioning_status == constants.PENDING_DELETE
    statuses: Statuses = {}
    for kind, row in parts(balancer):
        if deleting and not failed:
            statuses.setdefault(kind, []).append(_status(row, constants.DELETED))
        elif row.provisioning_status in DOINGS:
            gone = row.provisioning_status == constants.PENDING_DELETE
            done = constants.DELETED if gone else constants.ACTIVE
            statuses.setdefault(kind, []).append(_status(row, constants.ERROR if failed else done))
    done = constants.DELETED if deleting else constants.ACTIVE
    statuses[constants.LOADBALANCERS] = [_status(balancer, constants.ERROR if failed else done)]
    return statuses


def parts(balancer: Any) -> Iterator[tuple[str, Any]]:
    """Everything under a load balancer, with the name of its kind."""
    for listener in balancer.listeners:
        for policy in listener.l7policies:
            yield from ((constants.L7RULES, rule) for rule in policy.l7rules)
            yield constants.L7POLICIES, policy
        yield constants.LISTENERS, listener
    for pool in balancer.pools:
        yield from ((constants.MEMBERS, member) for member in pool.members)
        if pool.health_monitor:
            yield constants.HEALTHMONITORS, pool.health_monitor
        yield constants.POOLS, pool


def _status(row: Any, provisioning: str) -> dict[str, str]:
    status = {"id": row.id, constants.PROVISIONING_STATUS: provisioning}
    if provisioning == constants.DELETED:
        return status
    watched = not isinstance(row, models.Member) or row.pool.health_monitor
    online = constants.ONLINE if watched else constants.NO_MONITOR
    return status | {constants.OPERATING_STATUS: online if provisioning == constants.ACTIVE else constants.ERROR}
