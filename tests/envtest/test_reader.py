"""The group that may only look, on a real kube-apiserver: it sees everything, and changes nothing.

The role is the one the documentation shows, the certificate is signed as Magnum would, and requests that should be
refused are sent without our own guard: each refusal is the server's.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from cryptography import x509 as certificates
from cryptography.x509.oid import NameOID

from deployments.sandbox.controllers import x509
from deployments.sandbox.controlplane.plane import ControlPlane
from infra.clients.errors import Denied
from infra.clients.helm import HelmClient
from infra.clients.helm_records import SECRET_TYPE, encode
from infra.clients.kubeconfig import READERS, Kubeconfigs
from infra.clients.kubernetes import KubernetesClient
from infra.clients.openstack_models import Cluster
from infra.drift.findings import PlaneName, PlaneState, PlaneVerdict
from infra.planes import access
from infra.planes.clients import Clients
from infra.planes.live import LiveObjects
from infra.planes.looking import Looked
from infra.settings import ROOT, Settings
from tasks.drift import look_at_plane, reach_for_looking
from tests.unit.planes.fakes import declared, make_clients

pytestmark = [
    pytest.mark.envtest,
]

OBJECTS: list[dict[str, Any]] = list(
    yaml.safe_load_all("""
apiVersion: v1
kind: ConfigMap
metadata: {name: text, namespace: default}
data: {said: as declared}
---
apiVersion: v1
kind: Secret
metadata: {name: word, namespace: default}
stringData: {word: hush}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.org/web:1}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: some}
rules: [{apiGroups: [""], resources: [nodes], verbs: [get]}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.x.plumbline.dev}
spec:
  group: x.plumbline.dev
  scope: Namespaced
  names: {plural: things, kind: Thing}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
""")
)
RECORD = {"name": "demo", "version": 1, "info": {"status": "deployed"}, "manifest": yaml.safe_dump(OBJECTS[0])}
RELEASE = {
    "apiVersion": "v1",
    "kind": "Secret",
    "type": SECRET_TYPE,
    "metadata": {
        "name": "sh.helm.release.v1.demo.v1",
        "namespace": "default",
        "labels": {"owner": "helm", "name": "demo", "version": "1", "status": "deployed"},
    },
    "data": {"release": encode(RECORD)},
}


def documented() -> list[dict[str, Any]]:
    """Role and binding as docs/drift.md shows them."""
    page = (ROOT / "docs/drift.md").read_text()
    (shown,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "ClusterRole" in text]
    return list(yaml.safe_load_all(shown))


class Signing:
    """Magnum's part: it signs whatever group a request names, with the cluster's authority."""

    def __init__(self, home: Path) -> None:
        self._certificate = (home / "ca.crt").read_bytes()
        self._authority = x509.Authority.load(self._certificate, (home / "ca.key").read_bytes())

    async def ca_certificate(self, _cluster: str) -> str:
        return self._certificate.decode()

    async def sign(self, _cluster: str, request: str) -> str:
        asked = certificates.load_pem_x509_csr(request.encode())
        name, group = (
            str(asked.subject.get_attributes_for_oid(oid)[0].value)
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        )
        subject = x509.Subject(name, [group], usages=("digital signature", "client auth"))
        signed = x509.sign(self._authority, asked.public_key(), subject, timedelta(hours=1))
        return x509.pem(signed).decode()


@pytest.fixture(scope="module")
def plane(kept_plane: ControlPlane) -> ControlPlane:
    return kept_plane


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", request_timeout=20)


@pytest.fixture
async def admin(plane: ControlPlane, settings: Settings) -> AsyncIterator[KubernetesClient]:
    async with KubernetesClient(plane.kubeconfig, settings) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kubeconfig(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """The readers' own, minted as for a check; what they are to see, and their role, are there."""
    home = tmp_path_factory.mktemp("readers")
    async with KubernetesClient(plane.kubeconfig, Settings(state_dir=home / "state")) as client:
        for item in (*documented(), *OBJECTS, RELEASE):
            await client.apply(item)
    cloud: Any = SimpleNamespace(magnum=Signing(plane.home))
    cluster = Cluster.model_validate({"uuid": "c1", "name": "dev", "api_address": plane.url})
    async with Kubeconfigs(cloud, folder=home / "private", group=READERS) as minted:
        yield await minted.of(cluster)


@pytest.fixture
async def reader(kubeconfig: Path, settings: Settings) -> AsyncIterator[KubernetesClient]:
    """As a check has it."""
    async with KubernetesClient(kubeconfig, settings, read_only=True) as client:
        await until(lambda: client.list("v1", "Namespace"))
        yield client


@pytest.fixture
def bare(kubeconfig: Path, plane: ControlPlane) -> Iterator[httpx.Client]:
    """The readers' certificate and nothing of ours around it."""
    folder = kubeconfig.parent
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "client.crt", folder / "client.key")
    with httpx.Client(base_url=plane.url, verify=context, trust_env=False, timeout=20) as client:
        yield client


async def until(holds: Callable[[], Awaitable[object]], *, denied: bool = False) -> None:
    """Wait until the API server has taken notice of a role or a binding."""
    for _ in range(100):
        try:
            await holds()
        except Denied:
            if denied:
                return
        else:
            if not denied:
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the API server took no notice")


def test_what_is_documented_is_what_the_product_declares() -> None:
    applied = [{**item, "metadata": {"name": item["metadata"]["name"]}} for item in access.desired()]
    assert documented() == applied


async def test_every_kind_that_is_served_can_be_listed(reader: KubernetesClient, admin: KubernetesClient) -> None:
    kinds = await reader.resources()
    assert {one.kind for one in kinds} == {one.kind for one in await admin.resources()}
    assert len(kinds) > 40 and "Thing" in {one.kind for one in kinds}
    await asyncio.gather(*(reader.list_raw(one.path()) for one in kinds))


async def test_releases_are_read_and_objects_compared(
    reader: KubernetesClient, admin: KubernetesClient, settings: Settings
) -> None:
    async with HelmClient(reader.kubeconfig, settings, kubernetes=reader) as helm:
        live = LiveObjects(reader, helm)
        release = await live.release("demo", "default")
        assert release is not None and [item["data"] for item in release.objects()] == [OBJECTS[0]["data"]]
        declared = [*OBJECTS, *access.desired()]
        assert await live.look(PlaneName.ADDONS, OBJECTS) == Looked()
        seen = {finding.address for finding in (await live.look(PlaneName.CLUSTER, declared)).findings}
        assert seen == {"ClusterRole/plumbline-reader", "ClusterRoleBinding/plumbline-reader"}, "our label is missing"
        assert (await reader.get("v1", "ConfigMap", "text", "default") or {})["data"] == {"said": "as declared"}
        assert await reader.get("v1", "ConfigMap", "none", "default") is None
        await admin.patch("v1", "ConfigMap", "text", {"data": {"said": "otherwise"}}, "default")
        try:
            (finding,) = (await LiveObjects(reader, helm).look(PlaneName.ADDONS, OBJECTS)).findings
            assert (finding.address, finding.path) == ("ConfigMap/default/text", ".data.said")
        finally:
            await admin.apply(OBJECTS[0])


CORE, APPS, RBAC = "/api/v1", "/apis/apps/v1", "/apis/rbac.authorization.k8s.io/v1"
IN_DEFAULT = f"{CORE}/namespaces/default"
KINDS = {
    "configmaps": (f"{IN_DEFAULT}/configmaps", "text"),
    "secrets": (f"{IN_DEFAULT}/secrets", "word"),
    "serviceaccounts": (f"{IN_DEFAULT}/serviceaccounts", "default"),
    "pods": (f"{IN_DEFAULT}/pods", "web-0"),
    "namespaces": (f"{CORE}/namespaces", "default"),
    "nodes": (f"{CORE}/nodes", "n1"),
    "deployments": (f"{APPS}/namespaces/default/deployments", "web"),
    "clusterroles": (f"{RBAC}/clusterroles", access.NAME),
    "clusterrolebindings": (f"{RBAC}/clusterrolebindings", access.NAME),
    "customresourcedefinitions": (
        *("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "things.x.plumbline.dev"),
    ),
    "things": ("/apis/x.plumbline.dev/v1/namespaces/default/things", "t"),
    "mutatingwebhookconfigurations": (
        *("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "hook"),
    ),
}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("kind", KINDS)
def test_every_write_is_refused_by_the_server(bare: httpx.Client, kind: str) -> None:
    path, name = KINDS[kind]
    body = {"metadata": {"name": name}}
    merge, apply = "application/merge-patch+json", "application/apply-patch+yaml"
    for dry in ({}, {"dryRun": "All"}):
        refused(bare, "create", "POST", path, params=dry, json=body)
        refused(bare, "update", "PUT", f"{path}/{name}", params=dry, json=body)
        refused(bare, "patch", "PATCH", f"{path}/{name}", params=dry, json=body, headers={"Content-Type": merge})
        applying = {"fieldManager": "x", "force": "true", **dry}
        refused(bare, "patch", "PATCH", f"{path}/{name}", params=applying, json=body, headers={"Content-Type": apply})
        refused(bare, "delete", "DELETE", f"{path}/{name}", params=dry)
        refused(bare, "deletecollection", "DELETE", path, params=dry)
    refused(bare, "watch", "GET", path, params={"watch": "true"})


def refused(bare: httpx.Client, verb: str, method: str, path: str, **more: Any) -> None:
    """Assert that the server refuses it, because of this very verb."""
    answer = bare.request(method, path, **more)
    said = answer.json()
    assert (answer.status_code, said["reason"]) == (403, "Forbidden"), (method, path, said)
    # Since 1.36 impersonation is asked for by what it is used for: `impersonate-on:user-info:list`.
    assert re.search(rf'User "plumbline" cannot {verb}(-on:\S+)? ', said["message"]), said["message"]


POD = f"{IN_DEFAULT}/pods/web-0"
DOORS = [
    *((verb, f"{POD}/{part}") for part in ("exec", "attach", "portforward", "proxy") for verb in ("get", "create")),
    *((verb, f"{IN_DEFAULT}/services/web/proxy/") for verb in ("get", "create")),
    *((verb, f"{CORE}/nodes/n1/proxy/run/default/web-0/web") for verb in ("get", "create")),
    ("get", f"{POD}/log"),
    ("get", f"{IN_DEFAULT}/secrets/word"),
    ("create", f"{POD}/eviction"),
    ("create", f"{POD}/binding"),
    ("create", f"{IN_DEFAULT}/serviceaccounts/default/token"),
    ("update", f"{CORE}/namespaces/default/finalize"),
    ("update", f"{APPS}/namespaces/default/deployments/web/scale"),
    ("update", f"{APPS}/namespaces/default/deployments/web/status"),
    ("update", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval"),
]


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("verb", "path"), DOORS)
def test_no_door_leads_further_in(bare: httpx.Client, verb: str, path: str) -> None:
    method = {"get": "GET", "create": "POST", "update": "PUT"}[verb]
    # As a WebSocket too: that is how `get` opens a shell.
    socketed = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    for headers in ({}, socketed) if method == "GET" else ({},):
        refused(bare, verb, method, path, headers=headers, params={"command": "id"} if "exec" in path else {})


@pytest.mark.usefixtures("reader")
def test_nobody_else_can_be_played_and_no_right_be_given(bare: httpx.Client) -> None:
    for played in ({"Impersonate-User": "admin"}, {"Impersonate-User": "x", "Impersonate-Group": "system:masters"}):
        refused(bare, "impersonate", "GET", f"{CORE}/nodes", headers=played)
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    refused(bare, "create", "POST", f"{RBAC}/clusterroles", json={"metadata": {"name": "more"}, "rules": [everything]})
    for verb in ("escalate", "bind"):
        asked = {"verb": verb, "group": "rbac.authorization.k8s.io", "resource": "clusterroles"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        # To ask what one may do is allowed to everybody, and writes nothing.
        answer = bare.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review)
        assert answer.status_code == 201 and answer.json()["status"]["allowed"] is False
    for path in ("/metrics", "/logs", "/debug/pprof/heap", "/openapi/v2/../../configz"):
        assert bare.get(path).status_code == 403


PLANES = (PlaneName.STORAGE, PlaneName.ADDONS)
"""Those that are about kinds every API server has: that a kind is not served, anybody may know."""


async def test_without_the_binding_everything_is_unknown_and_nothing_in_step(
    reader: KubernetesClient, admin: KubernetesClient, settings: Settings, tmp_path: Path
) -> None:
    binding = documented()[1]
    await admin.delete(binding["apiVersion"], binding["kind"], access.NAME)
    try:
        await until(lambda: reader.list("v1", "Namespace"), denied=True)
        for kind in await reader.resources():
            with pytest.raises(Denied):
                await reader.list_raw(kind.path())
        with pytest.raises(Denied):
            await reader.get("v1", "ConfigMap", "text", "default")
        async with HelmClient(reader.kubeconfig, settings, kubernetes=reader) as helm:
            with pytest.raises(Denied):
                await helm.releases()
            blind(await LiveObjects(reader, helm).look(PlaneName.ADDONS, OBJECTS), len(OBJECTS))
            clients = make_clients(tmp_path)
            clients._kubernetes, clients._helm = reader, helm
            await nothing_is_in_step(clients)
    finally:
        await admin.apply(binding)
        await until(lambda: reader.list("v1", "Namespace"))


def blind(looked: Looked, spots: int) -> None:
    """Assert that nothing was seen, and that each blind spot says why in a sentence."""
    assert (looked.findings, len(looked.blind_spots)) == ((), spots)
    for spot in looked.blind_spots:
        assert spot.category == "Denied"
        assert spot.why.startswith("The API server answered 403 (Forbidden) to GET /")
    now = datetime.now(UTC)
    verdict = PlaneVerdict.of(PlaneName.ADDONS, looked.findings, looked.blind_spots, looked_at=now, seconds=0)
    assert verdict.state is PlaneState.UNKNOWN


async def nothing_is_in_step(clients: Clients) -> None:
    """A check says so of each plane in the cluster, and what to do."""
    environment = declared()
    why = await reach_for_looking.fn(environment, clients)
    assert why is not None and why.endswith("Run create-environment, which lets plumbline:readers read.")
    for plane in PLANES:
        # As if the cluster had been reached: a binding may also go while it is looked.
        verdict = await look_at_plane.fn(plane, environment, clients, None)
        assert (verdict.state, verdict.findings) == (PlaneState.UNKNOWN, ()), verdict
    blind(await access.look(clients), 2)
