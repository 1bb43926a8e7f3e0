"""The ledger's tables. Changing one needs a new migration; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, Float, ForeignKey, Index, String, Text, TypeDecorator
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
    """Host, process id and start time of the process that runs it: how a dead one is told from a slow one."""


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
    last_commit: Mapped[str | None] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(20))
    updated: Mapped[datetime] = mapped_column(UtcTime)
