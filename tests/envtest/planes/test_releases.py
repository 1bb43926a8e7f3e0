"""Helm releases with what has to be in the cluster first: Secrets of our store, and definitions that Helm forgets."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.catalog import Release
from infra.catalog.models import RequiredSecret
from infra.clients.helm import HelmClient
from infra.clients.kubernetes import KubernetesClient
from infra.drift.findings import PlaneName
from infra.planes import addons, releases, runners
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeJournal, declared, make_clients
from tests.unit.planes.packing import pack

pytestmark = pytest.mark.envtest
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.fixture
def clients(tmp_path: Path, kubernetes: KubernetesClient, helm: HelmClient) -> Clients:
    return make_clients(tmp_path, kubernetes=kubernetes, helm=helm, probe_timeout=30, probe_interval=0.1)


@pytest.fixture(autouse=True)
def charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """The chart repository: by default every chart there is, with nothing in it."""
    special: dict[str, Path] = {}

    async def fetch(release: Release, _folder: Path, *, settings: object) -> Path:
        del settings
        chart = release.chart
        kept = tmp_path / "repository" / chart.filename
        # Packed once: a gzip file carries the second it was made in, and another digest is another chart.
        return special.get(chart.name) or (kept if kept.exists() else pack(kept.parent, chart.name, chart.version))

    monkeypatch.setattr(releases, "fetch", fetch)
    yield special


def nginx(clients: Clients) -> Release:
    (release,) = addons.desired(declared(), "nginx-ingress", clients.catalog).releases
    return release


def in_store(clients: Clients, name: str, values: dict[str, str]) -> Path:
    """A secret of our store."""
    clients.settings.secrets_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
    folder = clients.settings.secrets_dir / name
    folder.mkdir(mode=0o700)
    for key, value in values.items():
        (folder / key).touch(mode=0o600)
        (folder / key).write_text(value)
    return folder


async def data_of(kubernetes: KubernetesClient, name: str, namespace: str) -> dict[str, str]:
    live = await kubernetes.get("v1", "Secret", name, namespace)
    assert live is not None
    return {key: base64.b64decode(value).decode() for key, value in live["data"].items()}


async def test_a_secret_from_the_store_is_put_there_before_the_release_and_kept_as_in_the_store(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    folder = in_store(clients, "tls", {"key": "s3cret"})
    needed = RequiredSecret(namespace="web", name="tls", keys=("key",), source="store", why="The pods read it.")
    wanted = addons.Wanted((replace(nginx(clients), requires=(needed,)),))

    async def bring() -> tuple[str, ...]:
        done = await bring_into_step(addons, wanted, clients, name=PlaneName.ADDONS, step="nginx-ingress")
        return tuple(done.made)

    assert (await bring())[0] == "Secret/web/tls"
    assert journal.actions == [
        "apply Secret/web/tls",
        "helm upgrade --install release/nginx-ingress/nginx-ingress",
    ]
    assert await data_of(kubernetes, "tls", "web") == {"key": "s3cret"}
    assert await bring() == ()
    (folder / "key").write_text("an0ther")
    assert await bring() == ("Secret/web/tls",)
    release = await clients.helm.release("nginx-ingress", "nginx-ingress")
    assert release is not None
    assert release.revision == 1
    assert "s3cret" not in release.model_dump_json()


async def test_definitions_that_helm_never_upgrades_are_applied_before_an_upgrade_only(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal, charts: dict[str, Path], tmp_path: Path
) -> None:
    release = nginx(clients)
    assert release.crds.carried == "folder"
    upgrade = "helm upgrade --install release/nginx-ingress/nginx-ingress"

    async def install(folder: str, definition: dict[str, Any]) -> None:
        crds, version = (definition,), release.chart.version
        charts["nginx-ingress"] = pack(tmp_path / folder, "nginx-ingress", version, crds=crds, note=folder)
        wanted = addons.Wanted((release,))
        await bring_into_step(addons, wanted, clients, name=PlaneName.ADDONS, step="nginx-ingress")

    await install("a", CRD)
    assert journal.actions == [upgrade], "the first time Helm does it"
    journal.began.clear()
    names = {**CRD["spec"]["names"], "shortNames": ["th"]}
    await install("b", {**CRD, "spec": {**CRD["spec"], "names": names}})
    assert journal.actions == ["apply CustomResourceDefinition/things.example.org", upgrade]
    live = await kubernetes.get_like(CRD)
    assert live is not None and live["spec"]["names"]["shortNames"] == ["th"]


KEY = "-----BEGIN RSA PRIVATE KEY-----\nvery-secret\n-----END RSA PRIVATE KEY-----\n"
SECRET = "Secret/arc-runners/github-app"
VALUES = {"github_app_id": "1", "github_app_installation_id": "2", "github_app_private_key": KEY}


def runner_set(clients: Clients) -> runners.Wanted:
    environment = declared()
    return runners.desired(environment, environment.spec.runners[0], clients.catalog)


async def install_runners(clients: Clients) -> tuple[str, ...]:
    done = await bring_into_step(runners, runner_set(clients), clients, name=PlaneName.RUNNERS, step="runners build")
    return done.made


async def test_a_set_gets_its_secret_first_and_the_second_run_changes_nothing(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    in_store(clients, "github-app", VALUES)
    assert (await install_runners(clients))[0] == SECRET
    written = [f"apply {SECRET}", "helm upgrade --install release/arc-runners/build"]
    assert journal.actions == written
    assert (await data_of(kubernetes, "github-app", "arc-runners"))["github_app_private_key"] == KEY.strip()
    assert await install_runners(clients) == ()
    assert journal.actions == written


async def test_the_secret_is_never_in_helms_record_findings_or_journal(clients: Clients, journal: FakeJournal) -> None:
    in_store(clients, "github-app", VALUES)
    wanted = runner_set(clients)
    observed = await runners.observe(wanted, clients)
    findings = runners.compare(wanted, observed)
    await runners.converge(wanted, observed, findings, clients)
    release = await clients.helm.release("build", "arc-runners")
    assert release is not None and release.values["githubConfigSecret"] == "github-app"
    said = [release.model_dump_json(), journal.began, [item.model_dump(mode="json") for item in findings]]
    for text in ("very-secret", base64.b64encode(KEY.encode()).decode()[:40]):
        assert text not in json.dumps(said)


@pytest.mark.parametrize(
    "change",
    [{"data": {"github_app_id": "OQ=="}}, {"data": {"github_app_id": None}}, {"data": {"github_token": "eA=="}}, None],
    ids=["changed", "key missing", "key added", "deleted"],
)
async def test_a_secret_that_is_not_the_stores_is_put_right(
    clients: Clients, kubernetes: KubernetesClient, change: dict[str, Any] | None
) -> None:
    in_store(clients, "github-app", VALUES)
    await install_runners(clients)
    where = ("v1", "Secret", "github-app")
    if change is None:
        await kubernetes.delete(*where, "arc-runners")
    else:
        await kubernetes.patch(*where, change, "arc-runners")
    wanted = runner_set(clients)
    (finding,) = runners.compare(wanted, await runners.observe(wanted, clients))
    assert (finding.address, finding.declared, finding.observed) == (SECRET, None, None)
    assert await install_runners(clients) == (SECRET,)
    right = {key: value.strip() for key, value in VALUES.items()}
    assert await data_of(kubernetes, "github-app", "arc-runners") == right
    release = await clients.helm.release("build", "arc-runners")
    assert release is not None and release.revision == 1, "the set itself is as declared"
