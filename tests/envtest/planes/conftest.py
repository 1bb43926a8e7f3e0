"""Clients of one environment whose cluster is the real control plane; the cloud is in memory."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.charts.upstream import cert_manager
from deployments.sandbox.settings import ROOT
from infra.clients.errors import NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.planes.clients import Clients
from tests.helms import helm_of
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


async def served(kubernetes: KubernetesClient, definition: dict[str, Any]) -> None:
    """Raise NotYet until the kind of a definition is served."""
    spec = definition["spec"]
    version = f"{spec['group']}/{spec['versions'][0]['name']}"
    if await kubernetes.resource(version, spec["names"]["kind"]) is None:
        raise NotYet(f"{spec['names']['kind']} is not served yet.")


@pytest.fixture
def define(kubernetes: KubernetesClient) -> Define:
    """Have the definitions of a chart of ours served; they are chosen by a pattern under the charts' folder."""

    async def defined(pattern: str) -> None:
        for path in sorted(CHARTS.glob(pattern)):
            definition = yaml.safe_load(path.read_text())
            await kubernetes.apply(definition)
            await wait_until(partial(served, kubernetes, definition), describe=path.name, timeout=30, interval=0.1)

    return defined


@pytest.fixture(scope="session")
def cert_managers() -> list[dict[str, Any]]:
    """The definitions in cert-manager's own chart."""
    chart = cert_manager()
    shown = [word for path in chart.glob("templates/crd-*.yaml") for word in ("-s", f"templates/{path.name}")]
    argv = [str(helm_of(4)), "template", "cert-manager", str(chart), "--set", "crds.enabled=true", *shown]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return [item for item in yaml.safe_load_all(done.stdout) if item]


@pytest.fixture
async def certificates_defined(kubernetes: KubernetesClient, cert_managers: list[dict[str, Any]]) -> None:
    """cert-manager's kinds, with nobody who works on them."""
    for definition in cert_managers:
        await kubernetes.apply(definition)
    for definition in cert_managers:
        await wait_until(partial(served, kubernetes, definition), describe="cert-manager's kinds", timeout=30)
