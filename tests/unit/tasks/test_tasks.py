"""The tasks themselves, called as plain coroutines: which plane is asked, and what they answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tasks.report
from infra.clients.errors import InvalidInput, Misconfigured
from infra.drift.findings import PlaneName
from infra.planes import addons as addons_plane
from infra.planes import cluster, dns, leftovers, preflight
from infra.planes.bring import Outcome
from infra.planes.clients import Clients
from infra.planes.report import RunReport, StepReport, StepState
from infra.spec.models import Environment
from tasks import addons as addon_tasks
from tasks import certificates as certificate_tasks
from tasks import cluster as cluster_tasks
from tasks import declaration, delivery, runners
from tasks import dns as dns_tasks
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import declared

BARE = declared(dns=None, certificates=None, delivery=None, runners=None)
LOAD_BALANCER = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "nginx-ingress-controller", "namespace": "nginx-ingress"},
    "spec": {"type": "LoadBalancer"},
    "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}},
}


def said(outcome: Outcome) -> tuple[str, str, str, bool]:
    return str(outcome.plane), outcome.name, outcome.sentence, outcome.taken_away


@pytest.mark.parametrize(
    ("helm", "terraform", "environment", "said_"),
    [
        ("v4.3.2", "Terraform v1.11.4", declared(), "terraform 1.11.4, helm 4.3.2"),
        ("v3.16.4+g7877b45", "Terraform v1.11.4", declared(), "terraform 1.11.4, helm 3.16.4"),
        (None, "Terraform v1.11.4", BARE, "terraform 1.11.4"),
        (None, "Terraform v1.11.4", declared(), "The program helm is not there: nothing was changed."),
        ("v3.15.4", "Terraform v1.11.4", declared(), "Helm is 3.15.4: nothing was changed."),
        (None, None, declared(), "The program helm is not there; the program terraform is not there: nothing was"),
        ("nothing", "Terraform v1.4.0", BARE, "Terraform is 1.4.0: nothing was changed."),
    ],
)
async def test_programs_are_asked_for_before_anything_is_taken_away(
    clients: Clients, tmp_path: Path, helm: str | None, terraform: str | None, environment: Environment, said_: str
) -> None:
    for name, version in (("helm", helm), ("terraform", terraform)):
        if version is not None:
            (tmp_path / name).write_text(f"#!/bin/sh\necho '{version}'\n")
            (tmp_path / name).chmod(0o700)
    programs = {"helm_binary": str(tmp_path / "helm"), "terraform_binary": str(tmp_path / "terraform")}
    clients.settings = clients.settings.model_copy(update=programs)
    if "nothing was" not in said_:
        assert (await cluster_tasks.check_programs.fn(environment, clients)).sentence == said_
        return
    with pytest.raises(Misconfigured) as refused:
        await cluster_tasks.check_programs.fn(environment, clients)
    assert refused.value.summary.startswith(said_)
    assert (refused.value.hint or "").startswith("Install ")


@pytest.mark.parametrize(
    ("task", "part"),
    [
        (delivery.converge_delivery, "spec.delivery"),
        (delivery.probe_delivery, "spec.delivery"),
        (dns_tasks.converge_dns, "spec.dns"),
        (dns_tasks.probe_dns, "spec.dns"),
        (certificate_tasks.converge_certificate, "spec.certificates"),
        (certificate_tasks.probe_certificate_issued, "spec.certificates"),
        (certificate_tasks.converge_canary, "spec.certificates"),
        (certificate_tasks.probe_certificate_served, "spec.certificates"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
async def test_a_step_for_what_is_not_declared_says_so(
    clients: Clients, kubernetes: Answering, task: Any, part: str
) -> None:
    kubernetes.put(LOAD_BALANCER)
    with pytest.raises(InvalidInput, match=f"{part}: dev declares no"):
        await task.fn(BARE, clients)
    assert kubernetes.writes == []


async def test_names_lead_to_the_ingress(clients: Clients, kubernetes: Answering) -> None:
    kubernetes.put(LOAD_BALANCER)
    outcome = await dns_tasks.converge_dns.fn(declared(), clients)
    assert said(outcome) == ("dns", "names", "1 made or changed", False)
    designate: Any = clients.openstack.designate
    assert [item.records for item in designate.sets.values()] == [("203.0.113.7",)]
    questions: list[str] = []

    async def propagated(name: str, *_: object) -> None:
        questions.append(name)

    async def resolve(_name: str, _type: str) -> tuple[Any, ...]:
        return (SimpleNamespace(records=("203.0.113.7",)),)

    clients.dns = SimpleNamespace(propagated=propagated, resolve=resolve)  # type: ignore[assignment]
    outcome = await dns_tasks.probe_dns.fn(declared(), clients)
    assert outcome.sentence == "2 name servers and the resolver answer 203.0.113.7"
    assert questions == [f"{dns.PROBED_LABEL}.dev.sandbox.example."]
    outcome = await dns_tasks.remove_dns.fn(declared(), clients)
    assert said(outcome) == ("dns", "names", "1 removed", True)


async def test_steps_of_the_cluster_answer_with_their_planes_words(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def words(*_: object) -> str:
        return "words"

    async def things(*_: object) -> list[str]:
        return ["cluster"]

    async def swept(*_: object) -> Outcome:
        return Outcome.removed(PlaneName.CLUSTER, "leftovers", [])

    monkeypatch.setattr(preflight, "prove_possible", words)
    monkeypatch.setattr(cluster, "probe", words)
    monkeypatch.setattr(leftovers, "reach", words)
    monkeypatch.setattr(cluster, "remove", things)
    monkeypatch.setattr(leftovers, "sweep", swept)
    for task, name in (
        (cluster_tasks.check_prerequisites, "prerequisites"),
        (cluster_tasks.count_nodes, "nodes"),
        (cluster_tasks.reach_cluster, "reach"),
    ):
        assert said(await task.fn(declared(), clients)) == ("cluster", name, "words", False)
    assert said(await cluster_tasks.destroy_cluster.fn(declared(), clients))[2:] == ("1 removed", True)
    assert (await cluster_tasks.prove_nothing_left.fn(declared(), clients)).taken_away


async def test_what_a_plane_brings_into_step_is_what_is_declared(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, Any, str]] = []

    async def bring(plane: Any, wanted: Any, _clients: Clients, *, name: PlaneName, step: str) -> Outcome:
        asked.append((plane, wanted, step))
        return Outcome(name, step, "in step")

    for module in (cluster_tasks, addon_tasks, runners):
        monkeypatch.setattr(module, "bring_into_step", bring)
    environment = declared()
    await cluster_tasks.converge_cluster.fn(environment, clients)
    await addon_tasks.install_addon.fn("argo-cd", environment, clients)
    await runners.install_runners.fn(environment.spec.runners[0], environment, clients)
    assert [step for _, _, step in asked] == ["cluster", "argo-cd", "runners build"]
    assert asked[0][1] == cluster.desired(environment)
    assert [release.name for release in asked[1][1].releases] == ["argocd"]
    assert asked[2][1].release.name == "build"


async def test_an_addon_is_proved_by_its_probes(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(addon: str, _clients: Clients) -> str:
        return f"{addon} works"

    monkeypatch.setattr(addons_plane, "probe", probe)
    outcome = await addon_tasks.probe_addon.fn("argo-cd", declared(), clients)
    assert said(outcome) == ("addons", "argo-cd", "argo-cd works", False)


async def test_a_runner_set_is_proved_and_removed(clients: Clients, kubernetes: Answering) -> None:
    metadata = {"name": "build", "namespace": "arc-runners", "annotations": {"runner-scale-set-id": "7"}}
    kubernetes.put({"kind": "AutoscalingRunnerSet", "metadata": metadata})
    where = {"name": "build-listener", "namespace": "arc-systems"}
    spec = {"autoscalingRunnerSetName": "build", "autoscalingRunnerSetNamespace": "arc-runners"}
    kubernetes.put({"kind": "AutoscalingListener", "metadata": where, "spec": spec})
    kubernetes.put({"apiVersion": "v1", "kind": "Pod", "metadata": dict(where), "status": {"phase": "Running"}})
    outcome = await runners.probe_runners.fn(declared().spec.runners[0], declared(), clients)
    assert said(outcome) == ("runners", "runners build", "registered as 7, listening", False)
    kubernetes.clear()
    outcome = await runners.remove_runners.fn(declared(), clients)
    assert said(outcome) == ("runners", "runners", "nothing was there", True)


async def test_the_declaration_is_read_at_the_commit_or_the_branch(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def load(_repository: str, _name: str, revision: str, **given: Any) -> str:
        assert given["rules"] is not None
        asked.append(revision)
        return "loaded"

    monkeypatch.setattr(declaration, "load_async", load)
    for commit in ("abc1234", None):
        await declaration.load_environment.fn("dev", commit, clients.settings, frozenset({"argo-cd"}))
    assert asked == ["abc1234", "main"]


async def test_a_report_is_published_for_people_and_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    published: dict[str, tuple[Any, str]] = {}

    async def markdown(content: str, *, key: str, description: str) -> None:
        published[key] = (content, description)

    async def table(rows: list[dict[str, Any]], *, key: str, description: str) -> None:
        published[key] = (rows, description)

    monkeypatch.setattr(tasks.report, "acreate_markdown_artifact", markdown)
    monkeypatch.setattr(tasks.report, "acreate_table_artifact", table)
    row = StepReport(plane="dns", name="dns", state=StepState.READY, seconds=1, made=("a", "b"), sentence="2 made")
    report = RunReport(
        flow="create-environment", environment="dev", commit=None, state="ready", seconds=1, steps=(row,)
    )
    await tasks.report.publish_report.fn(report)
    assert published["environment-dev"] == (report.markdown(), report.sentence())
    rows, _ = published["environment-dev-steps"]
    assert [(item["made"], item["state"]) for item in rows] == [("a, b", "ready")]
