"""Every usual kind through the server: what is stored and shown is recorded in golden files.

The conformance suite proves the same manifests against the real kube-apiserver; these files keep what it agreed on.
After a wanted change run with PLUMBLINE_RECORD_GOLDEN=1, look at the difference, and run the conformance suite.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.kubernetes import maketypes
from deployments.sandbox.kubernetes.resources import Registry
from tests.conformance.harness import settled
from tests.conformance.test_refusals import CHANGES, CREATES
from tests.unit.sandbox_kubernetes.conftest import Api

Object = dict[str, Any]
HERE = Path(__file__).parent
MANIFESTS = Path(__file__).parents[2] / "conformance" / "manifests"
REGISTRY = Registry.with_builtins()
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE = "application/merge-patch+json"


def path_of(item: Object) -> str:
    group, _, version = item["apiVersion"].rpartition("/")
    resource = REGISTRY.by_kind(group, item["kind"])
    assert resource is not None
    start = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{start}/namespaces/default/{resource.plural}" if resource.namespaced else f"{start}/{resource.plural}"


def steady(item: Object) -> Object:
    """What does not change from run to run."""
    text = json.dumps(settled(item), sort_keys=True).replace(item["metadata"]["uid"], "UID")
    out: Object = json.loads(text)
    out.get("status", {}).pop("lastPhaseTransitionTime", None)
    return out


@pytest.mark.parametrize("file", ["workloads", "cluster"])
async def test_kinds_are_stored_and_shown_as_recorded(api: Api, file: str) -> None:
    seen: dict[str, Any] = {}
    for item in yaml.safe_load_all((MANIFESTS / f"{file}.yaml").read_text()):
        if item["kind"] == "Event":
            item["involvedObject"]["namespace"] = "default"
        path, name = path_of(item), item["metadata"]["name"]
        made = await api("POST", path, item)
        assert "uid" in made["metadata"], made
        table = await api("GET", f"{path}/{name}", Accept=TABLE)
        ages = {"Age", "Created At", "Last Seen", "First Seen", "Cluster-IP", "Port(s)", "Selector"}
        cells = {
            column["name"]: cell
            for column, cell in zip(table["columnDefinitions"], table["rows"][0]["cells"], strict=True)
            if column["name"] not in ages
        }
        seen[f"{item['kind']}/{name}"] = {"object": steady(made), "cells": cells}
        again = await api("PUT", f"{path}/{name}", made)
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"], "writing it back changes it"
    golden = HERE / "golden" / f"{file}.json"
    if os.environ.get("PLUMBLINE_RECORD_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n")
    assert seen == json.loads(golden.read_text())


async def test_what_is_refused(api: Api) -> None:
    for what, (path, body) in CREATES.items():
        answer = await api("POST", path.replace("NS", "default"), body)
        assert answer["code"] >= 400, what


async def test_what_may_not_change(api: Api) -> None:
    for what, (path, body, change) in CHANGES.items():
        name = f"{path.replace('NS', 'default')}/{body['metadata']['name']}"
        assert "uid" in (await api("POST", name.rpartition("/")[0], body))["metadata"], what
        assert (await api("PATCH", name, change, MERGE))["code"] == 422, what
        await api("DELETE", name, {"gracePeriodSeconds": 0})
        await api("PATCH", name, {"metadata": {"finalizers": None}}, MERGE)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("batch/v1/CronJob", {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}),
        ("autoscaling/v2/HorizontalPodAutoscaler", {"maxReplicas": 3, "behavior": {"scaleUp": {}},
                                                    "scaleTargetRef": {"kind": "Deployment", "name": "d"}}),
        ("policy/v1/PodDisruptionBudget", {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}),
        ("apiregistration.k8s.io/v1/APIService", {"group": "x.io", "version": "v1", "groupPriorityMinimum": 1,
                                                  "versionPriority": 1, "service": {"name": "s", "namespace": "n"}}),
        ("certificates.k8s.io/v1/CertificateSigningRequest", {"request": "aGk=", "signerName": "x.io/y",
            "usages": ["any"]}),
    ],
    ids=lambda value: value.rpartition("/")[2] if isinstance(value, str) else "",
)  # fmt: skip
async def test_kinds_the_old_server_does_not_have(api: Api, kind: str, spec: Object) -> None:
    api_version, _, name = kind.rpartition("/")
    item = {"apiVersion": api_version, "kind": name, "metadata": {"name": "x"}, "spec": spec}
    made = await api("POST", path_of(item), item)
    assert made["metadata"]["name"] == "x", made
    if name == "CronJob":
        assert made["spec"]["concurrencyPolicy"] == "Allow" and made["spec"]["failedJobsHistoryLimit"] == 1
    if name == "HorizontalPodAutoscaler":
        assert made["spec"]["minReplicas"] == 1
        assert made["spec"]["behavior"]["scaleDown"]["policies"] == [
            {"type": "Percent", "value": 100, "periodSeconds": 15}
        ]
    table = await api("GET", f"{path_of(item)}/x", Accept=TABLE)
    assert table["rows"][0]["cells"][0] == "x"


async def test_a_definition_that_is_wrong(api: Api) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"type": "object", "properties": {"a": {}, "b": {"type": "array", "uniqueItems": True},
              "c": {"type": "object", "properties": {"d": {"type": "string"}},
                  "additionalProperties": True}}}  # fmt: skip
    spec = {
        "group": "",
        "scope": "Nowhere",
        "names": {},
        "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}, {"name": "v2"}],
    }
    answer = await api("POST", path, {"metadata": {"name": "x.y"}, "spec": spec})
    fields = {
        cause["field"].replace("spec.versions[0].schema.openAPIV3Schema", "S") for cause in answer["details"]["causes"]
    }
    assert fields >= {"spec.group", "spec.scope", "spec.names.kind", "spec.versions", "S.properties[a].type",
                      "S.properties[b].items", "S.properties[b].uniqueItems", "S.properties[c].additionalProperties",
                      "spec.versions[1].schema.openAPIV3Schema", "metadata.name"}  # fmt: skip


def test_types_are_reduced_to_what_is_needed() -> None:
    core = "io.k8s.api.core.v1."
    definitions = {
        f"{core}Thing": {"type": "object", "required": ["b"], "x-kubernetes-map-type": "atomic", "properties": {
            "a": {"$ref": "#/$defs/io.k8s.apimachinery.pkg.api.resource.Quantity"},
            "b": {"type": ["array", "null"], "items": {"$ref": f"#/{core}Item"},
                "x-kubernetes-patch-strategy": "merge,retainKeys",
                  "x-kubernetes-patch-merge-key": "name"},
            "c": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
            "d": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "e": {"type": "object"}}},
        f"{core}ThingList": {"type": "object", "properties": {"items": {}}},
        "io.k8s.api.core.v1alpha1.Old": {"type": "object"},
    }  # fmt: skip
    assert maketypes.reduce(definitions) == {"core.v1.Thing": {"atomic": True, "required": ["b"], "fields": {
        "a": "quantity", "c": {"map": "bytes"}, "d": {"list": "string", "type": "set"}, "e": "any",
        "b": {"list": {"ref": "core.v1.Item"}, "merge": "name", "type": "map", "keys": ["name"]}}}}  # fmt: skip
