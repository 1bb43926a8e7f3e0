"""Known false alarms and known misses of others, one case each, and what a finding says."""

from __future__ import annotations

import copy
import datetime
import time
from typing import Any

import pytest

from infra.catalog.models import Ignore
from infra.clients.masking import HIDDEN
from infra.drift.findings import PlaneName, Severity
from infra.drift.managers import MANAGERS
from infra.drift.memory import Memory
from infra.drift.objects import Key, compare_objects, findings_of, key_of, placed, suspects
from infra.drift.scaling import by_hand
from tests.unit.drift.comparing import BORN, LATER, Object, book, compare, paths, written

CONFIG: Object = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "web", "namespace": "dev", "labels": {"app": "web"}},
    "data": {"a": "1000m"},
}
CONTAINER: Object = {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}]}
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "dev"},
    "spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}},
}
SECRET: Object = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "keys", "namespace": "dev"},
    "data": {"a": "c2VjcmV0"},
}
POD = ("spec", "template", "spec")
WEB = 'k:{"name":"web"}'


def changed(item: Object, *steps: str | int, to: Any) -> Object:
    """A copy with another value; `...` takes it away."""
    fresh = copy.deepcopy(item)
    there: Any = fresh
    for step in steps[:-1]:
        there = there.setdefault(step, {}) if isinstance(there, dict) else there[step]
    if to is ...:
        del there[steps[-1]]
    else:
        there[steps[-1]] = to
    return fresh


def in_pod(fields: Object) -> Object:
    """Managed fields of a Deployment's pod."""
    return {"f:spec": {"f:template": {"f:spec": fields}}}


def test_defaulted_fields_are_no_drift() -> None:
    """argo-cd 17572: perpetual OutOfSync from what the API server fills in."""
    live = changed(DEPLOYMENT, *POD, "containers", 0, "imagePullPolicy", to="IfNotPresent")
    live = changed(live, *POD, "dnsPolicy", to="ClusterFirst")
    live = changed(live, "spec", "strategy", to={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}})
    live = changed(live, "status", to={"replicas": 1})
    assert compare(DEPLOYMENT, written(live)) == []


def test_extra_keys_are_drift() -> None:
    """flux helm-controller 896: keys that somebody adds are missed by comparing only what is declared."""
    live = changed(CONFIG, "data", "b", to="2")
    (finding,) = compare(CONFIG, written(live, book("kubectl-edit", {"f:data": {"f:b": {}}})))
    assert (finding.address, finding.path) == ("ConfigMap/dev/web", ".data.b")
    assert (finding.declared, finding.observed, finding.severity) == (None, "2", Severity.CONFIG)
    assert finding.sentence == "ConfigMap/dev/web.data.b is not declared."
    assert str(finding.changed) == "kubectl-edit at 2031-02-02 02:02:02 UTC (Update)"


@pytest.mark.parametrize(
    ("value", "path", "fields", "found"),
    [
        ({"name": "B", "value": "2"}, "env", {'k:{"name":"B"}': {".": {}, "f:name": {}}}, ".env[name=B]"),
        ({"mountPath": "/x", "name": "x"}, "volumeMounts", {".": {}, 'k:{"mountPath":"/x"}': {".": {}}},
         ".volumeMounts[mountPath=/x]"),
    ],
)  # fmt: skip
def test_extra_items_are_drift(value: Object, path: str, fields: Object, found: str) -> None:
    before = CONTAINER.get(path, [])
    live = changed(DEPLOYMENT, *POD, "containers", 0, path, to=[*before, value])
    by = book("kubectl-edit", in_pod({"f:containers": {WEB: {f"f:{path}": fields}}}))
    assert paths(compare(DEPLOYMENT, written(live, by))) == [f".spec.template.spec.containers[name=web]{found}"]


def test_a_container_by_hand_is_one_finding() -> None:
    fresh = {"name": "shell", "image": "x", "imagePullPolicy": "Always", "securityContext": {"privileged": True}}
    live = changed(DEPLOYMENT, *POD, "containers", to=[CONTAINER, fresh])
    fields = {'k:{"name":"shell"}': {".": {}, "f:name": {}, "f:image": {}, "f:imagePullPolicy": {}}}
    (finding,) = compare(DEPLOYMENT, written(live, book("kubectl-patch", in_pod({"f:containers": fields}))))
    assert finding.path == ".spec.template.spec.containers[name=shell]"
    assert finding.severity == Severity.SECURITY


def test_an_injected_container_is_none() -> None:
    """A webhook's sidecar is written in the name of whoever created the object."""
    live = changed(DEPLOYMENT, *POD, "containers", to=[{"name": "proxy", "image": "x"}, CONTAINER])
    assert compare(DEPLOYMENT, written(live)) == []


def test_an_rbac_rule_by_hand_is_drift_of_security() -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "r"},
        "rules": rules,
    }
    by = book("kubectl-client-side-apply", {"f:rules": {}})
    wider = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, *rules]
    (finding,) = compare(role, written({**role, "rules": wider}, by))
    assert (finding.path, finding.severity) == (".rules[0]", Severity.SECURITY)
    assert finding.changed is not None
    assert finding.changed.who == "kubectl-client-side-apply"
    turned = [{**rules[0], "verbs": ["list", "get"]}]
    assert compare(role, written({**role, "rules": turned}, by)) == []
    (finding,) = compare(role, written({**role, "rules": [{**rules[0], "verbs": ["get", "list", "delete"]}]}, by))
    assert (finding.path, finding.observed) == (".rules[0].verbs[=delete]", "delete")


def test_order_matters_for_arguments_and_not_for_keyed_lists() -> None:
    item = changed(DEPLOYMENT, *POD, "containers", 0, "args", to=["-a", "-b"])
    item = changed(item, *POD, "containers", 0, "env", to=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    live = changed(item, *POD, "containers", 0, "env", to=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}])
    assert compare(item, written(live)) == []
    live = changed(item, *POD, "containers", 0, "args", to=["-b", "-a"])
    where = ".spec.template.spec.containers[name=web].args"
    assert paths(compare(item, written(live))) == [f"{where}[0]", f"{where}[1]"]
    live = changed(item, *POD, "containers", 0, "args", to=["-b"])
    (finding,) = compare(item, written(live))
    assert (finding.path, finding.declared, finding.observed) == (where, ["-a", "-b"], ["-b"])


def scaler(**more: Any) -> Object:
    """The autoscaler of the Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "dev", **more.pop("metadata", {})},
            "spec": {"scaleTargetRef": target, "maxReplicas": 9, **more}}  # fmt: skip


KEDA = {"ownerReferences": [{"kind": "ScaledObject", "name": "web", "uid": "k", "controller": True}]}
SCALED_BY = {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize("undeclared", [False, True])
@pytest.mark.parametrize("manager", ["kube-controller-manager", "kubectl", "keda", None])
@pytest.mark.parametrize(
    ("beside", "replicas", "drift"),
    [
        (scaler(), 5, False),
        # It does nothing where there are none: that is a person's off switch.
        (scaler(), 0, True),
        (scaler(minReplicas=0), 0, False),
        (scaler(metadata=KEDA), 0, False),
        (scaler(metadata=KEDA), 5, False),
        # None is there any more: who is in charge of five?
        (None, 5, True),
        (scaler(metadata={"name": "other"}, scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment",
                                                            "name": "other"}), 5, True),
    ],
)  # fmt: skip
def test_replicas_are_an_autoscalers_where_one_is_in_charge(
    beside: Object | None, replicas: int, drift: bool, manager: str | None, undeclared: bool
) -> None:
    item = changed(DEPLOYMENT, "spec", "replicas", to=...) if undeclared else DEPLOYMENT
    by = [book(manager, SCALED_BY, subresource="scale")] if manager else []
    live = written(changed(DEPLOYMENT, "spec", "replicas", to=replicas), *by)
    there = {key_of(each): each for each in (live, beside) if each}
    findings = compare_objects([item], there, plane=PlaneName.ADDONS)
    assert paths(findings) == ([".spec.replicas"] if drift else [])
    if drift and manager:
        assert findings[0].changed is not None
        assert (findings[0].changed.who, findings[0].changed.how) == (manager, "Update of scale")


def test_no_replicas_declared_beside_an_autoscaler_is_an_off_switch_too() -> None:
    item = changed(DEPLOYMENT, "spec", "replicas", to=0)
    live = written(changed(DEPLOYMENT, "spec", "replicas", to=3), book("kube-controller-manager", SCALED_BY))
    there = {key_of(live): live, key_of(scaler()): scaler()}
    assert paths(compare_objects([item], there, plane=PlaneName.ADDONS)) == [".spec.replicas"]


@pytest.mark.parametrize(
    ("metadata", "entries", "expected"),
    [
        ({}, [book("kubectl-autoscale", {"f:spec": {}}, time=BORN)], True),
        ({}, [book("kubectl-edit", {"f:spec": {}})], True),
        ({}, [book("helm", {"f:spec": {}}), book("kubectl-edit", {"f:spec": {}})], False),
        ({}, [book("plumbline", {"f:spec": {}}), book("kube-controller-manager", {"f:status": {}})], False),
        (KEDA, [book("keda-operator", {"f:spec": {}})], False),
        ({}, [], False),
    ],
)
def test_an_autoscaler_made_by_hand_is_told(metadata: Object, entries: list[Object], expected: bool) -> None:
    metadata = {"creationTimestamp": BORN, **metadata, "managedFields": entries}
    assert by_hand(scaler(metadata=metadata)) is expected


@pytest.mark.parametrize(("manager", "drift"), [("cert-manager-cainjector", False), ("kubectl-patch", True)])
@pytest.mark.parametrize("declared", [{}, {"caBundle": ""}])
def test_an_injected_bundle_is_no_drift(manager: str, drift: bool, declared: Object) -> None:
    hook = {"name": "h", "clientConfig": {"url": "https://h", **declared}}
    item = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "h"}, "webhooks": [hook]}  # fmt: skip
    live = changed(item, "webhooks", 0, "clientConfig", "caBundle", to="Q0E=")
    fields = {"f:webhooks": {'k:{"name":"h"}': {"f:clientConfig": {"f:caBundle": {}}}}}
    findings = compare(item, written(live, book(manager, fields)))
    assert paths(findings) == ([".webhooks[name=h].clientConfig.caBundle"] if drift else [])
    assert all(finding.severity == Severity.SECURITY for finding in findings)


@pytest.mark.parametrize(
    ("declared", "observed", "same"),
    [("1000m", "1", True), ("1Gi", "1024Mi", True), (1, "1", True), (0.5, "500m", True), ("1e3", "1k", True),
     ("1G", "1Gi", False), ("100m", "1", False), ("lots", "1", False)],
)  # fmt: skip
def test_quantities_are_compared_by_amount(declared: Any, observed: Any, same: bool) -> None:
    item = changed(DEPLOYMENT, *POD, "containers", 0, "resources", to={"limits": {"cpu": declared}})
    live = changed(DEPLOYMENT, *POD, "containers", 0, "resources", to={"limits": {"cpu": observed}})
    assert (compare(item, written(live)) == []) == same
    assert (compare(item, written(live, book("kubectl-edit", {"f:metadata": {}}))) == []) == same


def test_what_only_looks_like_a_quantity_is_text() -> None:
    assert paths(compare(CONFIG, written(changed(CONFIG, "data", "a", to="1")))) == [".data.a"]
    live = changed(DEPLOYMENT, *POD, "containers", 0, "env", 0, "value", to="1000m")
    assert paths(compare(DEPLOYMENT, written(live))) == [".spec.template.spec.containers[name=web].env[name=A].value"]


@pytest.mark.parametrize("value", [None, {}, [], "", False, 0])
def test_empty_is_absent(value: Any) -> None:
    name = "nodeSelector" if value == {} else "hostNetwork"
    item = changed(DEPLOYMENT, *POD, name, to=value)
    assert compare(item, written(DEPLOYMENT)) == []
    assert compare(item, written(DEPLOYMENT, book("kubectl-edit", {"f:metadata": {}}))) == []


def test_zeros_that_the_server_keeps_are_missed_when_they_are_gone() -> None:
    for name in ("automountServiceAccountToken", "shareProcessNamespace"):
        item = changed(DEPLOYMENT, *POD, name, to=False)
        assert paths(compare(item, written(DEPLOYMENT))) == [f".spec.template.spec.{name}"]
    item = changed(CONFIG, "data", "empty", to="")
    assert paths(compare(item, written(CONFIG))) == [".data.empty"]


def test_a_custom_resource_keeps_what_it_was_given() -> None:
    item = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "dev"},
            "spec": {"on": False, "self": {}, "text": ""}}  # fmt: skip
    assert paths(compare(item, written({**item, "spec": {}}))) == [".spec.on", ".spec.self"]


def test_true_is_not_one() -> None:
    item = {**CONFIG, "apiVersion": "example.org/v1", "kind": "Widget", "data": None, "spec": {"on": True}}
    assert paths(compare(item, written({**item, "spec": {"on": 1}}))) == [".spec.on"]
    assert compare({**item, "spec": {"on": 1.0}}, written({**item, "spec": {"on": 1}})) == []


def test_secret_values_are_never_shown() -> None:
    by = book("kubectl-edit", {"f:data": {"f:a": {}, "f:b": {}}})
    live = {**SECRET, "data": {"a": "b3RoZXI=", "b": "bmV3"}}
    findings = compare(SECRET, written(live, by)) + compare(SECRET, written({**SECRET, "data": {}}, by))
    findings += compare(SECRET, written(changed(SECRET, "data", to=...), by))
    assert [(finding.path, finding.severity) for finding in findings] == [
        (".data.a", Severity.SECURITY), (".data.b", Severity.SECURITY), (".data.a", Severity.SECURITY),
        (".data", Severity.SECURITY)]  # fmt: skip
    told = "".join(finding.model_dump_json() for finding in findings)
    assert HIDDEN in told
    assert not any(value in told for value in ("c2VjcmV0", "b3RoZXI=", "bmV3", "secret", "other", "new"))


def test_a_secrets_text_is_compared_as_the_server_stores_it() -> None:
    item = {**changed(SECRET, "data", to=...), "stringData": {"a": "secret"}}
    assert compare(item, written(SECRET)) == []
    assert compare({**SECRET, "data": {"a": "c2Vj\ncmV0\n"}}, written(SECRET)) == []
    assert paths(compare(item, written({**SECRET, "data": {"a": "b3RoZXI="}}))) == [".data.a"]


def test_tools_keep_books_in_annotations() -> None:
    marks = {"deployment.kubernetes.io/revision": "3", "kubectl.kubernetes.io/last-applied-configuration": "{}",
             "meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "dev"}  # fmt: skip
    live = changed(DEPLOYMENT, "metadata", "annotations", to=marks)
    live = changed(live, "metadata", "labels", to={"app.kubernetes.io/managed-by": "Helm"})
    fields = {"f:metadata": {"f:annotations": {".": {}, **{f"f:{key}": {} for key in marks}}}}
    assert compare(DEPLOYMENT, written(live, book("kubectl-client-side-apply", fields))) == []
    bare = written(live)
    del bare["metadata"]["managedFields"]
    assert compare(DEPLOYMENT, bare) == []


def test_annotations_by_hand_are_cosmetic_and_a_restart_is_nothing() -> None:
    marks = {"kubectl.kubernetes.io/restartedAt": LATER, "example.org/a": "b"}
    live = changed(DEPLOYMENT, "spec", "template", "metadata", "annotations", to=marks)
    fields = {
        "f:spec": {"f:template": {"f:metadata": {"f:annotations": {".": {}, **{f"f:{key}": {} for key in marks}}}}}
    }
    (finding,) = compare(DEPLOYMENT, written(live, book("kubectl-rollout", fields)))
    assert finding.path == '.spec.template.metadata.annotations["example.org/a"]'
    assert finding.severity == Severity.COSMETIC


def test_finalizers_and_owners_are_compared_where_they_are_declared() -> None:
    live = changed(CONFIG, "metadata", "finalizers", to=["example.org/wait"])
    live = written(live, book("operator", {"f:metadata": {"f:finalizers": {".": {}, 'v:"example.org/wait"': {}}}}))
    assert compare(CONFIG, live) == []
    assert paths(compare(changed(CONFIG, "metadata", "finalizers", to=["example.org/ours"]), live)) == [
        ".metadata.finalizers[=example.org/ours]",
        ".metadata.finalizers[=example.org/wait]",
    ]


@pytest.mark.parametrize(("manager", "by_hand"), [("kubectl-edit", True), ("k9s", True), ("operator", False)])
def test_ties_by_hand_are_drift_and_a_controllers_are_none(manager: str, by_hand: bool) -> None:
    """A finalizer keeps an object from being deleted; an owner that is gone takes it with it."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u1"}
    live = changed(CONFIG, "metadata", "finalizers", to=["example.org/wait", "kubernetes"])
    live = changed(live, "metadata", "ownerReferences", to=[owner])
    names = {"f:finalizers": {".": {}, 'v:"example.org/wait"': {}, 'v:"kubernetes"': {}},
             "f:ownerReferences": {".": {}, 'k:{"uid":"u1"}': {}}}  # fmt: skip
    findings = compare(CONFIG, written(live, book(manager, {"f:metadata": names})))
    expected = [".metadata.finalizers[=example.org/wait]", ".metadata.ownerReferences[uid=u1]"]
    assert paths(findings) == (expected if by_hand else [])
    assert {str(one.changed).split()[0] for one in findings} == ({manager} if by_hand else set())


@pytest.mark.parametrize(("manager", "drift"), [("kubectl-edit", True), ("rollouts-controller", False)])
def test_annotations_by_way_of_the_status_are_a_persons_too(manager: str, drift: bool) -> None:
    live = changed(DEPLOYMENT, "metadata", "annotations", to={"example.org/a": "b"})
    fields = {"f:metadata": {"f:annotations": {".": {}, "f:example.org/a": {}}}}
    findings = compare(DEPLOYMENT, written(live, book(manager, fields, subresource="status")))
    assert [str(one.changed) for one in findings] == (
        [f"{manager} at 2031-02-02 02:02:02 UTC (Update of status)"] if drift else []
    )


def test_what_an_autoscaler_of_version_1_has_no_field_for_is_told_by_its_annotation() -> None:
    """Edited through version 2: the books have the fields of that version."""
    item = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "namespace": "dev"}, "spec": {"maxReplicas": 5}}  # fmt: skip
    key = "autoscaling.alpha.kubernetes.io/behavior"
    live = changed(item, "metadata", "annotations", to={key: "{}"})
    (finding,) = compare(item, written(live, book("kubectl-edit", {"f:spec": {"f:behavior": {}}})))
    assert finding.path == f'.metadata.annotations["{key}"]'
    assert finding.changed is not None
    assert finding.changed.who == "kubectl-edit"


def env(*pairs: tuple[str, str]) -> Object:
    """The Deployment with these variables."""
    return changed(DEPLOYMENT, *POD, "containers", 0, "env", to=[{"name": name, "value": text} for name, text in pairs])


IN_WEB = ".spec.template.spec.containers[name=web].env"


def test_order_matters_where_a_variable_sees_another() -> None:
    item = env(("A", "1"), ("B", "$(A)2"), ("C", "3"))
    assert compare(item, written(env(("C", "3"), ("A", "1"), ("B", "$(A)2")))) == []
    by = book("kubectl-edit", in_pod({"f:containers": {WEB: {"f:env": {}}}}))
    (finding,) = compare(item, written(env(("B", "$(A)2"), ("A", "1"), ("C", "3")), by))
    assert (finding.path, finding.declared, finding.observed) == (IN_WEB, ["A", "B", "C"], ["B", "A", "C"])


def test_init_containers_run_one_after_the_other() -> None:
    first, second = {"name": "a", "image": "a"}, {"name": "b", "image": "b"}
    item = changed(DEPLOYMENT, *POD, "initContainers", to=[first, second])
    live = changed(DEPLOYMENT, *POD, "initContainers", to=[second, first])
    (finding,) = compare(item, written(live))
    assert finding.path == ".spec.template.spec.initContainers"
    assert (finding.declared, finding.observed) == (["a", "b"], ["b", "a"])
    injected = changed(DEPLOYMENT, *POD, "initContainers", to=[{"name": "mesh", "image": "m"}, first, second])
    assert compare(item, written(injected)) == []


def test_of_a_variable_that_is_set_twice_the_last_counts() -> None:
    item = env(("A", "1"), ("B", "2"), ("A", "3"))
    assert compare(item, written(item, book("kubectl-edit", {"f:metadata": {}}))) == []
    assert compare(item, written(env(("A", "3"), ("B", "2")))) == []
    assert paths(compare(item, written(env(("A", "4"), ("B", "2"))))) == [f"{IN_WEB}[name=A].value"]
    assert paths(compare(item, written(env(("A", "1"), ("B", "2"), ("A", "4"))))) == [f"{IN_WEB}[2].value"]


def test_ports_of_one_number_are_told_apart_by_their_protocol() -> None:
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "dev"},
            "spec": {"ports": ports}}  # fmt: skip
    assert compare(item, written(changed(item, "spec", "ports", to=[ports[1], {**ports[0], "protocol": "TCP"}]))) == []
    assert paths(compare(item, written(changed(item, "spec", "ports", to=ports[:1])))) == [
        ".spec.ports[port=53,protocol=UDP]"
    ]


@pytest.mark.parametrize("other", [False, True])
def test_thousands_of_rules_are_compared_in_seconds(other: bool) -> None:
    rules = [{"apiGroups": [""], "resources": [f"r{number}", "x"], "verbs": ["get"]} for number in range(5000)]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"},
            "rules": rules}  # fmt: skip
    turned = [{**rule, "resources": rule["resources"][::-1], "verbs": ["list" if other else "get"]}
              for rule in reversed(rules)]  # fmt: skip
    begun = time.process_time()
    findings = compare(role, written({**role, "rules": turned}, book("kubectl-edit", {"f:rules": {}})))
    assert time.process_time() - begun < 20
    assert bool(findings) == other


@pytest.mark.parametrize("number", [2**63, 2**70, -(2**70)])
def test_integers_beyond_64_bits_are_floating_point_to_the_api_server(number: int) -> None:
    item = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "dev"},
            "spec": {"parts": [{"number": number}]}}  # fmt: skip
    live = {**item, "spec": {"parts": [{"number": float(number)}]}}
    memory = Memory()
    for _ in range(2):
        assert suspects([item], {key_of(item): written(live)}, memory=memory) == []
    assert paths(compare(item, written({**live, "spec": {"parts": [{"number": 1}]}}))) == [".spec.parts[0].number"]


def test_deleted_objects_are_destructive() -> None:
    (finding,) = compare(CONFIG, None)
    assert (finding.path, finding.severity) == ("", Severity.DESTRUCTIVE)
    assert finding.sentence == "ConfigMap/dev/web is not there."
    (finding,) = compare(CONFIG, written(changed(CONFIG, "metadata", "deletionTimestamp", to=LATER)))
    assert finding.sentence == "ConfigMap/dev/web is being deleted."


@pytest.mark.parametrize(
    ("spec", "gone"),
    [({"ttlSecondsAfterFinished": 0}, False), ({"ttlSecondsAfterFinished": 60}, False), ({}, True),
     # It has never run, and never will: somebody deleted it.
     ({"ttlSecondsAfterFinished": 60, "suspend": True}, True)],
)  # fmt: skip
def test_a_job_that_the_cluster_deletes_when_it_is_done_is_not_gone(spec: Object, gone: bool) -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "dev"}, "spec": spec}
    for live in (None, written(changed(job, "metadata", "deletionTimestamp", to=LATER))):
        assert bool(compare(job, live)) == gone
    # While it is there, it is compared as any other.
    edited = changed(job, "spec", "activeDeadlineSeconds", to=1)
    by = book("kubectl-edit", {"f:spec": {"f:activeDeadlineSeconds": {}}})
    assert paths(compare(job, written(edited, by))) == [".spec.activeDeadlineSeconds"]


def test_what_was_taken_away_is_laid_at_the_last_persons_door() -> None:
    live = changed(CONFIG, "data", to={})
    by = [book("kubectl-label", {"f:metadata": {"f:labels": {"f:app": {}}}}, time="2031-03-03T00:00:00Z"),
          book("kubectl-edit", {"f:metadata": {"f:labels": {"f:app": {}}}}),
          book("operator", {"f:status": {}}, time="2031-04-04T00:00:00Z", subresource="status")]  # fmt: skip
    (finding,) = compare(CONFIG, written(live, *by))
    assert finding.path == ".data.a"
    assert finding.changed is not None
    assert finding.changed.who == "kubectl-label"
    (finding,) = compare(CONFIG, written(live))
    assert finding.changed is None


def test_of_several_owners_a_person_is_named() -> None:
    live = changed(CONFIG, "data", "a", to="2")
    fields = {"f:data": {"f:a": {}}}
    by = [book("kubectl-edit", fields), book("kube-controller-manager", fields, time="2031-03-03T00:00:00Z")]
    (finding,) = compare(CONFIG, written(live, *by))
    assert finding.changed is not None
    assert finding.changed.who == "kubectl-edit"


def made_by_hand(live: Object, fields: Object, *entries: Object) -> Object:
    """An object that a person created, with what the API server defaulted and allotted in the person's name."""
    books = [book("kubectl-create", fields, time=BORN), *entries]
    metadata = {"creationTimestamp": BORN, "uid": "u", "resourceVersion": "1", **live["metadata"]}
    return {**live, "metadata": {**metadata, "managedFields": books}}


def test_defaults_of_who_created_the_object_are_none_of_our_business() -> None:
    """An object that a person made, and that is ours now: its defaults are in the person's name, and its edits, too."""
    live = changed(DEPLOYMENT, "spec", "progressDeadlineSeconds", to=900)
    live = changed(live, "spec", "revisionHistoryLimit", to=10)
    live = changed(live, "metadata", "labels", to={"by": "hand"})
    spec = {"f:progressDeadlineSeconds": {}, "f:revisionHistoryLimit": {}}
    live = made_by_hand(live, {"f:spec": spec, "f:metadata": {"f:labels": {"f:by": {}}}})
    assert paths(compare(DEPLOYMENT, live)) == [".metadata.labels.by", ".spec.progressDeadlineSeconds"]


HOSTILE: list[tuple[Any, tuple[str | int, ...], Object, str]] = [
    (True, (*POD, "hostNetwork"), in_pod({"f:hostNetwork": {}}), ".spec.template.spec.hostNetwork"),
    ("admin", (*POD, "serviceAccountName"), in_pod({"f:serviceAccountName": {}}),
     ".spec.template.spec.serviceAccountName"),
    ([{"operator": "Exists"}], (*POD, "tolerations"), in_pod({"f:tolerations": {}}), ".spec.template.spec.tolerations"),
    ({"privileged": True}, (*POD, "containers", 0, "securityContext"),
     in_pod({"f:containers": {WEB: {"f:securityContext": {".": {}, "f:privileged": {}}}}}),
     ".spec.template.spec.containers[name=web].securityContext"),
]  # fmt: skip


@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize(("value", "steps", "fields", "found"), HOSTILE)
def test_who_deletes_an_object_and_makes_it_anew_is_found_out(
    value: Any, steps: tuple[str | int, ...], fields: Object, found: str, adopted: bool
) -> None:
    """`kubectl create` of the same name: no write of ours is in the books, or only one that came after."""
    ours = [book("helm", {"f:metadata": {"f:annotations": {"f:meta.helm.sh/release-name": {}}}})] if adopted else []
    (finding,) = compare(DEPLOYMENT, made_by_hand(changed(DEPLOYMENT, *steps, to=value), fields, *ours))
    assert finding.path == found
    assert finding.changed is not None
    assert str(finding.changed) == "kubectl-create at 2031-01-01 00:00:00 UTC (Update)"


@pytest.mark.parametrize(("value", "steps", "fields", "found"), HOSTILE)
def test_a_patch_right_after_birth_is_a_persons_whenever_helm_wrote_last(
    value: Any, steps: tuple[str | int, ...], fields: Object, found: str
) -> None:
    live = written(changed(DEPLOYMENT, *steps, to=value), book("kubectl-patch", fields, time="2031-01-01T00:00:01Z"))
    live["metadata"]["managedFields"][0]["time"] = LATER
    (finding,) = compare(DEPLOYMENT, live)
    assert finding.path == found
    assert finding.changed is not None
    assert finding.changed.who == "kubectl-patch"


def test_addresses_that_draw_others_traffic_are_found_whoever_made_the_service() -> None:
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "dev"},
                       "spec": {"ports": [{"port": 80}]}}  # fmt: skip
    live = changed(service, "spec", "externalIPs", to=["192.0.2.1"])
    live = changed(live, "spec", "clusterIP", to="10.0.0.1")
    fields = {"f:spec": {"f:externalIPs": {}, "f:clusterIP": {}}}
    for item in (made_by_hand(live, fields), live):
        (finding,) = compare(service, item)
        assert (finding.path, finding.severity) == (".spec.externalIPs", Severity.SECURITY)


@pytest.mark.parametrize(("value", "steps", "fields", "found"), HOSTILE)
def test_what_lets_a_pod_out_of_its_box_is_told_though_nobody_keeps_books(
    value: Any, steps: tuple[str | int, ...], fields: Object, found: str
) -> None:
    live = changed(DEPLOYMENT, *steps, to=value)
    live["metadata"]["managedFields"] = [book("before-first-apply", fields)]
    dangerous = steps[-1] != "tolerations"
    for item in (live, changed(DEPLOYMENT, *steps, to=value)):
        findings = compare(DEPLOYMENT, item)
        assert paths(findings) == ([found] if dangerous else [])
        assert all(finding.severity == Severity.SECURITY for finding in findings)


def test_what_nobody_else_owns_is_not_laid_at_ours() -> None:
    """Before 1.22, scaling left helm the owner of the replicas."""
    live = written(changed(DEPLOYMENT, "spec", "replicas", to=5))
    live["metadata"]["managedFields"][0]["fieldsV1"] = {"f:spec": {"f:replicas": {}}}
    (finding,) = compare(DEPLOYMENT, live)
    assert (finding.path, finding.changed) == (".spec.replicas", None)


def test_what_a_person_has_in_common_with_us_is_no_change() -> None:
    """`kubectl apply --server-side` of a whole object owns its defaults as well, and changes none."""
    live = changed(DEPLOYMENT, *POD, "schedulerName", to="ours")
    ours = written(live, book("kubectl", in_pod({"f:schedulerName": {}}), operation="Apply"))
    assert paths(compare(DEPLOYMENT, ours)) == [".spec.template.spec.schedulerName"]
    ours["metadata"]["managedFields"][0]["fieldsV1"] = in_pod({"f:schedulerName": {}})
    assert compare(DEPLOYMENT, ours) == []


def test_an_edit_of_an_injected_container_is_the_edit_alone() -> None:
    live = changed(DEPLOYMENT, *POD, "containers", to=[CONTAINER, {"name": "proxy", "image": "mine"}])
    live = written(live, book("kubectl-edit", in_pod({"f:containers": {'k:{"name":"proxy"}': {"f:image": {}}}})))
    live["metadata"]["managedFields"][0]["fieldsV1"] = in_pod({"f:containers": {'k:{"name":"proxy"}': {".": {}}}})
    assert paths(compare(DEPLOYMENT, live)) == [".spec.template.spec.containers[name=proxy].image"]


def test_a_leader_may_hold_its_lease() -> None:
    item = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "dev"}}
    live = {**item, "spec": {"holderIdentity": "web-1", "leaseTransitions": 3}}
    by = book("web", {"f:spec": {"f:holderIdentity": {}, "f:leaseTransitions": {}}})
    assert compare(item, written(live, by)) == []


@pytest.mark.parametrize("manager", ["argocd-server", "argocd-application-controller", "kubectl-annotate"])
def test_a_sync_under_way_is_no_drift(manager: str) -> None:
    item = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a", "namespace": "dev"},
            "spec": {"project": "default"}}  # fmt: skip
    live = changed(item, "metadata", "annotations", to={"argocd.argoproj.io/refresh": "hard"})
    live = changed(live, "operation", to={"sync": {"revision": "abc"}, "initiatedBy": {"username": "admin"}})
    fields = {"f:metadata": {"f:annotations": {".": {}, "f:argocd.argoproj.io/refresh": {}}},
              "f:operation": {".": {}, "f:sync": {".": {}, "f:revision": {}}}}  # fmt: skip
    assert compare(item, written(live, book(manager, fields))) == []
    live = changed(live, "spec", "project", to="other")
    assert paths(compare(item, written(live, book(manager, fields)))) == [".spec.project"]


def ingress_path(path: str, service: str) -> Object:
    """A path of an Ingress."""
    return {"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}


CHALLENGE = ingress_path("/.well-known/acme-challenge/abc", "cm-acme-http-solver-x1")


@pytest.mark.parametrize(
    ("manager", "added", "found"),
    [
        ("cert-manager-challenges", CHALLENGE, []),
        ("kubectl-edit", CHALLENGE, [".spec.rules[0].http.paths[0]"]),
        ("cert-manager-challenges", ingress_path("/", "cm-acme-http-solver-x1"), [".spec.rules[0].http.paths[0]"]),
        ("cert-manager-challenges", ingress_path(CHALLENGE["path"], "mine"), [".spec.rules[0].http.paths[0]"]),
    ],
)
def test_an_ingress_is_edited_while_cert_manager_answers_a_challenge(
    manager: str, added: Object, found: list[str]
) -> None:
    rule = {"host": "a.example.org", "http": {"paths": [ingress_path("/", "web")]}}
    item = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i", "namespace": "dev"},
            "spec": {"rules": [rule]}}  # fmt: skip
    by = book(manager, {"f:spec": {"f:rules": {}}})
    live = changed(item, "spec", "rules", 0, "http", "paths", to=[added, *rule["http"]["paths"]])  # type: ignore[index]
    assert paths(compare(item, written(live, by))) == found
    live = changed(item, "spec", "rules", to=[rule, {"host": "b.example.org", "http": {"paths": [added]}}])
    assert paths(compare(item, written(live, by))) == ([".spec.rules[1]"] if found else [])


def test_other_programs_can_be_trusted() -> None:
    live = written(changed(CONFIG, "data", "b", to="2"), book("rook", {"f:data": {"f:b": {}}}))
    there = {key_of(CONFIG): live}
    assert suspects([CONFIG], there)
    assert not suspects([CONFIG], there, managers=MANAGERS.also({"rook"}))


RULES = (
    Ignore(kind="ConfigMap", paths=("/data/a", "/metadata/labels"), why="A test."),
    Ignore(kind="Deployment", name="web", paths=("/spec/template/spec/containers/*/image",), why="A test."),
)


def test_the_catalogues_ignore_rules_are_honoured() -> None:
    by = book("kubectl-edit", {"f:metadata": {"f:labels": {"f:x": {}}}})
    live = changed(changed(CONFIG, "data", "a", to="2"), "metadata", "labels", to={"x": "y"})
    assert compare(CONFIG, written(live, by), rules=RULES) == []
    assert compare(CONFIG, written(changed(CONFIG, "data", to=...)), rules=RULES) == []
    live = changed(DEPLOYMENT, *POD, "containers", 0, "image", to="other")
    assert compare(DEPLOYMENT, written(live), rules=RULES) == []
    live = changed(live, *POD, "containers", 0, "env", to=[])
    assert paths(compare(DEPLOYMENT, written(live), rules=RULES)) == [
        ".spec.template.spec.containers[name=web].env[name=A]"
    ]
    elsewhere = changed(DEPLOYMENT, "metadata", "name", to="api")
    live = changed(elsewhere, *POD, "containers", 0, "image", to="other")
    assert paths(compare(elsewhere, written(live), rules=RULES)) == [".spec.template.spec.containers[name=web].image"]


def test_a_dry_run_says_what_is_none() -> None:
    item = changed(DEPLOYMENT, *POD, "containers", 0, "image", to="web")
    live = written(changed(item, *POD, "containers", 0, "image", to="registry.example.org/web"))
    (suspect,) = suspects([item], {key_of(item): live})
    assert suspect.needs_dry_run
    assert suspect.declared == item
    assert findings_of([suspect], plane=PlaneName.ADDONS, answers={suspect.key: live}) == []
    for answer in (None, item):
        findings = findings_of([suspect], plane=PlaneName.ADDONS, answers={suspect.key: answer})
        assert paths(findings) == [".spec.template.spec.containers[name=web].image"]


def test_a_dry_run_tells_defaults_in_a_whole_that_a_person_wrote() -> None:
    rules = [{"ports": [{"port": 80}]}]
    item: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "n", "namespace": "dev"},
        "spec": {"podSelector": {}, "ingress": rules},
    }
    by = book("kubectl-edit", {"f:spec": {"f:ingress": {}}})
    live = written(changed(item, "spec", "ingress", 0, "ports", 0, to={"port": 80, "protocol": "TCP"}), by)
    assert compare(item, live, answer=live) == []
    (finding,) = compare(item, live, answer=item)
    assert finding.path == ".spec.ingress[0].ports[port=80,protocol=TCP].protocol"


def limit_range(**amounts: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": "dev"},
            "spec": {"limits": [{"type": "Container", **amounts}]}}  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "edited", "found"),
    [
        ({"max": {"memory": "1Gi"}}, {}, []),
        # A maximum that was higher when the default was completed from it.
        ({"max": {"memory": "1Gi"}}, {"max": {"memory": "2Gi"}}, ["max.memory"]),
        ({"max": {"memory": "1Gi"}}, {"default": {"memory": "900Mi"}}, ["default"]),
        ({"max": {"memory": "1Gi"}, "default": {"cpu": "1"}}, {"default": {"cpu": "1", "memory": "1024Mi"}}, []),
        ({"default": {"cpu": "1"}}, {"default": {"cpu": "1", "memory": "1Gi"}}, ["default.memory"]),
        ({"default": {"cpu": "1"}}, {"defaultRequest": {"cpu": "500m"}}, ["defaultRequest"]),
        ({"min": {"cpu": "0.1"}}, {"defaultRequest": {"cpu": "100m"}}, []),
    ],
)
def test_a_limit_is_completed_by_the_api_server_and_edited_by_people(
    declared: dict[str, Any], edited: dict[str, Any], found: list[str]
) -> None:
    completed = {name: declared["max"] for name in ("default", "defaultRequest") if "max" in declared}
    live = limit_range(**{**completed, **declared, **edited})
    by = book("kubectl-edit", {"f:spec": {"f:limits": {}}})
    assert paths(compare(limit_range(**declared), written(live, by))) == [f".spec.limits[0].{path}" for path in found]


@pytest.mark.parametrize(
    ("image", "default"),
    [
        ("web", "Always"),
        ("registry:5000/web", "Always"),
        ("registry:5000/web:latest", "Always"),
        ("web:1.2", "IfNotPresent"),
        ("web@sha256:0123", "IfNotPresent"),
        ("web:latest@sha256:0123", "Always"),
    ],
)
@pytest.mark.parametrize("policy", ["Always", "IfNotPresent"])
def test_a_pull_policy_is_the_default_of_its_image_or_somebodys(image: str, default: str, policy: str) -> None:
    item = changed(DEPLOYMENT, *POD, "containers", 0, "image", to=image)
    by = book("kubectl-edit", in_pod({"f:containers": {WEB: {"f:imagePullPolicy": {}}}}))
    live = written(changed(item, *POD, "containers", 0, "imagePullPolicy", to=policy), by)
    where = ".spec.template.spec.containers[name=web].imagePullPolicy"
    assert paths(compare(item, live)) == ([] if policy == default else [where])


def test_a_memory_forgets_what_changed() -> None:
    memory, live = Memory(), written(CONFIG)
    there = {key_of(CONFIG): live}
    assert suspects([CONFIG], there, memory=memory) == []
    live["metadata"]["resourceVersion"] = "2"
    live["status"] = {"busy": True}
    assert suspects([CONFIG], there, memory=memory) == []
    assert len(memory) == 1
    # The same version of another content: etcd was restored from a backup.
    edited = {**live, "data": {"a": "2"}}
    assert suspects([CONFIG], {key_of(CONFIG): edited}, memory=memory)
    assert suspects([changed(CONFIG, "data", "a", to="2")], there, memory=memory)


def test_a_memory_knows_what_else_decides() -> None:
    memory = Memory()
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "dev"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }
    more = written(changed(DEPLOYMENT, "spec", "replicas", to=7))
    there = {key_of(DEPLOYMENT): more, key_of(scaler): scaler}
    assert suspects([DEPLOYMENT], there, memory=memory) == []
    # Without the autoscaler, nobody is in charge of seven replicas.
    assert suspects([DEPLOYMENT], {key_of(DEPLOYMENT): more}, memory=memory)
    rules = [Ignore(kind="Deployment", paths=("/spec/replicas",), why="others scale it")]
    assert suspects([DEPLOYMENT], {key_of(DEPLOYMENT): more}, memory=memory, ignores=rules) == []
    assert suspects([DEPLOYMENT], {key_of(DEPLOYMENT): more}, memory=memory)


def test_a_memory_keeps_nothing_of_secrets_and_believes_nothing_damaged() -> None:
    memory = Memory()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "dev"},
        "data": {"a": "YQ=="},
    }
    assert suspects([secret], {key_of(secret): written(secret)}, memory=memory) == []
    assert len(memory) == 0
    small = Memory(limit=1)
    small.learn({"metadata": {"uid": "u"}}, "x")
    small.learn({"metadata": {"uid": "v"}}, "x")
    assert (len(small), small.knows({"metadata": {"uid": "v"}}, "x")) == (1, True)
    assert len(Memory.load(small.dump())) == 1
    for damaged in (b"", b"{}", b"[]", b'{"rules": "other", "known": {"u": "x"}}', b'{"known": {"u": "x"}}'):
        assert len(Memory.load(damaged)) == 0


def test_objects_are_filed_as_the_server_files_them() -> None:
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "r", "namespace": "x"},
    }
    typed = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"metadata": {"name": "b"}}]}
    many = {"apiVersion": "v1", "kind": "List", "items": [bare, role, {**bare, "kind": "Widget"}, typed]}
    scopes = {"ConfigMap": True, "ClusterRole": False}
    found = placed([many], "dev", lambda _, kind: scopes.get(kind))
    assert [key_of(each) for each in found] == [
        Key("", "ConfigMap", "dev", "a"),
        Key("rbac.authorization.k8s.io", "ClusterRole", "", "r"),
        Key("", "Widget", "", "a"),
        Key("", "ConfigMap", "dev", "b"),
    ]
    assert "namespace" not in bare["metadata"]


def test_manifests_are_yaml_and_objects_json() -> None:
    """Dates and numbers as keys are what YAML makes of unquoted text."""
    item = {**CONFIG, "data": {1: "x"}, "metadata": {**CONFIG["metadata"], "annotations": {
        "on": datetime.datetime(2031, 1, 1, tzinfo=datetime.UTC)}}}  # fmt: skip
    live = {**CONFIG, "data": {"1": "x"}, "metadata": {**CONFIG["metadata"], "annotations": {"on": BORN}}}
    assert compare(item, written(live)) == []
    assert paths(compare(item, written({**live, "data": {"1": "y"}}))) == [".data.1"]


def test_a_list_owned_by_nobody_is_still_compared_in_full() -> None:
    live = changed(DEPLOYMENT, *POD, "containers", to=[CONTAINER, {"name": "x", "image": "x"}])
    live["metadata"]["managedFields"] = []
    assert paths(compare(DEPLOYMENT, live)) == [".spec.template.spec.containers[name=x]"]
