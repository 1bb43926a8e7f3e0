"""What git declares of a cluster against what Magnum and Nova say: each way to differ, and what is no difference."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.drift.findings import Finding, Severity
from infra.planes.cloud.compare import compare_cloud, fingerprint, moment
from infra.planes.cloud.findings import deletion
from infra.planes.cloud.seen import Seen
from infra.planes.looking import Looked, NotLooked
from infra.terraform.template import labels
from tests.unit.planes.cloud_facts import DEFAULTS, LATER, NAME, WANTED, build, cluster, group, keypair, seen, template

COSMETIC, CONFIG, SECURITY, DESTRUCTIVE = Severity
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIII9cHX46K0xtng8aKzxNXm9wgZKjtMXW5/gJGis8TV5 mallory"
SCALING = WANTED.model_copy(update={"labels": {"auto_scaling_enabled": "true", "max_node_count": "6"}})


def brief(finding: Finding) -> tuple[Any, ...]:
    return finding.address, finding.path, finding.declared, finding.observed, finding.severity


def test_what_is_as_declared_is_no_finding() -> None:
    assert compare_cloud(WANTED, seen()) == Looked()


def test_health_is_not_declared_and_is_said_beside() -> None:
    looked = compare_cloud(WANTED, seen(cluster=cluster(health_status="UNHEALTHY", health_status_reason={"n1": "no"})))
    assert (looked.findings, looked.notes) == ((), ("Magnum calls cluster dev UNHEALTHY (n1: no).",))


GOLDEN: dict[str, tuple[Seen, list[tuple[Any, ...]]]] = {
    "the cluster is gone": (
        seen(cluster=None, template=None, groups=()),
        [("cluster/dev", "", "dev", None, DESTRUCTIVE)],
    ),
    "somebody else's cluster": (
        seen(cluster=cluster(labels={}, coe_version="v1.30.0")),
        [("cluster/dev", "labels.plumbline_environment", "dev", None, SECURITY)],
    ),
    "a failed change": (
        seen(cluster=cluster(status="UPDATE_FAILED", status_reason="no quota")),
        [("cluster/dev", "status", "complete", "UPDATE_FAILED", CONFIG)],
    ),
    "a delete under way": (
        seen(cluster=cluster(status="DELETE_IN_PROGRESS")),
        [("cluster/dev", "status", "there", "DELETE_IN_PROGRESS", DESTRUCTIVE)],
    ),
    "a delete that failed": (
        seen(cluster=cluster(status="DELETE_FAILED", status_reason="a load balancer is left")),
        [("cluster/dev", "status", "there", "DELETE_FAILED", DESTRUCTIVE)],
    ),
    "another version": (
        seen(cluster=cluster(coe_version="1.33.3")),
        [("cluster/dev", "kubernetes", "v1.33.4", "1.33.3", CONFIG)],
    ),
    "another template": (
        seen(template=template(uuid="t0", name="dev-old"), cluster=cluster(cluster_template_id="t0")),
        [("cluster/dev", "template", NAME, "dev-old", CONFIG)],
    ),
    "fields of the cluster": (
        seen(cluster=cluster(keypair="mine", master_count=3, flavor_id="m1.tiny", master_flavor_id="m1.tiny")),
        [
            ("cluster/dev", "flavor", "m1.large", "m1.tiny", CONFIG),
            ("cluster/dev", "keypair", "plumbline-dev", "mine", CONFIG),
            ("cluster/dev", "master_count", 1, 3, CONFIG),
            ("cluster/dev", "master_flavor", "m1.medium", "m1.tiny", CONFIG),
        ],
    ),
    "a label Magnum shows otherwise": (
        seen(cluster=cluster(labels={**labels(WANTED), "auto_healing_enabled": "false"})),
        [("cluster/dev", "labels.auto_healing_enabled", "true", "false", COSMETIC)],
    ),
    "resized by hand": (
        seen(groups=(DEFAULTS[0], group("default-worker", 4), build(3))),
        [("cluster/dev", "node_count", 3, 4, CONFIG), ("nodegroup/dev/build", "node_count", 1, 3, CONFIG)],
    ),
    "a node group gone, one too many, one failed": (
        seen(groups=(*DEFAULTS, group("mine", 2, status="CREATE_FAILED", status_reason="no host"))),
        [
            ("nodegroup/dev/build", "", "build", None, DESTRUCTIVE),
            ("nodegroup/dev/mine", "", None, "mine", SECURITY),
            ("nodegroup/dev/mine", "status", "complete", "CREATE_FAILED", CONFIG),
        ],
    ),
    "fields of a node group": (
        seen(groups=(*DEFAULTS, build(flavor_id="m1.tiny", min_node_count=0, max_node_count=None, role="infra"))),
        [
            ("nodegroup/dev/build", "flavor", "m1.xlarge", "m1.tiny", CONFIG),
            ("nodegroup/dev/build", "max", 5, None, CONFIG),
            ("nodegroup/dev/build", "min", 1, 0, CONFIG),
            ("nodegroup/dev/build", "role", "worker", "infra", CONFIG),
        ],
    ),
    "a template changed in place": (
        seen(
            template=template(
                image_id="other",
                floating_ip_enabled=False,
                public=True,
                docker_volume_size=9,
                labels={**labels(WANTED), "more": "1"},
            )
        ),
        [
            (f"template/{NAME}", "docker_volume_size", None, 9, CONFIG),
            (f"template/{NAME}", "floating_ip", True, False, CONFIG),
            (f"template/{NAME}", "image", "fedora-coreos", "other", CONFIG),
            (f"template/{NAME}", "labels.more", None, "1", CONFIG),
            (f"template/{NAME}", "public", False, True, SECURITY),
        ],
    ),
    "no template of that name": (seen(templates=()), [(f"template/{NAME}", "", NAME, None, CONFIG)]),
    "an old template nothing uses": (
        seen(templates=(template(), template(uuid="t0", name="dev-old"))),
        [("template/dev-old", "", None, "t0", COSMETIC)],
    ),
    "another cluster with our mark": (
        seen(clusters=(cluster(), cluster(uuid="c2", name="dev-copy", cluster_template_id="t1"))),
        [("cluster/dev-copy", "", None, "c2", SECURITY)],
    ),
    "no keypair": (
        seen(keypair=None),
        [("keypair/plumbline-dev", "", fingerprint(WANTED.ssh_public_key), None, DESTRUCTIVE)],
    ),
    "another key": (
        seen(keypair=keypair(public_key=OTHER_KEY)),
        [
            (
                "keypair/plumbline-dev",
                "public_key",
                fingerprint(WANTED.ssh_public_key),
                fingerprint(OTHER_KEY),
                SECURITY,
            )
        ],
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_each_difference_is_one_finding(case: str) -> None:
    observed, expected = GOLDEN[case]
    looked = compare_cloud(WANTED, observed)
    assert [brief(finding) for finding in looked.findings] == expected
    assert looked.blind_spots == ()
    assert all(finding.sentence.endswith(".") for finding in looked.findings)


def test_a_finding_says_when_magnum_wrote_last_and_that_it_names_nobody() -> None:
    (finding,) = compare_cloud(WANTED, seen(cluster=cluster(coe_version="v1.33.3"))).findings
    assert finding.sentence == "Cluster dev has kubernetes v1.33.3 instead of v1.33.4."
    assert str(finding.changed) == (
        "unknown (Magnum records no author) at 2026-11-25 10:00:00 UTC (updated_at, which Magnum's own polls move, too)"
    )


def test_a_deletion_is_told_in_words() -> None:
    failed = cluster(status="DELETE_FAILED", status_reason="a load balancer is left.")
    for there, said in (
        (cluster(status="DELETE_IN_PROGRESS"), "Cluster dev is being deleted."),
        (failed, "The deletion of cluster dev failed (DELETE_FAILED): a load balancer is left."),
        (cluster(status="DELETE_FAILED"), "The deletion of cluster dev failed (DELETE_FAILED): Magnum gives no cause."),
    ):
        (finding,) = compare_cloud(WANTED, seen(cluster=there)).findings
        assert finding.sentence == said == deletion(there)
    assert deletion(cluster()) is None and deletion(cluster(status="DELETE_COMPLETE")) is None


@pytest.mark.parametrize(
    ("status", "fields", "doing"),
    [
        ("CREATE_IN_PROGRESS", {}, "created"),
        ("UPDATE_IN_PROGRESS", {}, "changed"),
        ("UPDATE_IN_PROGRESS", {"coe_version": "v1.32.9"}, "upgraded (from v1.32.9 to v1.33.4)"),
        ("UPDATE_IN_PROGRESS", {"groups": (group("default-worker", 3, node_addresses=["10.0.0.1"]),)}, "resized"),
        ("ROLLBACK_IN_PROGRESS", {}, "rolled back"),
        ("CHECK_IN_PROGRESS", {}, "worked at"),
    ],
)
def test_a_cluster_at_work_is_a_blind_spot_whatever_its_fields_say(
    status: str, fields: dict[str, Any], doing: str
) -> None:
    groups = fields.pop("groups", ())
    working = seen(cluster=cluster(status=status, **{"coe_version": None, "master_count": 0, **fields}), groups=groups)
    looked = compare_cloud(WANTED, working)
    assert looked.findings == ()
    (spot,) = looked.blind_spots
    assert (spot.what, spot.category) == ("cluster/dev", "NotYet")
    assert spot.why == (
        f"Cluster dev is being {doing} since {LATER} ({status}); what it becomes shows when that has ended."
    )


PARTS = ("cluster", "template", "groups", "keypair", "clusters", "templates")


@pytest.mark.parametrize("part", PARTS)
def test_what_was_not_looked_at_is_a_blind_spot_and_hides_nothing_else(part: str) -> None:
    unknown = NotLooked("Magnum answered 500.", "Unavailable")
    looked = compare_cloud(WANTED, seen(**{part: unknown}))
    assert looked.findings == ()
    (spot,) = looked.blind_spots
    assert (spot.why, spot.category) == ("Magnum answered 500.", "Unavailable")
    other = {"keypair": None} if part != "keypair" else {"cluster": cluster(coe_version="v1.33.3")}
    assert len(compare_cloud(WANTED, seen(**{part: unknown}, **other)).findings) == 1


def test_an_autoscaler_may_move_a_group_within_its_bounds() -> None:
    marked = {"labels": labels(SCALING)}
    observed = seen(
        cluster=cluster(**marked),
        template=template(name="x"),
        groups=(DEFAULTS[0], group("default-worker", 6), build(4)),
    )
    looked = compare_cloud(SCALING, observed)
    assert [finding for finding in looked.findings if finding.path == "node_count"] == []
    assert looked.notes == (
        "Node group default-worker has 6 nodes and 3 are declared: its autoscaler may do that.",
        "Node group build has 4 nodes and 1 are declared: its autoscaler may do that.",
    )
    beyond = seen(cluster=cluster(**marked), groups=(DEFAULTS[0], group("default-worker", 7), build(6)))
    sentences = [one.sentence for one in compare_cloud(SCALING, beyond).findings if one.path == "node_count"]
    assert sentences == [
        "Cluster dev has 7 nodes, and its autoscaler may make it 1 to 6.",
        "Node group build has 6 nodes, and its autoscaler may make it 1 to 5.",
    ]


def test_what_the_cloud_may_choose_is_not_compared() -> None:
    chosen = template(network_driver="flannel", external_network_id="public", fixed_network="made")
    assert compare_cloud(WANTED, seen(template=chosen)).findings == ()
    wanted = WANTED.model_copy(update={"network_driver": "calico"})
    named = compare_cloud(wanted, seen(template=chosen)).findings
    assert [one.path for one in named] == ["template", ""]  # another declaration is another template


def test_fingerprints_are_novas_and_times_are_utc() -> None:
    assert fingerprint("ssh-rsa !!! x") == "" and fingerprint("") == ""
    assert fingerprint(WANTED.ssh_public_key).count(":") == 15
    assert moment("2026-11-25T12:00:00") == datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert moment("2026-11-25T12:00:00+02:00") == datetime(2026, 11, 25, 10, tzinfo=UTC)
    assert moment(None) is None and moment("yesterday") is None
