"""What one look at one plane brings home."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infra.clients.errors import PlumblineError
from infra.drift.findings import BlindSpot, Finding, PlaneName


@dataclass(frozen=True)
class Looked:
    """The differences found, what could not be looked at, and what is worth saying beside.

    Attributes:
        findings: differences, in the order of their addresses.
        blind_spots: what could not be looked at, and why; without findings they make the plane unknown.
        notes: sentences that change no verdict, such as that a run is at work.
    """

    findings: tuple[Finding, ...] = ()
    blind_spots: tuple[BlindSpot, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def together(cls, looks: Iterable[Looked]) -> Looked:
        """Several looks as one."""
        every = list(looks)
        return cls(
            tuple(finding for look in every for finding in look.findings),
            tuple(spot for look in every for spot in look.blind_spots),
            tuple(dict.fromkeys(note for look in every for note in look.notes)),
        )


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
