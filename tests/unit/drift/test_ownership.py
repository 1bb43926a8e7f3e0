"""What strangers have added: told from defaults and from controllers' business by who owns it, and taken away again."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest

from infra.drift.ownership import extras, last_stranger, removals

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
    ".spec.template.spec.containers[name=spy2]",
    ".spec.template.spec.containers[name=spy]",
    ".spec.template.spec.containers[name=web].env[name=DEBUG]",
]


def test_what_an_edit_has_added_is_named_once_and_by_whom() -> None:
    found = extras(DECLARED, live(EDIT))
    assert [str(one) for one in found] == ADDED
    assert {str(one.changed) for one in found} == {"kubectl-edit at 2026-11-25 10:00:00 UTC (Update)"}
    assert found[0].observed == "by hand"
    assert found[2].observed == {"name": "spy", "image": "spy:1"}


@pytest.mark.parametrize("manager", ["helm", "plumbline", "kube-controller-manager", "cert-manager-cainjector"])
def test_what_helm_we_and_controllers_own_is_nobodys_edit(manager: str) -> None:
    assert extras(DECLARED, live({**EDIT, "manager": manager})) == []


def test_scaling_by_subresource_and_defaults_are_nobodys_edit() -> None:
    scaled = entry("kubectl", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    assert extras(DECLARED, live(scaled)) == []
    assert extras(DECLARED, live()) == []
    without = live()
    del without["metadata"]["managedFields"]
    assert extras(DECLARED, without) == []


def test_what_is_taken_away_is_exactly_that() -> None:
    there = live(EDIT)
    after = jsonpatch.apply_patch(there, removals(DECLARED, there))
    assert extras(DECLARED, after) == []
    expected = live(EDIT)
    del expected["metadata"]["annotations"]["note"]
    containers = expected["spec"]["template"]["spec"]["containers"]
    del containers[1:]
    containers[0]["env"].pop()
    assert after == expected


def test_nothing_is_taken_away_from_an_object_that_has_changed_since() -> None:
    there = live(EDIT)
    patch = removals(DECLARED, there)
    there["metadata"]["resourceVersion"] = "8"
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(there, patch)
    assert removals(DECLARED, live()) == []


def test_the_last_stranger_is_the_newest_that_is_neither_helm_nor_a_controller() -> None:
    image = within({WEB: {".": {}, "f:image": {}}})
    helm = entry("helm", image, time="2026-11-25T12:00:00Z")
    person, earlier = entry("kubectl-set", image, time="2026-11-25T11:00:00Z"), entry("kubectl-edit", image)
    assert (last_stranger(live(earlier, helm, person)) or {}).get("manager") == "kubectl-set"
    assert last_stranger(live(helm)) is None


def test_keys_that_a_declaration_leaves_to_their_default_are_the_same_item() -> None:
    service = {"metadata": {}, "spec": {"ports": [{"port": 80}]}}
    there = {"spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}}
    ports = {
        'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}},
        'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:port": {}},
    }
    fields = entry("kubectl-patch", {"f:spec": {"f:ports": ports}})
    found = extras(service, {**there, "metadata": {"managedFields": [fields]}})
    assert [str(one) for one in found] == [".spec.ports[port=81,protocol=TCP]"]
