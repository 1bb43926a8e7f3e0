"""Checks, and the onsets of findings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the drift history's tables."""
    op.create_table(
        "checks",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("environment", sa.String(63), nullable=False),
        sa.Column("commit", sa.String(40)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("began", _TIME, nullable=False),
        sa.Column("ended", _TIME, nullable=False),
        sa.Column("interval_seconds", sa.Float),
        sa.Column("declared_seconds", sa.Float),
        sa.Column("latency_seconds", sa.Float),
        sa.Column("duration_seconds", sa.Float, nullable=False),
        sa.Column("findings", sa.Integer, nullable=False),
        sa.Column("waived", sa.Integer, nullable=False),
        sa.Column("blind_spots", sa.Integer, nullable=False),
        sa.Column("stale", sa.Text),
        sa.Column("flow_run_id", sa.String(36)),
        sa.Column("planes", sa.JSON, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
    )
    op.create_index("ix_checks_environment_began", "checks", ["environment", "began"])
    op.create_index("ix_checks_began", "checks", ["began"])
    op.create_table(
        "findings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("environment", sa.String(63), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("recurrence", sa.Integer, nullable=False),
        sa.Column("plane", sa.String(30), nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("declared", sa.Text),
        sa.Column("observed", sa.Text),
        sa.Column("changed_who", sa.Text),
        sa.Column("changed_when", _TIME),
        sa.Column("changed_how", sa.Text),
        sa.Column("arose", _TIME),
        sa.Column("waived", sa.Boolean, nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("looked_at", _TIME, nullable=False),
        sa.Column("first_check", sa.String(32), sa.ForeignKey("checks.id"), nullable=False),
        sa.Column("cleared_at", _TIME),
        sa.Column("cleared_check", sa.String(32), sa.ForeignKey("checks.id")),
        sa.Column("cleared_run", sa.String(32), sa.ForeignKey("runs.id", ondelete="SET NULL")),
        sa.UniqueConstraint("environment", "place", "recurrence", name="uq_findings_onset"),
    )
    op.create_index("ix_findings_environment_cleared_at", "findings", ["environment", "cleared_at"])
    op.create_index("ix_findings_cleared_at", "findings", ["cleared_at"])


def downgrade() -> None:
    """Remove them."""
    for table in ("findings", "checks"):
        op.drop_table(table)
