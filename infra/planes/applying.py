"""Carrying out Terraform's plans on a Magnum that answers first and works afterwards.

Terraform's provider looks at once after each request, and Magnum may not have written anything by then. A new cluster
is not there, which the provider takes for deleted; one that is changed shows the end of the operation before, which it
takes for done; one that is deleted still shows complete, which it takes for refused. So nothing is applied while Magnum
is at work, Magnum is waited for afterwards whatever the provider says, and what is left is planned and applied again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from infra.clients.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Failed,
    Misconfigured,
    NotYet,
    PlumblineError,
    Refused,
)
from infra.clients.openstack_models import Cluster
from infra.clients.waiting import wait_until
from infra.drift.findings import PlaneName
from infra.planes.clients import Clients
from infra.planes.cloud.carried import magnums, undone
from infra.planes.cloud.findings import deletion, doing
from infra.planes.cloud.seen import Seen, ask
from infra.planes.cloud.terraform import address_of
from infra.planes.looking import NotLooked
from infra.terraform.failures import Busy, GaveUp
from infra.terraform.plans import Plan
from infra.terraform.variables import Variables

log = logging.getLogger(__name__)

TAKEN_UP = 30.0
"""Seconds Magnum gets to show that it has taken up what it accepted; after that, it has dropped it."""
APPEARS = 90.0
"""Seconds a new cluster gets to appear: one that is made twice is worse than one that is waited for."""
ROUNDS = 3
"""So many rounds that change nothing are enough."""

_FINAL = (Refused, Denied, Misconfigured, DeadlineExceeded)
"""Errors that no patience with Magnum mends."""


@dataclass(frozen=True)
class Applying:
    """How one environment's plans are carried out.

    Attributes:
        cluster: the cluster's name.
        action: what the journal calls an apply.
        replan: plans what is left, once Magnum is done.
        prepare: makes a plan fit to be applied: takes back what is there, leaves out what is waived.
        allow: the losses that somebody has agreed to.
    """

    cluster: str
    wanted: Variables
    clients: Clients
    action: str
    replan: Callable[[], Awaitable[Plan]]
    prepare: Callable[[Plan], Awaitable[Plan]]
    allow: Callable[[Plan], Awaitable[Collection[str]]]

    async def carry_out(self, plan: Plan) -> list[str]:
        """Apply, wait for Magnum, plan again and apply again, until nothing is left.

        Returns:
            What was made, changed or taken away, as a check names it.

        Raises:
            Refused: the plan would lose what nobody agreed to lose.
            Failed: Magnum could not do it, with every cause Magnum gives.
            DeadlineExceeded: Magnum is not done after `cluster_timeout`.
            Temporary: the same fails again and again although Magnum is not at work.
        """
        ends = time.monotonic() + self.clients.settings.cluster_timeout * 60
        made: dict[str, None] = {}
        alike, before = 0, plan
        while True:
            if await self._at_work():
                await self.clients.terraform.discard(plan)
                plan = await quietly(self.replan, self.cluster, self.clients, timeout=ends - time.monotonic())
            plan = await self.prepare(plan)
            if plan.empty:
                await self.clients.terraform.discard(plan)
                return list(made)
            log.info("%s", plan.summary())
            begun: dict[str, str] = {}
            error = await self._apply(plan, begun)
            made.update(dict.fromkeys(address_of(change, plan.environment) for change in plan.changes))
            if not plan.changes:
                made[f"outputs/{plan.environment}"] = None
            asked = plan if error is None else plan.only(begun)
            done = await self._carried(asked, seconds=ends - time.monotonic())
            if done and error is None:
                return list(made)
            alike = alike + 1 if plan.changes == before.changes else 1
            if alike >= ROUNDS:
                raise error or Conflict(f"Magnum accepts the change of cluster {self.cluster} and drops it each time.")
            before = plan
            created = [one for one in magnums(asked) if "create" in one.actions]
            if done and created:
                # Magnum shows it as it was asked for; the next plan would replace what Terraform doubts.
                named = ", ".join(address_of(one, plan.environment) for one in created)
                async with self.clients.journal.write(PlaneName.CLUSTER, "adopt", named):
                    await self.clients.terraform.trust({one.address for one in created})
            log.info("What is left is planned again.")
            plan = await self.replan()

    async def _apply(self, plan: Plan, begun: dict[str, str]) -> PlumblineError | None:
        """Apply it; returns the error that Magnum's way of working explains.

        Args:
            begun: gets what was asked for before the error: address -> the last action.
        """
        try:
            async with self.clients.journal.write(PlaneName.CLUSTER, self.action, plan.environment):
                await self.clients.terraform.apply(plan, allow=await self.allow(plan), begun=begun)
        except _FINAL:
            raise
        except PlumblineError as error:
            if isinstance(error, GaveUp | Busy | NotYet) or (magnums(plan) and await self._at_work()):
                log.info("%s Magnum says what becomes of it.", error.sentence)
                return error
            cluster = await self.clients.openstack.magnum.cluster(self.cluster)
            if isinstance(error, Failed) and cluster is not None and cluster.failed:
                raise failure(cluster, error.detail) from error
            raise
        return None

    async def _at_work(self) -> bool:
        """Whether Magnum changes the cluster now, or cannot be asked about it."""
        cluster = await ask(self.clients.openstack.magnum.cluster(self.cluster))
        return isinstance(cluster, NotLooked) or (cluster is not None and cluster.in_progress)

    async def _carried(self, plan: Plan, *, seconds: float) -> bool:
        """Wait until Magnum shows what the plan was to bring about; False when it has dropped something of it.

        Raises:
            Failed: with every cause Magnum gives.
        """
        if not magnums(plan):
            return True
        watch = _Watch(self, plan)
        return await wait_until(
            watch.look,
            describe=f"Magnum to have done what it accepted for cluster {self.cluster}",
            timeout=max(seconds, 0),
            interval=self.clients.settings.probe_interval,
            progress=log.info,
        )


class _Watch:
    """One wait for Magnum after an apply."""

    def __init__(self, applying: Applying, plan: Plan) -> None:
        self._magnum = applying.clients.openstack.magnum
        self._name, self._wanted, self._plan = applying.cluster, applying.wanted, plan
        self._worked = False
        self._idle_since: float | None = None

    async def look(self) -> bool:
        cluster = await self._magnum.cluster(self._name)
        if cluster is not None and cluster.status == "DELETE_COMPLETE":
            cluster = None
        if cluster is not None and cluster.in_progress:
            self._worked, self._idle_since = True, None
            raise _busy(cluster)
        idle = self._idle(cluster)
        # A failure may be the one of an operation before, which Magnum shows until it takes up the next.
        failed = cluster is not None and (cluster.failed or cluster.status == "ROLLBACK_COMPLETE")
        if cluster is not None and failed and (self._worked or idle):
            raise failure(cluster)
        left = await self._left(cluster)
        if left and idle:
            log.warning("Magnum has dropped what it had accepted: %s", " ".join(left))
        elif left:
            raise NotYet(left[0])
        return not left

    def _idle(self, cluster: Cluster | None) -> bool:
        """Whether Magnum has shown the same for so long that nothing more is to come."""
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since = now
        return now - self._idle_since > (TAKEN_UP if cluster else APPEARS)

    async def _left(self, cluster: Cluster | None) -> list[str]:
        if cluster is None:
            return undone(self._wanted, self._plan, Seen(None))
        template = await ask(self._magnum.template(cluster.cluster_template_id or ""))
        groups = await ask(self._magnum.node_groups(cluster.uuid))
        unread = [part.why for part in (template, groups) if isinstance(part, NotLooked)]
        return unread or undone(self._wanted, self._plan, Seen(cluster, template, groups))


async def quietly(replan: Callable[[], Awaitable[Plan]], name: str, clients: Clients, *, timeout: float) -> Plan:
    """Plan while Magnum is not at work on a cluster.

    A terraform that outlives its run holds the state's lock, and what it asked for begins while the next one waits for
    that: a plan then meets a cluster half made, and is made again when Magnum is done.

    Args:
        timeout: seconds to wait for Magnum.

    Raises:
        PlumblineError: the plan's own, where Magnum shows the cluster as it was; else as `quiet`.
    """
    ends = time.monotonic() + timeout
    for _ in range(ROUNDS - 1):
        before = await quiet(name, clients, timeout=ends - time.monotonic())
        try:
            return await replan()
        except PlumblineError as error:
            now = await ask(clients.openstack.magnum.cluster(name))
            if isinstance(now, NotLooked) or now == before:
                raise
            log.info("%s Magnum has changed the cluster meanwhile.", error.sentence)
    await quiet(name, clients, timeout=ends - time.monotonic())
    return await replan()


async def quiet(name: str, clients: Clients, *, timeout: float) -> Cluster | None:
    """Wait until Magnum is not at work on a cluster; returns it as it is then.

    Args:
        timeout: seconds.

    Raises:
        Failed: Magnum was deleting it, and could not.
        DeadlineExceeded: Magnum is still at work.
    """
    deleting = False

    async def look() -> Cluster | None:
        nonlocal deleting
        cluster = await clients.openstack.magnum.cluster(name)
        if cluster is not None and cluster.in_progress:
            deleting = cluster.status == "DELETE_IN_PROGRESS"
            raise _busy(cluster)
        if cluster is not None and deleting and cluster.failed:
            raise failure(cluster)
        return cluster

    return await wait_until(
        look,
        describe=f"Magnum to be done with cluster {name}",
        timeout=max(timeout, 0),
        interval=clients.settings.probe_interval,
        progress=log.info,
    )


def _busy(cluster: Cluster) -> NotYet:
    """Without the time, which Magnum's own polls move: the same sentence is told once."""
    return NotYet(f"Cluster {cluster.name} is being {doing(cluster)} ({cluster.status}).")


def failure(cluster: Cluster, detail: str | None = None) -> Failed:
    """What Magnum says of a cluster that it could not make, change or delete."""
    leaving = deletion(cluster)
    if leaving is not None:
        return Failed(leaving, detail=detail, hint="Mend the cause, then start the flow again.")
    return Failed(
        f"Cluster {cluster.name} is {cluster.status}: {cluster.why or 'Magnum gives no cause'}.",
        detail=detail,
        hint="Mend the cause (quota, flavor, image, network), then start the flow again: a cluster that never came up "
        "is made anew.",
    )
