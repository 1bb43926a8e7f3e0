"""The ledger's tables. Changing one needs a new migration; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the time zone, so that it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse moments without a time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment in the ledger needs a time zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Put the time zone back."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The ledger's tables."""


class RunRow(Base):
    """One run of a flow over one environment."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_environment_started", "environment", "started"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    flow: Mapped[str] = mapped_column(String(100))
    environment: Mapped[str] = mapped_column(String(63))
    commit: Mapped[str | None] = mapped_column(String(40))
    started: Mapped[datetime] = mapped_column(UtcTime)
    ended: Mapped[datetime | None] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    flow_run_id: Mapped[str | None] = mapped_column(String(36))
    process: Mapped[str] = mapped_column(String(300))
    """Process table, process id and start time of what runs it: how a dead one is told from a slow one, on its host."""
    beat: Mapped[datetime | None] = mapped_column(UtcTime)
    """When it said last that it is at work: how that is told from elsewhere."""


class StepRow(Base):
    """One step of a run."""

    __tablename__ = "steps"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    plane: Mapped[str] = mapped_column(String(30))
    name: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(20))
    seconds: Mapped[float] = mapped_column(Float)
    waited_seconds: Mapped[float] = mapped_column(Float)
    sentence: Mapped[str] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(String(40))


class JournalRow(Base):
    """One external write, noted before it begins and after it ended."""

    __tablename__ = "journal"
    __table_args__ = (Index("ix_journal_outcome", "outcome"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    plane: Mapped[str] = mapped_column(String(30))
    action: Mapped[str] = mapped_column(String(100))
    address: Mapped[str] = mapped_column(Text)
    began: Mapped[datetime] = mapped_column(UtcTime)
    ended: Mapped[datetime | None] = mapped_column(UtcTime)
    outcome: Mapped[str | None] = mapped_column(String(20))
    detail: Mapped[str | None] = mapped_column(Text)


class EnvironmentRow(Base):
    """What is known of one environment."""

    __tablename__ = "environments"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    cluster_uuid: Mapped[str | None] = mapped_column(String(36))
    """Of its newest cluster; all that it has had are in `clusters`."""
    last_commit: Mapped[str | None] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(20))
    updated: Mapped[datetime] = mapped_column(UtcTime)


class ClusterRow(Base):
    """One cluster that an environment has had and that may have left something; gone when the environment is."""

    __tablename__ = "clusters"

    environment: Mapped[str] = mapped_column(String(63), primary_key=True)
    cluster_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    noted: Mapped[datetime] = mapped_column(UtcTime)


class CheckRow(Base):
    """One look at an environment for drift."""

    __tablename__ = "checks"
    __table_args__ = (
        Index("ix_checks_environment_began", "environment", "began"),
        Index("ix_checks_began", "began"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Made of environment, beginning and flow run: the same check recorded again is the same row."""
    environment: Mapped[str] = mapped_column(String(63))
    commit: Mapped[str | None] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(20))
    began: Mapped[datetime] = mapped_column(UtcTime)
    ended: Mapped[datetime] = mapped_column(UtcTime)
    interval_seconds: Mapped[float | None] = mapped_column(Float)
    declared_seconds: Mapped[float | None] = mapped_column(Float)
    latency_seconds: Mapped[float | None] = mapped_column(Float)
    duration_seconds: Mapped[float] = mapped_column(Float)
    findings: Mapped[int] = mapped_column(Integer)
    waived: Mapped[int] = mapped_column(Integer)
    blind_spots: Mapped[int] = mapped_column(Integer)
    stale: Mapped[str | None] = mapped_column(Text)
    flow_run_id: Mapped[str | None] = mapped_column(String(36))
    planes: Mapped[dict[str, dict[str, Any]]] = mapped_column(JSON)
    """By plane: state, looked_at, seconds, findings, waived, blind_spots."""
    changes: Mapped[dict[str, list[int]]] = mapped_column(JSON)
    """Ids of findings by what this check changed about them: what recording it again answers."""


class FindingRow(Base):
    """One onset of a finding; one that comes back gets another row."""

    __tablename__ = "findings"
    __table_args__ = (
        UniqueConstraint("environment", "place", "recurrence", name="uq_findings_onset"),
        Index("ix_findings_environment_cleared_at", "environment", "cleared_at"),
        Index("ix_findings_cleared_at", "cleared_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    environment: Mapped[str] = mapped_column(String(63))
    place: Mapped[str] = mapped_column(String(64))
    """A digest of plane, address and path, which are too long for PostgreSQL's indexes."""
    recurrence: Mapped[int] = mapped_column(Integer)
    earlier: Mapped[int] = mapped_column(Integer, server_default="0")
    """Of `recurrence`, how many onsets an environment of this name had that has been removed since."""
    plane: Mapped[str] = mapped_column(String(30))
    address: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(String(20))
    sentence: Mapped[str] = mapped_column(Text)
    declared: Mapped[str | None] = mapped_column(Text)
    observed: Mapped[str | None] = mapped_column(Text)
    changed_who: Mapped[str | None] = mapped_column(Text)
    changed_when: Mapped[datetime | None] = mapped_column(UtcTime)
    changed_how: Mapped[str | None] = mapped_column(Text)
    arose: Mapped[datetime | None] = mapped_column(UtcTime)
    waived: Mapped[bool] = mapped_column(Boolean)
    waived_since: Mapped[datetime | None] = mapped_column(UtcTime)
    hidden_since: Mapped[datetime | None] = mapped_column(UtcTime)
    """Since when no look has said whether it is still there."""
    uncounted_seconds: Mapped[float] = mapped_column(Float, server_default="0")
    """For how long it was waived, and at its end not known: no part of its repair."""
    first_seen: Mapped[datetime] = mapped_column(UtcTime)
    last_seen: Mapped[datetime] = mapped_column(UtcTime)
    looked_at: Mapped[datetime] = mapped_column(UtcTime)
    """When the look that saw it last began: a write that ended after that may have repaired it."""
    first_check: Mapped[str] = mapped_column(ForeignKey("checks.id"), index=True)
    cleared_at: Mapped[datetime | None] = mapped_column(UtcTime)
    cleared_check: Mapped[str | None] = mapped_column(ForeignKey("checks.id"), index=True)
    cleared_run: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"), index=True)


class NewsRow(Base):
    """One thing that a check has newly found, cleared or failed of, until it is told and for a while after."""

    __tablename__ = "news"
    __table_args__ = (
        Index("ix_news_environment_told_at", "environment", "told_at"),
        Index("ix_news_told_at", "told_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    environment: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(20))
    """found, cleared or failed."""
    check_id: Mapped[str] = mapped_column(ForeignKey("checks.id", ondelete="CASCADE"), index=True)
    finding_id: Mapped[int | None] = mapped_column(ForeignKey("findings.id", ondelete="CASCADE"), index=True)
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Of a check that failed: category, summary, detail and hint."""
    event: Mapped[str | None] = mapped_column(String(36))
    """Id of the event that tells it, from when that is decided: told again, it is the same event."""
    claimed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When somebody last began to tell it."""
    told_at: Mapped[datetime | None] = mapped_column(UtcTime)
