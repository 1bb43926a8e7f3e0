"""The two servers, each started once and stopped after the last of these tests: idle, one costs a tenth of a core."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from deployments.sandbox import envtest
from deployments.sandbox.envtest import free_port
from tests.conformance.harness import (
    EMBEDDED,
    REAL,
    Cluster,
    EmbeddedServer,
    make_home,
    write_kubeconfig,
)

WHY_NOT = "KUBEBUILDER_ASSETS names no folder with etcd, kube-apiserver and kube-controller-manager"


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The embedded server."""
    home = make_home(tmp_path_factory.mktemp("embedded"))
    server = EmbeddedServer(home, free_port())
    server.start()
    cluster = Cluster(EMBEDDED, server.url, home, write_kubeconfig(home, server.url))
    yield cluster
    cluster.close()
    server.stop()


def _start_real(home: Path, *, manager: bool) -> Iterator[Cluster]:
    if envtest.available() is None:
        pytest.skip(WHY_NOT)
    make_home(home)
    plane = envtest.ControlPlane(home, port=free_port(), manager=manager)
    plane.start(120)
    cluster = Cluster(REAL, plane.url, home, write_kubeconfig(home, plane.url))
    place = "/api/v1/namespaces/default" + ("/serviceaccounts/default" if manager else "")
    cluster.until(lambda: cluster.request("GET", place).is_success, place, 60)
    yield cluster
    cluster.close()
    plane.stop()


@pytest.fixture(scope="package")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The real kube-apiserver alone, so that nobody else touches what a test compares; skipped where there is none."""
    yield from _start_real(tmp_path_factory.mktemp("real"), manager=False)


@pytest.fixture(scope="package")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The real kube-apiserver with its controller manager: garbage collection, namespaces."""
    yield from _start_real(tmp_path_factory.mktemp("managed"), manager=True)


@pytest.fixture(params=[EMBEDDED, pytest.param(REAL, marks=pytest.mark.envtest)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each of the two servers in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Cluster)
    return found


@pytest.fixture(params=[EMBEDDED, pytest.param("managed", marks=pytest.mark.envtest)])
def controlled(request: pytest.FixtureRequest) -> Cluster:
    """Each of the two servers with the controllers that belong to a control plane."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Cluster)
    return found


@dataclass
class Pair:
    """Both servers, to be asked the same."""

    embedded: Cluster
    real: Cluster


@pytest.fixture
def pair(embedded: Cluster, real: Cluster) -> Pair:
    return Pair(embedded, real)


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    return cluster.namespace(f"t-{uuid4().hex[:8]}")


@pytest.fixture
def shared_namespace(pair: Pair) -> str:
    """A namespace of the test's own, of the same name on both servers."""
    name = f"p-{uuid4().hex[:8]}"
    for one in (pair.embedded, pair.real):
        one.namespace(name)
    return name


@pytest.fixture(scope="session")
def kubectl() -> str:
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not on PATH")
    return found


@pytest.fixture(scope="session")
def helm() -> str:
    found = shutil.which("helm")
    if found is None:
        pytest.skip("helm is not on PATH")
    return found


@pytest.fixture
def manifests() -> Path:
    return Path(__file__).parent / "manifests"
