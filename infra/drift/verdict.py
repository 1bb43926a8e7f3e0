"""The verdict on one environment: every plane, at one commit and one time (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from infra.drift.findings import BlindSpot, Finding, Frozen, PlaneState, PlaneVerdict, Severity
from infra.drift.report import counted
from infra.drift.waiving import waive
from infra.spec.waivers import Waiver

SCHEMA: Literal["plumbline.dev/verdict/v1"] = "plumbline.dev/verdict/v1"
WORST_FIRST = (PlaneState.DRIFTED, PlaneState.UNKNOWN, PlaneState.IN_STEP)


class Verdict(Frozen):
    """What one look at an environment says; `plumbline.dev/verdict/v1` is published as a JSON Schema."""

    version: Literal["plumbline.dev/verdict/v1"] = Field(default=SCHEMA, description="Of this document's shape.")
    environment: str
    commit: str = Field(description="The commit of the declaration, all 40 digits.")
    state: PlaneState = Field(description="The worst of the planes: drifted, then unknown, then in step.")
    stale: str | None = Field(
        default=None,
        description="Why the verdict must not be trusted: the detector missed a difference it made itself.",
    )
    looked_at: datetime = Field(description="When the look began, in UTC.")
    seconds: float = Field(ge=0, description="How long it took.")
    planes: tuple[PlaneVerdict, ...]
    notes: tuple[str, ...] = Field(default=(), description="Sentences about waivers, and about who else is at work.")

    @classmethod
    def of(
        cls,
        environment: str,
        commit: str,
        planes: Iterable[PlaneVerdict],
        *,
        waivers: Sequence[Waiver] = (),
        looked_at: datetime,
        seconds: float,
        stale: str | None = None,
        notes: Iterable[str] = (),
    ) -> Verdict:
        """The verdict that planes add up to, once the waivers of the declaration are applied."""
        looked = tuple(planes)
        everywhere = not any(plane.blind_spots for plane in looked)
        findings = [finding for plane in looked for finding in plane.findings]
        waived = waive(findings, waivers, looked_at.date(), looked_everywhere=everywhere)
        covered = set(map(id, waived.covered))
        judged = tuple(_without(plane, covered) for plane in looked)
        return cls(
            environment=environment,
            commit=commit,
            state=min((plane.state for plane in judged), key=WORST_FIRST.index, default=PlaneState.UNKNOWN),
            stale=stale,
            looked_at=looked_at,
            seconds=round(seconds, 3),
            planes=judged,
            notes=(*notes, *(note for plane in looked for note in plane.notes), *waived.notes),
        )

    @property
    def exit_status(self) -> int:
        """Of a command: 0 in step and everything looked at, else 2."""
        return 0 if self.state is PlaneState.IN_STEP and not self.blind_spots and self.stale is None else 2

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding that no waiver covers."""
        return tuple(finding for plane in self.planes for finding in plane.findings)

    @property
    def blind_spots(self) -> tuple[BlindSpot, ...]:
        """Everything that could not be looked at."""
        return tuple(spot for plane in self.planes for spot in plane.blind_spots)

    def sentence(self) -> str:
        """The verdict in one sentence."""
        parts = []
        if self.stale:
            parts.append(f"This verdict is stale: {self.stale}")
        if self.findings:
            by = {kind: sum(finding.severity is kind for finding in self.findings) for kind in reversed(Severity)}
            severities = ", ".join(f"{count} {kind}" for kind, count in by.items() if count)
            drifted = ", ".join(plane.plane for plane in self.planes if plane.state is PlaneState.DRIFTED)
            parts.append(f"Environment {self.environment} has drifted in {drifted}: {severities}.")
        if self.blind_spots:
            blind = ", ".join(dict.fromkeys(spot.plane for spot in self.blind_spots))
            parts.append(f"{counted(len(self.blind_spots), 'thing')} could not be looked at, in {blind}.")
        if not self.findings and not self.blind_spots:
            parts.append(f"Environment {self.environment} is in step with {self.commit[:10]}.")
        return " ".join(parts)


def _without(plane: PlaneVerdict, covered: set[int]) -> PlaneVerdict:
    if not any(id(finding) in covered for finding in plane.findings):
        return plane
    return PlaneVerdict.of(
        plane.plane,
        [finding for finding in plane.findings if id(finding) not in covered],
        plane.blind_spots,
        looked_at=plane.looked_at,
        seconds=plane.seconds,
        waived=[finding for finding in plane.findings if id(finding) in covered],
        notes=plane.notes,
    )
