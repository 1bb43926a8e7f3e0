"""Indexes on what findings refer to: a check or run that is removed is looked for there."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_COLUMNS = ("first_check", "cleared_check", "cleared_run")


def upgrade() -> None:
    """Make them."""
    for column in _COLUMNS:
        op.create_index(f"ix_findings_{column}", "findings", [column])


def downgrade() -> None:
    """Remove them."""
    for column in _COLUMNS:
        op.drop_index(f"ix_findings_{column}", "findings")
