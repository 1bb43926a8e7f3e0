"""The storage plane: one default class, and the proof that a claim is bound."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded
from infra.drift.findings import PlaneName
from infra.planes import storage
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeJournal, FakeKubernetes, declared

WANTED = storage.Wanted(
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "default", "annotations": {storage.DEFAULT_MARK: "true"}},
        "provisioner": storage.PROVISIONER,
        "parameters": {"availability": "nova"},
    }
)


def live(name: str, *, default: bool = False, **changes: Any) -> dict[str, Any]:
    annotations = {storage.DEFAULT_MARK: "true"} if default else {}
    return {**WANTED.manifest, "metadata": {"name": name, "annotations": annotations, "uid": "u"}, **changes}


def addresses(*classes: dict[str, Any]) -> list[tuple[str, str]]:
    observed = storage.Observed({item["metadata"]["name"]: item for item in classes})
    return [(finding.address, finding.path) for finding in storage.compare(WANTED, observed)]


def test_one_default_class_is_in_step() -> None:
    assert addresses(live("default", default=True), live("fast")) == []


def test_no_class_is_a_finding() -> None:
    assert addresses() == [("StorageClass/default", "")]


def test_a_second_default_is_a_finding_on_the_other_class() -> None:
    found = addresses(live("default", default=True), live("fast", default=True))
    assert found == [("StorageClass/fast", f".metadata.annotations.{storage.DEFAULT_MARK}")]


def test_who_marked_it_is_said() -> None:
    fast = live("fast", default=True)
    fast["metadata"]["managedFields"] = [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "time": "2026-11-01T08:00:00Z",
            "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, f"f:{storage.DEFAULT_MARK}": {}}}},
        }
    ]
    [finding] = storage.compare(WANTED, storage.Observed({"default": live("default", default=True), "fast": fast}))
    assert str(finding.changed) == "kubectl-create at 2026-11-01 08:00:00 UTC (Update)"


def test_the_wrong_zone_is_found() -> None:
    other = live("default", default=True, parameters={"availability": "az2"})
    assert addresses(other) == [("StorageClass/default", ".parameters.availability")]


async def converged(clients: Clients) -> tuple[str, ...]:
    wanted = storage.desired(declared())
    outcome = await bring_into_step(storage, wanted, clients, name=PlaneName.STORAGE, step="storage class")
    return outcome.made


async def test_the_class_is_made_and_the_second_run_changes_nothing(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    assert await converged(clients) == ("StorageClass/default",)
    assert kubernetes.writes == ["apply StorageClass/default"]
    assert journal.actions == ["apply StorageClass/default"]
    assert await converged(clients) == ()
    assert kubernetes.writes == ["apply StorageClass/default"]


async def test_another_default_loses_its_mark_before_ours_is_made_and_stays_otherwise(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    kubernetes.put(live("fast", default=True, provisioner="other"))
    await converged(clients)
    assert kubernetes.writes == ["patch StorageClass/fast", "apply StorageClass/default"]
    fast = kubernetes.live("StorageClass", "fast")
    assert fast["metadata"]["annotations"] == {storage.DEFAULT_MARK: "false"}
    assert fast["provisioner"] == "other"


@pytest.mark.parametrize(
    "changes",
    [{"parameters": {"availability": "az2"}}, {"provisioner": "other"}, {"volumeBindingMode": "WaitForFirstConsumer"}],
)
async def test_what_cannot_be_changed_is_made_anew(
    clients: Clients, kubernetes: FakeKubernetes, changes: dict[str, Any]
) -> None:
    await converged(clients)
    kubernetes.put({**kubernetes.live("StorageClass", "default"), **changes})
    kubernetes.writes.clear()
    await converged(clients)
    assert kubernetes.writes == ["delete StorageClass/default", "apply StorageClass/default"]


async def test_what_can_be_changed_is_not_made_anew(clients: Clients, kubernetes: FakeKubernetes) -> None:
    await converged(clients)
    kubernetes.put({**kubernetes.live("StorageClass", "default"), "allowVolumeExpansion": False})
    kubernetes.writes.clear()
    await converged(clients)
    assert kubernetes.writes == ["apply StorageClass/default"]


def binds(kubernetes: FakeKubernetes) -> None:
    """Play the volume driver."""

    def react(item: dict[str, Any]) -> None:
        if item["kind"] == "PersistentVolumeClaim":
            item["status"] = {"phase": "Bound"}

    kubernetes.react = react


CLAIM = "PersistentVolumeClaim/plumbline-system/storage-probe"


async def test_a_claim_is_bound_once_and_the_class_remembers_it(clients: Clients, kubernetes: FakeKubernetes) -> None:
    await converged(clients)
    binds(kubernetes)
    kubernetes.writes.clear()
    wanted = storage.desired(declared())
    assert await storage.probe(wanted, clients) == "a 1 GiB claim was bound and deleted"
    assert kubernetes.writes == [
        "apply Namespace/plumbline-system",
        f"create {CLAIM}",
        f"delete {CLAIM}",
        "patch StorageClass/default",
    ]
    kubernetes.writes.clear()
    assert (await storage.probe(wanted, clients)).startswith("a claim was bound on 20")
    assert await converged(clients) == ()
    assert kubernetes.writes == []


async def test_a_class_that_was_made_anew_is_proved_anew(clients: Clients, kubernetes: FakeKubernetes) -> None:
    await converged(clients)
    binds(kubernetes)
    wanted = storage.desired(declared())
    await storage.probe(wanted, clients)
    kubernetes.put({**kubernetes.live("StorageClass", "default"), "parameters": {"availability": "az2"}})
    await converged(clients)
    assert await storage.probe(wanted, clients) == "a 1 GiB claim was bound and deleted"


async def test_a_claim_left_by_a_killed_run_is_not_taken_for_todays(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    await converged(clients)
    binds(kubernetes)
    kubernetes.put({**storage.CLAIM, "metadata": dict(storage.CLAIM["metadata"]), "status": {"phase": "Bound"}})
    kubernetes.writes.clear()
    await storage.probe(storage.desired(declared()), clients)
    assert kubernetes.writes[1:4] == [f"delete {CLAIM}", f"create {CLAIM}", f"delete {CLAIM}"]


async def test_a_claim_that_stays_unbound_is_deleted_explained_and_not_noted_as_proof(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    await converged(clients)
    kubernetes.put(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "plumbline-system"},
            "involvedObject": {"name": "storage-probe"},
            "message": "no availability zone nova",
        }
    )
    with pytest.raises(DeadlineExceeded, match="no availability zone nova"):
        await storage.probe(storage.desired(declared()), clients)
    assert kubernetes.writes[-1] == f"delete {CLAIM}"
    assert storage.PROVED_MARK not in kubernetes.live("StorageClass", "default")["metadata"]["annotations"]


def test_a_declared_volume_type_is_the_class_s() -> None:
    environment = declared()
    typed = environment.spec.storage.model_copy(update={"volume_type": "ssd"})
    spec = environment.spec.model_copy(update={"storage": typed})
    wanted = storage.desired(environment.model_copy(update={"spec": spec}))
    assert wanted.manifest["parameters"] == {"availability": "nova", "type": "ssd"}
    plain = storage.desired(environment)
    found = storage.compare(wanted, storage.Observed({"default": plain.manifest}))
    assert [(finding.path, finding.declared, finding.observed) for finding in found] == [
        (".parameters.type", "ssd", None)
    ]
