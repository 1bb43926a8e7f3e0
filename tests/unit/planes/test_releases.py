"""Helm releases: what is in step, what is written, and what has to be there first; for add-ons and runner sets."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.catalog import Release
from infra.catalog.models import RequiredSecret
from infra.clients.errors import DeadlineExceeded, InvalidInput, NotFound, NotYet
from infra.drift.findings import PlaneName
from infra.planes import addons, releases, runners
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeHelm, FakeJournal, FakeKubernetes, declared

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.org"},
    "spec": {"group": "example.org"},
}


def pack(folder: Path, name: str, version: str, *, crds: tuple[dict[str, Any], ...] = (), note: str = "") -> Path:
    """A packed chart."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tgz"
    files = {"Chart.yaml": yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version, "description": note})}
    files |= {f"crds/{item['metadata']['name']}.yaml": yaml.safe_dump(item) for item in crds}
    with tarfile.open(path, "w:gz") as archive:
        for inside, text in files.items():
            member = tarfile.TarInfo(f"{name}/{inside}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.fixture(autouse=True)
def charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """The chart repository: by default every chart there is, without CRDs."""
    special: dict[str, Path] = {}

    async def fetch(release: Release, _folder: Path, *, settings: object) -> Path:
        del settings
        chart = release.chart
        kept = tmp_path / "repository" / chart.filename
        # Packed once: a gzip file carries the second it was made in, and another digest is another chart.
        return special.get(chart.name) or (kept if kept.exists() else pack(kept.parent, chart.name, chart.version))

    monkeypatch.setattr(releases, "fetch", fetch)
    yield special


def plane(addon: str, clients: Clients) -> addons.Wanted:
    return addons.desired(declared(), addon, clients.catalog)


async def install(addon: str, clients: Clients) -> Outcome:
    return await bring_into_step(addons, plane(addon, clients), clients, name=PlaneName.ADDONS, step=addon)


async def test_an_addon_is_installed_and_the_second_run_changes_nothing(
    clients: Clients, helm: FakeHelm, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    (release,) = plane("cert-manager", clients).releases
    first = await install("cert-manager", clients)
    assert first.made == (f"release/cert-manager/cert-manager {release.chart.version}",)
    assert helm.writes == [f"ensure cert-manager/cert-manager {release.chart.version}"]
    assert helm.values == [release.values]
    assert journal.actions == ["helm upgrade --install release/cert-manager/cert-manager"]
    second = await install("cert-manager", clients)
    assert (second.made, second.sentence) == ((), "in step")
    assert (len(helm.writes), kubernetes.writes) == (1, [])


async def test_what_a_charts_schema_points_to_and_nobody_asked_is_in_the_report(
    clients: Clients, helm: FakeHelm
) -> None:
    helm.unchecked = ("https://example.org/a.json",)
    (made,) = (await install("cert-manager", clients)).made
    assert made.endswith(" (values not checked against https://example.org/a.json, where the chart's schema points)")


async def findings_after(change: Callable[[Any], Any], clients: Clients, helm: FakeHelm) -> list[str]:
    """What is found on cert-manager after its release record was changed."""
    await install("cert-manager", clients)
    key = ("cert-manager", "cert-manager")
    helm.records[key] = change(helm.records[key])
    wanted = plane("cert-manager", clients)
    return [finding.sentence for finding in addons.compare(wanted, await addons.observe(wanted, clients))]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"status": "pending-upgrade"}, "is pending-upgrade."),
        ({"status": "failed"}, "is failed."),
        ({"chart_version": "v0.0.1"}, "is cert-manager v0.0.1 instead of cert-manager v"),
        ({"chart": "other"}, "is other v"),
        ({"values": {"crds": {"enabled": False}, "token": "s3cret"}}, "has other values"),
        ({"description": "Plumbline: chart sha256:" + "0" * 64}, "another chart of the same version"),
    ],
)
async def test_each_difference_is_found_and_healed(
    clients: Clients, helm: FakeHelm, change: dict[str, Any], sentence: str
) -> None:
    (found,) = await findings_after(lambda record: record.model_copy(update=change), clients, helm)
    assert sentence in found
    assert "s3cret" not in found
    await install("cert-manager", clients)
    assert len(helm.writes) == 2
    assert (await install("cert-manager", clients)).made == ()


async def test_the_last_write_to_a_release_that_differs_is_said(clients: Clients, helm: FakeHelm) -> None:
    await install("cert-manager", clients)
    key, wanted = ("cert-manager", "cert-manager"), plane("cert-manager", clients)
    edited = {"revision": 3, "updated": datetime(2026, 11, 1, 9, tzinfo=timezone(timedelta(hours=1))), "values": {}}
    helm.records[key] = helm.records[key].model_copy(update=edited)
    (finding,) = addons.compare(wanted, await addons.observe(wanted, clients))
    assert str(finding.changed) == "helm at 2026-11-01 08:00:00 UTC (revision 3)"


async def test_a_release_that_is_missing_is_found(clients: Clients) -> None:
    wanted = plane("cert-manager", clients)
    (finding,) = addons.compare(wanted, await addons.observe(wanted, clients))
    assert finding.sentence == "The release cert-manager is not installed."
    assert finding.address == "release/cert-manager/cert-manager"


def with_secret(release: Release) -> Release:
    secret = RequiredSecret(namespace="web", name="tls", keys=("tls.crt", "tls.key"), why="The pods serve it.")
    return replace(release, requires=(secret,))


@pytest.mark.parametrize("data", [None, {}, {"tls.crt": "eA=="}], ids=["no secret", "empty", "a key is missing"])
async def test_a_release_whose_secret_is_missing_is_not_started(
    clients: Clients, helm: FakeHelm, kubernetes: FakeKubernetes, data: Any
) -> None:
    wanted = addons.Wanted((with_secret(plane("nginx-ingress", clients).releases[0]),))
    if data is not None:
        kubernetes.put(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "web"}, "data": data}
        )
    with pytest.raises(NotYet, match=r"needs the Secret web/tls\. \(The pods serve it\.\)"):
        await bring_into_step(addons, wanted, clients, name=PlaneName.ADDONS, step="nginx-ingress")
    assert helm.writes == []


async def test_a_release_whose_secret_is_there_is_installed(
    clients: Clients, helm: FakeHelm, kubernetes: FakeKubernetes
) -> None:
    wanted = addons.Wanted((with_secret(plane("nginx-ingress", clients).releases[0]),))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "web"}}
    kubernetes.put({**secret, "data": {"tls.crt": "eA==", "tls.key": "eA=="}})
    await bring_into_step(addons, wanted, clients, name=PlaneName.ADDONS, step="nginx-ingress")
    assert len(helm.writes) == 1


async def test_a_secret_from_the_store_is_put_there_before_the_release_and_kept_as_in_the_store(
    clients: Clients, helm: FakeHelm, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    folder = clients.settings.secrets_dir / "tls"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_text("s3cret")
    needed = RequiredSecret(namespace="web", name="tls", keys=("key",), source="store", why="The pods read it.")
    wanted = addons.Wanted((replace(plane("nginx-ingress", clients).releases[0], requires=(needed,)),))

    async def bring() -> tuple[str, ...]:
        done = await bring_into_step(addons, wanted, clients, name=PlaneName.ADDONS, step="nginx-ingress")
        return tuple(done.made)

    first = await bring()
    assert first[0] == "Secret/web/tls"
    assert journal.actions[0] == "apply Secret/web/tls"
    assert base64.b64decode(kubernetes.live("Secret", "tls", "web")["data"]["key"]) == b"s3cret"
    assert await bring() == ()
    (folder / "key").write_text("an0ther")
    assert await bring() == ("Secret/web/tls",)
    assert len(helm.writes) == 1
    assert "s3cret" not in str(helm.values)


async def test_definitions_that_helm_never_upgrades_are_applied_before_an_upgrade_only(
    clients: Clients, kubernetes: FakeKubernetes, helm: FakeHelm, charts: dict[str, Path], tmp_path: Path
) -> None:
    (release,) = plane("nginx-ingress", clients).releases
    assert release.crds.carried == "folder"
    charts["nginx-ingress"] = pack(tmp_path / "a", "nginx-ingress", release.chart.version, crds=(CRD,))
    await install("nginx-ingress", clients)
    assert kubernetes.writes == [], "the first time Helm does it"
    newer = {**CRD, "spec": {"group": "example.org", "scope": "Namespaced"}}
    charts["nginx-ingress"] = pack(tmp_path / "b", "nginx-ingress", release.chart.version, crds=(newer,), note="newer")
    await install("nginx-ingress", clients)
    assert kubernetes.writes == ["apply CustomResourceDefinition/things.example.org"]
    assert kubernetes.live("CustomResourceDefinition", "things.example.org")["spec"]["scope"] == "Namespaced"
    assert len(helm.writes) == 2


def test_addons_stand_after_those_they_need(clients: Clients) -> None:
    order = addons.order(declared(), clients.catalog)
    assert set(order) == {"cert-manager", "nginx-ingress", "argo-cd", "actions-runner-controller"}
    for index, name in enumerate(order):
        assert set(clients.catalog[name].needs) <= set(order[:index])


async def test_every_probe_of_an_addon_is_proved_and_the_first_that_fails_ends_it(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    with pytest.raises(DeadlineExceeded, match="custom resource definitions"):
        await addons.probe("argo-cd", clients)
    probes = clients.catalog["argo-cd"].probes
    for name in next(probe.names for probe in probes if probe.kind == "crd-established"):
        kubernetes.put(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": name},
                "status": {"conditions": [{"type": "Established", "status": "True"}]},
            }
        )
    with pytest.raises(DeadlineExceeded, match="There are no workloads of argocd in argocd"):
        await addons.probe("argo-cd", clients)
    kubernetes.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "server",
                "namespace": "argocd",
                "labels": {"app.kubernetes.io/instance": "argocd"},
            },
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1},
        }
    )
    said = await addons.probe("argo-cd", clients)
    assert said.endswith("custom resource definitions are established; 1 workload is available")


async def test_the_address_of_the_ingress(clients: Clients, kubernetes: FakeKubernetes) -> None:
    with pytest.raises(NotYet):
        await addons.ingress_address(declared(), clients)
    kubernetes.put(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "nginx-ingress-controller", "namespace": "nginx-ingress"},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}},
        }
    )
    assert await addons.ingress_address(declared(), clients) == "203.0.113.7"
    without = declared(addons={}, dns=None, certificates=None, delivery=None, runners=None)
    with pytest.raises(InvalidInput, match="nginx-ingress is needed for names"):
        await addons.ingress_address(without, clients)


# -- runners --------------------------------------------------------------------------------------------------------

KEY = "-----BEGIN RSA PRIVATE KEY-----\nvery-secret\n-----END RSA PRIVATE KEY-----\n"
SECRET = "Secret/arc-runners/github-app"


@pytest.fixture
def store(clients: Clients) -> Path:
    """Our secret store, with the GitHub App's credentials."""
    folder = clients.settings.secrets_dir / "github-app"
    folder.mkdir(parents=True, mode=0o700)
    clients.settings.secrets_dir.chmod(0o700)
    values = {"github_app_id": "1", "github_app_installation_id": "2", "github_app_private_key": KEY}
    for name, value in values.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(value)
    return folder


def runner_set(clients: Clients) -> runners.Wanted:
    environment = declared()
    return runners.desired(environment, environment.spec.runners[0], clients.catalog)


async def install_runners(clients: Clients) -> Outcome:
    return await bring_into_step(runners, runner_set(clients), clients, name=PlaneName.RUNNERS, step="runners build")


def data_of(kubernetes: FakeKubernetes) -> dict[str, str]:
    live = kubernetes.live("Secret", "github-app", "arc-runners")
    return {name: base64.b64decode(value).decode() for name, value in live["data"].items()}


async def test_a_set_gets_its_secret_first_and_the_second_run_changes_nothing(
    clients: Clients, store: Path, kubernetes: FakeKubernetes, helm: FakeHelm, journal: FakeJournal
) -> None:
    del store
    first = await install_runners(clients)
    assert first.made[0] == SECRET
    assert journal.actions == [f"apply {SECRET}", "helm upgrade --install release/arc-runners/build"]
    assert kubernetes.writes == ["apply Namespace/arc-runners", f"apply {SECRET}"]
    assert data_of(kubernetes)["github_app_private_key"] == KEY.strip()
    assert (await install_runners(clients)).made == ()
    assert (len(kubernetes.writes), len(helm.writes)) == (2, 1)


async def test_the_secret_is_never_in_helms_values_findings_or_journal(
    clients: Clients, store: Path, helm: FakeHelm, journal: FakeJournal
) -> None:
    del store
    wanted = runner_set(clients)
    observed = await runners.observe(wanted, clients)
    findings = runners.compare(wanted, observed)
    await runners.converge(wanted, observed, findings, clients)
    assert helm.values[0]["githubConfigSecret"] == "github-app"
    kept = json.dumps([[*map(dict, helm.values)], journal.began, [item.model_dump(mode="json") for item in findings]])
    for text in ("very-secret", base64.b64encode(KEY.encode()).decode()[:40]):
        assert text not in kept


@pytest.mark.parametrize("change", ["changed", "key missing", "key added", "deleted"])
async def test_a_secret_that_is_not_the_stores_is_put_right(
    clients: Clients, store: Path, kubernetes: FakeKubernetes, helm: FakeHelm, change: str
) -> None:
    del store
    await install_runners(clients)
    live = kubernetes.live("Secret", "github-app", "arc-runners")
    if change == "changed":
        live["data"]["github_app_id"] = base64.b64encode(b"9").decode()
    elif change == "key missing":
        del live["data"]["github_app_id"]
    elif change == "key added":
        live["data"]["github_token"] = "eA=="
    else:
        await kubernetes.delete("v1", "Secret", "github-app", "arc-runners")
    wanted = runner_set(clients)
    (finding,) = runners.compare(wanted, await runners.observe(wanted, clients))
    assert finding.address == SECRET
    assert (finding.declared, finding.observed) == (None, None)
    assert (await install_runners(clients)).made == (SECRET,)
    assert set(data_of(kubernetes)) == {"github_app_id", "github_app_installation_id", "github_app_private_key"}
    assert len(helm.writes) == 1, "the set itself is as declared"


async def test_a_secret_that_the_store_does_not_have_is_said_before_anything_is_written(
    clients: Clients, kubernetes: FakeKubernetes, helm: FakeHelm
) -> None:
    with pytest.raises(NotFound, match="github-app"):
        await install_runners(clients)
    assert (kubernetes.writes, helm.writes) == ([], [])


def scale_set(**annotations: str) -> dict[str, Any]:
    metadata = {"name": "build", "namespace": "arc-runners", "annotations": annotations}
    return {"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet", "metadata": metadata}


def listener(of: str) -> dict[str, Any]:
    return {
        "apiVersion": "actions.github.com/v1alpha1",
        "kind": "AutoscalingListener",
        "metadata": {"name": f"{of}-listener", "namespace": "arc-systems"},
        "spec": {"autoscalingRunnerSetName": of, "autoscalingRunnerSetNamespace": "arc-runners"},
    }


def pod(of: str, phase: str) -> dict[str, Any]:
    metadata = {"name": f"{of}-listener", "namespace": "arc-systems"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ((), "There is no AutoscalingRunnerSet build"),
        ((scale_set(),), "is not registered with GitHub"),
        ((scale_set(**{runners.REGISTERED: "7"}),), "has no running listener"),
        ((scale_set(**{runners.REGISTERED: "7"}), listener("build")), "has no running listener"),
        ((scale_set(**{runners.REGISTERED: "7"}), listener("build"), pod("build", "Pending")), "no running listener"),
        ((scale_set(**{runners.REGISTERED: "7"}), listener("other"), pod("other", "Running")), "no running listener"),
    ],
)
async def test_a_controller_that_runs_is_not_a_set_that_listens(
    clients: Clients, kubernetes: FakeKubernetes, objects: tuple[dict[str, Any], ...], why: str
) -> None:
    for item in objects:
        kubernetes.put(item)
    with pytest.raises(DeadlineExceeded, match=why):
        await runners.probe(runner_set(clients), clients)


async def test_a_set_that_listens_is_ready(clients: Clients, kubernetes: FakeKubernetes) -> None:
    items = (listener("other"), scale_set(**{runners.REGISTERED: "7"}), listener("build"), pod("build", "Running"))
    for item in items:
        kubernetes.put(item)
    assert await runners.probe(runner_set(clients), clients) == "registered as 7, listening"


async def test_sets_are_uninstalled_and_waited_for(
    clients: Clients, store: Path, helm: FakeHelm, kubernetes: FakeKubernetes
) -> None:
    del store
    await install_runners(clients)
    assert await runners.remove(declared(), clients) == ["release/arc-runners/build"]
    assert helm.writes[-1] == "uninstall arc-runners/build"
    assert await runners.remove(declared(), clients) == []
    kubernetes.put(scale_set())
    with pytest.raises(DeadlineExceeded, match="the end of AutoscalingRunnerSet build"):
        await runners.remove(declared(), clients)
    clients.disconnect()
    assert await runners.remove(declared(), clients) == []
