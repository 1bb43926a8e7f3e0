"""What the bench says: figures of single runs in, medians, a ratio and targets out; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.table import Table

OVERHEAD_SECONDS = 10.0
OVERHEAD_SHARE = 0.15
TASKS = 40
PEAK_MIB = 400.0

_PARTIES = (("terraform", "cloud"), ("openstack-", "cloud"), ("helm", "helm"), ("kubernetes", "Kubernetes"),
            ("dns", "DNS"), ("readiness", "readiness"))  # fmt: skip
PARTIES = ("cloud", "helm", "Kubernetes", "DNS", "readiness", "others")


class OurRun(BaseModel):
    """One `python -m flows.create_environment`, as its user sees it."""

    model_config = ConfigDict(frozen=True)

    wall: float
    """Seconds from the start of the process to its end."""
    seconds: float
    """Of the flow itself, as its report says."""
    flow_overhead: float
    """Seconds of the flow in which nobody was waited for."""
    waited: dict[str, float]
    """Seconds waited, by whom for, as the report says."""
    peak_mib: float
    cpu: float
    """Seconds of processor time of the flow's own process: what does not depend on who else is busy."""
    writes: int
    tasks: int = 0
    events: int = 0

    @property
    def overhead(self) -> float:
        """Seconds of the wall in which nobody was waited for: the process's start and Prefect's part included."""
        return self.wall - (self.seconds - self.flow_overhead)

    @property
    def outside(self) -> float:
        """Seconds before and after the flow: imports, Prefect's engine, the end of the process."""
        return self.wall - self.seconds


class Figures(BaseModel):
    """All runs of one bench."""

    ours: list[OurRun] = []
    theirs: list[float] = []
    """Wall seconds of the plain script."""
    again: list[OurRun] = []
    """Runs with nothing to do."""
    destroyed: list[float] = []
    """Wall seconds of destroy-environment."""
    import_seconds: list[float] = []
    machine: dict[str, str] = {}

    @property
    def ratio(self) -> float:
        """Ours over theirs, medians of the walls."""
        return median(run.wall for run in self.ours) / median(self.theirs)

    @property
    def overhead(self) -> float:
        """Median seconds of a run in which nobody was waited for."""
        return median(run.overhead for run in self.ours)

    @property
    def overhead_share(self) -> float:
        """The same as a share of each run's wall, median."""
        return median(run.overhead / run.wall for run in self.ours)

    def document(self) -> dict[str, Any]:
        """Everything, with the results first."""
        results = {name: value for name, value, _ in self._results()}
        return {"results": results, **self.model_dump(mode="json")}

    def table(self) -> Table:
        """For people."""
        return table(
            f"create-environment in the sandbox, median of {len(self.ours)}", said_of(self.machine), self._results()
        )

    def _results(self) -> list[tuple[str, float, str]]:
        waited = parties([run.waited for run in self.ours])
        peak, tasks = max(run.peak_mib for run in self.ours), max(run.tasks for run in self.ours)
        share = self.overhead_share * 100
        return [
            ("ratio to the plain script", self.ratio, ""),
            ("wall, s", median(run.wall for run in self.ours), ""),
            ("wall of the plain script, s", median(self.theirs), "it proves nothing, and makes no DNS record"),
            *((f"waited for {party}, s", waited[party], "") for party in PARTIES),
            ("our own overhead, s", self.overhead, verdict(self.overhead, OVERHEAD_SECONDS, "s")),
            ("our own overhead, % of the wall", share, verdict(share, OVERHEAD_SHARE * 100, "%")),
            ("of which imports, s", median(self.import_seconds), ""),
            ("of which outside the flow, s", median(run.outside for run in self.ours), ""),
            ("of which within the flow, s", median(run.flow_overhead for run in self.ours), ""),
            ("processor time of the flow process, s", median(run.cpu for run in self.ours), ""),
            ("tasks", tasks, verdict(tasks, TASKS, "")),
            ("Prefect events", median(run.events for run in self.ours), ""),
            ("peak memory of the flow process, MiB", peak, verdict(peak, PEAK_MIB, "MiB")),
            ("second run, nothing to do, s", median(run.wall for run in self.again), _idle(self.again)),
            ("destroy-environment, s", median(self.destroyed), ""),
        ]


def table(title: str, caption: str, results: Iterable[tuple[str, float, str]]) -> Table:
    """Figures for people: each with its name, what was measured, and whether a target is met."""
    rows = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    rows.add_column("figure")
    rows.add_column("measured", justify="right")
    rows.add_column("target", overflow="fold")
    for name, value, target in results:
        rows.add_row(name, f"{value:.3g}" if value < 10 else f"{value:.1f}", target)
    return rows


def said_of(machine: Mapping[str, str]) -> str:
    """The machine in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def parties(waited: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median seconds waited per party; of one party's parts side by side each counts."""
    sums: list[dict[str, float]] = []
    for run in waited:
        total = dict.fromkeys(PARTIES, 0.0)
        for name, seconds in run.items():
            total[next((party for prefix, party in _PARTIES if name.startswith(prefix)), "others")] += seconds
        sums.append(total)
    return {party: median(total[party] for total in sums) for party in PARTIES}


def verdict(measured: float, target: float, unit: str) -> str:
    """Whether a target is met, in words."""
    return f"at most {target:g} {unit}".strip() + (": met" if measured <= target else ": NOT met")


def _idle(again: Sequence[OurRun]) -> str:
    writes = max(run.writes for run in again)
    return "at most 0 writes: met" if not writes else f"at most 0 writes: NOT met, {writes}"
