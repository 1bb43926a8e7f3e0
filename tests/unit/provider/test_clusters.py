"""Clusters, node groups and templates: the exact requests, Magnum's oddities, and what ends up in the state."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.sandbox.provider import kubeconfig, magnum
from deployments.sandbox.provider.cloud import CloudError
from deployments.sandbox.provider.cluster import Cluster
from deployments.sandbox.provider.clustertemplate import ClusterTemplate
from deployments.sandbox.provider.nodegroup import NodeGroup
from deployments.sandbox.provider.nodegroup import split as split_group
from deployments.sandbox.provider.tables import State
from deployments.sandbox.provider.waits import WaitFailed

READY = {
    "uuid": "c-1",
    "name": "dev",
    "status": "CREATE_COMPLETE",
    "updated_at": "1",
    "api_address": "https://10.0.0.1:6443",
    "cluster_template_id": "t-1",
    "flavor_id": "m1.large",
    "master_flavor_id": "m1.medium",
    "labels": {"kube_tag": "v1.33.4", "own": "2"},
    "node_count": 9,
}
KEPT = {"client_certificate": "PEM", "host": "https://10.0.0.1:6443"}
WORKERS = {"name": "default-worker", "role": "worker", "is_default": True, "node_count": 3}
GROUPS = {"nodegroups": [{"name": "default-master", "role": "master", "is_default": True, "node_count": 1}, WORKERS]}


def state(kind: Any, **values: Any) -> State:
    return {**dict.fromkeys(kind.table.names()), **values}


def cluster_is(cloud: Any, **changes: Any) -> None:
    cloud.expect("GET /clusters/c-1", 200, {**READY, **changes})


def cluster_is_read(cloud: Any, **changes: Any) -> None:
    cluster_is(cloud, **changes)
    cloud.expect("GET /clusters/c-1/nodegroups", 200, GROUPS)


def wanted(**values: Any) -> State:
    return state(
        Cluster, cluster_template_id="t-1", name="dev", node_count=3, flavor="m1.large", kubeconfig=KEPT, **values
    )


def test_a_cluster_is_waited_for_and_read(cloud: Any) -> None:
    made: list[str] = []
    cloud.expect("POST /clusters", 202, {"uuid": "c-1"})
    cloud.expect("GET /clusters/c-1", 404)
    cloud.expect("GET /clusters/c-1", 400, "master_count Value: '0'")
    cluster_is(cloud, status="CREATE_IN_PROGRESS")
    cluster_is(cloud)
    cluster_is_read(cloud)
    seen = Cluster(cloud).create(wanted(master_lb_enabled=False), made.append)
    assert made == ["c-1"]
    assert cloud.bodies[0] == {
        "cluster_template_id": "t-1", "name": "dev", "flavor_id": "m1.large", "node_count": 3,
        "master_lb_enabled": False,
    }  # fmt: skip
    assert (seen["id"], seen["node_count"], seen["flavor"]) == ("c-1", 3, "m1.large")
    assert seen["labels"] == {"kube_tag": "v1.33.4", "own": "2"}
    assert seen["kubeconfig"] is KEPT


def test_a_cluster_that_fails_was_begun(cloud: Any) -> None:
    made: list[str] = []
    cloud.expect("POST /clusters", 202, {"uuid": "c-1"})
    cluster_is(cloud, status="CREATE_FAILED", status_reason="No valid host")
    with pytest.raises(WaitFailed, match=r"c-1 to become ready: .* error state: CREATE_FAILED: No valid host"):
        Cluster(cloud).create(wanted(), made.append)
    assert made == ["c-1"]


def test_no_nodes_need_a_newer_microversion(cloud: Any) -> None:
    cloud.expect("POST /clusters", 500)
    with pytest.raises(CloudError):
        Cluster(cloud).create({**wanted(), "node_count": 0}, list[str]().append)
    assert cloud.versions == ["container-infra 1.10"]
    assert cloud.bodies[0]["node_count"] == 0


def test_a_cluster_that_is_gone_reads_as_none(cloud: Any) -> None:
    cloud.expect("GET /clusters/c-1", 404)
    assert Cluster(cloud).read({"id": "c-1"}) is None


def test_merged_labels_read_as_they_were_given(cloud: Any) -> None:
    cluster_is_read(cloud, labels_added={"own": "2"}, labels_overridden={"kube_tag": "old"}, labels_skipped={})
    seen = Cluster(cloud).read({"id": "c-1", "merge_labels": True, "kubeconfig": KEPT})
    assert seen is not None
    assert seen["labels"] == {"own": "2", "kube_tag": "v1.33.4"}


GROWN = {"nodegroups": [{**WORKERS, "node_count": 5}]}


def read_again(cloud: Any) -> None:
    """The cluster is read with five nodes."""
    cluster_is(cloud)
    cloud.expect("GET /clusters/c-1/nodegroups", 200, GROWN)


def asked_to_grow(cloud: Any, number: int, groups: Any = GROUPS) -> None:
    """Magnum accepts a resize, its `number`th change, and has these groups afterwards; it drops it, unless told."""
    cluster_is(cloud, status="UPDATE_COMPLETE", updated_at=str(number))
    cloud.expect("PATCH /clusters/c-1", 202, {"uuid": "c-1"})
    cluster_is(cloud, status="UPDATE_COMPLETE", updated_at=str(number + 1))
    cloud.expect("GET /clusters/c-1/nodegroups", 200, groups)


def test_upgrade_and_resize_wait_for_news(cloud: Any) -> None:
    cluster_is(cloud, status="UPDATE_IN_PROGRESS")
    cluster_is(cloud)
    cloud.expect("POST /clusters/c-1/actions/upgrade", 202, {"uuid": "c-1"})
    cluster_is(cloud)
    cluster_is(cloud, status="UPDATE_IN_PROGRESS", updated_at="2")
    cluster_is(cloud, status="UPDATE_COMPLETE", updated_at="2")
    cluster_is(cloud, status="UPDATE_COMPLETE", updated_at="2")
    cloud.expect("PATCH /clusters/c-1", 202, {"uuid": "c-1"})
    cluster_is(cloud, status="UPDATE_COMPLETE", updated_at="2")
    cluster_is(cloud, status="UPDATE_COMPLETE", updated_at="3")
    cloud.expect("GET /clusters/c-1/nodegroups", 200, GROWN)
    read_again(cloud)
    prior = {**wanted(), "id": "c-1"}
    seen = Cluster(cloud).update(prior, {**prior, "cluster_template_id": "t-2", "node_count": 5})
    assert {"cluster_template": "t-2", "max_batch_size": 1} in cloud.bodies
    assert [{"op": "replace", "path": "/node_count", "value": 5}] in cloud.bodies
    assert seen["node_count"] == 5


def test_a_resize_that_was_dropped_is_sent_again(cloud: Any) -> None:
    asked_to_grow(cloud, 1)
    asked_to_grow(cloud, 2, GROWN)
    read_again(cloud)
    prior = {**wanted(), "id": "c-1"}
    assert Cluster(cloud).update(prior, {**prior, "node_count": 5})["node_count"] == 5


def test_a_resize_that_is_always_dropped_is_an_error(cloud: Any) -> None:
    for number in range(1, 4):
        asked_to_grow(cloud, number)
    prior = {**wanted(), "id": "c-1"}
    with pytest.raises(WaitFailed, match=r"accepted node_count 5 .* and dropped it"):
        Cluster(cloud).update(prior, {**prior, "node_count": 5})


def test_a_cluster_that_vanishes_while_it_is_changed(cloud: Any) -> None:
    cloud.expect("GET /clusters/c-1", 404)
    prior = {**wanted(), "id": "c-1"}
    with pytest.raises(WaitFailed, match="vanished"):
        Cluster(cloud).update(prior, dict(prior))


def test_deleting_waits_until_it_is_gone_and_absence_is_fine(cloud: Any) -> None:
    cluster_is(cloud)
    cloud.expect("DELETE /clusters/c-1", 204)
    cluster_is(cloud)
    cluster_is(cloud, status="DELETE_IN_PROGRESS")
    cloud.expect("GET /clusters/c-1", 404)
    Cluster(cloud).delete({"id": "c-1"})
    cloud.expect("GET /clusters/c-1", 404)
    Cluster(cloud).delete({"id": "c-1"})


def test_a_deletion_under_way_is_joined_and_its_failure_said(cloud: Any) -> None:
    cluster_is(cloud, status="DELETE_IN_PROGRESS")
    cluster_is(cloud, status="DELETE_FAILED", status_reason="volumes left")
    with pytest.raises(WaitFailed, match=r"to become deleted: .* volumes left"):
        Cluster(cloud).delete({"id": "c-1"})


def test_a_kubeconfig_is_minted_once(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "KEY_BITS", 2048)
    cloud.expect("GET /certificates/c-1", 200, {"pem": "CA"})
    cloud.expect("POST /certificates", 201, {"pem": "CERT"})
    made = kubeconfig.kept_or_made(cloud, "c-1", "dev", "https://h", None)
    assert made is not None
    assert sorted(made) == ["client_certificate", "client_key", "cluster_ca_certificate", "host", "raw_config"]
    assert made["client_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert "CERTIFICATE REQUEST" in cloud.bodies[1]["csr"]
    assert '"current-context": "dev"' in made["raw_config"]
    assert kubeconfig.kept_or_made(cloud, "c-1", "dev", "https://h", made) is made
    assert kubeconfig.kept_or_made(cloud, "c-1", "dev", None, None) is None


# -- node groups -----------------------------------------------------------------------------------------------------

GROUP = {
    "id": 7, "uuid": "g-1", "name": "build", "status": "CREATE_COMPLETE", "updated_at": "1", "node_count": 1,
    "min_node_count": 0, "max_node_count": 5, "labels": {}, "role": "worker", "flavor_id": "m1.xlarge",
}  # fmt: skip
PATH = "/clusters/c-1/nodegroups"


def group_is(cloud: Any, **changes: Any) -> None:
    cloud.expect(f"GET {PATH}/g-1", 200, {**GROUP, **changes})


def test_a_node_group_is_made_when_the_cluster_is_idle(cloud: Any) -> None:
    made: list[str] = []
    cluster_is(cloud)
    cloud.expect(f"POST {PATH}", 202, {"uuid": "g-1"})
    group_is(cloud, status="CREATE_IN_PROGRESS")
    group_is(cloud)
    group_is(cloud)
    want = state(NodeGroup, cluster_id="c-1", name="build", node_count=1, min_node_count=0, max_node_count=5)
    seen = NodeGroup(cloud).create(want, made.append)
    assert made == ["c-1/g-1"]
    assert cloud.bodies[1] == {"name": "build", "max_node_count": 5, "node_count": 1}
    assert (seen["id"], seen["cluster_id"], seen["role"]) == ("c-1/g-1", "c-1", "worker")


@pytest.mark.parametrize(
    ("after", "order"),
    [
        ({"node_count": 6, "min_node_count": 2, "max_node_count": 8}, ["max", "resize", "min"]),
        ({"node_count": 0, "min_node_count": 0, "max_node_count": 1}, ["min", "resize", "max"]),
    ],
)
def test_limits_move_around_the_size(cloud: Any, after: dict[str, int], order: list[str]) -> None:
    prior = state(
        NodeGroup, id="c-1/g-1", cluster_id="c-1", name="build", node_count=3, min_node_count=1, max_node_count=5
    )
    for step in order:
        cluster_is(cloud)
        group_is(cloud)
        cloud.expect("POST /clusters/c-1/actions/resize" if step == "resize" else f"PATCH {PATH}/g-1", 202, {})
        group_is(cloud, status="UPDATE_COMPLETE", updated_at=step)
    group_is(cloud)
    NodeGroup(cloud).update(prior, {**prior, **after})
    sent = [body for body in cloud.bodies if body]
    names = ["resize" if isinstance(body, dict) else body[0]["path"][1:4] for body in sent]
    assert names == order


def test_a_removed_maximum_is_removed(cloud: Any) -> None:
    prior = state(NodeGroup, id="c-1/g-1", cluster_id="c-1", name="build", node_count=1, max_node_count=5)
    cluster_is(cloud)
    group_is(cloud)
    cloud.expect(f"PATCH {PATH}/g-1", 202, {})
    group_is(cloud, status="UPDATE_COMPLETE", updated_at="2")
    group_is(cloud, max_node_count=None)
    NodeGroup(cloud).update(prior, {**prior, "max_node_count": None})
    assert [{"op": "remove", "path": "/max_node_count"}] in cloud.bodies


def test_deleting_a_node_group(cloud: Any) -> None:
    group_is(cloud)
    cluster_is(cloud)
    cloud.expect(f"DELETE {PATH}/g-1", 204)
    group_is(cloud, status="DELETE_IN_PROGRESS")
    cloud.expect(f"GET {PATH}/g-1", 404)
    NodeGroup(cloud).delete({"id": "c-1/g-1"})
    cloud.expect(f"GET {PATH}/g-1", 404)
    NodeGroup(cloud).delete({"id": "c-1/g-1"})
    group_is(cloud, status="DELETE_COMPLETE")
    assert NodeGroup(cloud).read({"id": "c-1/g-1"}) is None


def test_a_node_group_that_fails_says_which(cloud: Any) -> None:
    cluster_is(cloud)
    cloud.expect(f"POST {PATH}", 202, {"uuid": "g-1"})
    group_is(cloud, status="CREATE_FAILED", status_reason="quota")
    with pytest.raises(WaitFailed, match=r"c-1/g-1 to become ready: .*quota"):
        NodeGroup(cloud).create(state(NodeGroup, cluster_id="c-1", name="build", node_count=0), list[str]().append)
    assert "container-infra 1.10" in cloud.versions


@pytest.mark.parametrize("text", ["", "c-1", "c-1/", "/g-1"])
def test_an_identifier_has_two_parts(text: str) -> None:
    with pytest.raises(CloudError, match="nodegroup ID"):
        split_group(text)


def test_validation_of_numbers(cloud: Any) -> None:
    assert NodeGroup(cloud).validate({"node_count": -1}) == ["expected node_count to be at least (0), got -1"]
    assert NodeGroup(cloud).validate({"node_count": None}) == []
    assert "1024 - 65535" in ClusterTemplate(cloud).validate({"apiserver_port": 80})[0]
    assert ClusterTemplate(cloud).validate({"apiserver_port": 6443}) == []


# -- templates -------------------------------------------------------------------------------------------------------

TEMPLATE = {"uuid": "t-1", "name": "dev-v1", "coe": "kubernetes", "image_id": "fcos", "labels": {"a": 1}}


def test_a_template_is_posted_with_all_its_booleans(cloud: Any) -> None:
    made: list[str] = []
    cloud.expect("POST /clustertemplates", 201, TEMPLATE)
    cloud.expect("GET /clustertemplates/t-1", 200, TEMPLATE)
    want = state(ClusterTemplate, name="dev-v1", coe="kubernetes", image="fcos", labels={"a": "1"}, public=True)
    seen = ClusterTemplate(cloud).create(want, made.append)
    assert made == ["t-1"]
    assert cloud.bodies[0] == {
        "name": "dev-v1", "coe": "kubernetes", "image_id": "fcos", "labels": {"a": "1"}, "public": True,
        "floating_ip_enabled": False, "master_lb_enabled": False, "registry_enabled": False, "tls_disabled": False,
        "hidden": False,
    }  # fmt: skip
    assert (seen["image"], seen["labels"]) == ("fcos", {"a": "1"})


def test_a_template_is_patched_in_magnums_words(cloud: Any) -> None:
    prior = state(ClusterTemplate, id="t-1", name="a", image="x", flavor="f", labels={"a": "1"}, hidden=False)
    cloud.expect("PATCH /clustertemplates/t-1", 200, TEMPLATE)
    cloud.expect("GET /clustertemplates/t-1", 200, TEMPLATE)
    ClusterTemplate(cloud).update(prior, {**prior, "image": "y", "flavor": "", "labels": {"b": "2"}, "hidden": True})
    assert sorted(cloud.bodies[0], key=lambda step: step["path"]) == [
        {"op": "remove", "path": "/flavor_id"},
        {"op": "replace", "path": "/hidden", "value": "true"},
        {"op": "replace", "path": "/image_id", "value": "y"},
        {"op": "replace", "path": "/labels", "value": "{'b': '2'}"},
    ]


def test_an_unchanged_template_is_only_read(cloud: Any) -> None:
    cloud.expect("GET /clustertemplates/t-1", 200, TEMPLATE)
    ClusterTemplate(cloud).update({"id": "t-1"}, state(ClusterTemplate, id="t-1"))


def test_a_template_may_be_gone(cloud: Any) -> None:
    cloud.expect("GET /clustertemplates/t-1", 404)
    assert ClusterTemplate(cloud).read({"id": "t-1"}) is None
    cloud.expect("DELETE /clustertemplates/t-1", 404)
    ClusterTemplate(cloud).delete({"id": "t-1"})
    cloud.expect("DELETE /clustertemplates/t-1", 400, "is referenced by one or multiple clusters")
    with pytest.raises(CloudError, match="referenced"):
        ClusterTemplate(cloud).delete({"id": "t-1"})


def test_booleans_and_numbers_are_patched_as_text() -> None:
    assert magnum.patch("/x", False) == {"op": "replace", "path": "/x", "value": "false"}
    assert magnum.patch("/x", 6443) == {"op": "replace", "path": "/x", "value": "6443"}
    assert magnum.patch("/x", {}) == {"op": "remove", "path": "/x"}
