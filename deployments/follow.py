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
        """Print the run's log as it comes, and return the state it ended in (`COMPLETED`, `FAILED` …).

        Raises:
            DeadlineExceeded: it still runs after `timeout` seconds.
        """
        began, seen = time.monotonic(), 0
        while True:
            run = self._get(f"flow_runs/{run_id}")
            seen += self._print_logs(run_id, seen, console, began)
            if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                # The last lines arrive after the state: the run sends its log in batches.
                self._print_logs(run_id, seen, console, began)
                return str(run["state_type"])
            if time.monotonic() - began > timeout:
                raise DeadlineExceeded(
                    f"The flow run is still {run['state_name']} after {timeout:g} s; it goes on.",
                    hint="Look at it in the UI, or set PLUMBLINE_PREFECT_RUN_TIMEOUT.",
                )
            time.sleep(0.5)

    def steps(self, environment: str) -> list[dict[str, Any]]:
        """The steps of the newest run over an environment, from its published report; none before the first."""
        answer = self._api.get(f"artifacts/environment-{environment}-steps/latest")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        answer.raise_for_status()
        data = answer.json()["data"]
        rows: list[dict[str, Any]] = json.loads(data) if isinstance(data, str) else data
        return rows

    def _print_logs(self, run_id: str, offset: int, console: Console, began: float) -> int:
        body = {
            "logs": {"flow_run_id": {"any_": [run_id]}, "level": {"ge_": INFO}},
            "sort": "TIMESTAMP_ASC",
            "offset": offset,
            "limit": PAGE,
        }
        answer = self._api.post("logs/filter", json=body)
        answer.raise_for_status()
        lines = answer.json()
        for line in lines:
            if line["name"] not in ("prefect.flow_runs", "prefect.task_runs") or "Finished in state" in line["message"]:
                console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  ", end="")
                console.print(line["message"].splitlines()[0], markup=False, highlight=False)
        return len(lines)

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
