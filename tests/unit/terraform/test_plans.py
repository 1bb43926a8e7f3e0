"""Saved plans become models that show no secret, and the policy judges them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.clients.errors import Failed, Refused
from infra.terraform import plans, policy
from infra.terraform.plans import Difference, Plan

CLUSTER = "openstack_containerinfra_cluster_v1.cluster"
GROUP = 'openstack_containerinfra_nodegroup_v1.group["build"]'
TEMPLATE = 'openstack_containerinfra_clustertemplate_v1.cluster["dev-v1.33.4-c086d906"]'
SECRET = "-----BEGIN RSA PRIVATE KEY-----hunter2"


def resource(address: str, actions: list[str], **fields: Any) -> dict[str, Any]:
    kind, _, rest = address.partition(".")
    name, _, key = rest.partition("[")
    change = {"actions": actions, "before": {}, "after": {}, **fields.pop("change", {})}
    index = {"index": json.loads(key.removesuffix("]"))} if key else {}
    return {"address": address, "mode": "managed", "type": kind, "name": name, "change": change, **index, **fields}


def document(*changes: dict[str, Any], **more: Any) -> str:
    return json.dumps({"format_version": "1.2", "resource_changes": list(changes), **more})


def parse(*changes: dict[str, Any], destroy: bool = False, **more: Any) -> Plan:
    return plans.parse(document(*changes, **more), environment="dev", destroy=destroy)


REPLACED = resource(
    CLUSTER,
    ["delete", "create"],
    action_reason="replace_because_cannot_update",
    change={
        "before": {"id": "c-1", "master_count": 1, "kubeconfig": {"client_key": SECRET}, "labels": {"a": "1"}},
        "after": {"master_count": 3, "labels": {"a": "1"}},
        "after_unknown": {"id": True, "kubeconfig": True, "labels": {}},
        "before_sensitive": {"kubeconfig": True},
        "after_sensitive": {"kubeconfig": {"client_key": True}},
        "replace_paths": [["master_count"]],
    },
)


def test_a_replacement_names_what_forces_it_and_hides_secrets() -> None:
    plan = parse(REPLACED)
    (change,) = plan.changes
    assert (change.type, change.name, change.key) == ("openstack_containerinfra_cluster_v1", "cluster", None)
    assert change.replaces and change.destroys and not change.tainted
    assert change.verb == "replace"
    assert change.replace_paths == ("master_count",)
    assert change.identifier == "c-1"
    assert change.differences == (
        Difference(path="id", before="c-1", after=plans.UNKNOWN),
        Difference(path="kubeconfig", before=plans.SENSITIVE, after=plans.SENSITIVE),
        Difference(path="master_count", before=1, after=3),
    )
    assert "hunter2" not in plan.model_dump_json()
    assert plan.summary() == "Terraform would change dev: 1 to replace."


def test_reads_and_no_ops_are_no_changes() -> None:
    data = resource("openstack_dns_zone_v2.z", ["read"]) | {"mode": "data"}
    plan = parse(resource(CLUSTER, ["no-op"]), data)
    assert plan.empty
    assert plan.summary() == "Terraform has nothing to change in dev."


def test_outputs_alone_are_something_to_do() -> None:
    plan = parse(output_changes={"cluster_id": {"actions": ["create"]}})
    assert plan.changes == () and not plan.empty


def test_what_the_cloud_changes_by_itself_is_no_drift() -> None:
    def drifted(**after: Any) -> dict[str, Any]:
        before = {"updated_at": "1", "node_addresses": [], "node_count": 1}
        return resource(CLUSTER, ["update"], change={"before": before, "after": {**before, **after}})

    quiet = parse(resource_drift=[drifted(updated_at="2", node_addresses=["10.0.0.1"])])
    assert quiet.drift == ()
    loud = parse(resource_drift=[drifted(updated_at="2", node_count=5), resource(GROUP, ["delete"])])
    assert [change.address for change in loud.drift] == [CLUSTER, GROUP]


def test_a_key_that_is_a_number_and_a_nested_path() -> None:
    item = resource("a.b", ["update"], change={"replace_paths": [["records", 0, "name"]]}) | {"index": 0}
    (change,) = parse(item).changes
    assert (change.key, change.replace_paths) == ("0", ("records[0].name",))


@pytest.mark.parametrize("text", ["", "[]", '"x"', '{"resource_changes": [{}]}', '{"resource_changes": [1]}'])
def test_what_is_no_plan_is_an_error_that_quotes_nothing(text: str) -> None:
    with pytest.raises(Failed) as caught:
        plans.parse(text, environment="dev")
    assert caught.value.detail is None
    assert caught.value.__cause__ is None


# -- policy ----------------------------------------------------------------------------------------------------------


def test_creating_and_updating_is_never_refused() -> None:
    policy.guard(parse(resource(CLUSTER, ["create"]), resource(GROUP, ["update"]), resource(TEMPLATE, ["delete"])))


def test_replacing_a_template_is_not_refused() -> None:
    policy.guard(parse(resource(TEMPLATE, ["create", "delete"])))


def test_a_replacement_is_refused_with_address_and_reason() -> None:
    with pytest.raises(Refused) as caught:
        policy.guard(parse(REPLACED))
    assert caught.value.summary == (
        f"Terraform would replace the cluster {CLUSTER}, because master_count (from 1 to 3) cannot change in place."
    )
    assert CLUSTER in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("replace_because_tainted", "because an earlier operation on it did not finish."),
        ("delete_because_each_key", "because it is no longer declared."),
        ("delete_because_no_resource_config", "because it is no longer declared."),
        (None, f"delete the node group {GROUP}."),
    ],
)
def test_the_reason_is_said(reason: str | None, words: str) -> None:
    (loss,) = policy.losses(parse(resource(GROUP, ["delete"], action_reason=reason)))
    assert loss.sentence().endswith(words)


def test_a_tainted_object_is_recognised() -> None:
    plan = parse(resource(CLUSTER, ["delete", "create"], action_reason="replace_because_tainted"))
    assert plan.changes[0].tainted


def test_an_unknown_or_large_value_is_not_spelled_out() -> None:
    change = {
        "before": {"cluster_id": "c-1", "labels": {"a": "1"}},
        "after": {"labels": {"a": "2"}},
        "after_unknown": {"cluster_id": True},
        "replace_paths": [["cluster_id"], ["labels"], ["elsewhere"]],
    }
    (loss,) = policy.losses(parse(resource(GROUP, ["delete", "create"], change=change)))
    assert "cluster_id (from c-1 to a new one) and labels and elsewhere cannot" in loss.because


def test_agreement_is_to_an_address_not_to_everything() -> None:
    plan = parse(REPLACED, resource(GROUP, ["delete"]))
    with pytest.raises(Refused) as caught:
        policy.guard(plan, allow={CLUSTER})
    assert GROUP in caught.value.summary and "the cluster" not in caught.value.summary
    policy.guard(plan, allow={CLUSTER, GROUP})


def test_destroying_the_environment_agrees_to_all_of_it() -> None:
    plan = parse(resource(CLUSTER, ["delete"]), resource(GROUP, ["delete"]), destroy=True)
    allowed = policy.agreed_by_destroy(plan)
    assert allowed == {CLUSTER, GROUP}
    policy.guard(plan, allow=allowed)


def test_a_plan_that_is_not_to_destroy_agrees_to_nothing() -> None:
    with pytest.raises(Refused):
        policy.agreed_by_destroy(parse(resource(CLUSTER, ["delete"])))
    with pytest.raises(Refused) as caught:
        policy.agreed_by_destroy(parse(resource(CLUSTER, ["delete"]), resource(GROUP, ["create"]), destroy=True))
    assert caught.value.detail == GROUP


def test_the_file_travels_with_the_plan() -> None:
    plan = plans.parse(document(), environment="dev", file=Path("/x/saved.tfplan"))
    assert plan.file == Path("/x/saved.tfplan")
