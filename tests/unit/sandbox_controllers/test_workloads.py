"""Rollouts, sets, jobs, schedules and endpoints: the pure parts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from deployments.sandbox.controllers.kube.resources import Obj
from deployments.sandbox.controllers.scheduling import choose, claims_of, references, refusal, tolerates, why_not
from deployments.sandbox.controllers.workloads import rollout
from deployments.sandbox.controllers.workloads.cronjobs import job_for, last_due, next_due
from deployments.sandbox.controllers.workloads.daemonsets import daemon_pod, daemon_status, target
from deployments.sandbox.controllers.workloads.endpoints import endpoints_for, slice_for
from deployments.sandbox.controllers.workloads.jobs import job_status, missing
from deployments.sandbox.controllers.workloads.pods import surplus
from deployments.sandbox.controllers.workloads.statefulsets import claim_for, revision_of, set_status

CREATED = "2026-01-01T00:00:00Z"
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.9"}


def deployment(replicas: int, **spec: Any) -> Obj:
    return {"metadata": {"name": "web", "generation": 1}, "spec": {"replicas": replicas, "template": {}, **spec}}


def replica_set(name: str, asked: int, available: int | None = None) -> Obj:
    serving = asked if available is None else available
    return {
        "metadata": {"name": name, "creationTimestamp": CREATED},
        "spec": {"replicas": asked, "template": {}},
        "status": {"replicas": asked, "availableReplicas": serving, "readyReplicas": serving},
    }


@pytest.mark.parametrize(
    ("replicas", "strategy", "new", "old", "expected"),
    [
        # 25 % of 4: one more, one less.
        (4, {}, (0, 0), 4, {"new": 1, "old": 3}),
        (4, {}, (1, 1), 3, {"new": 2, "old": 2}),
        (4, {}, (1, 0), 4, {"old": 3}),
        (4, {}, (4, 4), 0, {}),
        (1, {}, (0, 0), 1, {"new": 1}),
        (1, {}, (1, 1), 1, {"old": 0}),
        (2, {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}, (0, 0), 2, {"old": 1}),
        (2, {"type": "Recreate"}, (0, 0), 2, {"old": 0}),
        (2, {"type": "Recreate"}, (0, 0), 0, {"new": 2}),
        (1, {}, (3, 3), 0, {"new": 1}),
    ],
)
def test_a_rollout_keeps_within_its_bounds(
    replicas: int, strategy: Obj, new: tuple[int, int], old: int, expected: dict[str, int]
) -> None:
    wanted = deployment(replicas, strategy=strategy)
    assert rollout.plan(wanted, replica_set("new", *new), [replica_set("old", old)]) == expected


@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("surge", [0, 1, "25%", "100%"])
@pytest.mark.parametrize("unavailable", [0, 1, "25%"])
def test_every_rollout_ends_and_never_drops_below_its_minimum(replicas: int, surge: Any, unavailable: Any) -> None:
    wanted = deployment(replicas, strategy={"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
    counts = {"new": 0, "old": replicas}
    most, fewest = rollout.bounds(wanted)
    for _ in range(50):
        change = rollout.plan(wanted, replica_set("new", counts["new"]), [replica_set("old", counts["old"])])
        counts |= change
        assert replicas - fewest <= sum(counts.values()) <= replicas + most
        if not change:
            break
    assert counts == {"new": replicas, "old": 0}


def test_a_deployments_status_says_when_its_rollout_is_over() -> None:
    wanted = deployment(2)
    under_way = rollout.deployment_status(wanted, replica_set("web-b", 1), [replica_set("web-a", 1)])
    assert [each["reason"] for each in under_way["conditions"]] == ["MinimumReplicasAvailable", "ReplicaSetUpdated"]
    wanted["status"] = under_way
    over = rollout.deployment_status(wanted, replica_set("web-b", 2), [])
    assert [each["reason"] for each in over["conditions"]] == ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]
    assert (over["updatedReplicas"], over["unavailableReplicas"]) == (2, None)
    began = dt.datetime.fromisoformat(CREATED).timestamp()
    new = replica_set("web-b", 1)
    known = under_way["conditions"][1]
    known["lastTransitionTime"] = CREATED
    stuck = {**wanted, "status": {"conditions": [known]}}
    assert rollout.stalled(stuck, new, began + 599) == pytest.approx(1)
    assert rollout.stalled({**stuck, "status": over}, new, began) is None


def test_the_same_template_is_the_same_replica_set() -> None:
    template = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": []}}
    hashed = {"metadata": {"labels": {"a": "1", rollout.HASH_LABEL: "x"}}, "spec": {"containers": []}}
    wanted = deployment(1, template=template)
    known = replica_set("web-x", 1) | {"spec": {"replicas": 1, "template": hashed}}
    assert rollout.newest(wanted, [known]) is known
    assert rollout.template_hash(template) == rollout.template_hash(hashed) != rollout.template_hash(template, 1)


def node(name: str, *, ready: bool = True, taints: list[Obj] | None = None, **labels: str) -> Obj:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints or []},
        "status": {"conditions": conditions},
    }


def pod(name: str = "p", **spec: Any) -> Obj:
    metadata = {"name": name, "namespace": "n", "uid": name, "creationTimestamp": CREATED, "labels": {}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c"}], **spec}, "status": {}}


def test_pods_go_where_they_are_tolerated_and_least_crowded() -> None:
    master = node("m", taints=[{"key": "control", "effect": "NoSchedule"}])
    nodes = [master, node("a", disk="ssd"), node("b"), node("c", ready=False)]
    placed = [pod("x", nodeName="a"), pod("y", nodeName="a"), pod("z", nodeName="b")]
    chosen = choose(pod(), nodes, placed)
    assert chosen is not None
    assert chosen["metadata"]["name"] == "b"
    chosen = choose(pod(nodeSelector={"disk": "ssd"}), nodes, placed)
    assert chosen is not None
    assert chosen["metadata"]["name"] == "a"
    assert choose(pod(nodeSelector={"disk": "tape"}), nodes, placed) is None
    assert refusal(pod(), [master]) == "0/1 nodes are available: 1 node(s) had untolerated taint {control: }."
    assert why_not(pod(tolerations=[{"operator": "Exists"}]), master) is None
    assert not tolerates({"key": "control", "effect": "NoExecute"}, {"key": "control", "effect": "NoSchedule"})
    master["spec"]["unschedulable"] = True
    assert why_not(pod(), master) == "node(s) were unschedulable"


def test_a_daemon_pod_is_for_one_node_only() -> None:
    parent = {
        "apiVersion": "apps/v1",
        "metadata": {"name": "agent", "namespace": "n", "uid": "u"},
        "spec": {"template": {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": []}}},
    }
    made = daemon_pod(parent, "a", "r")
    assert target(made) == "a"
    assert (why_not(made, node("a")), why_not(made, node("b"))) == (
        None,
        "node(s) didn't match Pod's node affinity/selector",
    )
    status = daemon_status(parent, [made | {"status": READY}], 2, "r")
    assert (status["numberReady"], status["numberUnavailable"], status["updatedNumberScheduled"]) == (1, 1, 1)


def test_what_a_pod_cannot_start_without() -> None:
    wanted = pod(
        volumes=[
            {"name": "a", "secret": {"secretName": "s1"}},
            {"name": "b", "configMap": {"name": "c1", "optional": True}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
        ],
        containers=[
            {
                "name": "c",
                "envFrom": [{"secretRef": {"name": "s2"}}],
                "env": [
                    {"name": "x", "valueFrom": {"configMapKeyRef": {"name": "c2", "key": "k"}}},
                    {"name": "y", "value": "plain"},
                ],
            }
        ],
    )
    assert references(wanted) == {("Secret", "s1"), ("Secret", "s2"), ("ConfigMap", "c2")}
    assert claims_of(wanted) == ["data"]


def test_the_pods_that_do_not_serve_are_given_up_first() -> None:
    serving, broken = pod("a") | {"status": READY}, pod("b")
    young = pod("c") | {"status": READY}
    young["metadata"] = {**young["metadata"], "creationTimestamp": "2026-02-01T00:00:00Z"}
    assert [each["metadata"]["name"] for each in surplus([serving, broken, young], 2)] == ["b", "c"]


def test_a_stateful_set_counts_by_revision() -> None:
    parent = {
        "metadata": {"name": "db", "namespace": "n", "generation": 3},
        "spec": {"replicas": 2, "template": {"spec": {}}, "selector": {"matchLabels": {"app": "db"}}},
        "status": {"currentRevision": "db-old"},
    }
    update = revision_of(parent)

    def member(revision: str) -> Obj:
        return {"metadata": {"labels": {"controller-revision-hash": revision}}, "status": READY}

    mixed = set_status(parent, [member("db-old"), member(update)], update)
    assert (mixed["currentReplicas"], mixed["updatedReplicas"], mixed["currentRevision"]) == (1, 1, "db-old")
    assert set_status(parent, [member(update), member(update)], update)["currentRevision"] == update
    claim = claim_for({"metadata": {"name": "data"}, "spec": {}}, parent, "db-0")
    assert claim["metadata"]["name"] == "data-db-0"
    assert "ownerReferences" not in claim["metadata"]


@pytest.mark.parametrize(
    ("spec", "phases", "condition", "more"),
    [
        ({"completions": 1}, [], None, 1),
        ({"completions": 3, "parallelism": 2}, ["Succeeded", "Running"], None, 1),
        ({"completions": 1}, ["Succeeded"], "Complete", 0),
        ({"completions": 1, "backoffLimit": 0}, ["Failed"], "Failed", 1),
        ({"completions": 1}, ["Failed"], None, 1),
        ({"parallelism": 2}, ["Succeeded", "Running"], None, 0),
        ({}, ["Succeeded"], "Complete", 0),
    ],
)
def test_a_job_ends_when_enough_have_succeeded_or_too_many_failed(
    spec: Obj, phases: list[str], condition: str | None, more: int
) -> None:
    job = {"metadata": {"name": "j"}, "spec": spec}
    pods = [pod(str(number)) | {"status": {"phase": each}} for number, each in enumerate(phases)]
    status = job_status(job, pods)
    said = [each["type"] for each in status.get("conditions", []) if each["type"] != "SuccessCriteriaMet"]
    assert said == ([condition] if condition else [])
    assert missing(job, pods) == more


def test_a_cron_job_starts_each_time_once() -> None:
    cron = {
        "metadata": {"name": "c", "namespace": "n", "uid": "u", "creationTimestamp": CREATED},
        "spec": {"schedule": "*/15 * * * *", "jobTemplate": {"spec": {"template": {}}}},
    }
    moment = dt.datetime(2026, 1, 1, 0, 20, tzinfo=dt.UTC)
    due = last_due(cron, moment)
    assert due == dt.datetime(2026, 1, 1, 0, 15, tzinfo=dt.UTC)
    assert next_due(cron, moment) == dt.datetime(2026, 1, 1, 0, 30, tzinfo=dt.UTC)
    cron["status"] = {"lastScheduleTime": "2026-01-01T00:15:00Z"}
    assert last_due(cron, moment) is None
    assert job_for(cron, due)["metadata"]["name"] == job_for(cron, due)["metadata"]["name"]
    tokyo = {**cron, "spec": {"schedule": "0 9 * * *", "timeZone": "Asia/Tokyo"}}
    assert next_due(tokyo, moment) == dt.datetime(2026, 1, 2, 0, 0, tzinfo=dt.UTC)


def test_endpoints_name_ports_and_leave_out_what_is_not_ready() -> None:
    service = {
        "metadata": {"name": "web", "namespace": "n", "uid": "u"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"port": 90, "targetPort": "none"}]},
    }
    container = {"name": "c", "ports": [{"name": "web", "containerPort": 8000}]}
    serving = pod("a", containers=[container], nodeName="x") | {"status": READY}
    waiting = pod("b", containers=[container]) | {"status": {**READY, "conditions": []}}
    subset = endpoints_for(service, [serving, waiting])["subsets"][0]
    assert [each["targetRef"]["name"] for each in subset["addresses"]] == ["a"]
    assert [each["targetRef"]["name"] for each in subset["notReadyAddresses"]] == ["b"]
    assert subset["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP"}]
    assert [each["conditions"]["ready"] for each in slice_for(service, [serving, waiting], "s")["endpoints"]] == [
        True,
        False,
    ]
    assert endpoints_for(service, [])["subsets"] is None
