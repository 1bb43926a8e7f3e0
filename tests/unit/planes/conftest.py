"""Clients of one environment, all of them in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeHelm, FakeJournal, FakeKubernetes, make_clients


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return make_clients(tmp_path)


@pytest.fixture
def kubernetes(clients: Clients) -> FakeKubernetes:
    found: Any = clients.kubernetes
    return found  # type: ignore[no-any-return]


@pytest.fixture
def helm(clients: Clients) -> FakeHelm:
    found: Any = clients.helm
    return found  # type: ignore[no-any-return]


@pytest.fixture
def journal(clients: Clients) -> FakeJournal:
    found: Any = clients.journal
    return found  # type: ignore[no-any-return]
