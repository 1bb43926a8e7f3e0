"""What a check tells the world: Prefect events and notifications, each change once.

What is to be told, the ledger says, until it hears that it was: a process that dies in between loses nothing, and what
it had already told keeps the id of its event, by which Prefect knows it. docs/drift.md describes the payloads.

An event is posted and its receipt awaited: `emit_event` only queues it, and what is queued dies with the process. The
note that all was told comes last. Notifications have no id by which a receiver could tell that he was told before: one
that was sent by a process that died before it could note so is sent again, which is better than an alarm that is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import httpx
from prefect.client.orchestration import get_client
from prefect.events.related import related_resources_from_run_context
from prefect.events.schemas.events import Event

from infra.clients.errors import PlumblineError, Unavailable, Unforeseen, explained
from infra.drift.history import OnsetRecord
from infra.drift.news import Failure, News, NewsKind
from infra.drift.report import counted
from infra.drift.verdict_report import quoted
from infra.ledger import Ledger
from tasks.notifying import notify

FOUND, CLEARED, FAILED = "plumbline.drift.found", "plumbline.drift.cleared", "plumbline.check.failed"
EVENTS: Mapping[NewsKind, str] = {NewsKind.FOUND: FOUND, NewsKind.CLEARED: CLEARED, NewsKind.FAILED: FAILED}
LISTED = 50
"""Findings an event carries; the ledger has them all."""
QUOTED = 10
"""Of them, those that a notification quotes."""
PATIENCE = 60.0
"""Seconds Prefect may take to receive events; with a notification's, less than the ledger's `LEASE`."""
LEDGERLESS = UUID("5b0f1c5e-9d0f-4a53-8f4e-6b1f4f1f6a01")
"""Namespace of the events that are emitted where no ledger answers."""

log = logging.getLogger(f"infra.{__name__}")


async def tell(
    environment: str, ledger: Ledger, blocks: Sequence[str], *, opening: str | None = None, besides: str | None = None
) -> None:
    """Tell what is to be told of an environment; what cannot be told now, the next check tells.

    Args:
        blocks: notification blocks, as `type/name`.
        opening: a sentence that a notification begins with.
        besides: the run on whose behalf is told; news is held back while any other is at work.
    """
    try:
        with explained():
            news = await ledger.untold(environment, besides=besides)
            if not news:
                return
            async with asyncio.timeout(PATIENCE):
                await emit([event_of(one) for one in news])
            await notify(blocks, _subject(environment, news), _body(news, opening))
            await ledger.told(one.event for one in news)
    except PlumblineError as error:
        unforeseen = isinstance(error, Unforeseen)
        log.warning(
            "What is new in %s was not told; the next check does that. %s", environment, error, exc_info=unforeseen
        )


async def tell_without_ledger(environment: str | None, failure: Failure, blocks: Sequence[str]) -> None:
    """Tell that a check failed where the ledger does not answer, and Prefect alone knows what was told.

    For each reason one event a day of each environment and one of the fleet; and one notification, since it is one
    database that every check of the fleet misses.

    Args:
        environment: None of the fleet as a whole.
    """
    of_fleet = _ledgerless(FLEET, failure)
    events = [of_fleet, *([_ledgerless(resource(environment), failure)] if environment else [])]
    name = environment or "the fleet"
    try:
        with explained():
            async with asyncio.timeout(PATIENCE):
                known = await _received(of_fleet.id)
                await emit(events)
            if not known:
                await notify(blocks, f"{name}: the drift check failed", failure.sentence())
    except PlumblineError as error:
        log.warning("That the check of %s failed was not told. %s", name, error, exc_info=isinstance(error, Unforeseen))


def _ledgerless(about: dict[str, str], failure: Failure) -> Event:
    known_as = uuid5(LEDGERLESS, f"{about['prefect.resource.id']} {datetime.now(UTC):%Y-%m-%d} {failure.reason}")
    return Event(id=known_as, event=FAILED, resource=about, payload=_failed(failure))


def resource(environment: str) -> dict[str, str]:
    """The resource of an environment's events, on which automations match."""
    return {"prefect.resource.id": f"plumbline.environment.{environment}", "prefect.resource.name": environment}


FLEET = {"prefect.resource.id": "plumbline.fleet", "prefect.resource.name": "fleet"}
"""The resource of what concerns every environment."""


def event_of(news: News) -> Event:
    """The event that tells a piece of news (pure)."""
    if news.failure is not None:
        payload = _failed(news.failure)
    else:
        payload = {
            "commit": news.commit,
            "state": str(news.state),
            "stale": news.stale,
            "looked_at": news.looked_at.isoformat(),
            **_listed(news.onsets),
        }
    # It occurs now: Prefect's triggers reckon with an event's age, and news may have waited for a run.
    return Event(id=UUID(news.event), event=EVENTS[news.kind], resource=resource(news.environment), payload=payload)


async def emit(events: Sequence[Event]) -> None:
    """Have events received by Prefect, with the flow run that emits them; one it knows by its id stays one.

    Raises:
        Unavailable: it does not answer, or does not take them.
    """
    with _asked():
        async with get_client() as client:
            related = await related_resources_from_run_context(client)
            told = [event.model_copy(update={"related": [*event.related, *related]}) for event in events]
            await client.request("POST", "/events", json=[event.model_dump(mode="json") for event in told])


async def _received(event: UUID) -> bool:
    """Whether Prefect has an event."""
    with _asked():
        async with get_client() as client:
            found = await client.request("POST", "/events/filter", json={"filter": {"id": {"id": [str(event)]}}})
            return bool(found.json()["events"])


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise Unavailable("Prefect did not answer as it should.", detail=str(error)) from error


def _failed(failure: Failure) -> dict[str, Any]:
    return asdict(failure)


def _listed(onsets: Sequence[OnsetRecord]) -> dict[str, Any]:
    return {
        "count": len(onsets),
        "findings": [
            {
                "plane": str(one.plane),
                "severity": str(one.severity),
                "address": one.address,
                "path": one.path,
                "sentence": one.sentence,
                "changed_by": one.changed_who,
                "recurrence": one.recurrence,
            }
            for one in onsets[:LISTED]
        ],
    }


def _subject(environment: str, news: Sequence[News]) -> str:
    many = {kind: sum(len(one.onsets) for one in news if one.kind is kind) for kind in NewsKind}
    parts = ["the drift check failed"] if any(one.failure for one in news) else []
    if many[NewsKind.FOUND]:
        parts.append(counted(many[NewsKind.FOUND], "new finding"))
    if many[NewsKind.CLEARED]:
        parts.append(f"{many[NewsKind.CLEARED]} cleared")
    return f"{environment}: {', '.join(parts)}"


def _body(news: Sequence[News], opening: str | None) -> str:
    lines = [opening] if opening else []
    lines += [one.failure.sentence() for one in news if one.failure]
    for kind, what in ((NewsKind.FOUND, "New"), (NewsKind.CLEARED, "Cleared")):
        onsets = [onset for one in news if one.kind is kind for onset in one.onsets]
        lines += [f"{what}: [{one.severity}] {quoted(one.sentence)}" for one in onsets[:QUOTED]]
        if len(onsets) > QUOTED:
            lines.append(f"… and {len(onsets) - QUOTED} more")
    return "\n".join(lines)
