"""Edits that look like a default, or like somebody else's: each is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.drift.comparing import Object, book, compare, paths, written
from tests.unit.drift.test_objects import DEPLOYMENT, POD, WEB, changed, in_pod

CONTAINER = (*POD, "containers", 0)
IN_WEB = ".spec.template.spec.containers[name=web]"


def web(fields: Object) -> Object:
    """Managed fields of a Deployment's container."""
    return in_pod({"f:containers": {WEB: fields}})


def written_after(live: Object, helm: Object, person: Object) -> Object:
    """An object that helm made and a person edited."""
    item = written(live, book("kubectl-edit", person))
    item["metadata"]["managedFields"][0]["fieldsV1"] = helm
    return item


EMPTY: list[tuple[Object, Object, Object, Object, str]] = [
    (DEPLOYMENT, changed(DEPLOYMENT, *POD, "securityContext", to={"runAsUser": 0}),
     in_pod({"f:securityContext": {}}), in_pod({"f:securityContext": {"f:runAsUser": {}}}),
     ".spec.template.spec.securityContext.runAsUser"),
    (DEPLOYMENT, changed(DEPLOYMENT, *CONTAINER, "resources", to={"limits": {"memory": "1Gi"}}),
     web({"f:resources": {}}), web({"f:resources": {"f:limits": {".": {}, "f:memory": {}}}}),
     f"{IN_WEB}.resources.limits.memory"),
    (changed(DEPLOYMENT, *CONTAINER, "env", to=[]),
     changed(DEPLOYMENT, *CONTAINER, "env", to=[{"name": "X", "value": "1"}]),
     web({"f:env": {}}), web({"f:env": {'k:{"name":"X"}': {".": {}, "f:name": {}, "f:value": {}}}}),
     f"{IN_WEB}.env[name=X]"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "live", "helm", "person", "found"), EMPTY)
def test_fields_in_what_was_empty_are_the_persons(
    declared: Object, live: Object, helm: Object, person: Object, found: str
) -> None:
    """`kubectl set resources`: helm owns `resources: {}`, which managedFields write as they write a whole."""
    (finding,) = compare(declared, written_after(live, helm, person))
    assert finding.path == found
    assert finding.changed is not None
    assert finding.changed.who == "kubectl-edit"


def test_a_map_whose_every_field_was_edited_is_no_longer_helms() -> None:
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "dev"},
                       "spec": {"sessionAffinity": "ClientIP"}}  # fmt: skip
    live = changed(service, "spec", "sessionAffinityConfig", to={"clientIP": {"timeoutSeconds": 60}})
    helm = {"f:spec": {"f:sessionAffinityConfig": {".": {}, "f:clientIP": {}}}}
    person = {"f:spec": {"f:sessionAffinityConfig": {"f:clientIP": {"f:timeoutSeconds": {}}}}}
    where = ".spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    assert paths(compare(service, written_after(live, helm, person))) == [where]


def in_web(name: str, declared: Any, *steps: str, to: Any) -> tuple[Object, Object, Object]:
    """A container with a field, what a person sets below it, and the person's managed fields."""
    item = changed(DEPLOYMENT, *CONTAINER, name, to=declared)
    fields: Object = {}
    for step in reversed((name, *steps)):
        fields = {f"f:{step}": fields}
    return item, changed(item, *CONTAINER, name, *steps, to=to), web(fields)


NETWORK: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "n", "namespace": "dev"},
    "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}]},
}
TOLERATING = changed(DEPLOYMENT, *POD, "tolerations", to=[{"key": "a", "operator": "Exists", "effect": "NoExecute"}])
STARTING = changed(DEPLOYMENT, *POD, "initContainers", to=[{"name": "web", "image": "x"}])
WIDGET: Object = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "dev"},
                  "spec": {"size": 1}}  # fmt: skip
JOB: Object = {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "j", "namespace": "dev"},
               "spec": {"queue": "a"}}  # fmt: skip
LIKE_DEFAULTS: dict[str, tuple[Object, Object, Object]] = {
    "a node's role has an empty value": (
        DEPLOYMENT, changed(DEPLOYMENT, *POD, "nodeSelector", to={"node-role.kubernetes.io/control-plane": ""}),
        in_pod({"f:nodeSelector": {}})),
    "10 is the default of webhooks": in_web(
        "livenessProbe", {"httpGet": {"port": 1}}, "timeoutSeconds", to=10),
    "443 is the default of webhooks": in_web(
        "livenessProbe", {"periodSeconds": 5}, "httpGet", to={"path": "/", "port": 443, "scheme": "HTTP"}),
    "30 is the pod's default": in_web(
        "livenessProbe", {"httpGet": {"port": 1}}, "terminationGracePeriodSeconds", to=30),
    "a sidecar": (
        STARTING, changed(STARTING, *POD, "initContainers", 0, "restartPolicy", to="Always"),
        in_pod({"f:initContainers": {WEB: {"f:restartPolicy": {}}}})),
    "every namespace": (
        NETWORK, changed(NETWORK, "spec", "ingress", 0, "from", 0, "namespaceSelector", to={}),
        {"f:spec": {"f:ingress": {}}}),
    "egress is closed": (
        NETWORK, changed(NETWORK, "spec", "policyTypes", to=["Ingress", "Egress"]), {"f:spec": {"f:policyTypes": {}}}),
    "evicted at once": (
        TOLERATING, changed(TOLERATING, *POD, "tolerations", 0, "tolerationSeconds", to=0),
        in_pod({"f:tolerations": {}})),
    "a custom resource has other defaults": (
        WIDGET, changed(WIDGET, "spec", "replicas", to=1), {"f:spec": {"f:replicas": {}}}),
    "another group's Job": (
        JOB, changed(JOB, "spec", "selector", to={"matchLabels": {"a": "b"}}),
        {"f:spec": {"f:selector": {".": {}, "f:matchLabels": {".": {}, "f:a": {}}}}}),
}  # fmt: skip


@pytest.mark.parametrize("what", LIKE_DEFAULTS)
def test_an_edit_that_is_a_default_elsewhere_is_found(what: str) -> None:
    declared, live, person = LIKE_DEFAULTS[what]
    (finding,) = compare(declared, written(live, book("kubectl-edit", person)))
    assert finding.declared is None


def test_a_data_source_by_hand_is_found_with_its_copy() -> None:
    """Both are there and the same, and neither is declared."""
    claim: Object = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "dev"},
                     "spec": {"accessModes": ["ReadWriteOnce"]}}  # fmt: skip
    source = {"kind": "PersistentVolumeClaim", "name": "other"}
    live = {**claim, "spec": {**claim["spec"], "dataSource": source, "dataSourceRef": source}}
    person = {"f:spec": {"f:dataSource": {}, "f:dataSourceRef": {".": {}, "f:kind": {}, "f:name": {}}}}
    found = paths(compare(claim, written(live, book("kubectl-replace", person))))
    assert found == [".spec.dataSource", ".spec.dataSourceRef"]


def test_a_copy_is_one_only_of_the_same_value() -> None:
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "dev"},
                       "spec": {"ports": [{"port": 80}]}}  # fmt: skip
    port = 'k:{"port":80,"protocol":"TCP"}'
    person = {"f:spec": {"f:ports": {port: {"f:targetPort": {}}}}}
    for value, found in ((80, []), (8080, [".spec.ports[port=80,protocol=TCP].targetPort"])):
        live = changed(service, "spec", "ports", 0, "targetPort", to=value)
        assert paths(compare(service, written(live, book("kubectl-edit", person)))) == found


@pytest.mark.parametrize(("path", "value"), [("job-name", "x"), ("controller-uid", "x")])
def test_a_jobs_labels_are_a_persons_elsewhere(path: str, value: str) -> None:
    live = changed(DEPLOYMENT, "metadata", "labels", to={path: value})
    person = book("kubectl-label", {"f:metadata": {"f:labels": {f"f:{path}": {}}}})
    assert paths(compare(DEPLOYMENT, written(live, person))) == [f".metadata.labels.{path}"]


def test_a_jobs_keys_in_data_are_a_persons_even_without_books() -> None:
    config: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "dev"},
                      "data": {"a": "1"}}  # fmt: skip
    assert paths(compare(config, changed(config, "data", "job-name", to="x"))) == [".data.job-name"]


LIMITED: Object = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "dev"},
                   "spec": {"ttlSecondsAfterFinished": 100, "podFailurePolicy": {"rules": []}}}  # fmt: skip
LEFT_OUT: dict[str, tuple[Object, Object, list[str]]] = {
    "ours, and dropped": (
        {"f:ttlSecondsAfterFinished": {}, "f:podFailurePolicy": {"f:rules": {}}}, {}, [".spec.podFailurePolicy"]),
    "nobody's": (
        {"f:backoffLimit": {}}, {}, [".spec.ttlSecondsAfterFinished", ".spec.podFailurePolicy"]),
    "in a whole that a person wrote": (
        {"f:ttlSecondsAfterFinished": {}}, {"f:spec": {}}, [".spec.ttlSecondsAfterFinished", ".spec.podFailurePolicy"]),
    "in a whole of ours": (
        {}, {"f:metadata": {}}, [".spec.ttlSecondsAfterFinished", ".spec.podFailurePolicy"]),
}  # fmt: skip


@pytest.mark.parametrize("what", LEFT_OUT)
def test_a_field_that_is_still_ours_and_not_there_was_dropped_by_the_server(what: str) -> None:
    helm, person, expected = LEFT_OUT[what]
    live = written_after({**LIMITED, "spec": {}}, {"f:spec": helm}, person)
    assert paths(compare(LIMITED, live)) == expected


@pytest.mark.parametrize(
    ("spec", "live", "found"),
    [
        ({"limits": {"cpu": "1000m", "example.org/gpu": 1}}, {"limits": {"cpu": "1", "example.org/gpu": "1"}}, []),
        ({"storage": {"requests": {"storage": "1024Mi"}}}, {"storage": {"requests": {"storage": "1Gi"}}}, []),
        ({"volumes": [{"emptyDir": {"sizeLimit": "1024Mi"}}]}, {"volumes": [{"emptyDir": {"sizeLimit": "1Gi"}}]}, []),
        ({"default": {"version": "1"}}, {"default": {"version": "1.0"}}, [".spec.default.version"]),
        ({"limits": {"version": "1.10"}}, {"limits": {"version": "1.1"}}, [".spec.limits.version"]),
        ({"max": {"rate": "1000m"}}, {"max": {"rate": "1"}}, [".spec.max.rate"]),
        ({"tolerance": "0.10"}, {"tolerance": "0.1"}, [".spec.tolerance"]),
        ({"target": {"value": "1"}}, {"target": {"value": "1.0"}}, [".spec.target.value"]),
    ],
)
@pytest.mark.parametrize("books", [True, False])
def test_what_looks_like_a_quantity_in_a_custom_resource(
    spec: Object, live: Object, found: list[str], books: bool
) -> None:
    there = {**WIDGET, "spec": live}
    assert paths(compare({**WIDGET, "spec": spec}, written(there) if books else there)) == found


def test_the_default_of_a_schema_is_no_quantity() -> None:
    def definition(version: str) -> Object:
        schema = {"properties": {"spec": {"properties": {"a": {"default": {"version": version}}}}}}
        return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "w"},
                "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}  # fmt: skip

    (finding,) = compare(definition("1"), written(definition("1.0")))
    assert finding.path.endswith(".properties.a.default.version")


@pytest.mark.parametrize(("parallelism", "found"), [(None, []), (1, [".spec.completions"]), (3, [".spec.completions"])])
def test_a_job_completes_once_by_default_only_where_nothing_is_said_of_its_pods(
    parallelism: int | None, found: list[str]
) -> None:
    """A Job with parallelism alone is a work queue: any pod that ends ends it."""
    declared = {**LIMITED, "spec": {} if parallelism is None else {"parallelism": parallelism}}
    live = {**LIMITED, "spec": {"parallelism": parallelism or 1, "completions": 1}}
    person = book("kubectl-edit", {"f:spec": {"f:completions": {}}})
    assert paths(compare(declared, written(live, person))) == found


@pytest.mark.parametrize(
    ("image", "policy", "is_default"),
    [
        ("data:v1", "IfNotPresent", True),
        ("data:v1", "Always", False),
        ("data", "Always", True),
        ("data:latest", "IfNotPresent", False),
    ],
)
def test_when_an_images_volume_is_pulled_by_default_its_tag_says(image: str, policy: str, is_default: bool) -> None:
    declared = changed(DEPLOYMENT, *POD, "volumes", to=[{"name": "web", "image": {"reference": image}}])
    live = changed(declared, *POD, "volumes", 0, "image", "pullPolicy", to=policy)
    person = in_pod({"f:volumes": {WEB: {"f:image": {"f:pullPolicy": {}}}}})
    found = [] if is_default else [".spec.template.spec.volumes[name=web].image.pullPolicy"]
    assert paths(compare(declared, written(live, book("kubectl-edit", person)))) == found
