"""The clients of one run: what they have read of a cluster goes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.catalog import Catalog
from infra.ledger import ReadOnlyJournal
from infra.planes.clients import open_clients
from infra.settings import Settings
from tests.unit.planes.fakes import declared


async def test_what_was_read_is_forgotten_at_the_end_whoever_still_holds_the_clients(tmp_path: Path) -> None:
    given: dict[str, Any] = {"settings": Settings(state_dir=tmp_path), "catalog": Catalog.load()}
    async with open_clients(declared(), journal=ReadOnlyJournal(), read_only=True, **given) as clients:
        clients._kubernetes = clients._helm = object()  # type: ignore[assignment]
        assert clients.connected
        assert clients.live is clients.live
    assert not clients.connected
    assert clients._live is None
