"""The check of the cluster plane: it looks twice where it has to, and every fault is a blind spot, never a verdict."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from infra.clients.errors import (
    Conflict,
    Denied,
    InvalidInput,
    Misconfigured,
    NotYet,
    PlumblineError,
    Throttled,
    Unavailable,
)
from infra.clients.openstack_session import ServiceAbsent
from infra.drift.findings import PlaneName, Severity
from infra.planes.clients import Clients
from infra.planes.cloud.check import check
from infra.planes.cloud.seen import see
from infra.planes.cloud.strays import strays
from infra.planes.cloud.terraform import CLUSTER
from infra.planes.looking import Looked, NotLooked
from infra.terraform.looking import Look
from infra.terraform.plans import Plan
from tests.unit.planes.cloud_facts import DEFAULTS, build, cluster, group, keypair, template
from tests.unit.planes.fakes import FakeDesignate, declared
from tests.unit.planes.test_cluster_judge import SHRINK, change

Answer = Any


class FakeCloud:
    """Answers by question; an answer that is an exception is raised, one that is a list is given in turn."""

    def __init__(self, **answers: Answer) -> None:
        self.answers: dict[str, Answer] = {
            "cluster": cluster(),
            "clusters": (cluster(),),
            "template": template(),
            "templates": (template(),),
            "node_groups": (*DEFAULTS, build()),
            "keypair": keypair(),
            "keypairs": (keypair(),),
            "user_id": "u1",
            "all_recordsets": (),
            **answers,
        }
        self.asked: list[str] = []
        names = ("cluster", "clusters", "template", "templates", "node_groups")
        self.magnum = SimpleNamespace(**{name: self._answers(name) for name in names})
        self.compute = SimpleNamespace(keypair=self._answers("keypair"), keypairs=self._answers("keypairs"))
        self.designate = SimpleNamespace(all_recordsets=self._answers("all_recordsets"))
        self.user_id = self._answers("user_id")

    def _answers(self, name: str) -> Callable[..., Any]:
        async def answer(*_: Any) -> Any:
            self.asked.append(name)
            found = self.answers[name]
            if isinstance(found, list):
                found = found.pop(0) if len(found) > 1 else found[0]
            if isinstance(found, BaseException):
                raise found
            return found

        return answer


class FakeReader:
    """Terraform's answers, one after the other; the last for ever."""

    def __init__(self, *answers: Look | Exception) -> None:
        self.answers = list(answers) or [Look(Plan(environment="dev"))]
        self.looks = 0

    async def plan(self) -> Look:
        self.looks += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found


async def look(clients: Clients, cloud: FakeCloud, reader: FakeReader | None = None) -> Looked:
    clients.openstack = cloud  # type: ignore[assignment]
    return await check(declared(), clients, reader=reader or FakeReader())


IN_STEP = Look(Plan(environment="dev"))
SHRINKS = Look(Plan(environment="dev", changes=(SHRINK,)))
FOUR = (DEFAULTS[0], group("default-worker", 4), build())


async def test_in_step_is_one_look(clients: Clients) -> None:
    cloud, reader = FakeCloud(), FakeReader()
    assert await look(clients, cloud, reader) == Looked()
    assert reader.looks == 1
    assert sorted(cloud.asked) == [
        "cluster", "clusters", "keypair", "node_groups", "template", "templates", "user_id",
    ]  # fmt: skip


async def test_drift_that_both_see_is_one_look(clients: Clients) -> None:
    reader = FakeReader(SHRINKS)
    looked = await look(clients, FakeCloud(node_groups=FOUR), reader)
    assert [one.place for one in looked.findings] == [("cluster/dev", "node_count")]
    assert reader.looks == 1


async def test_a_disagreement_that_passes_is_none(clients: Clients) -> None:
    reader = FakeReader(SHRINKS, IN_STEP)
    assert await look(clients, FakeCloud(), reader) == Looked()
    assert reader.looks == 2


async def test_a_disagreement_that_stays_names_both(clients: Clients) -> None:
    (finding,) = (await look(clients, FakeCloud(node_groups=FOUR))).findings
    assert finding.sentence.endswith("says Magnum; Terraform sees no difference here.")


async def test_a_cluster_that_was_only_not_shown_yet_is_not_gone(clients: Clients) -> None:
    cloud = FakeCloud(cluster=[None, cluster()], clusters=[(), (cluster(),)])
    assert await look(clients, cloud) == Looked()


async def test_a_cluster_that_magnum_lists_and_does_not_show_is_unknown(clients: Clients) -> None:
    cloud = FakeCloud(cluster=None, clusters=(cluster(status="DELETE_IN_PROGRESS"),))
    looked = await look(clients, cloud)
    assert looked.findings == ()
    (spot,) = looked.blind_spots
    assert (spot.what, spot.category) == ("cluster/dev", "NotYet")
    assert (
        spot.why == "Magnum lists cluster dev (DELETE_IN_PROGRESS), but does not show it: it is being made or deleted."
    )


async def test_a_cluster_whose_delete_is_complete_is_gone(clients: Clients) -> None:
    cloud = FakeCloud(cluster=cluster(status="DELETE_COMPLETE"))
    gone = Look(Plan(environment="dev", changes=(change(CLUSTER, "create"),), drift=(change(CLUSTER, "delete"),)))
    (finding,) = (await look(clients, cloud, FakeReader(gone))).findings
    assert (finding.sentence, finding.severity) == ("There is no cluster dev.", Severity.DESTRUCTIVE)


ERRORS: tuple[PlumblineError | Exception, ...] = (
    Unavailable("Magnum answered 500."),
    Throttled("Magnum answered 429."),
    Denied("Magnum answered 403."),
    NotYet("Magnum is changing it."),
    Conflict("Two clusters are called dev."),
    InvalidInput("Odd."),
    ServiceAbsent("The cloud has no Magnum."),
    Misconfigured("clouds.yaml cannot be read."),
    KeyError("a field nobody foresaw"),
    TimeoutError(),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("part", ["cluster", "clusters", "template", "templates", "node_groups", "keypair"])
async def test_each_fault_of_each_read_is_a_blind_spot(clients: Clients, part: str, error: Exception) -> None:
    looked = await look(clients, FakeCloud(**{part: error}))
    assert looked.findings == ()
    (spot,) = looked.blind_spots
    assert spot.plane is PlaneName.CLUSTER and spot.why and spot.category


@pytest.mark.parametrize("part", ["clusters", "template", "templates", "keypair"])
async def test_a_fault_hides_no_drift_elsewhere(clients: Clients, part: str) -> None:
    cloud = FakeCloud(node_groups=FOUR, **{part: Unavailable("No.")})
    looked = await look(clients, cloud, FakeReader(SHRINKS))
    assert [one.path for one in looked.findings] == ["node_count"]
    assert len(looked.blind_spots) == 1


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_terraform_that_cannot_look_is_a_blind_spot(clients: Clients, error: Exception) -> None:
    looked = await look(clients, FakeCloud(), FakeReader(error))
    assert looked.findings == ()
    (spot,) = looked.blind_spots
    assert spot.what == "what Terraform sees"


async def test_a_keypair_is_only_missed_by_the_account_that_owns_it() -> None:
    def keypair_of(account: Any) -> FakeCloud:
        return FakeCloud(keypair=None, user_id=account)

    own: Any = keypair_of("u1")
    assert (await see("dev", own)).keypair is None
    for account in ("u2", Unavailable("Keystone answered 500.")):
        other: Any = keypair_of(account)
        unknown = (await see("dev", other)).keypair
        assert isinstance(unknown, NotLooked) and unknown.category == "Denied"


async def test_strays_carry_a_mark_that_nobody_declares() -> None:
    zone = FakeDesignate()
    mark = "Managed by Plumbline for environment {}."
    records = (
        zone.put("*.old.sandbox.example.", "192.0.2.1", description=mark.format("old")),
        zone.put("*.dev.sandbox.example.", "192.0.2.1", description=mark.format("dev")),
        zone.put("www.sandbox.example.", "192.0.2.1", description="of the old team"),
    )
    old = {"labels": {"plumbline_environment": "old"}}
    here = cluster(uuid="c9", name="old", created_at="2026-01-01T00:00:00Z", **old)
    cloud: Any = FakeCloud(
        clusters=(cluster(), cluster(uuid="c8", name="theirs", labels={}), here),
        cluster=here,
        templates=(template(), template(uuid="t9", name="old-1", **old)),
        keypairs=(keypair(), keypair(name="plumbline-old"), keypair(name="private")),
        all_recordsets=records,
    )
    looked = await strays(["dev"], cloud)
    assert [(one.plane, one.address, one.severity) for one in looked.findings] == [
        (PlaneName.CLUSTER, "cluster/old", Severity.SECURITY),
        (PlaneName.CLUSTER, "keypair/plumbline-old", Severity.SECURITY),
        (PlaneName.DNS, "recordset/*.old.sandbox.example.", Severity.SECURITY),
        (PlaneName.CLUSTER, "template/old-1", Severity.COSMETIC),
    ]
    assert looked.findings[0].sentence == "cluster/old carries the mark of environment old, which git does not declare."
    assert str(looked.findings[0].changed) == "user u1 at 2026-01-01 00:00:00 UTC (creation)"
    assert (await strays(["dev", "old"], cloud)).findings == ()


async def test_where_strays_could_not_be_looked_for_is_said() -> None:
    cloud: Any = FakeCloud(all_recordsets=ServiceAbsent("The cloud has no Designate."), keypairs=Denied("No."))
    looked = await strays(["dev"], cloud)
    assert looked.findings == ()
    (spot,) = looked.blind_spots  # a cloud without Designate has no recordsets
    assert (spot.plane, spot.category) == (PlaneName.CLUSTER, "Denied")
    assert spot.what == "keypairs of environments nobody declared"
