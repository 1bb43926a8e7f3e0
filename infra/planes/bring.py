"""Bring one plane into step: observe, compare, converge, observe again. Create, upgrade and heal are all this."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from infra.clients.errors import NotYet
from infra.drift.findings import Finding, PlaneName
from infra.planes.clients import Clients

log = logging.getLogger(__name__)

Wanted = TypeVar("Wanted", contravariant=True)
Observed = TypeVar("Observed")


class Plane(Protocol[Wanted, Observed]):
    """What a plane's module offers."""

    async def observe(self, wanted: Wanted, clients: Clients) -> Observed:
        """Read what is there; absence is an answer, not an error."""

    def compare(self, wanted: Wanted, observed: Observed) -> list[Finding]:
        """Say what is not as declared."""

    async def converge(
        self, wanted: Wanted, observed: Observed, findings: list[Finding], clients: Clients
    ) -> list[str]:
        """Close the findings; return the addresses of what was written."""


class Outcome(BaseModel):
    """What one step found and did."""

    model_config = ConfigDict(frozen=True)

    plane: PlaneName
    name: str
    """The step, unique in its run."""
    made: tuple[str, ...] = ()
    """Addresses of what was written; empty where everything was in step."""
    sentence: str
    taken_away: bool = False
    """Whether `made` names what was removed."""

    @classmethod
    def removed(cls, plane: PlaneName, name: str, gone: Sequence[str]) -> Outcome:
        """The outcome of taking things away."""
        sentence = f"{len(gone)} removed" if gone else "nothing was there"
        return cls(plane=plane, name=name, made=tuple(gone), sentence=sentence, taken_away=True)


async def bring_into_step(
    plane: Plane[Wanted, Observed], wanted: Wanted, clients: Clients, *, name: PlaneName, step: str
) -> Outcome:
    """Close the gap between `wanted` and what is there, and look again.

    Raises:
        NotYet: something is still not as declared after the change; converging again is safe.
    """
    observed = await plane.observe(wanted, clients)
    findings = plane.compare(wanted, observed)
    if not findings:
        log.info("%s is in step.", step)
        return Outcome(plane=name, name=step, sentence="in step")
    for finding in findings:
        log.info("%s", finding.sentence)
    made = await plane.converge(wanted, observed, findings, clients)
    left = plane.compare(wanted, await plane.observe(wanted, clients))
    if left:
        raise NotYet(f"{step} is not as declared yet: {left[0].sentence}", detail=_rest(left))
    log.info("%s: made %s.", step, ", ".join(made))
    return Outcome(plane=name, name=step, made=tuple(made), sentence=f"{len(made)} made or changed")


def _rest(findings: Sequence[Finding]) -> str | None:
    return f"and {len(findings) - 1} more" if len(findings) > 1 else None
