"""Steps and what they need: each starts when that is done; those that need nothing of each other run together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flows.quoting import unsearched
from infra.drift.findings import PlaneName
from infra.planes.bring import Outcome
from infra.planes.clients import Clients
from infra.planes.report import StepReport, StepState, step_report
from infra.spec.models import Environment

Step = Callable[..., Awaitable[Outcome]]


class NotStarted(Exception):
    """A step was not started, because one it needs did not succeed."""


@dataclass
class _Node:
    plane: PlaneName
    running: asyncio.Task[Outcome]
    seconds: float = 0.0


class Graph:
    """One run's steps over one environment.

    A failure stops what depends on it and nothing else: what runs beside it is allowed to finish, since half an
    installation is worse than a whole one beside a failed neighbour.
    """

    def __init__(self, environment: Environment, clients: Clients) -> None:
        self._subject = {"environment": unsearched(environment), "clients": unsearched(clients)}
        self._nodes: dict[str, _Node] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def step(self, plane: PlaneName, name: str, task: Step, *, needs: Sequence[str] = (), **arguments: object) -> None:
        """Add a step and start it as soon as what it needs is done.

        Args:
            name: unique in the graph.
            task: the Prefect task; it gets environment and clients, `after` (the results of what it needs, which draws
                the edges of the run graph) and `arguments`.
            needs: names of steps that have been added before.

        Raises:
            ValueError: the graph itself is wrong.
        """
        unknown = [need for need in needs if need not in self._nodes]
        if unknown or name in self._nodes:
            raise ValueError(f"{name!r} needs unknown steps: {unknown}" if unknown else f"{name!r} is declared twice")
        running = asyncio.create_task(self._run(name, task, tuple(needs), arguments), name=name)
        self._nodes[name] = _Node(plane, running)

    async def finish(self) -> tuple[StepReport, ...]:
        """Wait for every step and report on each.

        When this is cancelled, so is every step, and each is waited for: one may have a child program to end.
        """
        running = [node.running for node in self._nodes.values()]
        try:
            results = await asyncio.gather(*running, return_exceptions=True)
        except asyncio.CancelledError:
            for step in running:
                step.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            raise
        return tuple(
            _report(name, node, result) for (name, node), result in zip(self._nodes.items(), results, strict=True)
        )

    async def _run(self, name: str, task: Step, needs: tuple[str, ...], arguments: dict[str, object]) -> Outcome:
        after = [await self._result_of(need) for need in needs]
        began = time.monotonic()
        try:
            return await task(**self._subject, after=after, **arguments)
        finally:
            self._nodes[name].seconds = time.monotonic() - began

    async def _result_of(self, need: str) -> Outcome:
        try:
            # Shielded: when one dependant is cancelled, the others still want this step.
            return await asyncio.shield(self._nodes[need].running)
        except Exception as error:
            raise NotStarted(f"it needs {need}") from error


def _report(name: str, node: _Node, result: Any) -> StepReport:
    if isinstance(result, NotStarted):
        return StepReport(
            plane=node.plane, name=name, state=StepState.NOT_STARTED, seconds=0, sentence=f"Not started: {result}."
        )
    return step_report(node.plane, name, node.seconds, result)
