"""Events and notifications: what is new, once, and no block that fails holds up a check."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock

from infra.clients.errors import NotFound
from infra.drift.findings import PlaneName, Severity
from infra.drift.history import Changes
from infra.drift.verdict import Verdict
from tasks import announcing

AT = datetime(2026, 11, 25, tzinfo=UTC)


def onset(number: int) -> Any:
    return SimpleNamespace(
        plane=PlaneName.DNS,
        severity=Severity.SECURITY,
        address=f"recordset/{number}",
        path="records",
        sentence=f"Record {number} points elsewhere.",
        changed_who="somebody",
        recurrence=0,
    )


def changes(found: int = 0, cleared: int = 0, stayed: int = 0) -> Changes:
    many = {"found": found, "cleared": cleared, "stayed": stayed, "unconfirmed": 0, "waived": 0}
    return Changes(check=None, **{what: tuple(map(onset, range(count))) for what, count in many.items()})  # type: ignore[arg-type]


VERDICT = Verdict.of("dev", "f" * 40, [], looked_at=AT, seconds=1)


class World:
    """Prefect's events, and the blocks of a site."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.sent: list[tuple[str, str]] = []
        self.breaks = False
        monkeypatch.setattr(announcing, "emit_event", self.emit)
        monkeypatch.setattr(Block, "aload", self.load)

    def emit(self, event: str, *, resource: dict[str, Any], payload: dict[str, Any]) -> None:
        self.events.append((event, resource, payload))

    async def load(self, name: str) -> Any:
        assert name == "custom-webhook/ops"
        block = CustomWebhookNotificationBlock(name="ops", url="https://example.org/hook")

        async def notify(body: str, subject: str) -> None:
            if self.breaks:
                raise ConnectionError("no route")
            self.sent.append((subject, body))

        object.__setattr__(block, "notify", notify)
        return block


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_what_is_new_is_said_and_what_was_known_is_not(world: World) -> None:
    await announcing.announce(VERDICT, changes(found=1, cleared=2), ["custom-webhook/ops"])
    assert [(event, payload["count"]) for event, _, payload in world.events] == [
        ("plumbline.drift.found", 1),
        ("plumbline.drift.cleared", 2),
    ]
    assert world.events[0][1]["prefect.resource.id"] == "plumbline.environment.dev"
    ((subject, body),) = world.sent
    assert subject.startswith("dev:")
    assert "New: [security] Record 0 points elsewhere." in body
    await announcing.announce(VERDICT, changes(stayed=3), ["custom-webhook/ops"])
    assert (len(world.events), len(world.sent)) == (2, 1)


async def test_thousands_of_findings_are_counted_and_few_of_them_listed(world: World) -> None:
    await announcing.announce(VERDICT, changes(found=3000), ["custom-webhook/ops"])
    payload = world.events[0][2]
    assert (payload["count"], len(payload["findings"])) == (3000, 50)
    assert "and 2990 more" in world.sent[0][1]


async def test_a_block_that_fails_is_said_and_holds_up_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.breaks = True
    await announcing.announce_failure("dev", NotFound("The repository is gone."), ["custom-webhook/ops"])
    assert world.events[0][0] == "plumbline.check.failed"
    assert world.events[0][2]["category"] == "NotFound"
    assert "The notification through custom-webhook/ops failed" in caplog.text
