"""The delivery plane: the Application, and delivered means delivered at the repository's head."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, Unavailable
from infra.planes import delivery
from infra.planes.clients import Clients
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import declared

HEAD = "a" * 40


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
    clients: Clients, kubernetes: Answering, said: Any, why: str
) -> None:
    clients.git = FakeGit()  # type: ignore[assignment]
    if said is not None:
        kubernetes.put({**wanted().application, "status": said})
    with pytest.raises(DeadlineExceeded, match=why):
        await delivery.probe(wanted(), clients)


async def test_delivered_is_synced_to_the_repositorys_head_and_healthy(clients: Clients, kubernetes: Answering) -> None:
    git = FakeGit()
    clients.git = git  # type: ignore[assignment]
    kubernetes.put({**wanted().application, "status": status()})
    assert await delivery.probe(wanted(), clients) == "Synced to aaaaaaaaaa and Healthy"
    assert git.asked == [("http://127.0.0.1:15009/apps.git", "main")]


async def test_a_repository_that_does_not_answer_is_asked_again(clients: Clients, kubernetes: Answering) -> None:
    class Flaky(FakeGit):
        async def head(self, repository: str, revision: str) -> str:
            await super().head(repository, revision)
            if len(self.asked) < 3:
                raise Unavailable("refused")
            return HEAD

    clients.git = Flaky()  # type: ignore[assignment]
    kubernetes.put({**wanted().application, "status": status()})
    assert await delivery.probe(wanted(), clients) == "Synced to aaaaaaaaaa and Healthy"
