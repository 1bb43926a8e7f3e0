"""The cluster that the corpora are recorded on: a real control plane with everything that is declared on it.

Every chart of the catalogue is installed by the real Helm. The manifests beside this file are installed by Helm in
both of its ways, applied by us, and created by a person.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox import charts
from deployments.sandbox.authority import make_authority, make_github_app
from deployments.sandbox.controllers.app import Options, run
from deployments.sandbox.controllers.kube.client import MERGE, ApiError, Client
from deployments.sandbox.controlplane.plane import ControlPlane
from deployments.sandbox.settings import SandboxSettings, free_port
from deployments.sandbox.upstream import build
from infra.catalog import Catalog, crds_of, fetch
from infra.clients.errors import NotYet, PlumblineError
from infra.clients.helm_records import parse_manifest
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.settings import Settings
from infra.spec.models import Environment
from tests.corpora import corpus
from tests.corpora.everything import ENVIRONMENT
from tests.fakecloud import NETWORK, FakeCloud

Object = dict[str, Any]
MANIFESTS = corpus.HERE / "manifests"
GROUPS = {"kinds": ("access", "storage", "workloads", "network"), "defaults": ("defaults",),
          "custom": ("custom", "aggregation")}  # fmt: skip
"""Files that are installed together: the last ones need the definitions of others, and would disturb discovery."""
WAYS = ("helm", "classic", "applied", "adopted")
"""Who installs them: Helm server-side, Helm client-side as Helm 3 does, we server-side, a person with kubectl."""
SERVER_SIDE = {"helm": "true", "classic": "false"}
PATIENCE = 600.0
"""Seconds a control plane, or a release, may take: nobody waits for a recording."""
JSON_PATCH = "application/json-patch+json"


@contextlib.asynccontextmanager
async def cluster(base: Path, version: str | None) -> AsyncIterator[tuple[KubernetesClient, Client]]:
    """A real control plane with our controllers on top.

    Args:
        base: where its files go.
        version: of Kubernetes, to emulate its minor; the newest where None.
    """
    sandbox, home = base / "sandbox", base / "sandbox/clusters/dev"
    home.mkdir(parents=True)
    nodes = [{"name": f"dev-{role}-0", "role": role, "nodegroup": f"default-{role}", "address": f"10.0.0.{number}",
              "flavor": "m1.large"} for number, role in enumerate(("master", "worker"))]  # fmt: skip
    described = {"name": "dev", "version": "v1.33.4", "nodes": nodes, "network": NETWORK}
    (home / "cluster.json").write_text(json.dumps(described))
    (sandbox / "ca").mkdir()
    make_authority(sandbox / "ca")
    (sandbox / "secrets/github-app").mkdir(parents=True)
    make_github_app(sandbox / "secrets/github-app")
    settings = SandboxSettings(home=sandbox, port_base=18600, loadbalancer_network=IPv4Network("127.86.0.0/16"))
    plane = ControlPlane(home, port=free_port(), version=version)
    async with contextlib.AsyncExitStack() as stack:
        plane.start(PATIENCE)
        stack.callback(plane.stop)
        config = plane.kubeconfig
        async with Client.from_kubeconfig(config) as client, KubernetesClient(config) as kubernetes:
            cloud = FakeCloud(settings.loadbalancer_network)
            work = asyncio.create_task(run(Options(home, home / "admin.kubeconfig", sandbox, settings, cloud)))
            try:
                yield kubernetes, client
            finally:
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work


async def furnish(kubernetes: KubernetesClient) -> None:
    """What has to be there first: classes by default, Secrets that pods wait for, the Gateway API's definitions."""
    marks = {f"{kind}class.kubernetes.io/is-default-class": "true" for kind in ("ingress", "storage")}
    named = {"metadata": {"name": "corpus", "annotations": marks}}
    await kubernetes.apply({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", **named,
                            "provisioner": "cinder.csi.openstack.org"})  # fmt: skip
    await kubernetes.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", **named,
                            "spec": {"controller": "example.org/none"}})  # fmt: skip
    for name in (*(place(*each) for each in every()), "argocd", "external-dns", "nginx-ingress", "arc-runners"):
        await kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for namespace, name in (("external-dns", "openstack-clouds"), ("nginx-ingress", "wildcard-tls")):
        await kubernetes.apply({"apiVersion": "v1", "kind": "Secret",
                                "metadata": {"name": name, "namespace": namespace},
                                "stringData": {"clouds.yaml": "dummy", "tls.crt": "dummy"}})  # fmt: skip
    gateways = await asyncio.to_thread(module, "sigs.k8s.io/gateway-api")
    for path in gateways.glob("config/crd/standard/gateway.*s.yaml"):
        for definition in filter(None, yaml.safe_load_all(path.read_text())):
            await kubernetes.apply(definition)


def module(name: str) -> Path:
    """The folder with the sources of a Go module that the sandbox's programs are built from."""
    wanted = f"{name}@{build.UPSTREAM.version(name)}"
    argv = [build.find_go(), "mod", "download", "-json", wanted]
    done = subprocess.run(argv, cwd=build.UPSTREAM.folder, capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout)["Dir"])


def every() -> Iterator[tuple[str, str]]:
    """Every way with every group of files, the groups in order."""
    return ((way, group) for group in GROUPS for way in WAYS)


def place(way: str, group: str) -> str:
    """The namespace, and the release, of a group of files that is installed in this way."""
    return f"{way}-{group}"


async def install_catalogue(base: Path, kubernetes: KubernetesClient) -> list[Object]:
    """Every chart of the catalogue, twice: an upgrade leaves other managed fields than an installation.

    Every other one is client-side first, as a release that Helm 3 made and Helm 4 upgraded.

    Returns:
        the definitions in the charts' `crds` folders: Helm leaves these alone after the first installation, so that
        we apply them.
    """
    charts.build(base / "charts", (base / "charts").as_uri())
    settings = Settings(chart_mirror=(base / "charts").as_uri())
    environment = Environment.model_validate(yaml.safe_load(ENVIRONMENT))
    catalog = Catalog.load()
    definitions: dict[str, Object] = {}
    for number, release in enumerate([*catalog.releases(environment), *catalog.runner_releases(environment)]):
        packed = await fetch(release, base / "cache", settings=settings)
        first = "false" if number % 2 else "true"
        values = dict(release.values)
        for server_side in (first, "true"):
            await install(base, kubernetes, release.name, release.namespace, packed, values, server_side)
        for crd in crds_of(packed):
            await insist(kubernetes.apply, crd)
            definitions[crd["metadata"]["name"]] = crd
    return list(definitions.values())


async def install(
    base: Path, kubernetes: KubernetesClient, name: str, namespace: str, chart: Path, values: Object, server_side: str
) -> None:
    """Install or upgrade one release."""
    file = base / f"{name}.values.yaml"
    file.write_text(yaml.safe_dump(values))
    how = ["--server-side", server_side, "-f", str(file), "--create-namespace"]
    # What an autoscaler or another controller has written meanwhile, Helm takes back only when told to.
    how += ["--force-conflicts"] if server_side == "true" else []

    async def attempt() -> None:
        # A webhook that has just been installed may not listen yet.
        argv = ("upgrade", "--install", name, str(chart), "-n", namespace, *how)
        done = await asyncio.to_thread(helm, base, kubernetes.kubeconfig, *argv)
        if done.returncode:
            raise NotYet(done.stderr[-400:])

    await wait_until(attempt, describe=f"release {name}", timeout=PATIENCE, interval=2)
    say(f"installed {name}")


def helm(base: Path, kubeconfig: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run helm with homes of its own."""
    homes = {f"HELM_{kind}_HOME": str(base / f"helm-{kind.lower()}") for kind in ("CACHE", "CONFIG", "DATA")}
    env = {"PATH": os.environ["PATH"], "HOME": str(base), "KUBECONFIG": str(kubeconfig), **homes}
    return subprocess.run([str(build.program("helm")), *argv], env=env, capture_output=True, text=True, check=False)


async def install_manifests(base: Path, kubernetes: KubernetesClient, client: Client) -> None:
    """Every group of files in every way, and what controllers write beside them."""
    for way, group in every():
        name = place(way, group)
        if way in SERVER_SIDE:
            for _ in ("an installation", "and an upgrade"):
                await install(base, kubernetes, name, name, chart_of(base, way, group), {}, SERVER_SIDE[way])
        for item in manifests(way, group) if way not in SERVER_SIDE else ():
            if way == "applied":
                await insist(kubernetes.apply, item)
            else:
                await insist(create_as_person, kubernetes, client, item)
    bundle = base64.b64encode((base / "sandbox/ca/ca.crt").read_bytes()).decode()
    for way in WAYS:
        await write_beside(kubernetes, client, way, bundle)


def chart_of(base: Path, way: str, group: str) -> Path:
    """A chart of the files of a group."""
    name = place(way, group)
    chart = base / f"chart-{name}"
    (chart / "templates").mkdir(parents=True, exist_ok=True)
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
    for file in GROUPS[group]:
        (chart / "templates" / f"{file}.yaml").write_text(fill((MANIFESTS / f"{file}.yaml").read_text(), name, way))
    return chart


async def insist(write: Any, *arguments: Any) -> None:
    """Repeat a write that has to wait for a CRD or a webhook; say so when it is refused for good."""

    async def attempt() -> None:
        try:
            await write(*arguments)
        except (PlumblineError, ApiError) as error:
            raise NotYet(str(error)) from error

    try:
        await wait_until(attempt, describe="a write", timeout=10, interval=1)
    except PlumblineError as error:
        item = arguments[-1]
        say(f"not written: {item['kind']} {item['metadata']['name']}: {error}")


async def create_as_person(kubernetes: KubernetesClient, client: Client, item: Object) -> None:
    """POST as `kubectl create` does; what is there already is fine."""
    resource = await kubernetes.resource(item["apiVersion"], item["kind"])
    if resource is None:
        raise NotYet(f"no {item['kind']} yet")
    if await kubernetes.get_like(item) is None:
        path = resource.path(namespace=item["metadata"].get("namespace"))
        await client.request("POST", path, body=item, params={"fieldManager": "kubectl-create"})


async def write_beside(kubernetes: KubernetesClient, client: Client, way: str, bundle: str) -> None:
    """What beside.yaml has for the objects that were installed in this way."""
    text = (corpus.HERE / "beside.yaml").read_text().replace("@bundle@", bundle)
    for each in yaml.safe_load(fill(text, place(way, "defaults"), way)):
        of, patch = each["of"], each["patch"]
        resource = await kubernetes.resource(of["apiVersion"], of["kind"])
        if resource is None:
            raise NotYet(f"There is no {of['kind']}.")
        path = resource.path(of["name"], place(way, "defaults") if resource.namespaced else None)
        how = JSON_PATCH if isinstance(patch, list) else MERGE
        await client.request("PATCH", path, body=patch, params={"fieldManager": each["by"]}, content_type=how)


def manifests(way: str, group: str) -> list[Object]:
    """The objects of a group of files as they are installed in this way."""
    texts = (fill((MANIFESTS / f"{file}.yaml").read_text(), place(way, group), way) for file in GROUPS[group])
    return [item for text in texts for item in parse_manifest(text)]


def fill(text: str, namespace: str, suffix: str) -> str:
    """Put the namespace and the suffix in."""
    return text.replace("@ns@", namespace).replace("@x@", suffix)


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)
