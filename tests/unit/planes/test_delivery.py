"""The delivery plane: the Application, and delivered means delivered at the repository's head."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from infra.clients.errors import DeadlineExceeded, Unavailable
from infra.drift.findings import PlaneName
from infra.planes import delivery
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeJournal, FakeKubernetes, declared

HEAD = "a" * 40
APPLICATION = "Application/argocd/dev"


class FakeGit:
    """A repository whose head the test moves."""

    def __init__(self, head: str = HEAD) -> None:
        self.is_at = head
        self.asked: list[tuple[str, str]] = []

    async def head(self, repository: str, revision: str) -> str:
        self.asked.append((repository, revision))
        return self.is_at


def wanted() -> delivery.Wanted:
    found = delivery.desired(declared())
    assert found is not None
    return found


def status(sync: str = "Synced", health: str = "Healthy", revision: str = HEAD, **more: Any) -> dict[str, Any]:
    return {"sync": {"status": sync, "revision": revision}, "health": {"status": health}, **more}


async def test_the_application_is_made_and_the_second_run_changes_nothing(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    for _ in range(2):
        await bring_into_step(delivery, wanted(), clients, name=PlaneName.DELIVERY, step="application")
    assert kubernetes.writes == journal.actions == [f"apply {APPLICATION}"]
    source = kubernetes.live("Application", "dev", "argocd")["spec"]["source"]
    assert source == {
        "repoURL": "http://127.0.0.1:15009/apps.git",
        "path": "environments/dev",
        "targetRevision": "main",
    }


async def test_what_was_changed_by_hand_is_put_back(clients: Clients, kubernetes: FakeKubernetes) -> None:
    await bring_into_step(delivery, wanted(), clients, name=PlaneName.DELIVERY, step="application")
    live = kubernetes.live("Application", "dev", "argocd")
    live["spec"]["syncPolicy"]["automated"]["selfHeal"] = False
    live["status"] = status()
    (finding,) = delivery.compare(wanted(), await delivery.observe(wanted(), clients))
    assert (finding.address, finding.path) == (APPLICATION, ".spec.syncPolicy.automated.selfHeal")
    await bring_into_step(delivery, wanted(), clients, name=PlaneName.DELIVERY, step="application")
    assert kubernetes.live("Application", "dev", "argocd")["spec"]["syncPolicy"]["automated"]["selfHeal"] is True


PRIVATE = {"repository": "https://git.example.org/apps.git", "path": "dev", "credentials": "apps"}


@pytest.fixture
def store(clients: Clients) -> Path:
    """Our secret store, with a token for the repository."""
    folder = clients.settings.secrets_dir / "apps"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "password").touch(mode=0o600)
    (folder / "password").write_text("t0ken")
    return folder


async def test_a_private_repository_is_opened_with_the_stores_secret(
    clients: Clients, store: Path, kubernetes: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = delivery.desired(declared(delivery=PRIVATE))
    assert private is not None

    async def bring() -> tuple[str, ...]:
        done = await bring_into_step(delivery, private, clients, name=PlaneName.DELIVERY, step="application")
        return tuple(done.made)

    assert await bring() == ("Secret/argocd/dev-repository", APPLICATION)
    assert await bring() == ()
    live = kubernetes.live("Secret", "dev-repository", "argocd")
    assert live["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "repository"
    data = {key: base64.b64decode(value).decode() for key, value in live["data"].items()}
    assert data == {"type": "git", "url": PRIVATE["repository"], "username": "git", "password": "t0ken"}
    (store / "password").write_text("n3w")
    assert await bring() == ("Secret/argocd/dev-repository",)

    opened: list[Any] = []

    class Git(FakeGit):
        def __init__(self, _settings: Any, **credentials: Any) -> None:
            super().__init__()
            opened.append(credentials)

        def close(self) -> None: ...

    monkeypatch.setattr(delivery, "GitClient", Git)
    kubernetes.put({**private.application, "status": status()})
    assert await delivery.probe(private, clients) == "Synced to aaaaaaaaaa and Healthy"
    assert opened == [{"username": "git", "password": SecretStr("n3w"), "private_key": None}]


def test_nothing_to_deliver() -> None:
    assert delivery.desired(declared(delivery=None)) is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "is not compared yet and of unknown health"),
        ({}, "is not compared yet and of unknown health"),
        (status("OutOfSync"), "is OutOfSync and Healthy"),
        (status(health="Progressing"), "is Synced and Progressing"),
        (status("Unknown", conditions=[{"message": "repository not found"}]), "repository not found"),
        (status(revision="b" * 40), "Argo CD is at bbbbbbbbbb, the repository at aaaaaaaaaa"),
        (status(revision=""), "Argo CD is at , the repository"),
    ],
)
async def test_synced_with_what_it_has_is_not_delivered(
    clients: Clients, kubernetes: FakeKubernetes, said: Any, why: str
) -> None:
    clients.git = FakeGit()  # type: ignore[assignment]
    if said is not None:
        kubernetes.put({**wanted().application, "status": said})
    with pytest.raises(DeadlineExceeded, match=why):
        await delivery.probe(wanted(), clients)


async def test_delivered_is_synced_to_the_repositorys_head_and_healthy(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    git = FakeGit()
    clients.git = git  # type: ignore[assignment]
    kubernetes.put({**wanted().application, "status": status()})
    assert await delivery.probe(wanted(), clients) == "Synced to aaaaaaaaaa and Healthy"
    assert git.asked == [("http://127.0.0.1:15009/apps.git", "main")]


async def test_a_repository_that_does_not_answer_is_asked_again(clients: Clients, kubernetes: FakeKubernetes) -> None:
    class Flaky(FakeGit):
        async def head(self, repository: str, revision: str) -> str:
            await super().head(repository, revision)
            if len(self.asked) < 3:
                raise Unavailable("refused")
            return HEAD

    clients.git = Flaky()  # type: ignore[assignment]
    kubernetes.put({**wanted().application, "status": status()})
    assert await delivery.probe(wanted(), clients) == "Synced to aaaaaaaaaa and Healthy"


async def test_the_application_is_deleted_and_waited_for(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    assert await delivery.remove(wanted(), clients) == []
    kubernetes.put(wanted().application)
    assert await delivery.remove(wanted(), clients) == [APPLICATION]
    assert journal.actions == [f"delete {APPLICATION}"]
    kubernetes.put(wanted().application)
    kubernetes.held.add("dev")
    with pytest.raises(DeadlineExceeded, match="the end of Application dev"):
        await delivery.remove(wanted(), clients)
    clients.disconnect()
    assert await delivery.remove(wanted(), clients) == []
