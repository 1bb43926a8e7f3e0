"""A platform for measuring: sandbox and Prefect server of its own, beside whatever else runs on the machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from deployments.bench_figures import OurRun
from deployments.bench_plain import Plain, prepare
from deployments.helm import ensure_helm
from deployments.prefect_server import LocalPrefect
from deployments.sandbox import environment
from deployments.settings import PrefectSettings
from infra.catalog import Catalog
from infra.clients.errors import Failed
from infra.settings import ROOT, Settings
from infra.spec.models import Rules
from infra.spec.repository import load

KEPT = ("PLUMBLINE_SANDBOX_VENV", "PLUMBLINE_TERRAFORM_BINARY", "PLUMBLINE_HELM_BINARY")
"""Those of our variables that say where programs are; all others would point the bench at another sandbox."""
RUN_TIMEOUT = 900
SAMPLE = 0.05
"""Seconds between two looks at a process."""


@dataclass(frozen=True)
class Place:
    """Where a bench's platform lives."""

    home: Path
    port_base: int
    load_balancers: str


class BenchPlatform:
    """The platform, and the two ways of making an environment that are compared."""

    def __init__(self, place: Place, prefect: LocalPrefect, api_url: str, variables: Mapping[str, str]) -> None:
        self.home = place.home
        self._prefect = prefect
        self._api_url = api_url
        values = environment.parse((place.home / "env").read_text())
        self._variables = {**variables, **values, **prefect.variables()}

    def flow(self, name: str, *arguments: str) -> OurRun:
        """Run a flow as its user does, and measure it.

        Raises:
            Failed: it failed; its log is kept in the home.
        """
        ended = self.command(f"flows.{name}", *arguments, "--json")
        if ended.status:
            raise Failed(f"{name} {' '.join(arguments)} failed; its log is {ended.log}.", detail=ended.out[-400:])
        report = json.loads(ended.out)
        return OurRun(
            wall=ended.wall,
            seconds=report["seconds"],
            flow_overhead=report["overhead"],
            waited=report["waited"],
            peak_mib=ended.seen.peak_kib / 1024,
            cpu=ended.seen.cpu,
            writes=sum(len(step["made"]) for step in report["steps"]),
        )

    def command(self, module: str, *arguments: str, **variables: str) -> Ended:
        """Run one of our modules as a process of its own, and watch it.

        Args:
            variables: of the environment, beside the platform's.
        """
        log = self.home / "log" / f"bench-{module.rpartition('.')[2]}.log"
        began = time.monotonic()
        with log.open("ab") as stderr:
            argv, env = [sys.executable, "-m", module, *arguments], {**self._variables, **variables}
            child = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=stderr)
            with _watched(child.pid) as seen:
                out, _ = child.communicate(timeout=RUN_TIMEOUT)
        return Ended(child.returncode, time.monotonic() - began, seen, out.decode(), log)

    def deploy(self) -> None:
        """Deploy the flows, so that there is something to schedule."""
        self._prefect.deploy()

    def stop_sandbox(self) -> None:
        """Stop the sandbox and keep its files; Prefect goes on."""
        _sandbox("down", self._variables)

    def counted(self, run: OurRun, flow_run_name: str) -> OurRun:
        """The run with its tasks and events, as Prefect's API counts them for the newest run of that name."""
        tasks, events = self.counts(flow_run_name)
        return run.model_copy(update={"tasks": tasks, "events": events})

    def counts(self, flow_run_name: str) -> tuple[int, int]:
        """Tasks and events of the newest run of that name."""
        user, _, password = self._prefect.auth_string().partition(":")
        with httpx.Client(base_url=f"{self._api_url}/", auth=(user, password), timeout=30) as api:
            chosen = {"flow_runs": {"name": {"any_": [flow_run_name]}}, "sort": "START_TIME_DESC", "limit": 1}
            run_id = _post(api, "flow_runs/filter", chosen)[0]["id"]
            tasks = _post(api, "task_runs/count", {"flow_runs": {"id": {"any_": [run_id]}}})
            events = _settled(api, {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}, "limit": 1})
        return tasks, events

    def script(self, path: Path) -> float:
        """Run one of the plain scripts and return its wall seconds.

        Raises:
            Failed: it failed.
        """
        log = self.home / "log" / f"bench-plain-{path.stem}.log"
        began = time.monotonic()
        with log.open("ab") as output:
            done = subprocess.run(
                ["bash", str(path)],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                timeout=RUN_TIMEOUT,
            )
        if done.returncode:
            raise Failed(f"{path.name} failed; its log is {log}.", detail=log.read_text()[-400:])
        return time.monotonic() - began

    def plain(self, name: str, folder: Path) -> Plain:
        """The plain scripts for a declared environment."""
        values = self._variables
        settings = Settings(
            environments_repository=str(self.home / "git/environments.git"),
            state_dir=self.home / "state",
            secrets_dir=self.home / "secrets",
            chart_mirror=values["PLUMBLINE_CHART_MIRROR"],
            acme_server=values["PLUMBLINE_ACME_SERVER"],
            acme_ca_file=Path(values["PLUMBLINE_ACME_CA_FILE"]),
        )
        catalog = Catalog.load()
        rules = Rules.of(settings, frozenset(catalog))
        declared = load(settings.environments_repository, name, "main", rules=rules, settings=settings).environment
        return prepare(folder, declared, catalog, settings)

    def import_seconds(self) -> float:
        """Seconds until the flow's code is there: the interpreter's start and all imports."""
        began = time.monotonic()
        argv = [sys.executable, "-c", "import flows.create_environment, flows.command"]
        subprocess.run(argv, cwd=ROOT, env=self._variables, check=True, timeout=120)
        return time.monotonic() - began

    def declare(self, *names: str) -> None:
        """Commit environments as `dev` is declared, under other names."""
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            _git("clone", "-q", str(self.home / "git/environments.git"), folder)
            environments = Path(folder) / "environments"
            for name in names:
                document = yaml.safe_load((environments / "dev.yaml").read_text())
                document["metadata"]["name"] = name
                document["spec"]["dns"]["domain"] = f"{name}.sandbox.example."
                for runner in document["spec"]["runners"]:
                    runner["name"] = f"{name}-{runner['name']}"
                (environments / f"{name}.yaml").write_text(yaml.safe_dump(document))
            _git("-C", folder, "add", "-A")
            _git("-C", folder, "-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "-qm", "bench")
            _git("-C", folder, "push", "-q", "origin", "HEAD:main")


@contextmanager
def platform(place: Place) -> Iterator[BenchPlatform]:
    """Sandbox and Prefect server, for as long as the context lasts."""
    helm = ensure_helm()
    foreign = ("PLUMBLINE_", "PREFECT_", "KUBECONFIG")
    variables = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(foreign)}
    variables |= {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(helm.parent), os.environ["PATH"]]),
        "PLUMBLINE_SANDBOX_HOME": str(place.home),
        "PLUMBLINE_SANDBOX_PORT_BASE": str(place.port_base),
        "PLUMBLINE_SANDBOX_LOADBALANCER_NETWORK": place.load_balancers,
    }
    settings = PrefectSettings(port=place.port_base + 90)
    prefect = LocalPrefect(settings, settings.home(place.home), scheduling=False)
    prefect.check_port()
    try:
        _sandbox("up", variables)
        prefect.start_server()
        environment.merge(place.home / "env", prefect.variables(), path=(str(helm.parent),))
        prefect.wait_server()
        yield BenchPlatform(place, prefect, settings.api_url, variables)
    finally:
        prefect.stop()
        _sandbox("down", variables)


@dataclass
class Seen:
    """What was last seen of a process; both figures only grow."""

    peak_kib: int = 0
    """The largest resident memory it has had, as the kernel keeps it (VmHWM); 0 where the system has no such figure."""
    cpu: float = 0.0
    """Seconds of processor time, without its children's."""

    def look(self, pid: int) -> None:
        """Look once; a process that is gone leaves what was seen."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
            status = Path(f"/proc/{pid}/status").read_text()
            marks = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
            self.peak_kib = max(self.peak_kib, *marks, 0)
            times = psutil.Process(pid).cpu_times()
            self.cpu = max(self.cpu, times.user + times.system)


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    wall: float
    """Seconds."""
    seen: Seen
    out: str
    log: Path
    """Where its stderr went."""


@contextmanager
def _watched(pid: int) -> Iterator[Seen]:
    """Look at a process again and again until the block ends."""
    seen = Seen()
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE):
            seen.look(pid)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _settled(api: httpx.Client, query: dict[str, Any]) -> int:
    """The number of events, once it no longer grows: the run's last ones arrive after its end."""
    before, deadline = -1, time.monotonic() + 20
    while time.monotonic() < deadline:
        count = int(_post(api, "events/filter", query)["total"])
        if count == before:
            break
        before = count
        time.sleep(1)
    return before


def _post(api: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = api.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


def _sandbox(command: str, variables: Mapping[str, str]) -> None:
    argv: Sequence[str] = [sys.executable, "-m", "deployments.sandbox", command]
    done = subprocess.run(argv, cwd=ROOT, env=dict(variables), stdout=sys.stderr, check=False)
    if done.returncode:
        raise Failed(f"The bench's sandbox did not answer to {command!r}; its own words are above.")


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, timeout=60, capture_output=True)
