"""The cluster plane: what is taken back, what is refused, and that the second run changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, Failed, InvalidInput, NotYet, PlumblineError, Refused
from infra.clients.openstack_models import Cluster
from infra.drift.findings import PlaneName
from infra.planes import cluster
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from infra.planes.cloud.judge import judge
from infra.terraform.looking import Look
from infra.terraform.plans import Change, Difference, Plan
from infra.terraform.policy import guard
from tests.unit.planes import cloud_facts
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import FakeJournal, FakeMagnum, declared, make_clients

KEYPAIR = Change(address="openstack_compute_keypair_v2.this", type=cluster.KEYPAIR, name="this", actions=("create",))
TEMPLATE = Change(
    address='openstack_containerinfra_clustertemplate_v1.this["t1"]',
    type=cluster.TEMPLATE,
    name="this",
    key="t1",
    actions=("create",),
)
CLUSTER = Change(
    address="openstack_containerinfra_cluster_v1.this", type=cluster.CLUSTER, name="this", actions=("create",)
)
GROUP = Change(
    address='openstack_containerinfra_nodegroup_v1.this["build"]',
    type=cluster.NODE_GROUP,
    name="this",
    key="build",
    actions=("create",),
)
EVERYTHING = (KEYPAIR, TEMPLATE, CLUSTER, GROUP)
NAMES = ("keypair/plumbline-dev", "template/t1", "cluster/dev", "nodegroup/dev/build")
"""How checks, reports and waivers name EVERYTHING."""
WANTED = cluster.desired(declared())


def magnum_cluster(status: str = "CREATE_COMPLETE", **changes: Any) -> Cluster:
    fields = {"uuid": "c1", "name": "dev", "status": status, "labels": {"plumbline_environment": "dev"}}
    return Cluster.model_validate({**fields, **changes})


class FakeTerraform:
    """Knows what it would change; what is adopted or applied is no change any more, and shows in Magnum.

    The guard is Terraform's own, for it is what the plane agrees with. A plan that is confined to some objects has
    those they need, too: everything needs the keypair, and node groups the cluster.
    """

    def __init__(self, magnum: FakeMagnum, *changes: Change, outputs: bool = False) -> None:
        self._magnum = magnum
        self.changes = changes
        self.outputs_changed = outputs
        self.calls: list[str] = []
        self.adopted: dict[str, str] = {}
        self.allowed: Collection[str] = ()
        self.fails: Exception | None = None

    async def plan(self, *, destroy: bool = False, targets: Collection[str] = ()) -> Plan:
        self.calls.append("plan destroy" if destroy else "plan some" if targets else "plan")
        changes = self.changes
        if targets:
            needed = {KEYPAIR.address, *targets, *([CLUSTER.address] if GROUP.address in targets else [])}
            changes = tuple(one for one in changes if one.address in needed)
        if destroy:
            changes = tuple(one.model_copy(update={"actions": ("delete",)}) for one in self.known())
        return Plan(environment="dev", changes=changes, outputs_changed=self.outputs_changed, destroy=destroy)

    def known(self) -> tuple[Change, ...]:
        return tuple(one for one in EVERYTHING if one.address in self.adopted)

    async def discard(self, _plan: Plan) -> None:
        self.calls.append("discard")

    async def adopt(self, found: Mapping[str, str]) -> None:
        self.calls.append("adopt")
        self.adopted |= found
        self.changes = tuple(one for one in self.changes if one.address not in found)

    async def apply(self, plan: Plan, *, allow: Collection[str] = (), begun: dict[str, str]) -> None:
        begun.update({change.address: change.actions[-1] for change in plan.changes})
        self.allowed = allow
        guard(plan, allow=allow)
        self.calls.append("apply")
        if self.fails:
            raise self.fails
        self.carry_out(plan)
        done = {one.address for one in plan.changes}
        self.changes, self.outputs_changed = tuple(one for one in self.changes if one.address not in done), False

    def carry_out(self, plan: Plan) -> None:
        """Have it in Magnum at once."""
        for one in plan.changes:
            if one.type == cluster.CLUSTER:
                self._magnum.found = None if one.verb == "delete" else magnum_cluster()
                self._magnum.groups |= {group.name: group for group in cloud_facts.DEFAULTS}
            elif one.type == cluster.NODE_GROUP and one.verb == "delete":
                del self._magnum.groups[str(one.key)]
            elif one.type == cluster.NODE_GROUP:
                self._magnum.groups[str(one.key)] = cloud_facts.build()

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if call in ("apply", "adopt")]


def prepared(clients: Clients, *changes: Change, outputs: bool = False) -> FakeTerraform:
    terraform = FakeTerraform(magnum(clients), *changes, outputs=outputs)
    clients._terraform = terraform  # type: ignore[assignment]
    keypairs: set[str] = set()

    async def keypair(name: str) -> object | None:
        return object() if name in keypairs else None

    clients.openstack.compute = SimpleNamespace(keypair=keypair, there=keypairs)  # type: ignore[assignment]
    return terraform


def magnum(clients: Clients) -> FakeMagnum:
    found: Any = clients.openstack.magnum
    return found  # type: ignore[no-any-return]


async def step(clients: Clients) -> Any:
    return await bring_into_step(cluster, WANTED, clients, name=PlaneName.CLUSTER, step="cluster")


async def test_a_cluster_is_made_and_the_second_run_changes_nothing(clients: Clients, journal: FakeJournal) -> None:
    terraform = prepared(clients, *EVERYTHING)
    first = await step(clients)
    assert first.made == NAMES
    assert terraform.writes == ["apply"]
    assert journal.actions == ["terraform apply dev"]
    second = await step(clients)
    assert (second.made, second.sentence) == ((), "in step")
    assert terraform.writes == ["apply"]
    assert len(journal.began) == 1


async def test_what_a_killed_run_made_is_taken_back_instead_of_made_twice(
    clients: Clients, journal: FakeJournal
) -> None:
    terraform = prepared(clients, *EVERYTHING)
    clients.openstack.compute.there.add("plumbline-dev")  # type: ignore[attr-defined]
    magnum(clients).templates_["t1"] = SimpleNamespace(uuid="t-uuid", labels={"plumbline_environment": "dev"})
    magnum(clients).found = magnum_cluster()
    magnum(clients).groups["build"] = cloud_facts.build(uuid="g1")
    await step(clients)
    assert terraform.adopted == {
        KEYPAIR.address: "plumbline-dev",
        TEMPLATE.address: "t-uuid",
        CLUSTER.address: "c1",
        GROUP.address: "c1/g1",
    }
    assert "apply" not in terraform.calls
    assert journal.actions == [f"adopt {', '.join(NAMES)}"]


async def test_a_cluster_half_made_is_waited_for_before_it_is_taken_back(clients: Clients) -> None:
    terraform = prepared(clients, CLUSTER)
    magnum(clients).found = magnum_cluster("CREATE_IN_PROGRESS")
    magnum(clients).settled = magnum_cluster
    await step(clients)
    assert magnum(clients).waited == 1
    assert terraform.adopted == {CLUSTER.address: "c1"}


async def test_a_cluster_that_failed_is_not_taken_back_but_its_template_is(clients: Clients) -> None:
    terraform = prepared(clients, *EVERYTHING)
    magnum(clients).templates_["t1"] = SimpleNamespace(uuid="t-uuid", labels={"plumbline_environment": "dev"})
    magnum(clients).found = magnum_cluster("CREATE_IN_PROGRESS")

    magnum(clients).settled = lambda: magnum_cluster("CREATE_FAILED")
    await step(clients)
    assert terraform.adopted == {TEMPLATE.address: "t-uuid"}


async def test_a_doubted_cluster_that_works_is_trusted_again(clients: Clients) -> None:
    tainted = CLUSTER.model_copy(update={"actions": ("delete", "create"), "reason": "replace_because_tainted"})
    terraform = prepared(clients, tainted)
    magnum(clients).found = magnum_cluster()
    await step(clients)
    assert terraform.adopted == {CLUSTER.address: "c1"}
    assert "apply" not in terraform.calls


async def test_strangers_are_left_alone(clients: Clients) -> None:
    terraform = prepared(clients, CLUSTER)
    magnum(clients).found = magnum_cluster(labels={})
    with pytest.raises(InvalidInput, match="a cluster dev in the project that Plumbline did not make"):
        await step(clients)
    with pytest.raises(InvalidInput, match="did not make"):
        await cluster.remove(declared(), clients)
    assert terraform.writes == []
    prepared(clients, TEMPLATE)
    magnum(clients).templates_["t1"] = SimpleNamespace(uuid="t", labels={"plumbline_environment": "other"})
    terraform = prepared(clients, TEMPLATE)
    await step(clients)
    assert terraform.adopted == {}


REPLACED = CLUSTER.model_copy(
    update={
        "actions": ("delete", "create"),
        "replace_paths": ("labels",),
        "differences": (Difference(path="labels", before="a", after="b"),),
    }
)


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_FAILED", "UPDATE_IN_PROGRESS"])
async def test_a_cluster_that_has_lived_is_never_replaced_unasked(clients: Clients, status: str) -> None:
    terraform = prepared(clients, REPLACED, GROUP.model_copy(update={"actions": ("delete", "create")}))
    magnum(clients).found, magnum(clients).settled = magnum_cluster(status), magnum_cluster
    with pytest.raises(Refused, match="would replace the cluster"):
        await step(clients)
    assert terraform.allowed == frozenset()
    assert terraform.writes == []


async def test_a_cluster_whose_creation_failed_is_made_anew(clients: Clients) -> None:
    tainted = REPLACED.model_copy(update={"reason": "replace_because_tainted", "replace_paths": ()})
    terraform = prepared(clients, tainted, GROUP)
    magnum(clients).found = magnum_cluster("CREATE_FAILED")
    await step(clients)
    assert terraform.allowed == {CLUSTER.address, GROUP.address}
    assert terraform.writes == ["apply"]


async def test_magnums_cause_stands_in_the_failure(clients: Clients, journal: FakeJournal) -> None:
    terraform = prepared(clients, CLUSTER)

    def fails(_: Plan) -> None:
        magnum(clients).found = magnum_cluster("CREATE_FAILED", status_reason="no quota")
        raise Failed("Terraform could not apply.", detail="ERROR")

    terraform.carry_out = fails  # type: ignore[method-assign]
    with pytest.raises(Failed, match="Cluster dev is CREATE_FAILED: no quota") as caught:
        await step(clients)
    assert "made anew" in (caught.value.hint or "")
    assert journal.ended == ["Failed"]


async def test_a_failure_without_a_failed_cluster_is_terraforms_own(clients: Clients) -> None:
    terraform = prepared(clients, KEYPAIR)
    terraform.fails = Failed("Terraform could not apply.")
    with pytest.raises(Failed, match=r"^Terraform could not apply\.$"):
        await step(clients)


async def test_an_output_that_is_not_noted_is_noted(clients: Clients) -> None:
    terraform = prepared(clients, outputs=True)
    observed = await cluster.observe(WANTED, clients)
    (finding,) = cluster.compare(WANTED, observed)
    assert (finding.address, finding.sentence) == (
        "outputs/dev",
        "Terraform's state does not have all outputs as they are now.",
    )
    assert (await step(clients)).made == ("outputs/dev",)
    assert terraform.writes == ["apply"]


def test_a_finding_names_the_arguments() -> None:
    change = CLUSTER.model_copy(
        update={"actions": ("update",), "differences": (Difference(path="node_count", before=1, after=3),)}
    )
    (finding,) = cluster.compare(WANTED, cluster.Observed(Plan(environment="dev", changes=(change,))))
    assert finding.place == ("cluster/dev", "node_count")
    assert finding.sentence == "Terraform would change node_count of cluster/dev (from 1 to 3)."


def resized(count: int) -> Change:
    """What Terraform would undo once somebody has resized the cluster."""
    different = Difference(path="node_count", before=count, after=3)
    return CLUSTER.model_copy(update={"actions": ("update",), "differences": (different,)})


def living_with(folder: Path, *places: tuple[str, str]) -> Clients:
    """Clients of an environment that waives these places."""
    about = {"owner": "platform-team", "reason": "Until the load test is over.", "expires": "2999-12-31"}
    waivers = [{"address": address, **({"path": path} if path else {}), **about} for address, path in places]
    return make_clients(folder, declared(policy={"drift": {"every": "15m", "waivers": waivers}}))


def checked(*changes: Change) -> list[tuple[str, str]]:
    """The places a check's report names, where somebody has resized the cluster and deleted the keypair."""
    seen = cloud_facts.seen(
        groups=(cloud_facts.DEFAULTS[0], cloud_facts.group("default-worker", 4), cloud_facts.build()), keypair=None
    )
    report = judge(cloud_facts.WANTED, seen, Look(Plan(environment="dev", changes=changes)))
    return [one.place for one in report.looked.findings]


async def test_what_is_waived_from_a_checks_report_is_not_touched(tmp_path: Path) -> None:
    resize = resized(4)
    assert checked(resize, KEYPAIR) == [("cluster/dev", "node_count"), ("keypair/plumbline-dev", "")]
    clients = living_with(tmp_path, checked(resize, KEYPAIR)[0])
    terraform = prepared(clients, resize, KEYPAIR)
    assert (await step(clients)).made == ("keypair/plumbline-dev",)
    assert terraform.changes == (resize,), "the cluster keeps its nodes"
    assert terraform.calls == ["plan", "discard", "plan some", "apply", "plan"]
    assert (await step(clients)).sentence == "in step"
    assert terraform.writes == ["apply"]


@pytest.mark.parametrize(
    "other",
    [
        resized(4).model_copy(
            update={"differences": (*resized(4).differences, Difference(path="master_count", before=1, after=3))}
        ),
        GROUP,
    ],
    ids=["another field of the same object", "an object that needs it"],
)
async def test_what_cannot_be_changed_without_what_is_waived_is_refused(tmp_path: Path, other: Change) -> None:
    clients = living_with(tmp_path, ("cluster/dev", "node_count"))
    terraform = prepared(clients, *([resized(4)] if other is GROUP else []), other)
    with pytest.raises(Refused, match=r"without cluster/dev \(node_count\), which is waived") as caught:
        await step(clients)
    assert "Take the waiver out" in (caught.value.hint or "")
    assert terraform.writes == [] and terraform.calls[-1] == "discard"


async def test_a_waiver_holds_also_for_what_had_to_be_taken_back_first(tmp_path: Path) -> None:
    clients = living_with(tmp_path, ("nodegroup/dev/build", "node_count"))
    terraform = prepared(clients, GROUP)
    magnum(clients).found, magnum(clients).groups["build"] = magnum_cluster(), cloud_facts.build(uuid="g1")
    different = Difference(path="node_count", before=2, after=1)

    async def adopt(found: Mapping[str, str]) -> None:
        terraform.changes = (GROUP.model_copy(update={"actions": ("update",), "differences": (different,)}),)

    terraform.adopt = adopt  # type: ignore[method-assign]
    await step(clients)
    assert terraform.writes == []


async def test_how_many_nodes_an_autoscaler_has_chosen_is_not_undone(tmp_path: Path) -> None:
    environment = declared()
    document = environment.document()
    document["spec"]["cluster"]["labels"] |= {"auto_scaling_enabled": "true", "max_node_count": "5"}
    wanted = cluster.desired(type(environment).model_validate(document))
    clients = make_clients(tmp_path)
    terraform = prepared(clients, resized(5))
    outcome = await bring_into_step(cluster, wanted, clients, name=PlaneName.CLUSTER, step="cluster")
    assert (outcome.sentence, terraform.writes) == ("in step", [])
    beyond = cluster.Observed(Plan(environment="dev", changes=(resized(6),)))
    assert [one.place for one in cluster.compare(wanted, beyond)] == [("cluster/dev", "node_count")]


async def test_destroying_takes_back_first_what_the_state_has_lost(clients: Clients, journal: FakeJournal) -> None:
    terraform = prepared(clients, *EVERYTHING)
    magnum(clients).found = magnum_cluster("CREATE_IN_PROGRESS")
    magnum(clients).settled = magnum_cluster
    gone = await cluster.remove(declared(), clients)
    assert magnum(clients).waited == 1
    assert gone == ["cluster/dev"]
    assert terraform.calls == ["plan", "discard", "adopt", "plan destroy", "apply"]
    assert journal.actions == ["terraform destroy dev"]


async def test_destroying_nothing_writes_nothing(clients: Clients, journal: FakeJournal) -> None:
    terraform = prepared(clients, *EVERYTHING)
    assert await cluster.remove(declared(), clients) == []
    assert terraform.calls == ["plan", "discard", "plan destroy", "discard"]
    assert journal.began == []


def node(name: str, ready: str | None) -> dict[str, Any]:
    conditions = [{"type": "MemoryPressure", "status": "False"}]
    if ready:
        conditions.append({"type": "Ready", "status": ready})
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(("ready", "is_ready"), [("True", True), ("False", False), ("Unknown", False), (None, False)])
def test_a_node_is_ready_only_when_it_says_so(ready: str | None, is_ready: bool) -> None:
    assert cluster.is_ready(node("n", ready)) is is_ready
    assert cluster.is_ready({}) is False


async def test_every_node_that_magnum_counts_has_to_be_ready(clients: Clients, kubernetes: Answering) -> None:
    for name, count in (("default-master", 1), ("default-worker", 1), ("build", 1)):
        magnum(clients).groups[name] = SimpleNamespace(node_count=count)
    two = [node("n0", "True"), node("n1", "True")]
    late, ready = {"items": [*two, node("n2", "False")]}, {"items": [*two, node("n2", "True")]}
    kubernetes.answer(kubernetes.listing("Node"), late, late, ready)
    kubernetes.answer("GET /version", {"gitVersion": "v1.33.4"})
    assert await cluster.probe(declared(), clients) == "3 nodes are Ready, Kubernetes v1.33.4"
    assert kubernetes.listed() == ["nodes"] * 3


async def test_nodes_that_do_not_come_are_counted_in_the_error(tmp_path: Path, clients: Clients) -> None:
    clients.settings = clients.settings.model_copy(update={"cluster_timeout": 0.0001})
    magnum(clients).groups["default-worker"] = SimpleNamespace(node_count=3)
    with pytest.raises(DeadlineExceeded, match="0 of 3 nodes are Ready"):
        await cluster.probe(declared(), clients)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        ("DELETE_IN_PROGRESS", NotYet, "Cluster dev is being deleted."),
        ("DELETE_FAILED", Failed, r"The deletion of cluster dev failed \(DELETE_FAILED\): a port is left\."),
    ],
)
async def test_no_node_is_waited_for_of_a_cluster_half_deleted(
    clients: Clients, status: str, kind: type[PlumblineError], said: str
) -> None:
    magnum(clients).found = magnum_cluster(status, status_reason="a port is left")
    with pytest.raises(kind, match=said) as caught:
        await cluster.probe(declared(), clients)
    assert "made anew" in (caught.value.hint or "")


async def test_the_end_of_a_cluster_that_is_being_deleted_is_waited_for_and_then_it_is_made_anew(
    clients: Clients,
) -> None:
    terraform = prepared(clients)
    magnum(clients).found = magnum_cluster("DELETE_IN_PROGRESS")

    def gone() -> None:
        # Only now does Terraform's refresh see that there is none.
        terraform.calls.append("gone")
        terraform.changes = (CLUSTER,)

    magnum(clients).settled = gone
    await step(clients)
    assert terraform.calls[:2] == ["gone", "plan"]
    assert terraform.writes == ["apply"]


async def test_a_cluster_that_magnum_could_not_delete_ends_the_wait(clients: Clients) -> None:
    terraform = prepared(clients)
    magnum(clients).found = magnum_cluster("DELETE_IN_PROGRESS")
    magnum(clients).settled = lambda: magnum_cluster("DELETE_FAILED")
    with pytest.raises(Failed, match=r"The deletion of cluster dev failed \(DELETE_FAILED\)"):
        await cluster.observe(WANTED, clients)
    assert terraform.calls == []
