"""A real kube-apiserver for each module, and our clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deployments.sandbox.controlplane.plane import ControlPlane, free_port
from infra.clients.helm import HelmClient
from infra.clients.kubernetes import KubernetesClient
from infra.settings import Settings
from tests.helms import helm_of


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), port=free_port()) as plane:
        yield plane


@pytest.fixture
def major(request: pytest.FixtureRequest) -> int:
    """The Helm that a test runs: 4, where it does not ask for both (tests.helms.on_both)."""
    return int(getattr(request, "param", 4))


@pytest.fixture
def settings(tmp_path: Path, major: int) -> Settings:
    program = str(helm_of(major))
    return Settings(state_dir=tmp_path / "state", helm_binary=program, helm_timeout=60, request_timeout=20)


@pytest.fixture
async def kubernetes(plane: ControlPlane, settings: Settings) -> AsyncIterator[KubernetesClient]:
    async with KubernetesClient(plane.kubeconfig, settings) as client:
        yield client


@pytest.fixture
async def helm(kubernetes: KubernetesClient, settings: Settings) -> AsyncIterator[HelmClient]:
    async with HelmClient(kubernetes.kubeconfig, settings, kubernetes=kubernetes) as client:
        yield client
