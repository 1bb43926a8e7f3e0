"""Clients of one environment: Kubernetes answers over HTTP what a test says, everything else is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from infra.planes.clients import Clients
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import make_clients


@pytest.fixture
def kubernetes(httpserver: HTTPServer, tmp_path: Path) -> Iterator[Answering]:
    answering = Answering(httpserver, tmp_path)
    yield answering
    answering.client.close()
    assert answering.unanswered == []


@pytest.fixture
def clients(tmp_path: Path, kubernetes: Answering) -> Clients:
    return make_clients(tmp_path, kubernetes=kubernetes.client)
