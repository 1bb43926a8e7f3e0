"""Terraform's plans on a Magnum that writes late: what is waited for, planned again, and given up on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from infra.clients.errors import Conflict, Denied, Failed, InvalidInput, NotFound, PlumblineError
from infra.clients.openstack_models import Cluster, NodeGroup
from infra.planes import applying
from infra.planes.applying import Applying, quiet, quietly
from infra.planes.clients import Clients
from infra.planes.cloud.carried import undone
from infra.planes.cloud.terraform import CLUSTER, KEYPAIR, NODE_GROUP
from infra.planes.looking import NotLooked
from infra.terraform.failures import Busy, GaveUp
from infra.terraform.plans import Change, Plan
from tests.unit.planes.cloud_facts import DEFAULTS, WANTED, build, cluster, group, seen
from tests.unit.planes.fakes import FakeJournal
from tests.unit.planes.test_cluster_judge import change

CREATE = change(CLUSTER, "create")
RESIZE = change(CLUSTER, "update", identifier="c1")
GROUP = change(NODE_GROUP, "create")
LEAVE = change(NODE_GROUP, "delete", key="old", identifier="c1/g-old")
DESTROY = change(CLUSTER, "delete", identifier="c1")
KEY = change(KEYPAIR, "create")

CLUSTER_ADDRESS = CREATE.address

Shown = tuple[Cluster | None, tuple[NodeGroup, ...]]
AS_DECLARED: Shown = (cluster(), (*DEFAULTS, build()))
TWO: Shown = (cluster(), (DEFAULTS[0], group("default-worker", 2), build()))
AT_WORK: Shown = (cluster(status="UPDATE_IN_PROGRESS"), TWO[1])
NOTHING: Shown = (None, ())


class Late:
    """Magnum, which shows one thing after another; the last for ever."""

    def __init__(self, *shown: Shown) -> None:
        self.shown = list(shown)
        self.looks = 0

    async def cluster(self, _: str) -> Cluster | None:
        self.looks += 1
        self.now = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        return self.now[0]

    async def node_groups(self, _: str) -> tuple[NodeGroup, ...]:
        return self.now[1]

    async def template(self, _: str) -> None:
        return None


class Provider:
    """Terraform, whose plans and outcomes are given; notes what Magnum showed when an apply began."""

    def __init__(self, magnum: Late, *outcomes: PlumblineError | None, plans: Collection[tuple[Change, ...]]) -> None:
        self._magnum = magnum
        self.outcomes, self.plans = list(outcomes), list(plans)
        self.began: list[bool] = []
        self.reaches: int | None = None
        """How many of a plan's changes are begun before an error; all of them unless it says so."""
        self.halves: dict[str, str] = {}
        """Of what is replaced, how far an apply gets."""
        self.discarded = 0
        self.doubted: list[str] = []

    async def trust(self, addresses: Collection[str]) -> None:
        self.doubted = [address for address in self.doubted if address not in addresses]

    async def plan(self) -> Plan:
        return Plan(environment="dev", changes=self.plans.pop(0) if self.plans else ())

    async def discard(self, _: Plan) -> None:
        self.discarded += 1

    async def apply(self, plan: Plan, *, allow: Collection[str], begun: dict[str, str]) -> None:
        assert allow == {"agreed"}
        begun.update({one.address: one.actions[-1] for one in plan.changes[: self.reaches]} | self.halves)
        found = self._magnum.now[0]
        self.began.append(found is not None and found.in_progress)
        error = self.outcomes.pop(0) if self.outcomes else None
        if error:
            raise error


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "TAKEN_UP", 0.03)
    monkeypatch.setattr(applying, "APPEARS", 0.06)


class Run:
    """One carrying out."""

    def __init__(self, clients: Clients, magnum: Late, *outcomes: PlumblineError | None, plans: Any = ()) -> None:
        self.clients, self.magnum = clients, magnum
        self.terraform = Provider(magnum, *outcomes, plans=plans)
        clients.openstack.magnum = magnum  # type: ignore[assignment]
        clients._terraform = self.terraform  # type: ignore[assignment]

    async def carry_out(self, *changes: Change, destroy: bool = False) -> list[str]:
        async def as_it_is(plan: Plan) -> Plan:
            return plan.model_copy(update={"destroy": destroy})

        async def agreed(_: Plan) -> Collection[str]:
            return {"agreed"}

        made = Applying("dev", WANTED, self.clients, "terraform apply", self.terraform.plan, as_it_is, agreed)
        return await made.carry_out(Plan(environment="dev", changes=changes, destroy=destroy))


async def test_nothing_is_applied_while_magnum_is_at_work_and_the_plan_is_made_anew(clients: Clients) -> None:
    run = Run(clients, Late(AT_WORK, AT_WORK, TWO, AS_DECLARED), plans=[(RESIZE,)])
    assert await run.carry_out(CREATE, GROUP) == ["cluster/dev"]
    assert run.terraform.began == [False]
    assert run.terraform.discarded == 1


async def test_a_creation_the_provider_takes_for_deleted_is_waited_for(clients: Clients, journal: FakeJournal) -> None:
    making = cluster(status="CREATE_IN_PROGRESS")
    run = Run(clients, Late(NOTHING, NOTHING, NOTHING, (making, ()), (making, ()), AS_DECLARED), GaveUp("gone"))
    assert await run.carry_out(CREATE) == ["cluster/dev"]
    assert run.terraform.began == [False]
    assert (journal.actions, journal.ended) == (["terraform apply dev", "adopt cluster/dev"], ["GaveUp", "done"])


async def test_what_was_not_begun_when_the_provider_gave_up_is_not_waited_for(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "TAKEN_UP", 600)
    made: Shown = (cluster(), DEFAULTS)
    run = Run(clients, Late(NOTHING, made), GaveUp("gone"), plans=[(GROUP,)])
    run.terraform.reaches = 1

    async def group_made(plan: Plan, **options: Any) -> None:
        if plan.changes == (GROUP,):
            # What Magnum shows is not to be replaced; what was not begun is doubted for a reason of its own.
            assert run.terraform.doubted == [KEY.address]
            run.magnum.shown = [AS_DECLARED]
        await applied(plan, **options)

    applied = run.terraform.apply
    run.terraform.apply = group_made  # type: ignore[method-assign]
    run.terraform.doubted = [CREATE.address, KEY.address]
    assert await run.carry_out(CREATE, GROUP) == ["cluster/dev", "nodegroup/dev/build"]


async def test_what_was_only_deleted_of_a_replacement_is_not_waited_for_to_appear(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "APPEARS", 600)
    failed: Shown = (cluster(status="CREATE_FAILED"), DEFAULTS)
    anew = change(CLUSTER, "delete", "create", identifier="c1")
    run = Run(clients, Late(failed, failed, failed, NOTHING, NOTHING, AS_DECLARED), GaveUp("gone"), plans=[(CREATE,)])
    run.terraform.halves = {CLUSTER_ADDRESS: "delete"}
    assert await run.carry_out(anew) == ["cluster/dev"]
    assert len(run.terraform.began) == 2


async def test_a_change_the_provider_takes_for_done_is_waited_for(clients: Clients) -> None:
    run = Run(clients, Late(TWO, TWO, TWO, AT_WORK, AS_DECLARED))
    assert await run.carry_out(RESIZE) == ["cluster/dev"]
    assert run.magnum.looks == 5


async def test_a_change_that_magnum_drops_is_applied_again(clients: Clients, caplog: pytest.LogCaptureFixture) -> None:
    magnum = Late(TWO)
    run = Run(clients, magnum, plans=[(RESIZE, KEY)])
    applied: Callable[..., Any] = run.terraform.apply

    async def taken_up_the_second_time(plan: Plan, **options: Any) -> None:
        await applied(plan, **options)
        if len(run.terraform.began) == 2:
            magnum.shown = [AT_WORK, AS_DECLARED]

    run.terraform.apply = taken_up_the_second_time  # type: ignore[method-assign]
    assert await run.carry_out(RESIZE) == ["cluster/dev", "keypair/plumbline-dev"]
    assert "Magnum has dropped what it had accepted: Cluster dev has node_count 2 instead of 3." in caplog.text


async def test_a_change_that_magnum_drops_each_time_is_given_up_on(clients: Clients) -> None:
    run = Run(clients, Late(TWO), plans=[(RESIZE,)] * 9)
    with pytest.raises(Conflict, match="accepts the change of cluster dev and drops it each time"):
        await run.carry_out(RESIZE)
    assert len(run.terraform.began) == applying.ROUNDS


async def test_a_deletion_the_provider_takes_for_refused_is_waited_for(clients: Clients) -> None:
    there: Shown = (cluster(), (*DEFAULTS, build(), group("old", 1)))
    leaving: Shown = (cluster(status="UPDATE_IN_PROGRESS"), there[1])
    run = Run(clients, Late(there, there, leaving, AS_DECLARED), GaveUp("unexpected state 'CREATE_COMPLETE'"))
    assert await run.carry_out(LEAVE) == ["nodegroup/dev/old"]


@pytest.mark.parametrize("before", ["CREATE_COMPLETE", "CREATE_FAILED"])
async def test_destroying_goes_on_until_the_cluster_is_gone(clients: Clients, before: str) -> None:
    """A failed cluster shows its failure until Magnum takes the deletion up: that is no failure to delete."""
    there: Shown = (cluster(status=before), DEFAULTS)
    leaving: Shown = (cluster(status="DELETE_IN_PROGRESS"), DEFAULTS)
    run = Run(clients, Late(there, there, leaving, NOTHING), GaveUp("gave up"), plans=[(KEY,)])
    assert await run.carry_out(DESTROY, KEY, destroy=True) == ["cluster/dev", "keypair/plumbline-dev"]


async def test_what_the_cloud_refuses_for_now_is_applied_again_in_the_same_run(clients: Clients) -> None:
    run = Run(clients, Late(AS_DECLARED), Busy("referenced by clusters"), plans=[(GROUP,)])
    assert await run.carry_out(GROUP, KEY) == ["nodegroup/dev/build", "keypair/plumbline-dev"]
    assert len(run.terraform.began) == 2


@pytest.mark.parametrize("kind", [InvalidInput, Failed, Conflict])
async def test_an_error_while_magnum_is_at_work_may_be_its_doing(clients: Clients, kind: type[PlumblineError]) -> None:
    run = Run(clients, Late(AS_DECLARED, AT_WORK, AT_WORK, AS_DECLARED), kind("odd"))
    assert await run.carry_out(RESIZE) == ["cluster/dev"]


@pytest.mark.parametrize(
    ("error", "change"), [(InvalidInput("bad"), RESIZE), (Denied("no"), RESIZE), (Conflict("taken"), KEY)]
)
async def test_other_errors_are_the_runs_own(clients: Clients, error: PlumblineError, change: Change) -> None:
    run = Run(clients, Late(AS_DECLARED if change is RESIZE else AT_WORK), error)
    if change is KEY:
        run.magnum.shown = [AS_DECLARED, AT_WORK]
    with pytest.raises(type(error)) as caught:
        await run.carry_out(change)
    assert caught.value is error


async def test_a_provider_that_gives_up_each_time_is_believed_in_the_end(clients: Clients) -> None:
    run = Run(clients, Late(AS_DECLARED), *[GaveUp("again")] * 9, plans=[(RESIZE,)] * 9)
    with pytest.raises(GaveUp, match="again"):
        await run.carry_out(RESIZE)
    assert len(run.terraform.began) == applying.ROUNDS


@pytest.mark.parametrize("status", ["UPDATE_FAILED", "ROLLBACK_COMPLETE"])
async def test_what_magnum_cannot_do_is_a_failure_with_its_cause(clients: Clients, status: str) -> None:
    failed: Shown = (cluster(status=status, status_reason="no valid host"), TWO[1])
    for shown in ((TWO, TWO, AT_WORK, failed), (failed,)):
        with pytest.raises(Failed, match="no valid host"):
            await Run(clients, Late(*shown)).carry_out(RESIZE)


async def test_quiet_waits_for_the_end_and_a_deletion_that_failed_is_one(clients: Clients) -> None:
    leaving: Shown = (cluster(status="DELETE_IN_PROGRESS"), ())
    for shown, found in (((leaving, NOTHING), None), ((AT_WORK, AS_DECLARED), AS_DECLARED[0])):
        clients.openstack.magnum = Late(*shown)  # type: ignore[assignment]
        assert await quiet("dev", clients, timeout=5) == found
    clients.openstack.magnum = Late(leaving, (cluster(status="DELETE_FAILED"), ()))  # type: ignore[assignment]
    with pytest.raises(Failed, match="deletion of cluster dev failed"):
        await quiet("dev", clients, timeout=5)


async def test_a_plan_that_met_a_cluster_half_made_is_made_again_when_magnum_is_done(clients: Clients) -> None:
    making: Shown = (cluster(status="CREATE_IN_PROGRESS"), ())
    clients.openstack.magnum = Late(NOTHING, making, making, AS_DECLARED)  # type: ignore[assignment]
    plans: list[Plan | PlumblineError] = [NotFound("A key pair None could not be found"), Plan(environment="dev")]

    async def replan() -> Plan:
        made = plans.pop(0)
        if isinstance(made, PlumblineError):
            raise made
        return made

    assert (await quietly(replan, "dev", clients, timeout=5)).empty
    assert plans == []


async def test_a_plan_that_fails_on_a_cluster_that_is_as_it_was_is_not_made_again(clients: Clients) -> None:
    clients.openstack.magnum = Late(AS_DECLARED)  # type: ignore[assignment]
    made = 0

    async def replan() -> Plan:
        nonlocal made
        made += 1
        raise Denied("no role")

    with pytest.raises(Denied, match="no role"):
        await quietly(replan, "dev", clients, timeout=5)
    assert made == 1


@pytest.mark.parametrize(
    ("changes", "observed", "left"),
    [
        ((CREATE,), {}, []),
        ((CREATE,), {"cluster": None, "template": None, "groups": ()}, ["There is no cluster dev."]),
        ((RESIZE,), {"groups": TWO[1]}, ["Cluster dev has node_count 2 instead of 3."]),
        ((RESIZE,), {"cluster": cluster(coe_version="v1.33.3")}, ["Cluster dev has kubernetes v1.33.3 instead of"]),
        ((KEY,), {"groups": TWO[1], "keypair": None}, []),
        ((GROUP,), {"groups": DEFAULTS}, ["Cluster dev has no node group build."]),
        ((GROUP,), {"groups": (*DEFAULTS, build(max_node_count=4))}, ["Node group build has max 4 instead of 5."]),
        ((RESIZE,), {"groups": DEFAULTS}, []),
        ((RESIZE,), {"cluster": cluster(flavor_id="m1.small")}, []),
        ((LEAVE,), {"groups": (*DEFAULTS, build(), group("old", 1))}, ["nodegroup/dev/old (c1/g-old) is still there."]),
        (
            (change(CLUSTER, "delete", "create", identifier="c0"),),
            {"cluster": cluster(uuid="c0")},
            ["cluster/dev (c0) is still there."],
        ),
        ((change(CLUSTER, "delete", "create", identifier="c0"),), {}, []),
    ],
)
def test_what_magnum_does_not_show_yet_of_a_plan(
    changes: tuple[Change, ...], observed: dict[str, Any], left: list[str]
) -> None:
    found = undone(WANTED, Plan(environment="dev", changes=changes), seen(**observed))
    assert [text[: len(start)] for text, start in zip(found, left, strict=False)] == left
    assert bool(found) is bool(left)


def test_of_a_destruction_only_what_is_to_go_is_asked_for() -> None:
    plan = Plan(environment="dev", changes=(DESTROY, LEAVE, KEY), destroy=True)
    assert undone(WANTED, plan, seen()) == ["cluster/dev (c1) is still there."]
    assert undone(WANTED, plan, seen(cluster=None)) == []
    assert undone(WANTED, plan, seen(cluster=NotLooked("half deleted"))) == []
