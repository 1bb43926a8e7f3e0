"""Helm releases: what is in step, what is written, and what has to be there first; for add-ons and runner sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from infra.catalog import Release
from infra.catalog.models import RequiredSecret
from infra.clients.errors import DeadlineExceeded, InvalidInput, NotFound, NotYet
from infra.clients.helm import HelmRelease
from infra.drift.findings import PlaneName
from infra.planes import addons, releases, runners
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import FakeHelm, FakeJournal, declared
from tests.unit.planes.packing import pack


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
    clients: Clients, helm: FakeHelm, kubernetes: Answering, journal: FakeJournal
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
    clients: Clients, helm: FakeHelm, kubernetes: Answering, data: Any
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
    clients: Clients, helm: FakeHelm, kubernetes: Answering
) -> None:
    wanted = addons.Wanted((with_secret(plane("nginx-ingress", clients).releases[0]),))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "web"}}
    kubernetes.put({**secret, "data": {"tls.crt": "eA==", "tls.key": "eA=="}})
    await bring_into_step(addons, wanted, clients, name=PlaneName.ADDONS, step="nginx-ingress")
    assert len(helm.writes) == 1


def test_addons_stand_after_those_they_need(clients: Clients) -> None:
    order = addons.order(declared(), clients.catalog)
    assert set(order) == {"cert-manager", "nginx-ingress", "argo-cd", "actions-runner-controller"}
    for index, name in enumerate(order):
        assert set(clients.catalog[name].needs) <= set(order[:index])


async def test_every_probe_of_an_addon_is_proved_and_the_first_that_fails_ends_it(
    clients: Clients, kubernetes: Answering
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
    labelled = "&labelSelector=app.kubernetes.io%2Finstance%3Dargocd"
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        kubernetes.answer(kubernetes.listing(kind, "argocd", labelled), {"items": []})
    with pytest.raises(DeadlineExceeded, match="There are no workloads of argocd in argocd"):
        await addons.probe("argo-cd", clients)
    server = {
        "metadata": {"name": "server", "namespace": "argocd", "generation": 1},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1},
    }
    kubernetes.answer(kubernetes.listing("Deployment", "argocd", labelled), {"items": [server]})
    said = await addons.probe("argo-cd", clients)
    assert said.endswith("custom resource definitions are established; 1 workload is available")


async def test_the_address_of_the_ingress(clients: Clients, kubernetes: Answering) -> None:
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


async def test_a_secret_that_the_store_does_not_have_is_said_before_anything_is_written(
    clients: Clients, kubernetes: Answering, helm: FakeHelm
) -> None:
    wanted = runner_set(clients)
    kubernetes.put({"kind": "Secret", "metadata": {"name": "github-app", "namespace": "arc-runners"}, "data": {}})
    with pytest.raises(NotFound, match="github-app"):
        await bring_into_step(runners, wanted, clients, name=PlaneName.RUNNERS, step="runners build")
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
    clients: Clients, kubernetes: Answering, objects: tuple[dict[str, Any], ...], why: str
) -> None:
    for item in objects:
        kubernetes.put(item)
    with pytest.raises(DeadlineExceeded, match=why):
        await runners.probe(runner_set(clients), clients)


async def test_a_set_that_listens_is_ready(clients: Clients, kubernetes: Answering) -> None:
    items = (listener("other"), scale_set(**{runners.REGISTERED: "7"}), listener("build"), pod("build", "Running"))
    for item in items:
        kubernetes.put(item)
    assert await runners.probe(runner_set(clients), clients) == "registered as 7, listening"


async def test_sets_are_uninstalled_and_waited_for(clients: Clients, helm: FakeHelm, kubernetes: Answering) -> None:
    helm.records["arc-runners", "build"] = HelmRelease(
        name="build", namespace="arc-runners", revision=1, status="deployed", chart="c", chart_version="1"
    )
    assert await runners.remove(declared(), clients) == ["release/arc-runners/build"]
    assert helm.writes[-1] == "uninstall arc-runners/build"
    assert await runners.remove(declared(), clients) == []
    kubernetes.put(scale_set())
    with pytest.raises(DeadlineExceeded, match="the end of AutoscalingRunnerSet build"):
        await runners.remove(declared(), clients)
    clients.disconnect()
    assert await runners.remove(declared(), clients) == []
