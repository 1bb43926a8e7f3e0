"""The server as its clients meet it: one test a behaviour."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ServerDisconnectedError

from deployments.sandbox.kubernetes.__main__ import cluster_name, tls
from deployments.sandbox.kubernetes.requestinfo import Options, internal_options, parse_path
from deployments.sandbox.kubernetes.storage import Expired, Storage
from tests.conformance.harness import make_home
from tests.unit.sandbox_kubernetes.conftest import Api

Object = dict[str, Any]
CONFIGS = "/api/v1/namespaces/default/configmaps"


async def test_an_object_lives(api: Api) -> None:
    made = await api("POST", CONFIGS, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert made["metadata"]["managedFields"][0]["manager"] == "unit"
    assert (await api("GET", f"{CONFIGS}/a")) == made
    assert (await api("PUT", f"{CONFIGS}/a", {**made, "data": {"x": "2"}}))["data"] == {"x": "2"}
    assert (await api("PUT", f"{CONFIGS}/a", made))["reason"] == "Conflict"
    patched = await api("PATCH", f"{CONFIGS}/a", {"data": {"y": "3"}}, "application/merge-patch+json")
    assert patched["data"] == {"x": "2", "y": "3"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"z": "4"}}
    applied = await api("PATCH", f"{CONFIGS}/a?fieldManager=m", config, "application/apply-patch+yaml")
    assert applied["data"]["z"] == "4"
    assert (await api("DELETE", f"{CONFIGS}/a"))["status"] == "Success"
    assert (await api("GET", f"{CONFIGS}/a"))["code"] == 404


async def test_unknown_fields_are_reported_as_asked(api: Api) -> None:
    body = {"metadata": {"name": "a"}, "dta": {}}
    strict = await api("POST", f"{CONFIGS}?fieldValidation=Strict", body)
    assert 'unknown field "dta"' in strict["message"] and strict["code"] == 400
    warned = await api.raw("POST", CONFIGS, body)
    assert warned.headers["Warning"] == '299 - "unknown field \\"dta\\""'
    silent = await api.raw("POST", f"{CONFIGS}?fieldValidation=Ignore", {**body, "metadata": {"name": "b"}})
    assert "Warning" not in silent.headers


async def test_services_get_addresses_and_ports(api: Api) -> None:
    path = "/api/v1/namespaces/default/services"
    made = await api("POST", path, {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    port = made["spec"]["ports"][0]["nodePort"]
    assert made["spec"]["clusterIP"].startswith("127.96.") and 30000 <= port < 32768
    again = await api(
        "PATCH", f"{path}/s", {"spec": {"ports": [{"port": 80, "targetPort": 9}]}}, "application/merge-patch+json"
    )
    assert again["spec"]["ports"][0]["nodePort"] == port and again["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    plain = await api("PATCH", f"{path}/s", {"spec": {"type": "ClusterIP"}}, "application/merge-patch+json")
    assert "nodePort" not in plain["spec"]["ports"][0]
    taken = await api(
        "POST",
        path,
        {"metadata": {"name": "t"}, "spec": {"clusterIP": made["spec"]["clusterIP"], "ports": [{"port": 1}]}},
    )
    assert taken["code"] == 422 and "already allocated" in taken["message"]


async def test_owners_namespaces_and_protection(api: Api) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    await api.until(lambda: api.held("serviceaccounts", "default", "n"))
    place = "/api/v1/namespaces/n"
    owner = await api("POST", f"{place}/configmaps", {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await api("POST", f"{place}/secrets", {"metadata": {"name": "child", "ownerReferences": [reference]}})
    await api("DELETE", f"{place}/configmaps/owner", {"propagationPolicy": "Foreground"})
    await api.until(lambda: not api.held("secrets", "child", "n") and not api.held("configmaps", "owner", "n"))
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await api("POST", f"{place}/persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": spec})
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "b"}], "volumes": [volume]}}
    await api("POST", f"{place}/pods", pod)
    await api("DELETE", f"{place}/persistentvolumeclaims/c")
    assert api.held("persistentvolumeclaims", "c", "n")
    await api("DELETE", place)
    await api.until(lambda: not api.held("namespaces", "n", ""))
    assert (
        api.server.storage.records("pods", "n") == []
        and api.server.storage.records("persistentvolumeclaims", "n") == []
    )


async def test_orphans_and_absent_owners(api: Api) -> None:
    owner = await api("POST", CONFIGS, {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await api("POST", CONFIGS, {"metadata": {"name": "kept", "ownerReferences": [reference]}})
    await api("DELETE", f"{CONFIGS}/owner", {"propagationPolicy": "Orphan"})
    await api.until(lambda: not api.held("configmaps", "owner"))
    assert "ownerReferences" not in (await api("GET", f"{CONFIGS}/kept"))["metadata"]
    await api("POST", CONFIGS, {"metadata": {"name": "lost", "ownerReferences": [{**reference, "uid": "nobody"}]}})
    await api.until(lambda: not api.held("configmaps", "lost"))


def definition() -> Object:
    names = {"plural": "widgets", "kind": "Widget"}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "default": 1}, "replicas": {"type": "integer"}}}}}  # fmt: skip
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"scale": scale},
    }
    spec = {"group": "x.io", "scope": "Cluster", "names": names, "versions": [version]}
    return {"metadata": {"name": "widgets.x.io"}, "spec": spec}


async def test_definitions_come_and_go(api: Api) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await api("GET", "/apis/x.io/v1/widgets"))["code"] == 404
    await api("POST", path, definition())
    made = await api(
        "POST",
        "/apis/x.io/v1/widgets",
        {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}},
    )
    assert made["spec"] == {"size": 1}
    scaled = await api(
        "PATCH", "/apis/x.io/v1/widgets/w/scale", {"spec": {"replicas": 4}}, "application/merge-patch+json"
    )
    assert scaled["spec"] == {"replicas": 4}
    assert (await api("GET", "/apis/x.io/v1/widgets/w/scale"))["spec"] == {"replicas": 4}
    await api("DELETE", f"{path}/widgets.x.io")
    await api.until(lambda: not api.held("customresourcedefinitions.apiextensions.k8s.io", "widgets.x.io", ""))
    assert (await api("GET", "/apis/x.io/v1/widgets"))["code"] == 404


async def test_watch_and_tables(api: Api) -> None:
    version = (await api("GET", CONFIGS))["metadata"]["resourceVersion"]
    answer = await api.raw("GET", f"{CONFIGS}?watch=true&resourceVersion={version}&timeoutSeconds=60")
    await api("POST", CONFIGS, {"metadata": {"name": "a"}})
    await api("DELETE", f"{CONFIGS}/a")
    lines = [json.loads(await answer.content.readline()) for _ in range(2)]
    answer.close()
    assert [(line["type"], line["object"]["metadata"]["name"]) for line in lines] == [("ADDED", "a"), ("DELETED", "a")]
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = await api("GET", "/api/v1/namespaces/default/services", Accept=accept)
    assert table["rows"][0]["cells"][:3] == ["kubernetes", "ClusterIP", "127.96.0.1"]


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dnone"
    answer = await api.raw("GET", f"{CONFIGS}?{query}")
    line = json.loads(await answer.content.readline())
    answer.close()
    assert line["type"] == "BOOKMARK"
    assert line["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_pods_are_bound_and_evicted(api: Api) -> None:
    path = "/api/v1/namespaces/default/pods"
    for name in ("p", "q"):
        pod = {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
        await api("POST", path, pod)
    await api("POST", f"{path}/p/binding", {"target": {"name": "node"}})
    assert (await api("GET", f"{path}/p"))["spec"]["nodeName"] == "node"
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"a": "b"}}}}
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    await api("POST", budgets, budget)
    assert (await api("POST", f"{path}/q/eviction", {}))["code"] == 429
    status = {"status": {"disruptionsAllowed": 1}}
    await api("PATCH", f"{budgets}/b/status", status, "application/merge-patch+json")
    assert (await api("POST", f"{path}/q/eviction", {}))["status"] == "Success"
    assert not api.held("pods", "q")


async def test_reviews_and_impersonation(api: Api) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}}
    path = "/apis/authorization.k8s.io/v1"
    assert (await api("POST", f"{path}/selfsubjectaccessreviews", review))["status"]["allowed"] is True
    other = {"spec": {**review["spec"], "user": "bob"}}
    assert (await api("POST", f"{path}/subjectaccessreviews", other))["status"]["allowed"] is False
    rules = await api("POST", f"{path}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}})
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in rules["status"]["resourceRules"]
    me = await api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["username"] == "system:serviceaccount:kube-system:robot"
    assert (await api("GET", f"{path}/selfsubjectaccessreviews"))["code"] == 405
    refused = await api.raw("GET", CONFIGS, Authorization="Bearer a.b.c")
    assert refused.status == 401


async def test_documents(api: Api) -> None:
    aggregated = await api(
        "GET", "/apis", Accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    apps = next(item for item in aggregated["items"] if item["metadata"]["name"] == "apps")
    deployments = next(item for item in apps["versions"][0]["resources"] if item["resource"] == "deployments")
    assert {item["subresource"] for item in deployments["subresources"]} == {"scale", "status"}
    assert (await api("GET", "/openapi/v2"))["swagger"] == "2.0"
    proto = await api.raw("GET", "/openapi/v2", Accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert b"fieldValidation" in await proto.read()
    for path in ("/openapi/v3", "/apis/nope", "/apis/apps/v9", "/nope"):
        assert (await api("GET", path))["code"] == 404
    assert (await api("POST", "/version", {}))["code"] == 405


async def test_faults_and_the_log(api: Api) -> None:
    rule = {"service": "kubernetes", "kinds": ["503"], "retry_after": 2}
    (api.folder / "faults.json").write_text(json.dumps({"rules": [rule]}))
    struck = await api.raw("GET", CONFIGS)
    assert (struck.status, struck.headers["Retry-After"]) == (503, "2")
    assert (await api.raw("GET", "/healthz")).status == 200
    (api.folder / "faults.json").unlink()
    assert (await api.raw("GET", CONFIGS)).status == 200
    lines = [json.loads(line) for line in (api.folder / "log").read_text().splitlines()]
    assert [line["status"] for line in lines] == [503, 200]


async def test_an_answer_that_is_lost_after_the_work(api: Api) -> None:
    rule = {"service": "kubernetes", "kinds": ["lost"], "count": 1}
    (api.folder / "faults.json").write_text(json.dumps({"rules": [rule]}))
    with pytest.raises(ServerDisconnectedError):
        await api.raw("POST", CONFIGS, {"metadata": {"name": "a"}})
    assert api.held("configmaps", "a")
    assert json.loads((api.folder / "log").read_text().splitlines()[-1])["status"] == 201


async def test_a_webhook_that_does_not_answer(api: Api) -> None:
    hook = {"name": "a.b.c", "clientConfig": {"url": "https://127.0.0.1:1/x"}, "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
            "rules": [{"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"],
                "operations": ["CREATE"]}]}  # fmt: skip
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    await api("POST", path, {"metadata": {"name": "h"}, "webhooks": [hook]})
    refused = await api("POST", CONFIGS, {"metadata": {"name": "a"}})
    assert 'failed calling webhook "a.b.c"' in refused["message"] and "connection refused" in refused["message"]
    await api("DELETE", f"{path}/h")
    assert (await api("POST", CONFIGS, {"metadata": {"name": "a"}}))["metadata"]["name"] == "a"


def test_the_store_survives_and_forgets_its_history(tmp_path: Path) -> None:
    store = Storage(tmp_path / "db")
    first = store.write("configmaps", "n", "a", {"metadata": {"uid": "1", "name": "a", "labels": {"x": "y"}}})
    store.delete(store.write("configmaps", "n", "b", {"metadata": {"uid": "2", "name": "b"}}))
    changes = store.since(first.version, ["configmaps"])
    assert [change.sort for change in changes] == ["ADDED", "DELETED"]
    version = store.version
    store.close()
    again = Storage(tmp_path / "db")
    assert again.version == version
    assert [record.name for record in again.records("configmaps", "n")] == ["a"]
    assert again.since(version, ["configmaps"]) == []
    with pytest.raises(Expired):
        again.since(first.version, ["configmaps"])
    again.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/api/v1/namespaces/n", ("", "v1", "", "namespaces", "n", "")), ("/api/v1/namespaces/n/status", ("", "v1", "",
        "namespaces", "n", "status")),
     ("/apis/apps/v1/namespaces/n/deployments/d/scale", ("apps", "v1", "n", "deployments", "d", "scale")),
     ("/api/v1/pods", ("", "v1", "", "pods", "", "")), ("/version", ("", "", "", "", "", ""))],
)  # fmt: skip
def test_paths_are_taken_apart(path: str, expected: tuple[str, ...]) -> None:
    found = parse_path(path)
    assert (found.group, found.version, found.namespace, found.resource, found.name, found.subresource) == expected


def test_managers_are_named_after_the_program() -> None:
    user = internal_options("x").user
    assert Options.of(user, {}, "kubectl/v1.32").manager == "kubectl"
    assert Options.of(user, {"fieldManager": "me"}, "kubectl/v1.32").manager == "me"


def test_tls_asks_for_a_certificate_and_takes_none(tmp_path: Path) -> None:
    home = make_home(tmp_path / "uuid")
    assert tls(home).verify_mode is ssl.CERT_OPTIONAL
    assert cluster_name(home) == "uuid"
    (home / "cluster.json").write_text('{"name": "dev"}')
    assert cluster_name(home) == "dev"
