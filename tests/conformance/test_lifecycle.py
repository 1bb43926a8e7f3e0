"""How objects come and go: names, finalizers, owners, namespaces, dry runs."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.conformance.harness import MERGE_PATCH, Cluster

Object = dict[str, Any]


@pytest.fixture
def place(controlled: Cluster) -> str:
    """The path of a namespace of the test's own."""
    name = controlled.namespace(f"l-{uuid4().hex[:8]}")
    return f"/api/v1/namespaces/{name}"


def owned(name: str, owner: Object, kind: str = "ConfigMap", **extra: Any) -> Object:
    reference = {
        "apiVersion": "v1",
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **extra,
    }
    return {"metadata": {"name": name, "ownerReferences": [reference]}}


def make(cluster: Cluster, path: str, body: Object) -> Object:
    answer = cluster.post(path, body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_names_are_generated(controlled: Cluster, place: str) -> None:
    made = [make(controlled, f"{place}/configmaps", {"metadata": {"generateName": "some-"}}) for _ in range(2)]
    first, second = (item["metadata"]["name"] for item in made)
    assert first != second
    assert first.startswith("some-") and len(first) == len("some-") + 5
    assert controlled.get(f"{place}/configmaps/{first}")["metadata"]["generateName"] == "some-"


def test_dry_runs_store_nothing(controlled: Cluster, place: str) -> None:
    path = f"{place}/configmaps"
    version = controlled.get(path)["metadata"]["resourceVersion"]
    assert controlled.post(f"{path}?dryRun=All", {"metadata": {"name": "d"}}).status_code == 201
    assert controlled.request("GET", f"{path}/d").status_code == 404
    made = make(controlled, path, {"metadata": {"name": "d"}, "data": {"a": "1"}})
    changed = controlled.patch(f"{path}/d?dryRun=All", {"data": {"a": "2"}})
    assert changed.json()["data"] == {"a": "2"}
    assert controlled.put(f"{path}/d?dryRun=All", {**made, "data": {"a": "3"}}).json()["data"] == {"a": "3"}
    assert controlled.delete(f"{path}/d?dryRun=All").status_code == 200
    assert controlled.delete(f"{path}?dryRun=All").status_code == 200
    now = controlled.get(f"{path}/d")
    assert now["data"] == {"a": "1"}
    assert now["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"] > version


def test_finalizers_hold_an_object(controlled: Cluster, place: str) -> None:
    path = f"{place}/configmaps/held"
    make(controlled, f"{place}/configmaps", {"metadata": {"name": "held", "finalizers": ["example.com/wait"]}})
    dying = controlled.delete(path).json()
    assert dying["metadata"]["deletionTimestamp"] and dying["metadata"]["deletionGracePeriodSeconds"] == 0
    again = controlled.delete(path)
    assert again.json()["metadata"]["deletionTimestamp"] == dying["metadata"]["deletionTimestamp"]
    assert controlled.patch(path, {"data": {"still": "writable"}}).status_code == 200
    refused = controlled.patch(path, {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}})
    assert refused.status_code == 422
    assert controlled.patch(path, {"metadata": {"finalizers": None}}).status_code == 200
    assert controlled.request("GET", path).status_code == 404


def test_preconditions(controlled: Cluster, place: str) -> None:
    made = make(controlled, f"{place}/configmaps", {"metadata": {"name": "p"}})
    path = f"{place}/configmaps/p"
    assert controlled.delete(path, {"preconditions": {"uid": "other"}}).status_code == 409
    assert controlled.delete(path, {"preconditions": {"resourceVersion": "1"}}).status_code == 409
    metadata = made["metadata"]
    good = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    assert controlled.delete(path, {"preconditions": good}).status_code == 200


def test_dependents_go_with_their_owner(controlled: Cluster, place: str) -> None:
    owner = make(controlled, f"{place}/configmaps", {"metadata": {"name": "owner"}})
    child = make(controlled, f"{place}/secrets", owned("child", owner))
    make(controlled, f"{place}/configmaps", owned("grandchild", child, "Secret"))
    other = make(controlled, f"{place}/configmaps", {"metadata": {"name": "other"}})
    both = owned("both", owner)
    both["metadata"]["ownerReferences"] += owned("both", other)["metadata"]["ownerReferences"]
    make(controlled, f"{place}/configmaps", both)
    controlled.delete(f"{place}/configmaps/owner", {"propagationPolicy": "Background"})
    controlled.gone(f"{place}/secrets/child")
    controlled.gone(f"{place}/configmaps/grandchild")
    assert controlled.request("GET", f"{place}/configmaps/both").status_code == 200


def test_orphans_stay(controlled: Cluster, place: str) -> None:
    owner = make(controlled, f"{place}/configmaps", {"metadata": {"name": "owner"}})
    make(controlled, f"{place}/configmaps", owned("child", owner))
    controlled.delete(f"{place}/configmaps/owner", {"propagationPolicy": "Orphan"})
    controlled.gone(f"{place}/configmaps/owner")
    assert "ownerReferences" not in controlled.get(f"{place}/configmaps/child")["metadata"]


def test_foreground_waits_for_blocking_dependents(controlled: Cluster, place: str) -> None:
    owner = make(controlled, f"{place}/configmaps", {"metadata": {"name": "owner"}})
    child = owned("child", owner, blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["example.com/wait"]
    make(controlled, f"{place}/configmaps", child)
    dying = controlled.delete(f"{place}/configmaps/owner", {"propagationPolicy": "Foreground"}).json()
    assert dying["metadata"]["finalizers"] == ["foregroundDeletion"]
    controlled.until(
        lambda: "deletionTimestamp" in controlled.get(f"{place}/configmaps/child")["metadata"],
        "the child to be deleted",
    )
    assert controlled.request("GET", f"{place}/configmaps/owner").status_code == 200
    controlled.patch(f"{place}/configmaps/child", {"metadata": {"finalizers": None}}, MERGE_PATCH)
    controlled.gone(f"{place}/configmaps/owner")
    controlled.gone(f"{place}/configmaps/child")


def test_an_absent_owner_takes_its_dependents_along(controlled: Cluster, place: str) -> None:
    ghost = {"metadata": {"name": "ghost", "uid": str(uuid4())}}
    make(controlled, f"{place}/configmaps", owned("child", ghost))
    controlled.gone(f"{place}/configmaps/child", 40)


def test_a_namespace_is_furnished(controlled: Cluster, place: str) -> None:
    for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
        controlled.until(lambda path=path: controlled.request("GET", f"{place}/{path}").is_success, path)
    assert controlled.get(f"{place}/configmaps/kube-root-ca.crt")["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE")
    assert controlled.get(place)["status"]["phase"] == "Active"
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        controlled.until(lambda name=name: controlled.request("GET", f"/api/v1/namespaces/{name}").is_success, name)


def test_a_namespace_empties_itself_and_goes(controlled: Cluster, place: str) -> None:
    make(controlled, f"{place}/configmaps", {"metadata": {"name": "held", "finalizers": ["example.com/wait"]}})
    make(controlled, f"{place}/secrets", {"metadata": {"name": "free"}})
    dying = controlled.delete(place).json()
    assert dying["status"]["phase"] == "Terminating"
    controlled.gone(f"{place}/secrets/free")
    refused = controlled.post(f"{place}/configmaps", {"metadata": {"name": "late"}})
    assert refused.status_code == 403
    assert "being terminated" in refused.json()["message"]

    def told() -> Any:
        conditions = controlled.get(place)["status"].get("conditions") or []
        return [c for c in conditions if c["type"] == "NamespaceFinalizersRemaining" and c["status"] == "True"]

    assert "example.com/wait" in controlled.until(told, "the namespace to say what it waits for")[0]["message"]
    controlled.patch(f"{place}/configmaps/held", {"metadata": {"finalizers": None}})
    controlled.gone(place, 60)


def test_collections_are_deleted_by_selector(controlled: Cluster, place: str) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {})):
        make(controlled, f"{place}/secrets", {"metadata": {"name": name, "labels": labels}})
    gone = controlled.delete(f"{place}/secrets?labelSelector=x%3D1")
    assert gone.status_code == 200
    left = [item["metadata"]["name"] for item in controlled.get(f"{place}/secrets")["items"]]
    assert "c" in left and not {"a", "b"} & set(left)


def test_pods_are_given_time_to_end(controlled: Cluster, place: str) -> None:
    spec = {"containers": [{"name": "c", "image": "i:1"}], "nodeName": "nowhere", "terminationGracePeriodSeconds": 7}
    make(controlled, f"{place}/pods", {"metadata": {"name": "p"}, "spec": spec})
    dying = controlled.delete(f"{place}/pods/p").json()
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 7
    assert controlled.request("GET", f"{place}/pods/p").status_code == 200
    controlled.delete(f"{place}/pods/p", {"gracePeriodSeconds": 0})
    controlled.gone(f"{place}/pods/p")
    make(controlled, f"{place}/pods", {"metadata": {"name": "q"}, "spec": {**spec, "nodeName": ""}})
    controlled.delete(f"{place}/pods/q")
    controlled.gone(f"{place}/pods/q")


def test_binding_puts_a_pod_on_a_node(controlled: Cluster, place: str) -> None:
    make(
        controlled,
        f"{place}/pods",
        {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
    )
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert controlled.post(f"{place}/pods/p/binding", body).status_code == 201
    assert controlled.get(f"{place}/pods/p")["spec"]["nodeName"] == "n1"
    assert controlled.post(f"{place}/pods/p/binding", body).status_code == 409


def test_tokens_of_service_accounts_are_good(controlled: Cluster, place: str) -> None:
    make(controlled, f"{place}/serviceaccounts", {"metadata": {"name": "robot"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    answer = controlled.post(f"{place}/serviceaccounts/robot/token", request)
    assert answer.status_code == 201
    token = answer.json()["status"]["token"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status = controlled.post("/apis/authentication.k8s.io/v1/tokenreviews", review).json()["status"]
    namespace = place.rpartition("/")[2]
    assert status["authenticated"] and status["user"]["username"] == f"system:serviceaccount:{namespace}:robot"
    client = controlled.as_user("anonymous")
    good = client.get("/apis", headers={"Authorization": f"Bearer {token}"})
    bad = client.get("/apis", headers={"Authorization": f"Bearer {token[:-4]}AAAA"})
    assert (good.status_code, bad.status_code) == (200, 401)


def test_roles_are_evaluated(controlled: Cluster, place: str) -> None:
    namespace = place.rpartition("/")[2]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    assert controlled.request("GET", f"{place}/secrets", user="alice").status_code == 403
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]},
             {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"], "resourceNames": ["mine"]},
             {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}]  # fmt: skip
    make(controlled, f"{rbac}/roles", {"metadata": {"name": "reader"}, "rules": rules})
    binding = {"metadata": {"name": "dev"}, "roleRef": {"kind": "Role", "name": "reader",
        "apiGroup": "rbac.authorization.k8s.io"},
               "subjects": [{"kind": "Group", "name": "dev", "apiGroup": "rbac.authorization.k8s.io"}]}  # fmt: skip
    make(controlled, f"{rbac}/rolebindings", binding)
    controlled.until(lambda: controlled.request("GET", f"{place}/secrets", user="alice").status_code == 200, "the role")
    assert controlled.request("GET", f"{place}/configmaps/mine", user="alice").status_code == 404
    assert controlled.request("GET", f"{place}/configmaps/yours", user="alice").status_code == 403
    assert controlled.request("GET", "/api/v1/secrets", user="alice").status_code == 403

    def may(**attributes: str) -> bool:
        spec = {"resourceAttributes": {"namespace": namespace, **attributes}}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(controlled.post(path, review, user="alice").json()["status"]["allowed"])

    assert may(verb="list", resource="secrets")
    assert not may(verb="create", resource="secrets")
    assert may(verb="patch", group="apps", resource="deployments", subresource="scale")
    assert not may(verb="patch", group="apps", resource="deployments")
