"""Lists, custom kinds, rarer subresources, webhooks and roles, through the server in this process."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.conformance.harness import APPLY_PATCH, MERGE_PATCH, Authority
from tests.conformance.test_definitions import definition, widget
from tests.unit.sandbox_kubernetes.conftest import CONFIGS, Api

Object = dict[str, Any]
GROUP = "unit.example.com"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
HOOKS = "/apis/admissionregistration.k8s.io/v1"


async def test_lists(api: Api) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"}), ("c", {})):
        await api("POST", CONFIGS, {"metadata": {"name": name, "labels": labels}})
    await api.until(lambda: api.held("configmaps", "kube-root-ca.crt"))

    async def names(query: str, **headers: str) -> list[str]:
        listing = await api("GET", f"{CONFIGS}?{query}", **headers)
        return [item["metadata"]["name"] for item in listing["items"]]

    assert await names("labelSelector=x") == ["a", "b"]
    assert await names("fieldSelector=metadata.name%3Db") == ["b"]
    assert await names("fieldSelector=metadata.name!%3Db,metadata.namespace%3Ddefault") == [
        "a",
        "c",
        "kube-root-ca.crt",
    ]
    page = await api("GET", f"{CONFIGS}?limit=1")
    assert page["metadata"]["remainingItemCount"] == 3
    assert await names(f"limit=2&continue={page['metadata']['continue']}") == ["b", "c"]
    partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    assert await names("labelSelector=x", Accept=partial) == ["a", "b"]
    for wrong in ("continue=x", "resourceVersion=x", "fieldSelector=data%3D1"):
        assert (await api("GET", f"{CONFIGS}?{wrong}"))["code"] == 400
    assert (await api("GET", f"{CONFIGS}?resourceVersion=99999999"))["code"] == 504
    gone = await api("DELETE", f"{CONFIGS}?labelSelector=x")
    assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "b"]


async def test_custom_kinds(api: Api) -> None:
    await api("POST", DEFINITIONS, definition(GROUP))
    path = f"/apis/{GROUP}/v1/namespaces/default/widgets"
    items = [{"name": "a", "v": "1"}]
    made = await api("POST", path, widget(GROUP, "w", unknown=1, items=items, free={"k": [1]}, port="http"))
    assert made["spec"]["nested"] == {"deep": "yes"} and "unknown" not in made["spec"]
    assert (await api("GET", f"/apis/{GROUP}/v1beta1/namespaces/default/widgets"))["items"][0][
        "apiVersion"
    ] == f"{GROUP}/v1beta1"
    bad: list[Object] = [{"size": 0}, {"tags": ["a", "a"]}, {"items": [{"v": "1"}]}, {"port": 1.5}, {"color": "green"},
                         {"items": [{"name": "a"}, {"name": "a"}]}, {"one": {}}, {"code": "UPPER"},
                         {"code": "x"}]  # fmt: skip
    for spec in bad:
        assert (await api("POST", path, widget(GROUP, "bad", **spec)))["code"] == 422, spec
    assert (await api("PUT", f"{path}/w", {**made, "metadata": {"name": "w"}}))["code"] == 422
    await api(
        "PATCH", f"{path}/w/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, MERGE_PATCH
    )
    table = await api("GET", path, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["rows"][0]["cells"] == ["w", 3, "True", "red"]
    other = widget(GROUP, "w", items=[{"name": "b", "v": "2"}])
    applied = await api("PATCH", f"{path}/w?fieldManager=m&force=true", other, APPLY_PATCH)
    assert [item["name"] for item in applied["spec"]["items"]] == ["a", "b"]
    assert (await api("PATCH", f"{path}/w", {}, "application/strategic-merge-patch+json"))["code"] == 415


async def test_rarer_doors(api: Api) -> None:
    place = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await api(
        "POST",
        place,
        {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}},
    )
    scale = await api("GET", f"{place}/d/scale")
    assert scale["status"] == {"replicas": 0, "selector": "a=b"}
    assert (await api("PUT", f"{place}/d/scale", {**scale, "spec": {"replicas": 4}}))["spec"] == {"replicas": 4}
    assert (await api("PUT", f"{place}/d/scale", scale))["code"] == 409
    assert (await api("PATCH", f"{place}/d/scale", {"spec": {"replicas": -1}}, MERGE_PATCH))["code"] == 422
    csr = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    body = {"metadata": {"name": "c"}, "spec": {"request": "aGk=", "signerName": "x.io/y", "usages": ["client auth"]}}
    await api("POST", csr, body)
    condition = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
    approved = await api("PATCH", f"{csr}/c/approval", {"status": {"conditions": [condition]}}, MERGE_PATCH)
    assert approved["status"]["conditions"][0]["type"] == "Approved"
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    finalized = await api(
        "PUT", "/api/v1/namespaces/n/finalize", {"metadata": {"name": "n"}, "spec": {"finalizers": ["x.io/y"]}}
    )
    assert finalized["spec"] == {"finalizers": ["x.io/y"]}
    token = await api(
        "POST", "/api/v1/namespaces/kube-system/serviceaccounts/robot/token", {"spec": {"audiences": ["x"]}}
    )
    review = await api(
        "POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token["status"]["token"]}}
    )
    assert review["status"]["authenticated"] is True
    review = await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "a.b.c"}})
    assert "authenticated" not in review["status"]


async def test_apply_refusals_and_untracked_objects(api: Api) -> None:
    config: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    path = f"{CONFIGS}/c?fieldManager=m"
    await api("POST", CONFIGS, config)
    await api("PATCH", f"{CONFIGS}/c", {"metadata": {"managedFields": [{}]}}, MERGE_PATCH)
    await api("PATCH", path, config, APPLY_PATCH)
    managers = {entry["manager"] for entry in (await api("GET", f"{CONFIGS}/c"))["metadata"]["managedFields"]}
    assert managers == {"m", "before-first-apply"}
    wrong: list[tuple[Object, int]] = [
        ({**config, "kind": "Secret"}, 400), ({**config, "dta": {}}, 500), ({**config, "data": []}, 500),
        ({**config, "metadata": {"name": "d"}}, 400), ({**config, "metadata": {"name": "c",
            "managedFields": [{"x": 1}]}}, 400),
        ({**config, "metadata": {"name": "c", "resourceVersion": "1"}}, 409),
        ({**config, "metadata": {"name": "c", "namespace": "other"}}, 400),
    ]  # fmt: skip
    for body, code in wrong:
        assert (await api("PATCH", path, body, APPLY_PATCH))["code"] == code, body
    absent = {**config, "metadata": {"name": "e", "uid": "x"}}
    assert (await api("PATCH", f"{CONFIGS}/e?fieldManager=m", absent, APPLY_PATCH))["code"] == 404
    assert (await api("POST", f"{CONFIGS}?dryRun=Some", config))["code"] == 422
    assert (await api("POST", CONFIGS, config, "application/xml"))["code"] == 415
    assert (await api("POST", CONFIGS))["code"] == 400
    services = "/api/v1/namespaces/default/services"
    created = await api.raw("PUT", f"{services}/s", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})
    assert created.status == 201


async def test_webhooks_change_and_deny(api: Api, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "hook")
    authority.issue("hook", "hook", hosts=("127.0.0.1",))
    seen: list[Object] = []

    async def review(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        seen.append(asked)
        response: Object = {"uid": asked["uid"], "allowed": asked["name"] != "bad", "warnings": ["mind the gap"]}
        if request.path == "/mutate":
            patch = [{"op": "add", "path": "/data", "value": {"by": "hook"}}]
            response |= {
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
            }
        return web.json_response({"response": response})

    application = web.Application()
    application.router.add_post("/{what}", review)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "hook/hook.crt", tmp_path / "hook/hook.key")
    bundle = base64.b64encode((tmp_path / "hook/ca.crt").read_bytes()).decode()
    served = TestServer(application, scheme="https")
    await served.start_server(ssl=context)
    try:
        for kind, what in (
            ("mutatingwebhookconfigurations", "mutate"),
            ("validatingwebhookconfigurations", "validate"),
        ):
            rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}
            spec = {"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule],
                    "clientConfig": {"url": f"https://127.0.0.1:{served.port}/{what}", "caBundle": bundle}}  # fmt: skip
            await api("POST", f"{HOOKS}/{kind}", {"metadata": {"name": "h"}, "webhooks": [spec]})
        answer = await api.raw("POST", CONFIGS, {"metadata": {"name": "good"}})
        assert (await answer.json())["data"] == {"by": "hook"}
        assert answer.headers["Warning"] == '299 - "mind the gap"'
        assert seen[-1]["object"]["data"] == {"by": "hook"} and seen[-1]["userInfo"]["username"].endswith(":robot")
        denied = await api("POST", CONFIGS, {"metadata": {"name": "bad"}})
        assert denied["message"] == 'admission webhook "a.b.c" denied the request without explanation'
        changed = await api("PATCH", f"{CONFIGS}/good", {"metadata": {"labels": {"a": "b"}}}, MERGE_PATCH)
        assert changed["metadata"]["labels"] == {"a": "b"} and seen[-1]["operation"] == "UPDATE"
    finally:
        await served.close()


async def test_roles_are_evaluated(api: Api) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    account = await api("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "dev"}})
    token = api.server.tokens.issue("default", "dev", account["metadata"]["uid"], seconds=60, audiences=[])
    mine = {"Authorization": f"Bearer {token}"}
    refused = await api("GET", CONFIGS, **mine)
    assert refused["message"].endswith('cannot list resource "configmaps" in API group "" in the namespace "default"')
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["one"]},
             {"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["*"]}]  # fmt: skip
    await api("POST", f"{rbac}/namespaces/default/roles", {"metadata": {"name": "r"}, "rules": rules})
    subjects = [{"kind": "ServiceAccount", "name": "dev", "namespace": "default"}]
    body = {"metadata": {"name": "r"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": subjects}
    await api("POST", f"{rbac}/namespaces/default/rolebindings", body)
    codes = {}
    for path in (
        f"{CONFIGS}/one",
        f"{CONFIGS}/two",
        "/apis/apps/v1/namespaces/default/deployments/x/scale",
        "/apis",
        "/metrics",
    ):
        codes[path.rpartition("/")[2]] = (await api.raw("GET", path, **mine)).status
    assert codes == {"one": 404, "two": 403, "scale": 404, "apis": 200, "metrics": 403}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    plain = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}}
    assert (await api("POST", path, plain, **mine))["status"]["allowed"] is False
