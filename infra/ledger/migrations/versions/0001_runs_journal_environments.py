"""Runs, steps, the journal and environments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "runs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("flow", sa.String(100), nullable=False),
        sa.Column("environment", sa.String(63), nullable=False),
        sa.Column("commit", sa.String(40)),
        sa.Column("started", _TIME, nullable=False),
        sa.Column("ended", _TIME),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("flow_run_id", sa.String(36)),
        sa.Column("process", sa.String(300), nullable=False),
    )
    op.create_index("ix_runs_environment_started", "runs", ["environment", "started"])
    op.create_table(
        "steps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("plane", sa.String(30), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("waited_seconds", sa.Float, nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("category", sa.String(40)),
    )
    op.create_index("ix_steps_run_id", "steps", ["run_id"])
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("plane", sa.String(30), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("began", _TIME, nullable=False),
        sa.Column("ended", _TIME),
        sa.Column("outcome", sa.String(20)),
        sa.Column("detail", sa.Text),
    )
    op.create_index("ix_journal_run_id", "journal", ["run_id"])
    op.create_index("ix_journal_outcome", "journal", ["outcome"])
    op.create_table(
        "environments",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("cluster_uuid", sa.String(36)),
        sa.Column("last_commit", sa.String(40)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("updated", _TIME, nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("environments", "journal", "steps", "runs"):
        op.drop_table(table)
