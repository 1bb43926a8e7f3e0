"""Runs migrations in the connection and the transaction that the ledger opened."""

from __future__ import annotations

from alembic import context

from infra.ledger.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
