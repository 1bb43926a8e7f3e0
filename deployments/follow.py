"""Start a flow run through the API and follow it: its log line by line, and its report at the end."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.clients.errors import DeadlineExceeded

INFO = 20
PAGE = 200
OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class _Shown:
    """What has been printed of a run, so that nothing is printed twice."""

    def __init__(self, console: Console, began: float) -> None:
        self.count = 0
        self._console = console
        self._began = began
        self._ended: set[str] = set()

    def lines(self, logs: list[dict[str, Any]]) -> None:
        """Print our own sentences; Prefect's say only what `steps` says better."""
        self.count += len(logs)
        for line in logs:
            if not line["name"].startswith("prefect."):
                self._print("     ", line["message"].partition("\n")[0])

    def steps(self, tasks: list[dict[str, Any]]) -> None:
        """Print the steps that have ended since."""
        for task in reversed(tasks):
            if task["state_type"] in OVER and task["id"] not in self._ended:
                self._ended.add(task["id"])
                mark = "[green]done[/green] " if task["state_type"] == "COMPLETED" else "[red]fail[/red] "
                self._print(mark, f"{task['name']} ({task['total_run_time']:.1f} s)")

    def _print(self, mark: str, text: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {mark}{escape(text)}", soft_wrap=True)


class FlowRuns:
    """Flow runs of one Prefect server.

    Args:
        api: a client whose base URL is the Prefect API.
    """

    def __init__(self, api: httpx.Client) -> None:
        self._api = api

    def start(self, flow: str, parameters: dict[str, Any], idempotency_key: str | None = None) -> str:
        """Start the deployment `flow/flow` and return the run's id; a key that was used before returns its run."""
        deployment = self._get(f"deployments/name/{flow}/{flow}")
        body = {"parameters": parameters, "idempotency_key": idempotency_key}
        answer = self._api.post(f"deployments/{deployment['id']}/create_flow_run", json=body)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def follow(self, run_id: str, console: Console, timeout: float) -> str:
        """Print what the run says and which of its steps ended, and return the state it ended in.

        Raises:
            DeadlineExceeded: it still runs after `timeout` seconds.
        """
        began = time.monotonic()
        shown = _Shown(console, began)
        while True:
            run = self._get(f"flow_runs/{run_id}")
            over = run["state_type"] in OVER
            shown.lines(self._logs(run_id, shown.count))
            shown.steps(self._tasks(run_id))
            if over:
                # The last lines arrive after the state, the run sends its log in batches; and they come in pages.
                while logs := self._logs(run_id, shown.count):
                    shown.lines(logs)
                return str(run["state_type"])
            if time.monotonic() - began > timeout:
                raise DeadlineExceeded(
                    f"The flow run is still {run['state_name']} after {timeout:g} s; it goes on.",
                    hint="Look at it in the UI, or set PLUMBLINE_PREFECT_RUN_TIMEOUT.",
                )
            time.sleep(1)

    def steps(self, environment: str) -> list[dict[str, Any]]:
        """The steps of the newest run over an environment, from its published report; none before the first."""
        answer = self._api.get(f"artifacts/environment-{environment}-steps/latest")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        answer.raise_for_status()
        data = answer.json()["data"]
        rows: list[dict[str, Any]] = json.loads(data) if isinstance(data, str) else data
        return rows

    def _logs(self, run_id: str, offset: int) -> list[dict[str, Any]]:
        return self._filter(
            "logs/filter",
            {
                "logs": {"flow_run_id": {"any_": [run_id]}, "level": {"ge_": INFO}},
                "sort": "TIMESTAMP_ASC",
                "offset": offset,
                "limit": PAGE,
            },
        )

    def _tasks(self, run_id: str) -> list[dict[str, Any]]:
        body = {"task_runs": {"flow_run_id": {"any_": [run_id]}}, "sort": "END_TIME_DESC", "limit": PAGE}
        return self._filter("task_runs/filter", body)

    def _filter(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self._api.post(path, json=body)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def _get(self, path: str) -> Any:
        answer = self._api.get(path)
        answer.raise_for_status()
        return answer.json()


def table(environment: str, steps: list[dict[str, Any]]) -> Table:
    """The steps as a table: plane, what was made, state, seconds."""
    rows = Table(title=f"Environment {environment}", title_justify="left")
    for column in ("plane", "step", "what was made", "state"):
        rows.add_column(column, overflow="fold")
    rows.add_column("seconds", justify="right")
    for step in steps:
        colour = {"ready": "green", "removed": "cyan", "failed": "red"}.get(step["state"], "yellow")
        state = f"[{colour}]{step['state']}[/{colour}]"
        rows.add_row(
            step["plane"], step["name"], escape(step["made"] or step["sentence"]), state, f"{step['seconds']:.1f}"
        )
    return rows
