"""One real control plane for each test process, reset after each test or module, and our clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deployments.sandbox.controlplane.plane import ControlPlane
from deployments.sandbox.settings import free_port
from infra.clients.helm import HelmClient
from infra.clients.kubernetes import KubernetesClient
from infra.settings import Settings
from tests.envtest.resetting import Resetting
from tests.helms import helm_of


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The process's control plane; who makes objects asks for `plane` or `kept_plane`."""
    plane = ControlPlane(tmp_path_factory.mktemp("plane"), port=free_port())
    # Every module waits for this one: a machine that is busy with other tests gets the time that it needs.
    plane.start(timeout=240)
    try:
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def resetting(control_plane: ControlPlane) -> Iterator[Resetting]:
    """What takes away everything that was made in the control plane."""
    made = Resetting(control_plane)
    yield made
    made.close()


@pytest.fixture
def plane(control_plane: ControlPlane, resetting: Resetting) -> Iterator[ControlPlane]:
    """The control plane, reset after each test."""
    yield control_plane
    resetting.reset()


@pytest.fixture(scope="module")
def kept_plane(control_plane: ControlPlane, resetting: Resetting) -> Iterator[ControlPlane]:
    """The control plane, reset after the module: its tests build on one another, or on what is the same for all."""
    yield control_plane
    resetting.reset()


@pytest.fixture(scope="module")
def sandbox(kept_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sandbox whose cluster dev the control plane is."""
    made = tmp_path_factory.mktemp("sandbox")
    (made / "clusters").mkdir(mode=0o700)
    (made / "clusters" / "dev").symlink_to(kept_plane.home)
    return made


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
