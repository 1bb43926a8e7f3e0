"""What stands behind the clients of one environment, for who asks it."""

from __future__ import annotations

from typing import Any

import pytest

from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeHelm, FakeJournal


@pytest.fixture
def helm(clients: Clients) -> FakeHelm:
    found: Any = clients.helm
    return found  # type: ignore[no-any-return]


@pytest.fixture
def journal(clients: Clients) -> FakeJournal:
    found: Any = clients.journal
    return found  # type: ignore[no-any-return]
