"""What is to be told of checks, and what has been."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table; what earlier checks found was told when they ran."""
    op.create_table(
        "news",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("environment", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("check_id", sa.String(32), sa.ForeignKey("checks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("finding_id", sa.Integer, sa.ForeignKey("findings.id", ondelete="CASCADE")),
        sa.Column("failure", sa.JSON(none_as_null=True)),
        sa.Column("event", sa.String(36)),
        sa.Column("claimed_at", _TIME),
        sa.Column("told_at", _TIME),
    )
    op.create_index("ix_news_environment_told_at", "news", ["environment", "told_at"])
    op.create_index("ix_news_told_at", "news", ["told_at"])
    op.create_index("ix_news_check_id", "news", ["check_id"])
    op.create_index("ix_news_finding_id", "news", ["finding_id"])


def downgrade() -> None:
    """Remove it."""
    op.drop_table("news")
