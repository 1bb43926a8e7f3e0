"""The sandbox's controllers on a real control plane."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import aiohttp.web
import pytest
import yaml
from dulwich import porcelain

from deployments.sandbox.authority import make_authority, make_github_app
from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.app import Options, run
from deployments.sandbox.controllers.github import GitHub
from deployments.sandbox.controllers.kube import resources as kinds
from deployments.sandbox.controllers.kube.client import ApiError, Client
from deployments.sandbox.controllers.kube.objects import condition, is_true
from deployments.sandbox.controllers.kube.resources import Obj, Resource
from deployments.sandbox.settings import ROOT, SandboxSettings
from infra.clients.errors import NotYet
from infra.clients.waiting import wait_until
from tests.fakecloud import NETWORK, FakeCloud

pytestmark = pytest.mark.envtest
CHARTS = ROOT / "deployments/sandbox/charts"
SERVERS = {"master": 1, "worker": 2}
UUID = "5d9f9a2c-0d0f-4c39-9d8e-0a4f1b2c3d4e"
"""The cluster's, as Magnum gives it; in the cloud the cluster is called so."""
T = TypeVar("T")


@dataclass
class Plane:
    """An API server with controllers in this process."""

    client: Client
    home: Path
    sandbox: Path
    settings: SandboxSettings
    cloud: FakeCloud

    async def see(self, probe: Callable[[], Awaitable[T | None]], what: str, timeout: float = 15) -> T:
        """Wait until the probe finds something."""

        async def look() -> T:
            found = await probe()
            if not found:
                raise NotYet(f"no {what}")
            return found

        return await wait_until(look, describe=what, timeout=timeout, interval=0.05)

    async def when(
        self, resource: Resource, namespace: str, name: str, test: Callable[[Obj], Any], timeout: float = 15
    ) -> Obj:
        """Wait until an object is there and as wanted."""
        last: list[Obj | None] = [None]

        async def probe() -> Obj | None:
            last[0] = await self.client.get(resource, namespace, name)
            return last[0] if last[0] is not None and test(last[0]) else None

        try:
            return await self.see(probe, f"{resource.kind} {namespace}/{name}", timeout)
        except Exception as error:
            error.add_note(json.dumps(last[0])[:3000])
            raise

    async def gone(self, resource: Resource, namespace: str, name: str) -> None:
        """Wait until an object is not there any more."""

        async def probe() -> bool:
            return await self.client.get(resource, namespace, name) is None

        await self.see(probe, f"end of {resource.kind} {namespace}/{name}")

    async def crds(self, pattern: str) -> None:
        """Install a chart's CRDs."""
        for path in sorted(CHARTS.glob(pattern)):
            crd = yaml.safe_load(path.read_text())
            with contextlib.suppress(ApiError):
                await self.client.create(kinds.CRDS, crd)
            await self.when(kinds.CRDS, "", crd["metadata"]["name"], lambda each: is_true(each, "Established"))

    async def namespace(self, name: str) -> None:
        with contextlib.suppress(ApiError):
            await self.client.create(kinds.NAMESPACES, {"metadata": {"name": name}})

    async def workload(
        self, namespace: str, name: str, *, container: str = "main", labels: dict[str, str] | None = None, **more: Any
    ) -> Obj:
        """A Deployment that becomes available."""
        await self.namespace(namespace)
        own = {"app": name, **(labels or {})}
        container_spec = {"name": container, "image": f"example/{name}", **more}
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": own}, "spec": {"containers": [container_spec]}},
        }
        metadata = {"name": name, "namespace": namespace, "labels": own}
        await self.client.create(kinds.DEPLOYMENTS, {"metadata": metadata, "spec": spec})
        return await self.when(
            kinds.DEPLOYMENTS, namespace, name, lambda each: each.get("status", {}).get("availableReplicas") == 1
        )

    async def service(self, namespace: str, name: str, app: str, **more: Any) -> None:
        spec = {"selector": {"app": app}, "ports": [{"name": "https", "port": 10443, "targetPort": 10443}], **more}
        await self.client.create(kinds.SERVICES, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})


@pytest.fixture(scope="module")
def server(sandbox: Path) -> Path:
    """A sandbox's folder, with what the controllers read there."""
    (sandbox / "clusters/dev/cluster.json").write_text(json.dumps(description(SERVERS)))
    (sandbox / "ca").mkdir()
    make_authority(sandbox / "ca")
    (sandbox / "secrets/github-app").mkdir(parents=True)
    make_github_app(sandbox / "secrets/github-app")
    return sandbox


def description(counts: dict[str, int]) -> Obj:
    servers = [
        {
            "name": f"dev-{role}-{number}",
            "role": role,
            "nodegroup": f"default-{role}",
            "address": f"10.0.{len(role)}.{number}",
            "flavor": "m1.large",
        }
        for role, count in counts.items()
        for number in range(count)
    ]
    return {"name": "dev", "uuid": UUID, "version": "v1.33.4", "nodes": servers, "network": NETWORK}


@pytest.fixture
async def plane(server: Path) -> AsyncIterator[Plane]:
    sandbox, home = server, server / "clusters/dev"
    settings = SandboxSettings(home=sandbox, port_base=18100, loadbalancer_network=IPv4Network("127.80.0.0/16"))
    cloud = FakeCloud(settings.loadbalancer_network)
    options = Options(home, home / "admin.kubeconfig", sandbox, settings, cloud)
    async with Client.from_kubeconfig(home / "admin.kubeconfig") as client:
        ready = Plane(client, home, sandbox, settings, cloud)

        async def answers() -> bool:
            try:
                await client.request("GET", "/version")
            except (aiohttp.ClientError, OSError):
                return False
            return True

        await ready.see(answers, "API server")
        work = asyncio.create_task(run(options))
        try:
            await ready.when(kinds.NODES, "", "dev-worker-0", lambda node: is_true(node, "Ready"))
            yield ready
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


async def test_workloads_volumes_and_nodes_live(plane: Plane) -> None:
    await plane.namespace("core")
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db"}]}}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "cinder",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    classes: dict[str, Obj] = {
        "cinder": {"volumeBindingMode": "WaitForFirstConsumer"},
        "moon": {"parameters": {"availability": "moon"}},
    }
    for name, more in classes.items():
        body = {"metadata": {"name": name}, "provisioner": "cinder.csi.openstack.org", **more}
        await plane.client.create(kinds.STORAGECLASSES, body)
    spec = {
        "replicas": 2,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    await plane.client.create(kinds.STATEFULSETS, {"metadata": {"name": "db", "namespace": "core"}, "spec": spec})
    await plane.when(kinds.STATEFULSETS, "core", "db", lambda each: each.get("status", {}).get("readyReplicas") == 2)
    bound = await plane.when(kinds.CLAIMS, "core", "data-db-1", lambda each: each["status"].get("phase") == "Bound")
    volume = bound["spec"]["volumeName"]
    lost = {"metadata": {"name": "lost", "namespace": "core"}, "spec": {**claim, "storageClassName": "moon"}}
    await plane.client.create(kinds.CLAIMS, lost)

    async def complaint() -> list[str]:
        events = (await plane.client.list_all(kinds.EVENTS))["items"]
        return [each["message"] for each in events if each["reason"] == "ProvisioningFailed"]

    assert "moon" in (await plane.see(complaint, "event"))[0]
    pending = await plane.client.get(kinds.CLAIMS, "core", "lost")
    assert pending is not None
    assert pending["status"]["phase"] == "Pending"
    await plane.client.delete(kinds.STATEFULSETS, "core", "db")
    await plane.gone(kinds.PODS, "core", "db-1")
    await plane.client.delete(kinds.CLAIMS, "core", "data-db-1")
    await plane.gone(kinds.VOLUMES, "", volume)


async def test_a_failing_pod_a_job_and_a_lost_node(plane: Plane) -> None:
    await plane.namespace("pods")
    notes = {"plumbline.dev/sandbox-fail": "no database"}
    container = {"name": "main", "image": "example/x"}
    bad = {"metadata": {"name": "bad", "namespace": "pods", "annotations": notes}, "spec": {"containers": [container]}}
    await plane.client.create(kinds.PODS, bad)
    pod = await plane.when(kinds.PODS, "pods", "bad", lambda each: each["status"].get("containerStatuses"))
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert not is_true(pod, "Ready")
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    job = {"metadata": {"name": "once", "namespace": "pods"}, "spec": {"template": template}}
    await plane.client.create(kinds.JOBS, job)
    await plane.when(kinds.JOBS, "pods", "once", lambda each: is_true(each, "Complete"))
    daemon = {
        "selector": {"matchLabels": {"app": "agent"}},
        "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [container]}},
    }
    await plane.client.create(kinds.DAEMONSETS, {"metadata": {"name": "agent", "namespace": "pods"}, "spec": daemon})
    await plane.when(kinds.DAEMONSETS, "pods", "agent", lambda each: each.get("status", {}).get("numberReady") == 2)
    (plane.home / "cluster.json").write_text(json.dumps(description({"master": 1, "worker": 3})))
    await plane.when(kinds.DAEMONSETS, "pods", "agent", lambda each: each.get("status", {}).get("numberReady") == 3)
    (plane.home / "cluster.json").write_text(json.dumps(description(SERVERS)))
    await plane.gone(kinds.NODES, "", "dev-worker-2")
    await plane.when(kinds.DAEMONSETS, "pods", "agent", lambda each: each["status"].get("numberReady") == 2)


async def test_a_deployment_rolls_out_and_back(plane: Plane) -> None:
    await plane.workload("rolling", "web")
    image = {"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "main", "image": "example/two"}]}}}}
    await plane.client.patch(kinds.DEPLOYMENTS, "rolling", "web", image)
    done = await plane.when(
        kinds.DEPLOYMENTS,
        *("rolling", "web"),
        lambda each: (
            each["status"].get("updatedReplicas") == each["status"].get("availableReplicas") == 3
            and each["status"]["observedGeneration"] == each["metadata"]["generation"]
            and each["status"]["replicas"] == 3
        ),
    )
    assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert is_true(done, "Available")
    said = condition(done, "Progressing")
    assert said is not None
    assert said["reason"] == "NewReplicaSetAvailable"


async def certificate(plane: Plane, namespace: str, name: str, *names: str) -> None:
    """A TLS Secret that the sandbox's CA has signed."""
    folder = plane.sandbox / "ca"
    authority = x509.Authority.load((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
    key = x509.generate_key()
    subject = x509.Subject(names[0], dns_names=list(names), usages=("digital signature", "server auth"))
    chain = x509.pem(x509.sign(authority, key.public_key(), subject, timedelta(days=1)))
    data = {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(x509.key_pem(key)).decode()}
    body = {"metadata": {"name": name, "namespace": namespace}, "type": "kubernetes.io/tls", "data": data}
    await plane.client.create(kinds.SECRETS, body)


async def install_ingress(plane: Plane) -> str:
    if await plane.client.get(kinds.SERVICES, "nginx-ingress", "nginx") is None:
        labels = {"app.kubernetes.io/name": "nginx-ingress"}
        await plane.workload("nginx-ingress", "nginx", labels=labels, args=["-ingress-class=nginx"])
        await plane.service("nginx-ingress", "nginx", "nginx", type="LoadBalancer")
    service = await plane.when(
        kinds.SERVICES, "nginx-ingress", "nginx", lambda each: each["status"]["loadBalancer"].get("ingress")
    )
    return str(service["status"]["loadBalancer"]["ingress"][0]["ip"])


async def fetch(address: str, port: int, name: str, authority: Path | None) -> tuple[int, str]:
    """GET / of a name at an address, with full TLS verification where an authority is given."""
    context: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(authority)) if authority else False
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{'https' if authority else 'http'}://{address}:{port}/",
            headers={"Host": name},
            server_hostname=name if authority else None,
            ssl=context,
            allow_redirects=False,
        ) as answer,
    ):
        return answer.status, await answer.text()


async def test_an_ingress_serves_its_certificate_by_name(plane: Plane) -> None:
    address = await install_ingress(plane)
    await plane.workload("shop", "web")
    await certificate(plane, "shop", "shop-tls", "shop.example")
    await plane.service("shop", "web", "web")
    backend = {"service": {"name": "web", "port": {"number": 10443}}}
    rule = {"host": "shop.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec = {
        "ingressClassName": "nginx",
        "tls": [{"hosts": ["shop.example"], "secretName": "shop-tls"}],
        "rules": [rule],
    }
    body = {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}
    await plane.client.create(kinds.INGRESSES, body)
    await plane.when(kinds.INGRESSES, "shop", "web", lambda each: each["status"]["loadBalancer"].get("ingress"))
    https, authority = plane.settings.ingress_https_port, plane.sandbox / "ca/ca.crt"
    assert await fetch(address, https, "shop.example", authority) == (200, "shop/web\n")
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await fetch(address, https, "other.example", authority)
    assert (await fetch(address, plane.settings.ingress_http_port, "shop.example", None))[0] == 301
    assert (await fetch(address, plane.settings.ingress_http_port, "other.example", None))[0] == 404
    await plane.client.patch(kinds.DEPLOYMENTS, "shop", "web", {"spec": {"replicas": 0}})

    async def down() -> bool:
        return (await fetch(address, https, "shop.example", authority))[0] == 502

    await plane.see(down, "502")
    await plane.client.delete(kinds.SERVICES, "nginx-ingress", "nginx")
    await plane.gone(kinds.SERVICES, "nginx-ingress", "nginx")

    async def closed() -> bool:
        try:
            await fetch(address, https, "shop.example", authority)
        except aiohttp.ClientConnectorError:
            return True
        return False

    await plane.see(closed, "closed port")
    await plane.client.delete(kinds.DEPLOYMENTS, "nginx-ingress", "nginx")


def commit(repository: Path, files: dict[str, str], message: str) -> str:
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    porcelain.add(str(repository), [str(repository / name) for name in files])
    who = b"Test <test@example.org>"
    return porcelain.commit(str(repository), message=message.encode(), author=who, committer=who).decode()


async def test_an_application_follows_git_heals_and_cascades(plane: Plane, tmp_path: Path) -> None:
    await plane.crds("argo-cd/files/crds/*.yaml")
    for component in ("application-controller", "repo-server"):
        labels = {"app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/component": component}
        await plane.workload("argocd", f"argocd-{component}", labels=labels)
    repository = tmp_path / "apps"
    porcelain.init(str(repository)).close()
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '1'}\n"
    first = commit(repository, {"dev/one.yaml": config, "dev/two.yaml": config.replace("one", "two")}, "first")
    spec = {
        "project": "default",
        "source": {"repoURL": str(repository), "path": "dev", "targetRevision": "HEAD"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "delivered"},
        "syncPolicy": {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]},
    }
    metadata = {"name": "apps", "namespace": "argocd", "finalizers": ["resources-finalizer.argocd.argoproj.io"]}
    await plane.client.create(kinds.APPLICATIONS, {"metadata": metadata, "spec": spec})

    def synced(commit: str) -> Callable[[Obj], bool]:
        return lambda app: (
            (app.get("status", {}).get("sync") or {}) | {"revision": commit, "status": "Synced"}
            == app.get("status", {}).get("sync")
        )

    app = await plane.when(kinds.APPLICATIONS, "argocd", "apps", synced(first))
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    await plane.client.patch(kinds.CONFIGMAPS, "delivered", "one", {"data": {"a": "drift"}})
    await plane.when(kinds.CONFIGMAPS, "delivered", "one", lambda each: each["data"]["a"] == "1")
    (repository / "dev/two.yaml").unlink()
    porcelain.rm(str(repository), [str(repository / "dev/two.yaml")])
    second = commit(repository, {"dev/one.yaml": config.replace("'1'", "'2'")}, "second")
    await plane.when(kinds.APPLICATIONS, "argocd", "apps", synced(second))
    await plane.gone(kinds.CONFIGMAPS, "delivered", "two")
    commit(repository, {"dev/kustomization.yaml": "resources: [one.yaml]\n"}, "third")
    told = await plane.when(kinds.APPLICATIONS, "argocd", "apps", lambda each: each["status"].get("conditions"))
    assert told["status"]["sync"]["status"] == "Unknown"
    assert "Kustomize" in told["status"]["conditions"][0]["message"]
    await plane.client.delete(kinds.APPLICATIONS, "argocd", "apps")
    await plane.gone(kinds.APPLICATIONS, "argocd", "apps")
    assert await plane.client.get(kinds.CONFIGMAPS, "delivered", "one") is None


@contextlib.asynccontextmanager
async def github(plane: Plane) -> AsyncIterator[GitHub]:
    hub = GitHub(plane.sandbox)
    runner = aiohttp.web.AppRunner(hub.app(), access_log=None)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", plane.settings.port("github")).start()
    try:
        yield hub
    finally:
        await runner.cleanup()


async def test_runners_register_with_the_right_secret_and_leave_cleanly(plane: Plane) -> None:
    await plane.crds("gha-runner-scale-set-controller/crds/*.yaml")
    labels = {"app.kubernetes.io/part-of": "gha-rs-controller"}
    await plane.workload("arc-systems", "arc", labels=labels)
    await plane.namespace("arc-runners")
    template = {"spec": {"containers": [{"name": "runner", "image": "runner"}]}}
    spec = {
        "githubConfigUrl": "https://github.com/example/app",
        "githubConfigSecret": "app",
        "minRunners": 1,
        "maxRunners": 3,
        "template": template,
    }
    body = {"metadata": {"name": "build", "namespace": "arc-runners"}, "spec": spec}
    async with github(plane) as hub:
        wrong = {"github_token": base64.b64encode(b"wrong").decode()}
        await plane.client.create(
            kinds.SECRETS, {"metadata": {"name": "app", "namespace": "arc-runners"}, "data": wrong}
        )
        await plane.client.create(kinds.RUNNERSETS, body)
        await plane.when(
            kinds.RUNNERSETS, "arc-runners", "build", lambda each: each.get("status", {}).get("phase") == "Failed"
        )
        assert hub.registrations() == []
        folder = plane.sandbox / "secrets/github-app"
        right = {path.name: base64.b64encode(path.read_bytes()).decode() for path in folder.iterdir()}
        await plane.client.patch(kinds.SECRETS, "arc-runners", "app", {"data": {"github_token": None, **right}})
        ready = await plane.when(
            kinds.RUNNERSETS, "arc-runners", "build", lambda each: each["status"].get("runningEphemeralRunners") == 1
        )
        assert ready["metadata"]["annotations"]["runner-scale-set-id"] == "1"
        assert [each["name"] for each in hub.registrations()] == ["build"]
        listeners = (await plane.client.list_all(kinds.LISTENERS))["items"]
        assert [each["metadata"]["namespace"] for each in listeners] == ["arc-systems"]
        await plane.client.delete(kinds.RUNNERSETS, "arc-runners", "build")
        await plane.gone(kinds.RUNNERSETS, "arc-runners", "build")
        assert hub.registrations() == []


async def test_load_balancer_addresses_are_stable_unique_and_given_back(plane: Plane) -> None:
    await plane.namespace("balanced")
    for name in ("one", "two"):
        await plane.service("balanced", name, "x", type="LoadBalancer")
    given = [
        (await plane.when(kinds.SERVICES, "balanced", name, lambda each: each["status"]["loadBalancer"].get("ingress")))
        for name in ("one", "two")
    ]
    addresses = [each["status"]["loadBalancer"]["ingress"][0]["ip"] for each in given]
    assert len(set(addresses)) == 2
    assert all("service.kubernetes.io/load-balancer-cleanup" in each["metadata"]["finalizers"] for each in given)

    def there(kind: str, field: str) -> set[str]:
        return {row[field] for row in plane.cloud.rows[kind].values() if "balanced" in row[field]}

    assert there("loadbalancers", "name") == {f"kube_service_{UUID}_balanced_{name}" for name in ("one", "two")}
    await plane.client.delete(kinds.SERVICES, "balanced", "one")
    await plane.gone(kinds.SERVICES, "balanced", "one")
    assert there("loadbalancers", "name") == {f"kube_service_{UUID}_balanced_two"}
    assert there("loadbalancers", "description") == {f"Kubernetes external service balanced/two from cluster {UUID}"}
    assert there("floatingips", "description") == {
        f"Floating IP for Kubernetes external service balanced/two from cluster {UUID}"
    }
    assert there("security-groups", "description") == {
        f"Security Group for balanced/two Service LoadBalancer in cluster {UUID}"
    }
