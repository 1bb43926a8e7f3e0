"""What a check tells the world: one Prefect event for each change, and one notification, never the same twice.

What has changed, the ledger says: a difference that was known before is no news, and a check that failed as the one
before it did is none either. docs/drift.md describes the payloads.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.events import emit_event

from infra.clients.errors import PlumblineError
from infra.drift.history import Changes, OnsetRecord
from infra.drift.verdict import Verdict
from infra.drift.verdict_report import quoted

FOUND, CLEARED, FAILED = "plumbline.drift.found", "plumbline.drift.cleared", "plumbline.check.failed"
LISTED = 50
"""Findings an event carries; the ledger has them all."""

log = logging.getLogger(f"infra.{__name__}")


async def announce(verdict: Verdict, changes: Changes, blocks: Sequence[str]) -> None:
    """Emit what a check has newly found or cleared, and notify of it.

    Args:
        blocks: notification blocks, as `type/name`.
    """
    for event, onsets in ((FOUND, changes.found), (CLEARED, changes.cleared)):
        if onsets:
            payload = {"commit": verdict.commit, "state": str(verdict.state), "stale": verdict.stale, **_listed(onsets)}
            emit_event(event, resource=resource(verdict.environment), payload=payload)
    if changes.found or changes.cleared:
        await notify(blocks, f"{verdict.environment}: {verdict.state}", _body(verdict, changes))


async def announce_failure(environment: str, error: PlumblineError, blocks: Sequence[str]) -> None:
    """Emit that a check could not be carried out, and notify of it."""
    payload = {"category": error.category, "summary": error.summary, "detail": error.detail, "hint": error.hint}
    emit_event(FAILED, resource=resource(environment), payload=payload)
    await notify(blocks, f"{environment}: the drift check failed", str(error))


def resource(environment: str) -> dict[str, str]:
    """The resource of an environment's events, on which automations match."""
    return {"prefect.resource.id": f"plumbline.environment.{environment}", "prefect.resource.name": environment}


async def notify(blocks: Sequence[str], subject: str, body: str) -> None:
    """Send a notification through each block; one that fails is said in the log and holds up no check."""
    for name in blocks:
        try:
            block = cast(NotificationBlock, await Block.aload(name))
            with block.raise_on_failure():
                await block.notify(body, subject)
        except Exception as error:  # whatever a block of the site raises
            log.warning("The notification through %s failed: %s: %s", name, type(error).__name__, error)


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


def _body(verdict: Verdict, changes: Changes) -> str:
    lines = [verdict.sentence()]
    for what, onsets in (("New", changes.found), ("Cleared", changes.cleared)):
        lines += [f"{what}: [{one.severity}] {quoted(one.sentence)}" for one in onsets[:10]]
        if len(onsets) > 10:
            lines.append(f"… and {len(onsets) - 10} more")
    return "\n".join(lines)
