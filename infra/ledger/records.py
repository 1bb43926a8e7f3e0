"""What the ledger gives out: plain, unchangeable records that outlive the database session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a run."""

    plane: str
    name: str
    state: str
    seconds: float
    waited_seconds: float
    """Of `seconds`, how many were spent waiting for another system."""
    sentence: str
    category: str | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a flow over one environment, with its steps in their order."""

    id: str
    flow: str
    environment: str
    commit: str | None
    started: datetime
    ended: datetime | None
    state: str
    """running, then ready, removed or failed as the flow reports, cancelled, or interrupted (its process died)."""
    reason: str | None
    flow_run_id: str | None
    steps: tuple[StepRecord, ...]


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One external write."""

    id: int
    run_id: str
    environment: str
    plane: str
    action: str
    address: str
    began: datetime
    ended: datetime | None
    outcome: str | None
    """None while it runs and for ever when its process died; then done, failed, cancelled, not started or settled."""
    detail: str | None


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """What is known of one environment."""

    name: str
    cluster_uuid: str | None
    last_commit: str | None
    state: str
    updated: datetime
