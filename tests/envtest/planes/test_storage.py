"""The storage plane on a real API server: one default class, and the proof that a claim is bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.drift.findings import PlaneName
from infra.planes import manifests, storage
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeJournal, declared

pytestmark = pytest.mark.envtest
CLASS = "StorageClass/default"
CLAIM = "PersistentVolumeClaim/plumbline-system/storage-probe"


def wanted() -> storage.Wanted:
    return storage.desired(declared())


async def converged(clients: Clients) -> tuple[str, ...]:
    outcome = await bring_into_step(storage, wanted(), clients, name=PlaneName.STORAGE, step="storage class")
    return outcome.made


async def annotations(kubernetes: KubernetesClient, name: str) -> dict[str, str]:
    live = await kubernetes.get(*storage.STORAGE_CLASS, name)
    assert live is not None
    found: dict[str, str] = live["metadata"].get("annotations", {})
    return found


async def test_the_class_is_made_and_the_second_run_changes_nothing(clients: Clients, journal: FakeJournal) -> None:
    assert await converged(clients) == (CLASS,)
    assert journal.actions == [f"apply {CLASS}"]
    assert await converged(clients) == ()
    assert journal.actions == [f"apply {CLASS}"]


async def test_another_default_loses_its_mark_before_ours_is_made_and_stays_otherwise(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    mark = {storage.DEFAULT_MARK: "true"}
    fast = {**wanted().manifest, "metadata": {"name": "fast", "annotations": mark}, "provisioner": "example.org/other"}
    await kubernetes.create(fast)
    await converged(clients)
    assert journal.actions == ["unmark default StorageClass/fast", f"apply {CLASS}"]
    assert await annotations(kubernetes, "fast") == {storage.DEFAULT_MARK: "false"}
    live = await kubernetes.get_like(fast)
    assert live is not None and live["provisioner"] == "example.org/other"


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"availability": "az2"}},
        {"provisioner": "example.org/other"},
        {"volumeBindingMode": "WaitForFirstConsumer"},
    ],
)
async def test_what_cannot_be_changed_is_made_anew(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal, changes: dict[str, Any]
) -> None:
    await kubernetes.create({**wanted().manifest, **changes})
    await converged(clients)
    assert journal.actions == [f"delete {CLASS}", f"apply {CLASS}"]


async def test_what_can_be_changed_is_not_made_anew(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    await kubernetes.create({**wanted().manifest, "allowVolumeExpansion": False})
    await converged(clients)
    assert journal.actions == [f"apply {CLASS}"]


async def provision(kubernetes: KubernetesClient, not_for: str = "") -> None:
    """Play the volume driver once: a volume for the claim that the plane makes, which the real binder binds.

    Args:
        not_for: the uid of a claim that gets none.
    """

    async def made() -> dict[str, Any]:
        claim = await kubernetes.get_like(storage.CLAIM)
        if claim is None or claim["metadata"]["uid"] == not_for or "storageClassName" not in claim["spec"]:
            raise NotYet("There is no claim.")
        return claim

    claim = await wait_until(made, describe="the claim", timeout=30, interval=0.05)
    reference = {
        "kind": "PersistentVolumeClaim",
        **{key: claim["metadata"][key] for key in ("name", "namespace", "uid")},
    }
    await kubernetes.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"pvc-{claim['metadata']['uid']}"},
            "spec": {
                "accessModes": claim["spec"]["accessModes"],
                "capacity": claim["spec"]["resources"]["requests"],
                "storageClassName": claim["spec"]["storageClassName"],
                "claimRef": reference,
                "csi": {"driver": storage.PROVISIONER, "volumeHandle": "v1"},
            },
        }
    )


async def proved(clients: Clients, not_for: str = "") -> str:
    said, _ = await asyncio.gather(storage.probe(wanted(), clients), provision(clients.kubernetes, not_for))
    return said


async def test_a_claim_is_bound_once_and_the_class_remembers_it(clients: Clients, journal: FakeJournal) -> None:
    await converged(clients)
    journal.began.clear()
    assert await proved(clients) == "a 1 GiB claim was bound and deleted"
    namespace = "apply Namespace/plumbline-system"
    assert journal.actions == [namespace, f"create {CLAIM}", f"delete {CLAIM}", f"note proof {CLASS}"]
    journal.began.clear()
    assert (await storage.probe(wanted(), clients)).startswith("a claim was bound on 20")
    assert await converged(clients) == ()
    assert journal.actions == []


async def test_a_class_that_was_made_anew_is_proved_anew(clients: Clients, kubernetes: KubernetesClient) -> None:
    await converged(clients)
    await proved(clients)
    await kubernetes.delete(*storage.STORAGE_CLASS, "default")
    await kubernetes.create({**wanted().manifest, "parameters": {"availability": "az2"}})
    await converged(clients)
    assert await proved(clients) == "a 1 GiB claim was bound and deleted"


async def test_a_claim_left_by_a_killed_run_is_not_taken_for_todays(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    await converged(clients)
    await kubernetes.create(manifests.namespace("plumbline-system"))
    left = await kubernetes.create(storage.CLAIM)
    journal.began.clear()
    await proved(clients, not_for=left["metadata"]["uid"])
    assert journal.actions[:3] == [f"delete {CLAIM}", f"create {CLAIM}", f"delete {CLAIM}"]


async def test_a_claim_that_stays_unbound_is_deleted_explained_and_not_noted_as_proof(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    await converged(clients)
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 5})
    # What the real binder says while no driver answers.
    with pytest.raises(DeadlineExceeded, match="Waiting for a volume to be created"):
        await storage.probe(wanted(), clients)
    assert journal.actions[-1] == f"delete {CLAIM}"
    assert await kubernetes.get_like(storage.CLAIM) is None
    assert storage.PROVED_MARK not in await annotations(kubernetes, "default")
