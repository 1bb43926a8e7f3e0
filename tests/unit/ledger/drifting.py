"""Checks of an environment, as they are told to a ledger in its tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.drift.findings import BlindSpot, Finding, PlaneName, PlaneVerdict
from infra.drift.history import Changes
from infra.ledger import Ledger

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
EVERY = timedelta(minutes=15)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def drift(
    address: str = "ConfigMap/a", *, plane: PlaneName = PlaneName.ADDONS, path: str = "", **other: Any
) -> Finding:
    return Finding(plane=plane, address=address, path=path, sentence=f"{address} is otherwise.", **other)


def look(
    plane: PlaneName,
    when: datetime,
    *found: Finding,
    blind: Iterable[str] = (),
    hidden: Iterable[str] = (),
    waived: Iterable[Finding] = (),
    seconds: float = 2.0,
) -> PlaneVerdict:
    spots = [BlindSpot(plane=plane, what=what, why="It does not answer.") for what in blind]
    spots += [BlindSpot(plane=plane, what=where, why="403", hides=(where,)) for where in hidden]
    return PlaneVerdict.of(plane, found, spots, looked_at=when, seconds=seconds, waived=waived)


async def check(ledger: Ledger, minutes: float, *found: Finding, **how: Any) -> Changes:
    """A check of one plane, add-ons."""
    name = how.pop("environment", "dev")
    verdict = look(PlaneName.ADDONS, at(minutes), *found, **how)
    return await record(ledger, minutes, verdict, environment=name)


async def record(ledger: Ledger, minutes: float, *verdicts: PlaneVerdict, **other: Any) -> Changes:
    given_anyway: dict[str, Any] = {"environment": "dev", "commit": COMMIT, "seconds": 5, "declared_interval": EVERY}
    return await ledger.record_check(verdicts=verdicts, began=at(minutes), **given_anyway | other)


def addresses(onsets: Iterable[Any]) -> list[str]:
    return [onset.address for onset in onsets]
