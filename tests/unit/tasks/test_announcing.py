"""Events and notifications: what is new, once, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from pytest_httpserver import HTTPServer

from infra.clients.errors import NotFound, Unavailable
from infra.drift.findings import Severity
from infra.drift.news import Failure
from infra.ledger import Ledger
from infra.ledger.drift import AT_ONCE
from infra.settings import Settings
from tasks import announcing
from tests.unit.ledger.drifting import COMMIT, at, check, drift, record
from tests.unit.tasks.prefect_stand_in import PrefectStandIn

OPS = ["custom-webhook/ops"]


@pytest.fixture
def prefect(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectStandIn]:
    stand_in = PrefectStandIn(httpserver)

    async def load(name: str) -> Any:
        assert name in OPS
        return CustomWebhookNotificationBlock(
            name="ops", url=stand_in.hook_url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        )

    monkeypatch.setattr(Block, "aload", load)
    with temporary_settings({PREFECT_API_URL: stand_in.api_url}):
        yield stand_in


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.open(Settings(state_dir=tmp_path)) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody has begun to tell is free at once."""
    monkeypatch.setattr("infra.ledger.outbox.LEASE", timedelta(0))


async def test_what_is_new_is_said_once(prefect: PrefectStandIn, ledger: Ledger) -> None:
    await check(ledger, 0, drift(severity=Severity.SECURITY), drift("ConfigMap/b"))
    for _ in range(2):
        await announcing.tell("dev", ledger, OPS, opening="Environment dev has drifted.")
    assert prefect.told == [("plumbline.drift.found", "plumbline.environment.dev")]
    (event,) = prefect.events.values()
    assert event["resource"]["prefect.resource.name"] == "dev"
    payload = event["payload"]
    assert {key: payload[key] for key in ("commit", "state", "stale", "looked_at", "count")} == {
        "commit": COMMIT,
        "state": "drifted",
        "stale": None,
        "looked_at": at(0).isoformat(),
        "count": 2,
    }
    assert payload["findings"][0] == {
        "plane": "addons",
        "severity": "security",
        "address": "ConfigMap/a",
        "path": "",
        "sentence": "ConfigMap/a is otherwise.",
        "changed_by": None,
        "recurrence": 0,
    }
    (sent,) = prefect.sent
    assert sent["subject"] == "dev: 2 new findings"
    assert sent["body"].splitlines() == [
        "Environment dev has drifted.",
        "New: [security] ConfigMap/a is otherwise.",
        "New: [config] ConfigMap/b is otherwise.",
    ]
    await check(ledger, 15, drift("ConfigMap/b"))
    await announcing.tell("dev", ledger, OPS)
    assert prefect.told[1:] == [("plumbline.drift.cleared", "plumbline.environment.dev")]
    assert prefect.sent[1] == {"subject": "dev: 1 cleared", "body": "Cleared: [security] ConfigMap/a is otherwise."}


async def test_thousands_of_findings_are_counted_and_few_of_them_listed(
    prefect: PrefectStandIn, ledger: Ledger
) -> None:
    # More than the ledger asks for at once.
    changes = await check(ledger, 0, *(drift(f"ConfigMap/{number}") for number in range(AT_ONCE + 10)))
    assert len(changes.found) == AT_ONCE + 10
    await announcing.tell("dev", ledger, OPS)
    (event,) = prefect.events.values()
    assert (event["payload"]["count"], len(event["payload"]["findings"])) == (AT_ONCE + 10, 50)
    assert f"and {AT_ONCE} more" in prefect.sent[0]["body"]


@pytest.mark.usefixtures("impatient")
async def test_what_prefect_did_not_receive_the_next_check_tells(
    prefect: PrefectStandIn, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await check(ledger, 0, drift())
    prefect.refuses = True
    await announcing.tell("dev", ledger, OPS)
    assert "What is new in dev was not told; the next check does that." in caplog.text
    assert (prefect.told, prefect.sent) == ([], [])
    prefect.refuses = False
    await check(ledger, 15, drift())
    await announcing.tell("dev", ledger, OPS)
    assert (len(prefect.events), len(prefect.sent)) == (1, 1)


@pytest.mark.usefixtures("impatient")
async def test_who_is_stopped_before_the_note_that_it_was_told_leaves_the_same_event(
    prefect: PrefectStandIn, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check(ledger, 0, drift())

    async def stopped(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as at_the_seam:
        at_the_seam.setattr(announcing, "notify", stopped)
        with pytest.raises(asyncio.CancelledError):
            await announcing.tell("dev", ledger, OPS)
    assert (prefect.posts, len(prefect.events), prefect.sent) == (1, 1, [])
    await announcing.tell("dev", ledger, OPS)
    assert (prefect.posts, len(prefect.events), len(prefect.sent)) == (2, 1, 1)


async def test_a_failed_check_is_an_event_with_its_reason(prefect: PrefectStandIn, ledger: Ledger) -> None:
    await record(ledger, 0, commit=None, failure=Failure.of(NotFound("The repository is gone.", hint="Look for it.")))
    await announcing.tell("dev", ledger, OPS)
    (event,) = prefect.events.values()
    assert event["event"] == "plumbline.check.failed"
    assert event["payload"] == {
        "category": "NotFound",
        "summary": "The repository is gone.",
        "detail": None,
        "hint": "Look for it.",
    }
    assert prefect.sent == [
        {"subject": "dev: the drift check failed", "body": "The repository is gone. Look for it."},
    ]


async def test_without_a_ledger_a_reason_is_told_once_a_day(prefect: PrefectStandIn) -> None:
    for environment in ("dev", "prod", None):
        for error in (Unavailable("No answer in 3 s."), Unavailable("No answer in 4 s."), NotFound("No such table.")):
            await announcing.tell_without_ledger(environment, Failure.of(error), OPS)
    abouts = ("plumbline.fleet", "plumbline.environment.dev", "plumbline.environment.prod")
    assert Counter(prefect.told) == {("plumbline.check.failed", about): 2 for about in abouts}
    assert [sent["body"] for sent in prefect.sent] == ["No answer in 3 s.", "No such table."]


async def test_without_a_ledger_and_without_prefect_it_is_said_in_the_log(
    prefect: PrefectStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    prefect.refuses = True
    await announcing.tell_without_ledger("dev", Failure("Unavailable", "No answer."), OPS)
    assert "That the check of dev failed was not told." in caplog.text
    assert prefect.sent == []


async def test_a_ledger_that_does_not_answer_when_asked_for_news_ends_no_check(
    prefect: PrefectStandIn, ledger: Ledger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: Any, **__: Any) -> Any:
        raise Unavailable("The ledger's database does not answer.")

    monkeypatch.setattr(ledger, "untold", silent)
    await announcing.tell("dev", ledger, OPS)
    assert "The ledger's database does not answer." in caplog.text and prefect.told == []


async def test_a_mistake_of_ours_is_told_with_where_it_is(
    prefect: PrefectStandIn, ledger: Ledger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(_: Any) -> Any:
        raise KeyError("kind")

    monkeypatch.setattr(announcing, "event_of", mistaken)
    await check(ledger, 0, drift())
    await announcing.tell("dev", ledger, OPS)
    assert "KeyError, which nobody foresaw." in caplog.text and "Traceback" in caplog.text
    assert prefect.told == []
