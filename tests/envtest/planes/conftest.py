"""Clients of one environment whose cluster is the real control plane; the cloud is in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.settings import ROOT
from infra.clients.errors import NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeJournal, make_clients

CHARTS = ROOT / "deployments/sandbox/charts"
Define = Callable[[str], Awaitable[None]]


@pytest.fixture
def clients(tmp_path: Path, kubernetes: KubernetesClient) -> Clients:
    return make_clients(tmp_path, kubernetes=kubernetes, probe_timeout=30, probe_interval=0.1)


@pytest.fixture
def journal(clients: Clients) -> FakeJournal:
    found: Any = clients.journal
    return found  # type: ignore[no-any-return]


@pytest.fixture
def define(kubernetes: KubernetesClient) -> Define:
    """Have the definitions of a chart of ours served; they are chosen by a pattern under the charts' folder."""

    async def served(definition: dict[str, Any]) -> None:
        spec = definition["spec"]
        version = f"{spec['group']}/{spec['versions'][0]['name']}"
        if await kubernetes.resource(version, spec["names"]["kind"]) is None:
            raise NotYet(f"{spec['names']['kind']} is not served yet.")

    async def defined(pattern: str) -> None:
        for path in sorted(CHARTS.glob(pattern)):
            definition = yaml.safe_load(path.read_text())
            await kubernetes.apply(definition)
            await wait_until(partial(served, definition), describe=path.name, timeout=30, interval=0.1)

    return defined
