"""The graph of steps: order, side by side, what a failure stops, and what a cancellation waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prefect.utilities.annotations import quote

from flows.graph import Graph
from infra.clients.errors import Failed
from infra.drift.findings import PlaneName
from infra.planes.bring import Outcome
from infra.planes.report import StepState

ENVIRONMENT: Any = object()
CLIENTS: Any = object()


class Steps:
    """Steps that note when they begin and end, and wait for what the test says."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.fails: dict[str, Exception] = {}
        self.after: dict[str, list[str]] = {}
        self.got: dict[str, dict[str, Any]] = {}

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    def task(self, name: str) -> Any:
        async def run(*, after: Sequence[Outcome], **given: Any) -> Outcome:
            self.got[name] = given
            self.after[name] = [outcome.name for outcome in after]
            self.log.append(f"{name} begins")
            try:
                if name in self.gates:
                    await self.gates[name].wait()
                await asyncio.sleep(0)
                if name in self.fails:
                    raise self.fails[name]
            except asyncio.CancelledError:
                # A child program is ended before a step is.
                await asyncio.sleep(0.01)
                self.log.append(f"{name} cancelled")
                raise
            self.log.append(f"{name} ends")
            return Outcome(PlaneName.DNS, name, "in step")

        return run


def graph_of(steps: Steps, *edges: tuple[str, Sequence[str]]) -> Graph:
    graph = Graph(ENVIRONMENT, CLIENTS)
    for name, needs in edges:
        graph.step(PlaneName.DNS, name, steps.task(name), needs=needs)
    return graph


def states(reports: Any) -> dict[str, str]:
    return {report.name: str(report.state) for report in reports}


async def until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 - steps have no event to wait for, and each turn is one of the loop's
        await asyncio.sleep(0)


async def test_a_step_begins_when_all_it_needs_has_ended() -> None:
    steps = Steps()
    edges: list[tuple[str, Sequence[str]]] = [("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"])]
    reports = await graph_of(steps, *edges).finish()
    assert states(reports) == dict.fromkeys("abcd", "ready")
    for name, needs in edges:
        for need in needs:
            assert steps.log.index(f"{need} ends") < steps.log.index(f"{name} begins")
    assert steps.after == {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


async def test_steps_that_need_nothing_of_each_other_run_side_by_side() -> None:
    steps = Steps()
    steps.gate("a")
    steps.gate("b")
    graph = graph_of(steps, ("a", []), ("b", []))
    await until(lambda: len(steps.log) == 2)
    assert steps.log == ["a begins", "b begins"]
    steps.gate("b").set()
    steps.gate("a").set()
    await graph.finish()


async def test_a_failure_stops_what_depends_on_it_and_nothing_else() -> None:
    steps = Steps()
    steps.fails["a"] = Failed("No quota.", hint="Ask for more.")
    steps.gate("x")
    graph = graph_of(steps, ("a", []), ("b", ["a"]), ("c", ["b"]), ("x", []), ("y", ["x"]), ("z", ["y", "a"]))
    finishing = asyncio.create_task(graph.finish())
    await until(lambda: "a begins" in steps.log)
    steps.gate("x").set()
    reports = await finishing
    expected = {"a": "failed", "b": "not started", "c": "not started", "x": "ready", "y": "ready", "z": "not started"}
    assert states(reports) == expected
    failed, waiting, further = reports[:3]
    assert (failed.category, failed.sentence, failed.hint) == ("Failed", "No quota.", "Ask for more.")
    assert waiting.sentence == "Not started: it needs a."
    assert (further.sentence, further.seconds) == ("Not started: it needs b.", 0)
    assert "b begins" not in steps.log


async def test_a_cancellation_reaches_every_step_and_waits_for_each() -> None:
    steps = Steps()
    for name in "ab":
        steps.gate(name)
    graph = graph_of(steps, ("a", []), ("b", []), ("c", ["a"]))
    finishing = asyncio.create_task(graph.finish())
    await until(lambda: len(steps.log) == 2)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert sorted(steps.log[2:]) == ["a cancelled", "b cancelled"]
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []


async def test_a_mistake_of_ours_is_reported_without_what_it_says() -> None:
    steps = Steps()
    steps.fails["a"] = KeyError("password=hunter2")
    (report,) = await graph_of(steps, ("a", [])).finish()
    assert (report.state, report.sentence) == (StepState.FAILED, "KeyError; see the log.")


async def test_environment_and_clients_are_quoted_so_that_they_draw_no_edges() -> None:
    steps = Steps()
    graph = Graph(ENVIRONMENT, CLIENTS)
    graph.step(PlaneName.DNS, "a", steps.task("a"), addon="x")
    await graph.finish()
    given = steps.got["a"]
    assert isinstance(given["environment"], quote)
    assert isinstance(given["clients"], quote)
    assert given["environment"].unquote() is ENVIRONMENT
    assert given["addon"] == "x"


async def test_seconds_are_those_of_the_step_alone() -> None:
    steps = Steps()
    steps.gate("a")
    graph = graph_of(steps, ("a", []), ("b", ["a"]))
    asyncio.get_running_loop().call_later(0.5, steps.gate("a").set)
    first, second = await graph.finish()
    assert first.seconds >= 0.5
    assert second.seconds < 0.5


async def test_a_graph_that_is_wrong_is_a_mistake_of_ours() -> None:
    steps = Steps()
    graph = graph_of(steps, ("a", []))
    assert "a" in graph
    assert "b" not in graph
    with pytest.raises(ValueError, match=r"'b' needs unknown steps: \['nothing'\]"):
        graph.step(PlaneName.DNS, "b", steps.task("b"), needs=["a", "nothing"])
    with pytest.raises(ValueError, match="'a' is declared twice"):
        graph.step(PlaneName.DNS, "a", steps.task("a"))
    await graph.finish()
