"""What the fleet bench says: figures of single processes in, medians and targets out; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from deployments.bench_figures import said_of, table, verdict
from infra.drift.findings import PlaneState

SWEEP_SECONDS = 60.0
FLEET = 100
"""Environments that the target of the sweep is for."""
OVERHEAD_SECONDS = 0.3
TASKS = 10

CAPTION = (
    "One environment was made in the sandbox and recorded; the fleet is that one under other names. In it: the real "
    "clients and their parsing, TLS with client certificates for every API server, DNS, served certificates, git's "
    "head, ledger. Not in it: Terraform's own look (its plan is recorded, too; the real one takes over a second of "
    "processor for each environment), and the time the services themselves would take. Charts and values are the same "
    "throughout, so that each manifest is parsed once. The Prefect server and whoever plays the outside world share "
    "the machine."
)


class Process(BaseModel):
    """One process that looked."""

    model_config = ConfigDict(frozen=True)

    wall: float
    """Seconds from its start to its end."""
    seconds: float
    """Of the looks themselves, as the process says: without its start and imports."""
    cpu: float
    """Seconds of processor time."""
    peak_mib: float
    requests: int
    """That the outside world answered."""
    again: float = 0.0
    """Seconds of the same looks made once more: without what is imported at the first use only."""
    tasks: int = 0
    events: int = 0


class FleetFigures(BaseModel):
    """All processes of one bench."""

    environments: int
    objects: int
    """That each environment's releases declare."""
    first: Process | None = None
    """The first sweep, which makes the schedules."""
    sweeps: list[Process] = []
    plain: list[Process] = []
    """The same sweep without Prefect."""
    checks: list[Process] = []
    """`check-drift` of one environment."""
    plain_checks: list[Process] = []
    commands: list[float] = []
    """Wall seconds of `python -m flows.check_drift`."""
    machine: dict[str, str] = {}

    @property
    def ratio(self) -> float:
        """The sweep's wall over the plain one's."""
        return _median(self.sweeps, "wall") / _median(self.plain, "wall")

    @property
    def overhead(self) -> float:
        """Seconds a check in a sweep takes longer than without Prefect."""
        return (_median(self.sweeps, "wall") - _median(self.plain, "wall")) / self.environments

    @property
    def overhead_alone(self) -> float:
        """Seconds the one check of a `check-drift` takes longer, without the process's start."""
        return _median(self.checks, "seconds") - _median(self.plain_checks, "seconds")

    @property
    def overhead_again(self) -> float:
        """Seconds the next check in the same process takes longer."""
        return _median(self.checks, "again") - _median(self.plain_checks, "again")

    def document(self) -> dict[str, Any]:
        """Everything, with the results first."""
        results = {name: value for name, value, _ in self._results()}
        return {"results": results, **self.model_dump(mode="json")}

    def table(self) -> Table:
        """For people."""
        title = f"{self.environments} recorded environments of {self.objects} objects, median of {len(self.sweeps)}"
        return table(title, f"{CAPTION}\n{said_of(self.machine)}", self._results())

    def _results(self) -> list[tuple[str, float, str]]:
        sweep, cpu = _median(self.sweeps, "wall"), _median(self.sweeps, "cpu")
        share = (cpu - _median(self.plain, "cpu")) / self.environments
        tasks, alone = max(one.tasks for one in self.sweeps) / self.environments, max(one.tasks for one in self.checks)
        return [
            ("ratio to the same looks without Prefect", self.ratio, ""),
            ("sweep, s", sweep, self._of_the_fleet(verdict(sweep, SWEEP_SECONDS, "s"))),
            ("the same without Prefect, s", _median(self.plain, "wall"), ""),
            ("Prefect's overhead for each check of it, s", self.overhead, _overhead(self.overhead)),
            ("the same in processor time, s", share, ""),
            ("tasks for each check", tasks, verdict(tasks, TASKS, "")),
            ("requests of the sweep", _median(self.sweeps, "requests"), ""),
            ("Prefect events of the sweep", _median(self.sweeps, "events"), ""),
            ("processor time of the sweep's process, s", cpu, ""),
            ("processor time without Prefect, s", _median(self.plain, "cpu"), ""),
            ("peak memory of the sweep's process, MiB", max(one.peak_mib for one in self.sweeps), ""),
            ("first sweep, which makes the schedules, s", self.first.wall if self.first else 0.0, ""),
            ("check-drift of one environment, s", _median(self.checks, "seconds"), ""),
            ("the same without Prefect, s ", _median(self.plain_checks, "seconds"), ""),
            ("Prefect's overhead for it, with first imports, s", self.overhead_alone, _overhead(self.overhead_alone)),
            ("for a second one in the same process, s", self.overhead_again, _overhead(self.overhead_again)),
            ("tasks of it", alone, verdict(alone, TASKS, "")),
            ("check-drift as a command with all imports, s", median(self.commands), ""),
        ]

    def _of_the_fleet(self, said: str) -> str:
        return said if self.environments >= FLEET else f"of {FLEET} environments {said.partition(':')[0]}: not measured"


def surprises(verdicts: Sequence[Mapping[str, Any]], drifted: str) -> list[str]:
    """What a sweep has said otherwise than the fleet is: all in step but one, which has drifted (pure).

    Args:
        verdicts: as documents.
        drifted: name of the one.
    """
    found = [] if drifted in {one["environment"] for one in verdicts} else [f"{drifted} was not looked at"]
    for one in verdicts:
        wanted = PlaneState.DRIFTED if one["environment"] == drifted else PlaneState.IN_STEP
        if one["state"] != wanted:
            found.append(" ".join([f"{one['environment']} is {one['state']}:", *_reasons(one)]))
    return found


def _reasons(verdict: Mapping[str, Any]) -> list[str]:
    spots = [f"{spot['what']}: {spot['why']}" for plane in verdict["planes"] for spot in plane["blind_spots"]]
    return [*(found["sentence"] for plane in verdict["planes"] for found in plane["findings"]), *spots][:3]


def _overhead(seconds: float) -> str:
    return verdict(seconds, OVERHEAD_SECONDS, "s")


def _median(processes: Sequence[Process], figure: str) -> float:
    return float(median(getattr(one, figure) for one in processes))
