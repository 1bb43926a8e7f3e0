"""Looks at planes: what differs, what could not be looked at, and that neither is taken for the other."""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import Any

import pytest

from infra.clients.dns import Answer
from infra.clients.errors import Denied, InvalidInput, NotYet, Refused, Unavailable
from infra.clients.helm_records import HelmRelease
from infra.clients.masking import HIDDEN
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import addons, delivery, dns, storage
from infra.planes.clients import Clients
from infra.planes.live import SIDE_BY_SIDE, LiveObjects
from infra.planes.looking import Looked, holds, look_at
from infra.planes.remembering import remembered
from tests.unit.planes.answering import Answering, Refusal
from tests.unit.planes.fakes import FakeDesignate, FakeHelm, declared

WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"replicas": 2},
}
FOUND = Finding(plane=PlaneName.ADDONS, address="a", sentence="s")


async def raising(error: Exception) -> Any:
    raise error


async def seeing(value: Any) -> Any:
    return value


async def test_an_error_that_keeps_from_looking_is_a_blind_spot_with_its_reason() -> None:
    seen = await look_at(PlaneName.DNS, "the zone", raising(Unavailable("Designate is silent.", detail="timeout")))
    assert seen.findings == ()
    (spot,) = seen.blind_spots
    assert (spot.what, spot.why, spot.category) == ("the zone", "Designate is silent. (timeout)", "Unavailable")
    assert (await look_at(PlaneName.ADDONS, "x", seeing([FOUND]))).findings == (FOUND,)


async def test_a_probe_that_does_not_hold_is_a_finding_one_that_cannot_be_asked_a_blind_spot() -> None:
    assert await holds(PlaneName.RUNNERS, "runners/build", seeing("fine"), Severity.CONFIG) == Looked()
    no = await holds(PlaneName.RUNNERS, "runners/build", raising(NotYet("No listener.")), Severity.CONFIG)
    assert [finding.sentence for finding in no.findings] == ["No listener."]
    blind = await holds(PlaneName.RUNNERS, "runners/build", raising(Denied("403")), Severity.CONFIG)
    assert (blind.findings, [spot.hides for spot in blind.blind_spots]) == ((), [("runners/build",)])


def test_what_two_parts_see_alike_counts_once() -> None:
    assert Looked.together([Looked((FOUND,)), Looked((FOUND,))]).findings == (FOUND,)


async def test_each_kind_is_listed_once_and_missing_and_changed_objects_are_found(kubernetes: Answering) -> None:
    kubernetes.put({**WEB, "spec": {"replicas": 5}})
    live = LiveObjects(kubernetes.client, FakeHelm())  # type: ignore[arg-type]
    gone = {**WEB, "metadata": {"name": "gone", "namespace": "shop"}}
    for _ in range(3):
        seen = await live.look(PlaneName.ADDONS, [WEB, gone])
    assert sorted(kubernetes.listed()) == ["deployments", "horizontalpodautoscalers"]
    assert [(one.address, one.path, one.severity) for one in seen.findings] == [
        ("Deployment/shop/web", ".spec.replicas", Severity.CONFIG),
        ("Deployment/shop/gone", "", Severity.DESTRUCTIVE),
    ]


async def test_what_stands_in_a_secret_of_the_cluster_is_not_shown_elsewhere(kubernetes: Answering) -> None:
    word = "correct-horse-battery"
    held = {"password": base64.b64encode(word.encode()).decode()}
    where = {"name": "db", "namespace": "other"}
    kubernetes.put({"apiVersion": "v1", "kind": "Secret", "metadata": where, "data": held})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}}
    kubernetes.put({**config, "data": {"motd": f"say {word}", "tone": "loud"}})
    declared = [{**config, "data": {"motd": "say hello", "tone": "soft"}}]
    seen = await LiveObjects(kubernetes.client, FakeHelm()).look(PlaneName.ADDONS, declared)  # type: ignore[arg-type]
    assert [(one.path, one.declared, one.observed) for one in seen.findings] == [
        (".data.motd", "say hello", HIDDEN),
        (".data.tone", "soft", "loud"),
    ]
    assert word not in repr(seen)
    kubernetes.answer(kubernetes.listing("Secret"), Refusal(403))
    seen = await LiveObjects(kubernetes.client, FakeHelm()).look(PlaneName.ADDONS, declared)  # type: ignore[arg-type]
    assert (len(seen.findings), seen.blind_spots) == (2, ())


DOOR = {
    "apiVersion": "example.org/v1",
    "kind": "Door",
    "metadata": {"name": "front", "namespace": "shop"},
    "spec": {"typo": 1},
}
DOORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "doors.example.org"},
    "spec": {
        "group": "example.org",
        "names": {"kind": "Door", "plural": "doors"},
        "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"spec": {"type": "object"}}}}}],
    },
}


@pytest.mark.parametrize("listable", [True, False])
async def test_definitions_are_read_where_a_custom_resource_differs(kubernetes: Answering, listable: bool) -> None:
    kubernetes.put(DOORS)
    kubernetes.put({**DOOR, "spec": {}})
    if not listable:
        kubernetes.answer(kubernetes.listing("CustomResourceDefinition"), Refusal(403))
    live = LiveObjects(kubernetes.client, FakeHelm())  # type: ignore[arg-type]
    assert (await live.look(PlaneName.ADDONS, [{**DOOR, "spec": {}}])).findings == ()
    assert kubernetes.listed() == ["doors"]
    seen = await live.look(PlaneName.ADDONS, [DOOR])
    assert kubernetes.listed() == ["doors", "customresourcedefinitions"]
    # Dropped by the API server, or taken away by somebody: without the definition nobody can tell.
    assert [one.path for one in seen.findings] == ([] if listable else [".spec.typo"])
    assert seen.blind_spots == ()


@pytest.mark.parametrize("listable", [True, False])
async def test_what_a_person_gave_a_custom_resource_at_birth_is_told_from_its_defaults_by_its_definition(
    kubernetes: Answering, listable: bool
) -> None:
    if listable:
        definition = copy.deepcopy(DOORS)
        properties = {"open": {"type": "boolean"}, "weight": {"type": "integer", "default": 100}}
        schema = {"properties": {"spec": {"type": "object", "properties": properties}}}
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema  # type: ignore[index]
        kubernetes.put(definition)
    born = {"f:spec": {".": {}, "f:open": {}, "f:weight": {}}}
    books = [{"manager": "kubectl-create", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": born,
              "time": "2026-03-01T10:00:00Z"}]  # fmt: skip
    where = {**DOOR["metadata"], "creationTimestamp": "2026-03-01T10:00:00Z", "managedFields": books}
    kubernetes.put({**DOOR, "metadata": where, "spec": {"open": True, "weight": 100}})
    live = LiveObjects(kubernetes.client, FakeHelm())  # type: ignore[arg-type]
    for _ in range(2):
        seen = await live.look(PlaneName.ADDONS, [{**DOOR, "spec": {}}])
        # Without the definition it may all be what the API server has filled in.
        assert [one.path for one in seen.findings] == ([".spec.open"] if listable else [])


@pytest.mark.parametrize("status", [403, 503, None], ids=["denied", "unavailable", "no such kind"])
async def test_a_kind_that_cannot_be_listed_blinds_for_its_objects_alone(
    kubernetes: Answering, status: int | None
) -> None:
    kubernetes.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}})
    if status is None:
        del kubernetes.kinds["Deployment"]
    else:
        kubernetes.answer(kubernetes.listing("Deployment"), Refusal(status))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}}
    seen = await LiveObjects(kubernetes.client, FakeHelm()).look(PlaneName.ADDONS, [WEB, config])  # type: ignore[arg-type]
    assert seen.findings == ()
    assert [(spot.what, spot.hides) for spot in seen.blind_spots] == [("Deployment/shop/web", ("Deployment/*",))]


async def test_an_object_without_a_namespace_is_looked_for_in_its_releases(kubernetes: Answering) -> None:
    kubernetes.put(WEB)
    bare = {**WEB, "metadata": {"name": "web"}}
    live = LiveObjects(kubernetes.client, FakeHelm())  # type: ignore[arg-type]
    assert (await live.look(PlaneName.ADDONS, [bare], namespace="shop")).findings == ()
    assert [one.address for one in (await live.look(PlaneName.ADDONS, [bare])).findings] == ["Deployment/default/web"]


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize(("manager", "by_hand"), [("helm", False), ("kubectl-autoscale", True)])
async def test_an_autoscaler_by_hand_is_in_charge_of_nothing(
    kubernetes: Answering, manager: str, by_hand: bool, declared: bool
) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 9},
    }
    books = [{"manager": manager, "operation": "Update", "time": "2031-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}}]
    kubernetes.put({**WEB, "spec": {"replicas": 5}})
    kubernetes.put({**scaler, "metadata": {**scaler["metadata"], "managedFields": books}})
    live = LiveObjects(kubernetes.client, FakeHelm())  # type: ignore[arg-type]
    seen = await live.look(PlaneName.ADDONS, [WEB, scaler] if declared else [WEB])
    assert [one.path for one in seen.findings] == ([".spec.replicas"] if by_hand and not declared else [])


async def test_what_is_given_its_name_at_creation_cannot_be_looked_at(kubernetes: Answering) -> None:
    kubernetes.put(WEB)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "setup-"}, "spec": {}}
    seen = await LiveObjects(kubernetes.client, FakeHelm()).look(PlaneName.ADDONS, [WEB, job])  # type: ignore[arg-type]
    assert seen.findings == ()
    assert [(spot.what, spot.category) for spot in seen.blind_spots] == [("Job/setup-*", "Nameless")]


async def test_objects_in_a_list_are_looked_at_one_by_one(kubernetes: Answering) -> None:
    kubernetes.put({**WEB, "spec": {"replicas": 5}})
    many = {"apiVersion": "v1", "kind": "List", "items": [WEB]}
    seen = await LiveObjects(kubernetes.client, FakeHelm()).look(PlaneName.ADDONS, [many])  # type: ignore[arg-type]
    assert [one.address + one.path for one in seen.findings] == ["Deployment/shop/web.spec.replicas"]
    assert seen.blind_spots == ()


DRY_RUN = "PATCH /apis/apps/v1/namespaces/shop/deployments/{}?fieldManager=plumbline&force=true&dryRun=All"
IMAGE = {**WEB, "spec": {"replicas": 2, "image": "web"}}


async def test_what_admission_makes_of_a_declaration_is_no_drift_where_it_may_be_asked(
    kubernetes: Answering,
) -> None:
    # An admission webhook has every image pulled through a mirror.
    admitted = {**WEB, "spec": {"replicas": 2, "image": "mirror.example/web"}}
    kubernetes.answer(DRY_RUN.format("web"), admitted)
    kubernetes.put({**WEB, "spec": {"replicas": 5, "image": "mirror.example/web"}})
    silent = LiveObjects(kubernetes.client, FakeHelm())  # type: ignore[arg-type]
    seen = await silent.look(PlaneName.ADDONS, [IMAGE])
    assert {one.path for one in seen.findings} == {".spec.image", ".spec.replicas"}
    assert kubernetes.writes == []

    asking = LiveObjects(kubernetes.client, FakeHelm(), dry_runs=True)  # type: ignore[arg-type]
    assert {one.path for one in (await asking.look(PlaneName.ADDONS, [IMAGE])).findings} == {".spec.replicas"}
    assert kubernetes.writes == [DRY_RUN.format("web")]


async def test_where_dry_runs_are_denied_the_comparison_decides_and_they_are_not_asked_again(
    kubernetes: Answering,
) -> None:
    names = [f"web-{number}" for number in range(4 * SIDE_BY_SIDE)]
    declared = [{**IMAGE, "metadata": {"name": name, "namespace": "shop"}} for name in names]
    for item in declared:
        kubernetes.put({**item, "spec": {"replicas": 2, "image": "other"}})
        kubernetes.answer(DRY_RUN.format(item["metadata"]["name"]), Refusal(403))
    live = LiveObjects(kubernetes.client, FakeHelm(), dry_runs=True)  # type: ignore[arg-type]
    for _ in range(2):
        assert len((await live.look(PlaneName.ADDONS, declared)).findings) == len(names)
    assert 1 <= len(kubernetes.writes) <= SIDE_BY_SIDE


async def test_an_answer_that_does_not_come_leaves_the_finding(kubernetes: Answering) -> None:
    kubernetes.put({**WEB, "spec": {"replicas": 5}})
    kubernetes.answer(DRY_RUN.format("web"), Refusal(504))
    live = LiveObjects(kubernetes.client, FakeHelm(), dry_runs=True)  # type: ignore[arg-type]
    assert len((await live.look(PlaneName.ADDONS, [WEB])).findings) == 1


async def test_what_was_in_step_is_kept_from_one_look_to_the_next(kubernetes: Answering, tmp_path: Path) -> None:
    kubernetes.put(WEB)
    file = tmp_path / "known" / "dev.json"
    for _ in range(2):
        with remembered(file) as memory:
            live = LiveObjects(kubernetes.client, FakeHelm(), memory=memory)  # type: ignore[arg-type]
            assert (await live.look(PlaneName.ADDONS, [WEB])).findings == ()
            assert len(memory) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    file.mkdir()
    with remembered(file) as memory:
        memory.learn({"metadata": {"uid": "u"}}, "x")
    assert file.is_dir()


async def test_a_second_default_class_is_found(clients: Clients, kubernetes: Answering) -> None:
    kubernetes.put(storage.desired(declared()).manifest)
    assert await storage.look(declared(), clients) == Looked()
    other = {"name": "fast", "annotations": {storage.DEFAULT_MARK: "true"}}
    kubernetes.put({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": other})
    clients.look_again()
    seen = await storage.look(declared(), clients)
    assert [one.address for one in seen.findings] == ["StorageClass/fast"]
    assert kubernetes.writes == []


def names(clients: Clients, monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> FakeDesignate:
    async def address(*_: Any) -> str:
        return "192.0.2.7"

    async def asked(_servers: Any, name: str, _type: str) -> tuple[Answer, ...]:
        return answers

    monkeypatch.setattr(addons, "ingress_address", address)
    monkeypatch.setattr(clients.dns, "ask_all", asked)
    designate: Any = clients.openstack.designate
    designate.put("*.dev.sandbox.example.", "192.0.2.7", description=dns.mark("dev"))
    return designate  # type: ignore[no-any-return]


def answer(server: str, *records: str, outcome: str = "answer") -> Answer:
    return Answer(server=server, address="192.0.2.53", outcome=outcome, records=records)  # type: ignore[arg-type]


async def test_one_name_server_that_lags_is_found(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    names(clients, monkeypatch, answer("ns1", "192.0.2.7"), answer("ns2", "192.0.2.8"))
    seen = await dns.look(declared(), clients)
    assert [(one.path, one.observed) for one in seen.findings] == [("@ns2", "192.0.2.8")]


async def test_a_silent_name_server_is_a_blind_spot(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    names(clients, monkeypatch, answer("ns1", "192.0.2.7"), answer("ns2", outcome="silent"))
    seen = await dns.look(declared(), clients)
    assert seen.findings == ()
    name = "recordset/*.dev.sandbox.example."
    assert [(spot.what, spot.hides) for spot in seen.blind_spots] == [(f"{name}@ns2", (name,))]


async def test_an_edited_record_is_said_once_though_every_server_answers_it(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    designate = names(clients, monkeypatch, answer("ns1", "192.0.2.9"), answer("ns2", "192.0.2.9"))
    designate.put("*.dev.sandbox.example.", "192.0.2.9", description=dns.mark("dev"))
    seen = await dns.look(declared(), clients)
    assert [(one.path, one.severity) for one in seen.findings] == [("records", Severity.SECURITY)]


async def test_a_zone_that_is_gone_is_a_finding_an_unknown_address_a_blind_spot(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(clients, monkeypatch)
    clients.openstack.designate = FakeDesignate(zone=None)  # type: ignore[assignment]
    seen = await dns.look(declared(), clients)
    assert [one.address for one in seen.findings] == ["zone/sandbox.example."]

    async def pending(*_: Any) -> str:
        raise NotYet("The Service has no address.")

    monkeypatch.setattr(addons, "ingress_address", pending)
    seen = await dns.look(declared(), clients)
    assert (len(seen.findings), len(seen.blind_spots)) == (0, 1)


async def test_an_add_on_that_nobody_declares_is_found(clients: Clients, helm: FakeHelm) -> None:
    spec = clients.catalog.addon("external-dns").spec.releases[0]
    helm.records[spec.namespace, spec.name] = HelmRelease(
        name=spec.name,
        namespace=spec.namespace,
        revision=1,
        status="deployed",
        chart=spec.chart.name,
        chart_version=spec.chart.version,
    )
    found = await addons._undeclared(declared(), clients)
    assert [one.address for one in found] == [f"release/{spec.namespace}/{spec.name}"]


async def test_argo_cd_behind_the_repository_is_found(
    clients: Clients, kubernetes: Answering, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = delivery.desired(declared())
    assert wanted is not None
    status = {"sync": {"status": "Synced", "revision": "a" * 40}, "health": {"status": "Healthy"}}
    kubernetes.put({**wanted.application, "status": status})

    async def head(*_: Any) -> str:
        return "b" * 40

    monkeypatch.setattr(clients.git, "head", head)
    seen = await delivery.look(declared(), clients)
    assert [one.sentence for one in seen.findings] == ["Argo CD is at aaaaaaaaaa, the repository at bbbbbbbbbb."]

    async def unreachable(*_: Any) -> str:
        raise InvalidInput("The repository does not exist.")

    monkeypatch.setattr(clients.git, "head", unreachable)
    seen = await delivery.look(declared(), clients)
    assert (seen.findings, len(seen.blind_spots)) == ((), 1)


def test_those_who_only_look_have_no_terraform_that_writes(clients: Clients) -> None:
    assert clients.terraform is not None
    clients._read_only = True
    with pytest.raises(Refused, match="only looks"):
        _ = clients.terraform
