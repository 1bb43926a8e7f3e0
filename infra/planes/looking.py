"""One look at a plane without changing anything: what differs, and what could not be looked at.

A look never raises for what it finds. What keeps it from looking (no answer, no permission, a kind that is not there)
is a blind spot with its reason, beside whatever else was seen: never an alarm, and never "in step".
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from infra.clients.errors import NotYet, PlumblineError, TlsRefused
from infra.drift.findings import BlindSpot, Finding, PlaneName, Severity


@dataclass(frozen=True)
class Looked:
    """What a look, or a part of one, has seen."""

    findings: tuple[Finding, ...] = ()
    blind_spots: tuple[BlindSpot, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences that change no verdict, such as that a run is at work."""

    @classmethod
    def together(cls, parts: Iterable[Looked]) -> Looked:
        """Several parts as one; what two of them have found alike counts once."""
        findings: dict[tuple[str, str], Finding] = {}
        blind_spots: dict[tuple[str, str], BlindSpot] = {}
        notes: dict[str, None] = {}
        for part in parts:
            notes.update(dict.fromkeys(part.notes))
            for finding in part.findings:
                findings.setdefault(finding.place, finding)
            for spot in part.blind_spots:
                blind_spots.setdefault((spot.what, spot.why), spot)
        return cls(tuple(findings.values()), tuple(blind_spots.values()), tuple(notes))


@dataclass(frozen=True)
class NotLooked:
    """In the place of an answer: why there is none. It is not the same as "nothing is there"."""

    why: str
    category: str | None = None

    @classmethod
    def of(cls, error: PlumblineError) -> NotLooked:
        """What an error leaves unknown."""
        return cls(str(error), error.category)

    def spot(self, plane: PlaneName, what: str) -> BlindSpot:
        """The blind spot it makes."""
        return BlindSpot(plane=plane, what=what, why=self.why, category=self.category)


async def look_at(
    plane: PlaneName, what: str, look: Awaitable[Iterable[Finding] | Looked], *, hides: Iterable[str] = ()
) -> Looked:
    """Carry out one part of a look; an error that kept it from looking is a blind spot.

    Args:
        what: what is looked at, for the blind spot's reader.
        hides: as of `BlindSpot`: where its findings would stand, if they stand nowhere else.
    """
    try:
        seen = await look
    except PlumblineError as error:
        return Looked(blind_spots=(blind_spot(plane, what, error, hides=hides),))
    return seen if isinstance(seen, Looked) else Looked(tuple(seen))


async def holds(plane: PlaneName, address: str, probe: Awaitable[object], severity: Severity) -> Looked:
    """Ask a readiness probe once: that it does not hold is a finding, that it cannot be asked a blind spot."""
    try:
        await probe
    except (NotYet, TlsRefused) as error:
        return Looked((Finding(plane=plane, address=address, sentence=error.sentence, severity=severity),))
    except PlumblineError as error:
        return Looked(blind_spots=(blind_spot(plane, address, error, hides=[address]),))
    return Looked()


def blind_spot(plane: PlaneName, what: str, error: PlumblineError, *, hides: Iterable[str] = ()) -> BlindSpot:
    """The blind spot an error leaves."""
    return BlindSpot(plane=plane, what=what, why=error.sentence, category=error.category, hides=tuple(hides))
