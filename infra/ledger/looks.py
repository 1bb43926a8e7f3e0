"""What a check hands to the ledger, made ready for its tables: one look per plane, nothing secret, bounded texts. Pure.

The rules of what a look may say:

- What was not looked at is neither in step nor drifted: an unknown plane clears nothing, and neither does a blind spot
  at the addresses that it hides, which is the whole plane where it names none.
- What is seen is seen, also where the rest of the plane could not be looked at.
- A stale check, one that missed what it had itself made different, clears nothing either.
- A look that began before another that is already known says nothing any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from infra.drift.findings import BlindSpot, Finding, PlaneName, PlaneState, PlaneVerdict
from infra.drift.news import Failure
from infra.ledger.masking import masked

SPOTS_KEPT = 20
"""Blind spots of a plane that are kept in words; all are counted."""
HIDDEN_KEPT = 50
"""Addresses that the blind spots of a plane may name; where it is more, they hide all of it."""
EVERYTHING = "*"


@dataclass
class Look:
    """One look at one plane, with what it saw by place."""

    plane: PlaneName
    state: PlaneState
    looked_at: datetime
    ended: datetime
    seen: dict[str, tuple[Finding, bool]] = field(default_factory=dict)
    """By digest of their place: the finding, and whether a waiver covers it."""
    blind_spots: list[BlindSpot] = field(default_factory=list)
    stale: bool = False

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """The addresses of which it says nothing unless it has seen them; none where it was complete."""
        if self.stale or any(not spot.hides for spot in self.blind_spots):
            return (EVERYTHING,)
        named = {text(where) or "" for spot in self.blind_spots for where in spot.hides}
        return tuple(sorted(named)) if len(named) <= HIDDEN_KEPT else (EVERYTHING,)

    def hides(self, address: str) -> bool:
        """Whether something may be at an address, although nothing was seen there."""
        return hides(self.hidden, address)

    def as_json(self) -> dict[str, Any]:
        """What is kept of it with its check."""
        waived = sum(covered for _, covered in self.seen.values())
        said = [f"{spot.what}: {spot.why}" for spot in self.blind_spots[:SPOTS_KEPT]]
        return {
            "state": str(self.state),
            "hidden": self.hidden,
            "looked_at": self.looked_at.isoformat(),
            "seconds": (self.ended - self.looked_at).total_seconds(),
            "findings": len(self.seen) - waived,
            "waived": waived,
            "blind_spots": [text(spot, 500) for spot in said],
            "blind": len(self.blind_spots),
        }


@dataclass(frozen=True)
class Check:
    """One check of an environment, as it is to be recorded."""

    environment: str
    commit: str | None
    began: datetime
    ended: datetime
    looks: Sequence[Look]
    declared: timedelta | None
    due: datetime | None
    flow_run_id: str | None
    stale: str | None
    failure: Failure | None = None

    @property
    def id(self) -> str:
        """The same for the same check, so that a step that is repeated records it once."""
        return _digest(self.environment, self.began.isoformat(), self.flow_run_id or "")[:32]

    @property
    def state(self) -> PlaneState:
        """The worst of its planes; of an environment of which nothing was looked at, nothing is known."""
        states = {look.state for look in self.looks} or {PlaneState.UNKNOWN}
        return next(s for s in (PlaneState.DRIFTED, PlaneState.UNKNOWN, PlaneState.IN_STEP) if s in states)


def hides(hidden: Iterable[str], address: str) -> bool:
    """Whether an address is among hidden ones: itself, all of its kind, or everything."""
    return any(
        where in (address, EVERYTHING) or (where.endswith("/*") and address.startswith(where[:-1])) for where in hidden
    )


def hidden_in(said: Mapping[str, Any]) -> tuple[str, ...]:
    """What a look hid that was kept with its check; one from before blind spots named addresses hid all or nothing."""
    if "hidden" in said:
        return tuple(said["hidden"])
    return () if said["complete"] else (EVERYTHING,)


def tells(said: Mapping[str, Any]) -> bool:
    """Whether a look that was kept with its check says anything of what is there."""
    return EVERYTHING not in hidden_in(said) or said["findings"] > 0


def looks_of(verdicts: Sequence[PlaneVerdict], *, stale: bool = False) -> list[Look]:
    """One look per plane; where a plane was looked at in parts, it is as old and as blind as its parts together."""
    looks: dict[PlaneName, Look] = {}
    for verdict in verdicts:
        began = utc(verdict.looked_at)
        ended = began + timedelta(seconds=verdict.seconds)
        look = looks.setdefault(verdict.plane, Look(verdict.plane, verdict.state, began, ended, stale=stale))
        look.looked_at, look.ended = min(look.looked_at, began), max(look.ended, ended)
        if verdict.state is PlaneState.DRIFTED or look.state is PlaneState.IN_STEP:
            look.state = verdict.state
        if verdict.state is PlaneState.UNKNOWN and not verdict.blind_spots:
            look.blind_spots.append(BlindSpot(plane=verdict.plane, what=verdict.plane, why="It was not looked at."))
        look.blind_spots.extend(verdict.blind_spots)
        for finding in verdict.findings:
            _keep(look, finding, waived=False)
        for finding in verdict.waived:
            _keep(look, finding, waived=True)
    return list(looks.values())


def _keep(look: Look, finding: Finding, *, waived: bool) -> None:
    """Of two findings in one place, the one that is not waived stands, then the one that matters more."""
    place = place_of(finding)
    known = look.seen.get(place)
    if known is None or (known[1], -known[0].severity.rank) > (waived, -finding.severity.rank):
        look.seen[place] = (finding, waived)


def place_of(finding: Finding) -> str:
    """The digest of where a finding is, whatever its values."""
    return _digest(finding.plane, *finding.place)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def utc(moment: datetime) -> datetime:
    """The moment in UTC, which is what one without a time zone is in."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def text(value: str | None, limit: int = 1000) -> str | None:
    """Text as it may be stored: masked, shortened to `limit` characters, and without what databases refuse."""
    if value is None:
        return None
    storable = value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return masked(storable, limit)


def value_text(value: JsonValue, limit: int = 500) -> str | None:
    """A declared or observed value as JSON, masked and shortened; None for none."""
    return None if value is None else text(json.dumps(value, ensure_ascii=False, sort_keys=True), limit)
