"""For how long an open finding was waived, or could not be looked at: that is no part of its repair."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns; what is waived now has been so since it was seen last, as far as is known."""
    op.add_column("findings", sa.Column("waived_since", _TIME))
    op.add_column("findings", sa.Column("hidden_since", _TIME))
    op.add_column("findings", sa.Column("uncounted_seconds", sa.Float, nullable=False, server_default="0"))
    op.execute("UPDATE findings SET waived_since = last_seen WHERE waived AND cleared_at IS NULL")


def downgrade() -> None:
    """Remove them."""
    for column in ("uncounted_seconds", "hidden_since", "waived_since"):
        op.drop_column("findings", column)
