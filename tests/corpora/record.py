"""Record the corpora on a real control plane: `python -m tests.corpora.record`.

Every chart of the catalogue and a chart with the manifests beside this file are installed by the real helm, the same
manifests are applied by us and created by a person, the controllers settle, and what the API server then says is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from deployments.helm import built_helm
from deployments.sandbox.authority import make_authority, make_github_app
from deployments.sandbox.charts import build
from deployments.sandbox.controllers.app import Options, run
from deployments.sandbox.controllers.kube.client import ApiError, Client
from deployments.sandbox.controlplane.plane import ControlPlane, free_port
from deployments.sandbox.settings import SandboxSettings
from infra.catalog import Catalog, crds_of, fetch
from infra.clients.errors import NotYet, PlumblineError
from infra.clients.helm_records import SECRET_TYPE, parse_manifest, release_of
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.drift.tables import QUANTITY_MAPS
from infra.settings import Settings
from infra.spec.models import Environment
from tests.corpora import corpus
from tests.corpora.editing import record_edits
from tests.corpora.everything import ENVIRONMENT
from tests.corpora.sanitising import sanitised
from tests.fakecloud import NETWORK, FakeCloud

Object = dict[str, Any]
MANIFESTS = corpus.HERE / "manifests"
FILES = ("access", "storage", "workloads", "network")
LATER = ("custom", "aggregation")
"""Kinds that a CRD of the first ones brings, and what would disturb discovery."""

OLDER = {
    "autoscaling/v2": "autoscaling/v2beta2",
    "batch/v1\nkind: CronJob": "batch/v1beta1\nkind: CronJob",
    "discovery.k8s.io/v1": "discovery.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta3": "flowcontrol.apiserver.k8s.io/v1beta1",
    "policy/v1": "policy/v1beta1",
}
"""What a server older than 1.21 calls the same kinds."""

OLD_SERVER = asyncio.Event()

CRDS: dict[str, Object] = {}
"""Those that charts carry in their crds/ folder: applied by us."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpora.record", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=corpus.HERE, help="where the corpora go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(record(Path(base), options.folder))
    return 0


async def record(base: Path, folder: Path) -> None:
    """Set everything up under `base`, record, and write the corpora to `folder`."""
    async with cluster(base) as (kubernetes, client):
        if await kubernetes.resource("policy/v1", "PodDisruptionBudget") is None:
            OLD_SERVER.set()
        await furnish(kubernetes)
        await install_catalogue(base, kubernetes)
        await install_manifests(base, kubernetes, client)
        await settle(client, kubernetes)
        rows = [row async for row in recorded(kubernetes)]
        corpus.write(folder / corpus.PAIRS.name, map(sanitised, rows))
        say(f"{len(rows)} objects of {len({row.live['kind'] for row in rows})} kinds")
        edited = await record_edits(rows, kubernetes, client)
        corpus.write(folder / corpus.EDITS.name, edited)
        say(f"{len(edited)} edits")


@contextlib.asynccontextmanager
async def cluster(base: Path) -> AsyncIterator[tuple[KubernetesClient, Client]]:
    """A real control plane with our controllers on top."""
    sandbox, home = base / "sandbox", base / "sandbox/clusters/dev"
    home.mkdir(parents=True)
    nodes = [{"name": f"dev-{role}-0", "role": role, "nodegroup": f"default-{role}", "address": f"10.0.0.{number}",
              "flavor": "m1.large"} for number, role in enumerate(("master", "worker"))]  # fmt: skip
    (home / "cluster.json").write_text(
        json.dumps({"name": "dev", "version": "v1.33.4", "nodes": nodes, "network": NETWORK})
    )
    (sandbox / "ca").mkdir()
    make_authority(sandbox / "ca")
    (sandbox / "secrets/github-app").mkdir(parents=True)
    make_github_app(sandbox / "secrets/github-app")
    settings = SandboxSettings(home=sandbox, port_base=18600, loadbalancer_network=IPv4Network("127.86.0.0/16"))
    async with ControlPlane(home, port=free_port()) as plane:
        config = plane.kubeconfig
        async with Client.from_kubeconfig(config) as client, KubernetesClient(config) as kubernetes:
            work = asyncio.create_task(run(Options(home, sandbox, settings, FakeCloud(settings.loadbalancer_network))))
            try:
                yield kubernetes, client
            finally:
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work


async def furnish(kubernetes: KubernetesClient) -> None:
    """What has to be there first: the default storage class and the Secrets that pods wait for."""
    await kubernetes.apply({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "corpus"},
                            "provisioner": "cinder.csi.openstack.org"})  # fmt: skip
    for namespace in ("corpus", "applied", "adopted", "argocd", "external-dns", "nginx-ingress", "arc-runners"):
        await kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for namespace, name in (("external-dns", "openstack-clouds"), ("nginx-ingress", "wildcard-tls")):
        await kubernetes.apply({"apiVersion": "v1", "kind": "Secret",
                                "metadata": {"name": name, "namespace": namespace},
                                "stringData": {"clouds.yaml": "dummy", "tls.crt": "dummy"}})  # fmt: skip


async def install_catalogue(base: Path, kubernetes: KubernetesClient) -> None:
    """Every chart of the catalogue, twice: an upgrade leaves other managed fields than an installation."""
    build(base / "charts", (base / "charts").as_uri())
    settings = Settings(chart_mirror=(base / "charts").as_uri())
    environment = Environment.model_validate(yaml.safe_load(ENVIRONMENT))
    catalog = Catalog.load()
    for release in [*catalog.releases(environment), *catalog.runner_releases(environment)]:
        packed = await fetch(release, base / "cache", settings=settings)
        await install(base, kubernetes, release.name, release.namespace, packed, dict(release.values))
        for crd in crds_of(packed):
            # Helm leaves these alone after the first installation, so we apply them.
            await insist(kubernetes.apply, crd)
            CRDS[crd["metadata"]["name"]] = crd


async def install(
    base: Path, kubernetes: KubernetesClient, name: str, namespace: str, chart: Path, values: Object
) -> None:
    """Install one release, and upgrade it."""
    file = base / f"{name}.values.yaml"
    file.write_text(yaml.safe_dump(values))
    where = (name, str(chart), "-n", namespace, "-f", str(file), "--create-namespace")

    async def attempt() -> None:
        # A webhook that has just been installed may not listen yet.
        done = await asyncio.to_thread(helm, base, kubernetes.kubeconfig, "upgrade", "--install", *where)
        if done.returncode:
            raise NotYet(done.stderr[-400:])

    await wait_until(attempt, describe=f"release {name}", timeout=60, interval=2)
    await attempt()
    say(f"installed {name}")


def helm(base: Path, kubeconfig: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run helm with homes of its own."""
    homes = {f"HELM_{kind}_HOME": str(base / f"helm-{kind.lower()}") for kind in ("CACHE", "CONFIG", "DATA")}
    env = {"PATH": os.environ["PATH"], "HOME": str(base), "KUBECONFIG": str(kubeconfig), **homes}
    return subprocess.run([str(built_helm()), *argv], env=env, capture_output=True, text=True, check=False)


async def install_manifests(base: Path, kubernetes: KubernetesClient, client: Client) -> None:
    """The manifests beside this file by helm, by our server-side apply, and as a person would create them."""
    for files in (FILES, LATER):
        chart = base / f"chart-{files[0]}"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: corpus-{files[0]}\nversion: 1.0.0\n")
        for file in files:
            text = (MANIFESTS / f"{file}.yaml").read_text()
            (chart / "templates" / f"{file}.yaml").write_text(fill(text, "corpus", "helm"))
        await install(base, kubernetes, f"corpus-{files[0]}", "corpus", chart, {})
        for item in manifests("applied", files):
            await insist(kubernetes.apply, item)
        for item in manifests("adopted", files):
            await insist(create_as_person, kubernetes, client, item)


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


def manifests(source: str, files: Iterable[str]) -> list[Object]:
    """The objects of the files for one of the three sources."""
    items = [item for file in files for item in
             parse_manifest(fill((MANIFESTS / f"{file}.yaml").read_text(), source, source))]  # fmt: skip
    for item in items if source == "applied" else ():
        quantities_as_text(item)
        # The same servers do not know what type this is.
        item.pop("overhead", None)
    return items


def quantities_as_text(item: Any) -> None:
    """Server-side apply refuses numbers as quantities on older servers."""
    for key, value in item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ():
        if key in QUANTITY_MAPS and isinstance(value, dict):
            item[key] = {name: str(each) for name, each in value.items()}
        else:
            quantities_as_text(value)


def fill(text: str, namespace: str, suffix: str) -> str:
    """Put the namespace and the suffix in, and the versions the server has."""
    text = text.replace("@ns@", namespace).replace("@x@", suffix)
    for newer, older in OLDER.items() if OLD_SERVER.is_set() else ():
        text = text.replace(f"apiVersion: {newer}", f"apiVersion: {older}")
    return text


async def settle(client: Client, kubernetes: KubernetesClient, quiet: float = 6.0) -> None:
    """Wait until nothing changes any more, after at least one round of the autoscaler."""
    await asyncio.sleep(20)
    last: dict[str, str] = {}

    async def look() -> None:
        nonlocal last
        now = {row.live["metadata"]["uid"]: row.live["metadata"]["resourceVersion"]
               async for row in recorded(kubernetes, ask=False)}  # fmt: skip
        changed = sum(last.get(uid) != version for uid, version in now.items())
        last = now
        if changed:
            raise NotYet(f"{changed} objects changed")

    await wait_until(look, describe="quiet", timeout=180, interval=quiet)


async def recorded(kubernetes: KubernetesClient, *, ask: bool = True) -> AsyncIterator[corpus.Recorded]:
    """Every declared object with its living one; `ask` for the dry run, too."""
    for source, item in [each async for each in declared(kubernetes)]:
        resource = await kubernetes.resource(item["apiVersion"], item["kind"])
        if resource is None:
            say(f"unknown: {item['kind']}")
            continue
        metadata = item["metadata"]
        live = await kubernetes.get_like(item)
        if live is None:
            say(f"gone: {item['kind']} {metadata.get('namespace')}/{metadata['name']}")
            continue
        answer = await dry_run(kubernetes, item) if ask else None
        yield corpus.Recorded(source, item, live, answer)


async def dry_run(kubernetes: KubernetesClient, item: Object) -> Object | None:
    """What our server-side apply would make of an object; None where it is refused."""
    try:
        return await kubernetes.apply(item, dry_run=True)
    except PlumblineError as error:
        say(f"refused: {item['kind']} {item['metadata']['name']}: {str(error)[:200]}")
        return None


async def declared(kubernetes: KubernetesClient) -> AsyncIterator[tuple[str, Object]]:
    """What the newest record of each release, and our own manifests, declare, with the namespace filled in."""
    newest: dict[tuple[str, str], Any] = {}
    for secret in await kubernetes.list("v1", "Secret", field_selector=f"type={SECRET_TYPE}"):
        release = release_of(secret)
        place = (release.namespace, release.name)
        if place not in newest or newest[place].revision < release.revision:
            newest[place] = release
    groups = [(name, namespace, release.objects()) for (namespace, name), release in sorted(newest.items())]
    groups += [(source, source, manifests(source, (*FILES, *LATER))) for source in ("applied", "adopted")]
    groups.append(("crds", "", list(CRDS.values())))
    for source, namespace, items in groups:
        for item in items:
            resource = await kubernetes.resource(item["apiVersion"], item["kind"])
            if resource is not None and resource.namespaced:
                item["metadata"].setdefault("namespace", namespace)
            yield source, item


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
