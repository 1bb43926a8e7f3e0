"""Two looks brought together: what both see, what one sees, and what is not believed."""

from __future__ import annotations

from typing import Any

import pytest

from infra.drift.findings import Severity
from infra.planes.cloud.judge import judge
from infra.planes.cloud.terraform import CLUSTER, KEYPAIR, NODE_GROUP, TEMPLATE, terraform_findings
from infra.planes.looking import Looked, NotLooked
from infra.terraform.looking import Look
from infra.terraform.plans import SENSITIVE, UNKNOWN, Change, Difference, Plan
from infra.terraform.statecopy import Holder
from tests.unit.planes.cloud_facts import DEFAULTS, NAME, WANTED, build, cluster, group, seen, template

KEYS = {CLUSTER: None, NODE_GROUP: "build", TEMPLATE: NAME, KEYPAIR: None}
HOLDER = Holder("ops@host", "2026-11-25T10:00:00Z", "OperationTypeApply")


def change(kind: str, *actions: str, key: str | None = None, **more: Any) -> Change:
    index = key or KEYS[kind]
    address = f"{kind}.x" + (f'["{index}"]' if index else "")
    return Change(address=address, type=kind, name="x", key=index, actions=actions, **more)


def update(kind: str, *differences: tuple[str, Any, Any], key: str | None = None) -> Change:
    found = tuple(Difference(path=path, before=before, after=after) for path, before, after in differences)
    return change(kind, "update", key=key, differences=found)


def look(*changes: Change, drift: tuple[Change, ...] = (), outputs: bool = False, **more: Any) -> Look:
    plan = Plan(environment="dev", changes=changes, drift=drift, outputs_changed=outputs)
    return Look(plan, **more)


RESIZED = seen(groups=(DEFAULTS[0], group("default-worker", 4), build()))
SHRINK = update(CLUSTER, ("node_count", 4, 3), ("updated_at", "then", UNKNOWN), ("api_address", "a", UNKNOWN))


def test_nothing_and_nothing_is_in_step() -> None:
    judged = judge(WANTED, seen(), look())
    assert (judged.looked, judged.doubted, judged.gone) == (Looked(), frozenset(), frozenset())


def test_what_both_see_is_one_finding() -> None:
    judged = judge(WANTED, RESIZED, look(SHRINK))
    (finding,) = judged.looked.findings
    assert finding.place == ("cluster/dev", "node_count")
    assert finding.sentence == "Cluster dev has node_count 4 instead of 3."
    assert judged.doubted == frozenset()


def test_what_terraform_does_not_see_is_said_once_it_is_doubted_twice() -> None:
    first = judge(WANTED, RESIZED, look())
    assert first.doubted == {("cluster/dev", "node_count")}
    assert "Terraform" not in first.looked.findings[0].sentence
    second = judge(WANTED, RESIZED, look(), doubted=first.doubted)
    assert second.looked.findings[0].sentence == (
        "Cluster dev has node_count 4 instead of 3, says Magnum; Terraform sees no difference here."
    )


def test_what_magnum_does_not_see_is_said_once_it_is_doubted_twice() -> None:
    first = judge(WANTED, seen(), look(SHRINK))
    second = judge(WANTED, seen(), look(SHRINK), doubted=first.doubted)
    assert second.looked.findings[0].sentence == (
        "Terraform would change node_count of cluster/dev (from 4 to 3); Magnum says that it is as declared."
    )
    key = change(KEYPAIR, "delete", "create", replace_paths=("public_key",), differences=(_public_key(),))
    doubted = judge(WANTED, seen(), look(key)).doubted
    assert "; Nova says" in judge(WANTED, seen(), look(key), doubted=doubted).looked.findings[0].sentence


def _public_key() -> Difference:
    return Difference(path="public_key", before="a", after="b")


@pytest.mark.parametrize(
    "observed",
    [
        {"cluster": cluster(coe_version="v1.33.3")},
        {"groups": (*DEFAULTS, build(), group("mine", 1))},
        {"cluster": cluster(labels={"plumbline_environment": "dev"})},
    ],
)
def test_what_terraform_never_judges_is_no_disagreement(observed: dict[str, Any]) -> None:
    judged = judge(WANTED, seen(**observed), look())
    assert len(judged.looked.findings) == 1
    assert judged.doubted == frozenset()


def test_a_lost_state_is_one_finding_about_everything_that_is_there() -> None:
    changes = (change(kind, "create") for kind in KEYS)
    judged = judge(WANTED, seen(), look(*changes, state_empty=True))
    (finding,) = judged.looked.findings
    assert finding.address == "terraform-state/dev"
    assert finding.sentence == (
        f"Terraform's state does not know cluster/dev, keypair/plumbline-dev, nodegroup/dev/build, template/{NAME}: "
        "run create-environment, which adopts it."
    )


def test_a_cluster_that_is_gone_is_one_finding_with_its_groups() -> None:
    gone = seen(cluster=None, template=None, groups=())
    known = (change(CLUSTER, "delete"), change(NODE_GROUP, "delete"))
    judged = judge(WANTED, gone, look(change(CLUSTER, "create"), change(NODE_GROUP, "create"), drift=known))
    (finding,) = judged.looked.findings
    assert (finding.sentence, finding.severity) == ("There is no cluster dev.", Severity.DESTRUCTIVE)
    assert judged.gone == {("cluster/dev", "")}


def test_what_was_never_made_is_no_loss() -> None:
    fresh = seen(groups=DEFAULTS)
    (new,) = judge(WANTED, fresh, look(change(NODE_GROUP, "create"))).looked.findings
    assert (new.severity, new.sentence) == (
        Severity.CONFIG,
        "Cluster dev has no node group build: it has not been made yet.",
    )
    making = judge(WANTED, fresh, look(change(NODE_GROUP, "create"), state_empty=True, holder=HOLDER)).looked
    assert [one.severity for one in making.findings] == [Severity.CONFIG]
    known = (change(NODE_GROUP, "delete"),)
    (lost,) = judge(WANTED, fresh, look(change(NODE_GROUP, "create"), drift=known)).looked.findings
    assert lost.severity is Severity.DESTRUCTIVE


AT_WORK = cluster(status="UPDATE_IN_PROGRESS")


@pytest.mark.parametrize("there", [AT_WORK, NotLooked("Magnum answered 500.", "Unavailable")])
def test_terraform_alone_is_not_believed_of_a_cluster_at_work_or_unread(there: Any) -> None:
    judged = judge(WANTED, seen(cluster=there), look(SHRINK, change(NODE_GROUP, "create")))
    assert judged.looked.findings == ()
    assert len(judged.looked.blind_spots) == 1


def test_a_keypair_of_another_account_is_not_missed() -> None:
    blind = NotLooked("Nova shows keypairs only to their owner.", "Denied")
    judged = judge(WANTED, seen(keypair=blind), look(change(KEYPAIR, "create")))
    assert judged.looked.findings == ()


def test_a_run_at_work_is_noted_and_what_terraform_alone_sees_is_half_done() -> None:
    idle = judge(WANTED, seen(), look(holder=HOLDER)).looked
    note = "A run is at work on the Terraform state of dev, ops@host (apply), since 2026-11-25T10:00:00Z."
    assert idle == Looked(notes=(note,))
    state = tuple(change(kind, "create") for kind in KEYS)
    busy = judge(WANTED, seen(), look(*state, holder=HOLDER))
    assert busy.looked.findings == () and busy.doubted == frozenset()
    (spot,) = busy.looked.blind_spots
    assert spot.why == f"{note} What Terraform would change is half done."
    both = judge(WANTED, RESIZED, look(SHRINK, holder=HOLDER)).looked
    assert [one.path for one in both.findings] == ["node_count"] and both.blind_spots == ()


def test_without_terraform_the_other_look_stands() -> None:
    judged = judge(WANTED, RESIZED, NotLooked("No terraform.", "Misconfigured"))
    assert [one.path for one in judged.looked.findings] == ["node_count"]
    assert [(spot.what, spot.category) for spot in judged.looked.blind_spots] == [
        ("what Terraform sees", "Misconfigured")
    ]


def test_a_state_in_a_file_is_noted() -> None:
    (note,) = judge(WANTED, seen(), look(unwritten=True)).looked.notes
    assert "the next run writes it" in note


def test_what_an_autoscaler_does_terraform_would_undo_and_is_no_finding() -> None:
    wanted = WANTED.model_copy(update={"labels": {"auto_scaling_enabled": "true"}})
    plan = look(update(NODE_GROUP, ("node_count", 3, 1)), update(CLUSTER, ("node_count", 9, 3)))
    found = {one.address for one in judge(wanted, seen(), plan).looked.findings if one.path == "node_count"}
    assert found == set()
    outside = look(update(NODE_GROUP, ("node_count", 7, 1)))
    assert any(one.path == "node_count" for one in judge(wanted, seen(), outside).looked.findings)


def test_an_old_template_in_use_is_not_a_finding_of_its_own() -> None:
    old = template(uuid="t0", name="dev-old")
    upgraded = seen(cluster=cluster(cluster_template_id="t0"), template=old, templates=(old,))
    plan = look(
        change(TEMPLATE, "create"),
        change(TEMPLATE, "delete", key="dev-old", identifier="t0"),
        update(CLUSTER, ("cluster_template_id", "t0", UNKNOWN)),
    )
    found = judge(WANTED, upgraded, plan).looked.findings
    assert [one.place for one in found] == [("cluster/dev", "template"), (f"template/{NAME}", "")]
    retired = judge(WANTED, seen(templates=(template(), old)), look(change(TEMPLATE, "delete", key="dev-old")))
    assert [(one.address, one.severity) for one in retired.looked.findings] == [("template/dev-old", Severity.COSMETIC)]


def test_terraforms_findings_quote_no_secret_and_name_what_forces_a_replacement() -> None:
    forced = change(
        CLUSTER,
        "delete",
        "create",
        replace_paths=("flavor",),
        differences=(
            Difference(path="flavor", before="m1.large", after="m1.xlarge"),
            Difference(path="kubeconfig", before=SENSITIVE, after=SENSITIVE),
        ),
    )
    (finding,) = terraform_findings(Plan(environment="dev", changes=(forced,)))
    assert (finding.path, finding.severity) == ("flavor", Severity.DESTRUCTIVE)
    assert finding.sentence == (
        "Terraform would replace cluster/dev, for its flavor cannot change in place (from m1.large to m1.xlarge)."
    )
    secret = update(CLUSTER, ("kubeconfig", SENSITIVE, SENSITIVE))
    (finding,) = terraform_findings(Plan(environment="dev", changes=(secret,)))
    assert finding.sentence == "Terraform would change kubeconfig of cluster/dev."


TAINTED = change(CLUSTER, "delete", "create", reason="replace_because_tainted", identifier="c1")
DOUBTED_GROUP = change(NODE_GROUP, "delete", "create", reason="replace_because_tainted", identifier="c1/g-build")


def test_what_terraform_doubts_and_magnum_has_finished_is_trusted_again_and_no_loss() -> None:
    judged = judge(WANTED, seen(), look(TAINTED, DOUBTED_GROUP))
    assert [(one.address, one.severity) for one in judged.looked.findings] == [
        ("cluster/dev", Severity.CONFIG),
        ("nodegroup/dev/build", Severity.CONFIG),
    ]
    assert judged.looked.findings[0].sentence == (
        "Terraform doubts cluster/dev, since its provider gave up before Magnum was done; Magnum shows it complete "
        "(CREATE_COMPLETE): create-environment trusts it again."
    )
    assert judged.doubted == frozenset()


def test_what_terraform_doubts_of_a_cluster_at_work_is_not_believed() -> None:
    (spot,) = judge(WANTED, seen(cluster=AT_WORK), look(TAINTED, DOUBTED_GROUP)).looked.blind_spots
    assert "is being resized since" in spot.why


@pytest.mark.parametrize(
    "there", [{"cluster": cluster(status="CREATE_FAILED")}, {"groups": (*DEFAULTS, build(status="CREATE_FAILED"))}]
)
def test_what_failed_is_doubted_for_good(there: dict[str, Any]) -> None:
    doubts = TAINTED if "cluster" in there else DOUBTED_GROUP
    findings = judge(WANTED, seen(**there), look(doubts)).looked.findings
    (doubted,) = (one for one in findings if not one.path)
    assert doubted.severity is Severity.DESTRUCTIVE
    assert doubted.sentence.endswith("did not finish: create-environment trusts it again where it works.")


def test_what_was_asked_for_and_does_not_show_yet_was_never_there_to_lose() -> None:
    """The state doubts a cluster that Magnum has accepted and not written: Terraform's refresh takes it for deleted."""
    unwritten = seen(cluster=None, template=None, groups=())
    known = (change(CLUSTER, "delete"),)
    tainted = frozenset({known[0].address})
    (finding,) = judge(WANTED, unwritten, look(change(CLUSTER, "create"), drift=known, tainted=tainted)).looked.findings
    assert (finding.severity, finding.sentence) == (
        Severity.CONFIG,
        "There is no cluster dev: it has not been made yet.",
    )


def test_another_provider_than_the_locked_one_is_a_finding_and_the_cloud_is_judged_all_the_same() -> None:
    why = "Of registry.terraform.io/o/o 3.4.0, h1:a is locked, and there is a package with the checksum h1:b."
    looked = judge(WANTED, RESIZED, NotLooked(why, "ProviderChanged")).looked
    assert [one.place for one in looked.findings] == [("cluster/dev", "node_count"), ("terraform-provider/dev", "")]
    assert (looked.findings[1].sentence, looked.findings[1].severity) == (why, Severity.SECURITY)
    assert looked.blind_spots == ()


def test_labels_are_one_finding_each_and_outputs_are_cosmetic() -> None:
    labels = update(TEMPLATE, ("labels", {"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}))
    found = terraform_findings(Plan(environment="dev", changes=(labels,)))
    assert [(one.path, one.declared, one.observed) for one in found] == [
        ("labels.b", "3", "2"),
        ("labels.c", "4", None),
    ]
    (outputs,) = judge(WANTED, seen(), look(outputs=True)).looked.findings
    assert (outputs.address, outputs.severity) == ("outputs/dev", Severity.COSMETIC)


def test_a_group_no_longer_declared() -> None:
    there = seen(groups=(*DEFAULTS, build(), group("old", 1)))
    (finding,) = judge(WANTED, there, look(change(NODE_GROUP, "delete", key="old", identifier="c1/g"))).looked.findings
    assert (finding.address, finding.severity) == ("nodegroup/dev/old", Severity.DESTRUCTIVE)
