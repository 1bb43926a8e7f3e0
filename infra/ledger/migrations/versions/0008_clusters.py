"""Every cluster that an environment has had since it was last proved gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table, with what is known already."""
    op.create_table(
        "clusters",
        sa.Column("environment", sa.String(63), primary_key=True),
        sa.Column("cluster_uuid", sa.String(36), primary_key=True),
        sa.Column("noted", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute(
        "INSERT INTO clusters (environment, cluster_uuid, noted) "
        "SELECT name, cluster_uuid, updated FROM environments WHERE cluster_uuid IS NOT NULL"
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("clusters")
