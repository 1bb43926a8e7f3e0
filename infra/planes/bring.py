"""Bring one plane into step: observe, compare, converge, observe again. Create, upgrade and heal are all this."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, TypeVar

from infra.clients.errors import NotYet
from infra.drift.findings import Finding, PlaneName
from infra.planes.clients import Clients

log = logging.getLogger(__name__)

WantedT = TypeVar("WantedT", contravariant=True)  # noqa: PLC0105
ObservedT = TypeVar("ObservedT")


class Plane(Protocol[WantedT, ObservedT]):
    """What a plane's module offers."""

    async def observe(self, wanted: WantedT, clients: Clients) -> ObservedT:
        """Read what is there; absence is an answer, not an error."""

    def compare(self, wanted: WantedT, observed: ObservedT) -> list[Finding]:
        """Say what is not as declared."""

    async def converge(
        self, wanted: WantedT, observed: ObservedT, findings: list[Finding], clients: Clients
    ) -> list[str]:
        """Close the findings; return the addresses of what was written."""


class Outcome:
    """What one step found and did.

    A plain class on purpose: an orchestrator draws its graph from which objects are handed on, and looks into models;
    inside two outcomes it would find the same plane, and take one step for the other's cause.

    Args:
        name: the step, unique in its run.
        made: addresses of what was written, or removed; empty where everything was in step.
        taken_away: whether `made` names what was removed.
    """

    __slots__ = ("made", "name", "plane", "sentence", "taken_away")

    def __init__(
        self, plane: PlaneName, name: str, sentence: str, made: Sequence[str] = (), *, taken_away: bool = False
    ) -> None:
        self.plane = plane
        self.name = name
        self.sentence = sentence
        self.made = tuple(made)
        self.taken_away = taken_away

    @classmethod
    def removed(cls, plane: PlaneName, name: str, gone: Sequence[str], nothing: str = "nothing was there") -> Outcome:
        """The outcome of taking things away."""
        return cls(plane, name, f"{len(gone)} removed" if gone else nothing, gone, taken_away=True)


async def bring_into_step(
    plane: Plane[WantedT, ObservedT], wanted: WantedT, clients: Clients, *, name: PlaneName, step: str
) -> Outcome:
    """Close the gap between `wanted` and what is there, and look again.

    Raises:
        NotYet: something is still not as declared after the change; converging again is safe.
    """
    observed = await plane.observe(wanted, clients)
    findings = clients.not_waived(plane.compare(wanted, observed))
    if not findings:
        log.info("%s is in step.", step)
        return Outcome(plane=name, name=step, sentence="in step")
    for finding in findings:
        log.info("%s", finding.sentence)
    made = await plane.converge(wanted, observed, findings, clients)
    left = clients.not_waived(plane.compare(wanted, await plane.observe(wanted, clients)))
    if left:
        raise NotYet(f"{step} is not as declared yet: {left[0].sentence}", detail=_rest(left))
    log.info("%s: made %s.", step, ", ".join(made))
    return Outcome(plane=name, name=step, made=made, sentence=f"{len(made)} made or changed")


def _rest(findings: Sequence[Finding]) -> str | None:
    return f"and {len(findings) - 1} more" if len(findings) > 1 else None
