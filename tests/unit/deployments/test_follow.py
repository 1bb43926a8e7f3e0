"""Following a flow run through Prefect's API: every line once, every step once, and how it ended."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from rich.console import Console
from werkzeug import Request, Response

from deployments import follow
from deployments.deploy import close_parameters
from deployments.follow import FlowRuns, table
from infra.clients.errors import DeadlineExceeded


class FakePrefect:
    """One flow run, whose states, log and task runs the test lays out look by look."""

    def __init__(self, server: HTTPServer) -> None:
        self.states = ["COMPLETED"]
        self.logs: list[dict[str, Any]] = []
        self.appear: list[int] = []
        self.tasks: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self._shown = 0
        server.expect_request("/api/deployments/name/create/create").respond_with_json({"id": "d1"})
        server.expect_request("/api/deployments/d1/create_flow_run").respond_with_handler(self._create)
        server.expect_request("/api/flow_runs/r1").respond_with_handler(self._run)
        server.expect_request("/api/logs/filter").respond_with_handler(self._logs)
        server.expect_request("/api/task_runs/filter").respond_with_handler(self._tasks)

    def _create(self, request: Request) -> Response:
        self.bodies.append(request.get_json())
        return _json({"id": "r1"})

    def _run(self, _request: Request) -> Response:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return _json({"id": "r1", "state_type": state, "state_name": state.title()})

    def _logs(self, request: Request) -> Response:
        body = request.get_json()
        assert body["logs"] == {"flow_run_id": {"any_": ["r1"]}, "level": {"ge_": follow.INFO}}
        if self.appear:
            self._shown = self.appear.pop(0)
        else:
            self._shown = len(self.logs)
        return _json(self.logs[: self._shown][body["offset"] :][: body["limit"]])

    def _tasks(self, _request: Request) -> Response:
        return _json(self.tasks)


def _json(value: Any) -> Response:
    return Response(json.dumps(value), content_type="application/json")


@pytest.fixture
def prefect(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> FakePrefect:
    monkeypatch.setattr("deployments.follow.time.sleep", lambda _seconds: None)
    return FakePrefect(httpserver)


@pytest.fixture
def runs(httpserver: HTTPServer) -> Iterator[FlowRuns]:
    with httpx.Client(base_url=httpserver.url_for("/api/")) as api:
        yield FlowRuns(api)


def line(message: str, name: str = "infra.planes.bring") -> dict[str, Any]:
    return {"name": name, "message": message}


def task(name: str, state: str, seconds: float = 1.0) -> dict[str, Any]:
    return {"id": name, "name": name, "state_type": state, "total_run_time": seconds}


def followed(runs: FlowRuns, timeout: float = 60) -> tuple[str, list[str]]:
    out = io.StringIO()
    state = runs.follow("r1", Console(file=out, width=200, highlight=False), timeout)
    return state, [text.split(" s  ", 1)[1].strip() for text in out.getvalue().splitlines()]


def test_a_run_is_started_by_its_deployments_name(prefect: FakePrefect, runs: FlowRuns) -> None:
    assert runs.start("create", {"name": "dev"}, "once") == "r1"
    assert prefect.bodies == [{"parameters": {"name": "dev"}, "idempotency_key": "once"}]


def test_each_line_and_each_step_is_shown_once(prefect: FakePrefect, runs: FlowRuns) -> None:
    prefect.states = ["RUNNING", "RUNNING", "COMPLETED"]
    prefect.logs = [line("one\nsecond line"), line("Prefect's own", "prefect.flow_runs"), line("three [bold]x[/bold]")]
    prefect.appear = [1, 1, 2]
    prefect.tasks = [task("nodes", "RUNNING"), task("dns", "FAILED", 2.5), task("cluster", "COMPLETED", 61.04)]
    state, said = followed(runs)
    assert state == "COMPLETED"
    assert said == ["one", "done cluster (61.0 s)", "fail dns (2.5 s)", "three [bold]x[/bold]"]


def test_the_last_lines_are_shown_however_many_come_after_the_end(
    prefect: FakePrefect, runs: FlowRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PAGE", 2)
    prefect.logs = [line(f"line {number}") for number in range(7)]
    assert followed(runs)[1] == [f"line {number}" for number in range(7)]


def test_an_empty_line_is_no_trouble(prefect: FakePrefect, runs: FlowRuns) -> None:
    prefect.logs = [line(""), line("more")]
    assert followed(runs)[1] == ["", "more"]


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED"])
def test_other_ends_are_ends_too(prefect: FakePrefect, runs: FlowRuns, state: str) -> None:
    prefect.states = [state]
    assert followed(runs)[0] == state


def test_a_run_that_goes_on_is_left_to_itself(prefect: FakePrefect, runs: FlowRuns) -> None:
    prefect.states = ["RUNNING"]
    with pytest.raises(DeadlineExceeded, match=r"still Running after 0 s; it goes on") as caught:
        followed(runs, timeout=0)
    assert "PLUMBLINE_PREFECT_RUN_TIMEOUT" in (caught.value.hint or "")


def test_the_steps_of_the_newest_report(httpserver: HTTPServer, runs: FlowRuns) -> None:
    assert_path = "/api/artifacts/environment-dev-steps/latest"
    httpserver.expect_oneshot_request(assert_path).respond_with_data("", status=404)
    assert runs.steps("dev") == []
    rows = [{"plane": "dns"}]
    for data in (rows, json.dumps(rows)):
        httpserver.expect_oneshot_request(assert_path).respond_with_json({"data": data})
        assert runs.steps("dev") == rows
    httpserver.expect_oneshot_request(assert_path).respond_with_data("", status=500)
    with pytest.raises(httpx.HTTPStatusError):
        runs.steps("dev")


def test_the_table_says_what_was_made_or_why_nothing_was() -> None:
    rows = [
        {"plane": "dns", "name": "dns", "made": "recordset/*.x.", "sentence": "1 made", "state": "ready", "seconds": 1},
        {"plane": "storage", "name": "storage", "made": "", "sentence": "in step", "state": "ready", "seconds": 0.25},
        {"plane": "dns", "name": "y", "made": "", "sentence": "[bold]It[/bold] broke", "state": "failed", "seconds": 2},
        {"plane": "dns", "name": "z", "made": "", "sentence": "-", "state": "not started", "seconds": 0},
    ]
    out = io.StringIO()
    Console(file=out, width=120).print(table("dev", rows))
    said = out.getvalue()
    for part in ("Environment dev", "recordset/*.x.", "in step", "[bold]It[/bold] broke", "not started", "0.2"):
        assert part in said


def test_parameters_are_closed_and_what_stands_in_them_is_kept(httpserver: HTTPServer) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    found = [{"id": "d1", "parameter_openapi_schema": schema}, {"id": "d2", "parameter_openapi_schema": {}}]
    tagged = {"deployments": {"tags": {"all_": ["plumbline"]}}}
    httpserver.expect_ordered_request("/api/deployments/filter", method="POST", json=tagged).respond_with_json(found)
    for deployment in found:
        closed = {"parameter_openapi_schema": {**deployment["parameter_openapi_schema"], "additionalProperties": False}}  # type: ignore[dict-item]
        httpserver.expect_ordered_request(
            f"/api/deployments/{deployment['id']}", method="PATCH", json=closed
        ).respond_with_data("", status=204)
    with httpx.Client(base_url=httpserver.url_for("/api/")) as api:
        close_parameters(api)
    httpserver.check()
    assert len(httpserver.log) == 3
