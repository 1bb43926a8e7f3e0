"""What strangers have added is taken away again, exactly that, and only from the object that was looked at."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest

from infra.drift.findings import PlaneName
from infra.drift.healing import as_scaled, removals
from infra.drift.objects import compare_objects, key_of

DECLARED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {"containers": [{"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}]}]},
        },
    },
}
WEB = 'k:{"name":"web"}'


def entry(manager: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "time": "2026-11-25T10:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    """As the server has it: defaults filled in, helm's annotation beside, and what an edit has added."""
    made = copy.deepcopy(DECLARED)
    made["metadata"] |= {
        "resourceVersion": "7",
        "annotations": {
            "meta.helm.sh/release-name": "web",
            "note": "by hand",
            "kubectl.kubernetes.io/restartedAt": "x",
        },
        "finalizers": ["somebody/else"],
        "managedFields": list(entries),
    }
    made["spec"]["progressDeadlineSeconds"] = 600
    spec = made["spec"]["template"]["spec"]
    spec["dnsPolicy"] = "ClusterFirst"
    spec["containers"][0]["imagePullPolicy"] = "IfNotPresent"
    spec["containers"][0]["env"].append({"name": "DEBUG", "value": "1"})
    spec["containers"].append({"name": "spy", "image": "spy:1"})
    spec["containers"].append({"name": "spy2", "image": "spy:2"})
    made["status"] = {"replicas": 2}
    return made


def within(containers: dict[str, Any]) -> dict[str, Any]:
    return {"f:spec": {"f:template": {"f:spec": {"f:containers": containers}}}}


EDIT = entry(
    "kubectl-edit",
    {
        "f:metadata": {
            "f:annotations": {"f:note": {}, "f:kubectl.kubernetes.io/restartedAt": {}},
            "f:finalizers": {'v:"somebody/else"': {}},
        },
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        WEB: {"f:env": {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}},
                        'k:{"name":"spy"}': {".": {}, "f:image": {}, "f:name": {}},
                        'k:{"name":"spy2"}': {".": {}, "f:image": {}, "f:name": {}},
                        'k:{"name":"gone"}': {".": {}, "f:image": {}, "f:name": {}},
                    }
                }
            },
        },
        "f:status": {"f:replicas": {}},
    },
)
ADDED = [
    ".metadata.annotations.note",
    ".metadata.finalizers[=somebody/else]",
    ".spec.template.spec.containers[name=spy2]",
    ".spec.template.spec.containers[name=spy]",
    ".spec.template.spec.containers[name=web].env[name=DEBUG]",
]


def paths(there: dict[str, Any]) -> list[str]:
    found = compare_objects([DECLARED], {key_of(there): there}, plane=PlaneName.ADDONS)
    return sorted(one.path for one in found)


def test_what_an_edit_has_added_is_found() -> None:
    assert paths(live(EDIT)) == ADDED


def test_what_is_taken_away_is_exactly_that() -> None:
    there = live(EDIT)
    after = jsonpatch.apply_patch(there, removals(DECLARED, there))
    assert paths(after) == []
    expected = live(EDIT)
    del expected["metadata"]["annotations"]["note"]
    expected["metadata"]["finalizers"] = []
    containers = expected["spec"]["template"]["spec"]["containers"]
    del containers[1:]
    containers[0]["env"].pop()
    assert after == expected


def test_nothing_is_taken_away_that_has_changed_since() -> None:
    there = live(EDIT)
    patch = copy.deepcopy(removals(DECLARED, there))
    # A controller has counted pods: that is none of our business.
    there["metadata"]["resourceVersion"] = "8"
    there["status"]["replicas"] = 3
    assert paths(jsonpatch.apply_patch(there, patch)) == []
    there["spec"]["template"]["spec"]["containers"][1]["image"] = "other:1"
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(there, patch)
    assert removals(DECLARED, live({**EDIT, "manager": "helm"})) == []


def test_another_order_is_set_back() -> None:
    ordered = copy.deepcopy(DECLARED)
    first, second = {"name": "a", "image": "a"}, {"name": "b", "image": "b"}
    ordered["spec"]["template"]["spec"]["initContainers"] = [first, second]
    there = copy.deepcopy(ordered)
    mesh = {"name": "mesh", "image": "m"}
    there["spec"]["template"]["spec"]["initContainers"] = [second, mesh, first]
    there["metadata"]["managedFields"] = [entry("helm", {"f:spec": {}})]
    after = jsonpatch.apply_patch(there, removals(ordered, there))
    assert after["spec"]["template"]["spec"]["initContainers"] == [first, mesh, second]
    assert removals(ordered, after) == []


SCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 9},
}


def test_what_an_autoscaler_chose_is_neither_taken_away_nor_set_back() -> None:
    """Taken away, replicas are one by default."""
    undeclared = copy.deepcopy(DECLARED)
    del undeclared["spec"]["replicas"]
    there = live(EDIT)
    there["spec"]["replicas"] = 5
    scalers = {key_of(SCALER): SCALER}
    removed = [each["path"] for each in removals(undeclared, there, beside=scalers)]
    assert "/metadata/annotations/note" in removed
    assert "/spec/replicas" not in removed
    assert "/spec/replicas" in [each["path"] for each in removals(undeclared, there)]
    assert as_scaled(DECLARED, there, scalers)["spec"]["replicas"] == 5
    assert as_scaled(undeclared, there, scalers) == undeclared
    assert as_scaled(DECLARED, there, {}) == DECLARED
    there["spec"]["replicas"] = 0
    assert as_scaled(DECLARED, there, scalers) == DECLARED
