"""`make up`: everything from nothing to an environment that is ready.

What takes long goes side by side: Prefect's server starts, gets its deployments and its worker beside the sandbox; the
flow run begins when both answer.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deployments.follow import FlowRuns, table
from deployments.helm import ensure_helm
from deployments.prefect_server import LocalPrefect
from deployments.prerequisites import check_prerequisites
from deployments.sandbox import environment, lifecycle
from deployments.sandbox.__main__ import summary
from deployments.sandbox.layout import Layout
from deployments.sandbox.settings import get_sandbox_settings
from deployments.settings import get_prefect_settings
from infra.clients.errors import Failed, PlumblineError
from infra.settings import get_settings

ENVIRONMENT = "dev"


class Up:
    """One `make up`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._settings = get_prefect_settings()
        self._home = get_sandbox_settings().home
        self._prefect = LocalPrefect(self._settings, self._settings.home(self._home))
        self._timings: list[tuple[str, str, str, float]] = []

    def run(self) -> None:
        """Bring everything up, create the environment and print what there is.

        Raises:
            PlumblineError: with a sentence that says what to do.
        """
        check_prerequisites(get_settings().terraform_binary)
        self._prefect.check_port()
        with self._step("helm", "on PATH, or built from its own Go module"):
            helm = ensure_helm()
        Layout(self._home).make()
        fresh, pool = not self._prefect.auth_file.exists(), self._settings.work_pool
        self._prefect.start_server()
        prepared: Future[None] = Future()
        with ThreadPoolExecutor(1) as beside, self._step("prefect", f"server, {pool} worker, deployments"):
            working = beside.submit(self._work, helm, prepared)
            with self._step("sandbox", "OpenStack, name servers, charts, git"):
                self._sandbox(prepared)
            working.result()
        self._create(fresh)

    def _work(self, helm: Path, prepared: Future[None]) -> None:
        """Have Prefect know the flows, and start what runs them."""
        self._prefect.deploy_when_ready()
        prepared.result()
        environment.merge(
            Layout(self._home).environment,
            self._prefect.variables(),
            path=(str(Path(sys.executable).parent), str(helm.parent)),
        )
        self._prefect.start_worker(self._variables(helm))

    def _sandbox(self, prepared: Future[None]) -> None:
        """Start the sandbox.

        Args:
            prepared: becomes done when flow runs can be told of the sandbox; is cancelled when it does not start.
        """
        settings, say = get_sandbox_settings(), partial(self._console.print, markup=False, soft_wrap=True)
        try:
            summary(settings, lifecycle.up(settings, say, lambda: prepared.set_result(None)), self._console)
        finally:
            prepared.cancel()

    def _variables(self, helm: Path) -> dict[str, str]:
        """What flow runs inherit: the sandbox's variables, and PATH with terraform and helm on it."""
        values = environment.parse(Layout(self._home).environment.read_text())
        folders = [str(Path(sys.executable).parent), str(helm.parent), os.environ["PATH"]]
        return {**values, "PATH": os.pathsep.join(folders)}

    def _create(self, fresh: bool) -> None:
        self._console.print(f"\n[bold]Environment {ENVIRONMENT}[/bold]")
        auth = self._prefect.auth_string()
        with self._prefect.api() as api:
            runs = FlowRuns(api)
            run_id = runs.start("create-environment", {"name": ENVIRONMENT})
            state = runs.follow(run_id, self._console, self._settings.run_timeout)
            rows = runs.steps(ENVIRONMENT)
            if state == "COMPLETED":
                # Its schedules come from what git declares; nobody waits for it.
                runs.start("check-fleet", {})
        self._console.print()
        self._console.print(self._platform())
        self._console.print(table(ENVIRONMENT, rows))
        self._addresses(run_id, auth if fresh else None)
        if state != "COMPLETED":
            raise Failed(
                f"Environment {ENVIRONMENT} is not ready: the flow run ended as {state}.",
                hint=f"See {self._settings.ui_url}/runs/flow-run/{run_id}, mend what it names, run `make up` again.",
            )

    def _platform(self) -> Table:
        rows = Table(title="Platform", title_justify="left")
        for column in ("part", "what was made", "state"):
            rows.add_column(column)
        rows.add_column("seconds", justify="right")
        for part, what, state, seconds in self._timings:
            rows.add_row(part, what, f"[green]{state}[/green]", f"{seconds:.1f}")
        return rows

    def _addresses(self, run_id: str, auth: str | None) -> None:
        say = self._console.print
        say(f"\nPrefect UI   {self._settings.ui_url}/runs/flow-run/{run_id}", soft_wrap=True)
        if auth is not None:
            say(f"Auth string  {auth}   (shown once; kept in {self._prefect.auth_file})", markup=False, soft_wrap=True)
        else:
            say(f"Auth string  in {self._prefect.auth_file}", soft_wrap=True)
        say("\nTry next:", style="bold")
        home = os.path.relpath(self._home)
        for line in (
            f"source {home}/env",
            f"kubectl --kubeconfig $(python -m deployments.sandbox kubeconfig {ENVIRONMENT}) get applications,pods -A",
            f"python -m flows.check_drift {ENVIRONMENT}",
            "python -m flows.create_environment staging",
            f"python -m flows.destroy_environment {ENVIRONMENT} --confirm {ENVIRONMENT}",
            "make down",
        ):
            say(f"  {line}", markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _step(self, part: str, what: str) -> Iterator[None]:
        self._console.print(f"[bold]{part}[/bold] {what}")
        began = time.monotonic()
        yield
        self._timings.append((part, what, "running" if part != "helm" else "ready", time.monotonic() - began))


def main() -> int:
    """Bring everything up; exit status 0 only when the environment is ready."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    try:
        Up(console).run()
    except PlumblineError as error:
        errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        errors.print(error.summary, style="red")
        for line in (error.detail, error.hint):
            if line:
                errors.print(line)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
