"""The delivery plane on a real API server: its objects are made, set back, and taken away."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from infra.clients.errors import DeadlineExceeded
from infra.clients.kubernetes import KubernetesClient
from infra.drift.findings import PlaneName
from infra.planes import delivery, manifests
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from tests.envtest.planes.conftest import Define
from tests.unit.planes.fakes import FakeJournal, declared

pytestmark = pytest.mark.envtest
APPLICATION = "Application/argocd/dev"
PRIVATE = {"repository": "https://git.example.org/apps.git", "path": "dev", "credentials": "apps"}
HEAD = "a" * 40


@pytest.fixture(autouse=True)
async def argo_cd(kubernetes: KubernetesClient, define: Define) -> None:
    await define("argo-cd/files/crds/*applications.yaml")
    await kubernetes.create(manifests.namespace("argocd"))


def desired(**spec: Any) -> delivery.Wanted:
    found = delivery.desired(declared(**spec))
    assert found is not None
    return found


async def bring(wanted: delivery.Wanted, clients: Clients) -> tuple[str, ...]:
    done = await bring_into_step(delivery, wanted, clients, name=PlaneName.DELIVERY, step="application")
    return tuple(done.made)


async def application(kubernetes: KubernetesClient) -> dict[str, Any]:
    found = await kubernetes.get_like(desired().application)
    assert found is not None
    return found


async def patch(kubernetes: KubernetesClient, body: dict[str, Any]) -> None:
    await kubernetes.patch("argoproj.io/v1alpha1", "Application", "dev", body, "argocd")


async def test_the_application_is_made_and_the_second_run_changes_nothing(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    for _ in range(2):
        await bring(desired(), clients)
    assert journal.actions == [f"apply {APPLICATION}"]
    assert (await application(kubernetes))["spec"]["source"] == {
        "repoURL": "http://127.0.0.1:15009/apps.git",
        "path": "environments/dev",
        "targetRevision": "main",
    }


async def test_what_was_changed_by_hand_is_put_back(clients: Clients, kubernetes: KubernetesClient) -> None:
    await bring(desired(), clients)
    # Its status is Argo CD's, and no difference.
    status = {"sync": {"status": "Synced", "revision": HEAD}, "health": {"status": "Healthy"}}
    await patch(kubernetes, {"spec": {"syncPolicy": {"automated": {"selfHeal": False}}}, "status": status})
    (finding,) = delivery.compare(desired(), await delivery.observe(desired(), clients))
    assert (finding.address, finding.path) == (APPLICATION, ".spec.syncPolicy.automated.selfHeal")
    await bring(desired(), clients)
    live = await application(kubernetes)
    assert live["spec"]["syncPolicy"]["automated"]["selfHeal"] is True
    assert live["status"] == status


async def test_a_private_repository_is_opened_with_the_stores_secret(
    clients: Clients, kubernetes: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = stored(clients.settings.secrets_dir, "t0ken")
    private = desired(delivery=PRIVATE)
    assert await bring(private, clients) == ("Secret/argocd/dev-repository", APPLICATION)
    assert await bring(private, clients) == ()
    live = await kubernetes.get("v1", "Secret", "dev-repository", "argocd")
    assert live is not None
    assert live["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "repository"
    data = {key: base64.b64decode(value).decode() for key, value in live["data"].items()}
    assert data == {"type": "git", "url": PRIVATE["repository"], "username": "git", "password": "t0ken"}
    password.write_text("n3w")
    assert await bring(private, clients) == ("Secret/argocd/dev-repository",)
    opened: list[Any] = []

    class Git:
        def __init__(self, _settings: Any, **credentials: Any) -> None:
            opened.append(credentials)

        async def head(self, _repository: str, _revision: str) -> str:
            return HEAD

        def close(self) -> None: ...

    monkeypatch.setattr(delivery, "GitClient", Git)
    await patch(
        kubernetes, {"status": {"sync": {"status": "Synced", "revision": HEAD}, "health": {"status": "Healthy"}}}
    )
    assert await delivery.probe(private, clients) == "Synced to aaaaaaaaaa and Healthy"
    assert opened == [{"username": "git", "password": SecretStr("n3w"), "private_key": None}]


def stored(secrets: Path, password: str) -> Path:
    """A token for the repository in our secret store."""
    secrets.mkdir(parents=True, mode=0o700, exist_ok=True)
    (secrets / "apps").mkdir(mode=0o700)
    file = secrets / "apps" / "password"
    file.touch(mode=0o600)
    file.write_text(password)
    return file


async def test_the_application_is_deleted_and_waited_for(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    assert await delivery.remove(desired(), clients) == []
    # As Argo CD deletes what it delivered: its controller would take the finalizer away, and none runs here.
    await kubernetes.create(desired().application)
    await patch(kubernetes, {"metadata": {"finalizers": []}})
    assert await delivery.remove(desired(), clients) == [APPLICATION]
    assert journal.actions == [f"delete {APPLICATION}"]
    await kubernetes.create(desired().application)
    await patch(kubernetes, {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}})
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 0.5})
    held = "the end of Application dev .* held by the finalizers resources-finalizer"
    with pytest.raises(DeadlineExceeded, match=held):
        await delivery.remove(desired(), clients)
    clients.disconnect()
    assert await delivery.remove(desired(), clients) == []
