"""One platform for all end-to-end tests: it takes half a minute to start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from openstack.connection import Connection

from deployments.sandbox.settings import SandboxSettings
from tests.platform import Finished, Platform, running
from tests.sandbox.cloud import connect, make_template


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Sandbox, Prefect server and worker, in a folder of their own and on ports of their own.

    What tests do in this process with its state, they do with the mask that every command and worker has.
    """
    before = os.umask(0o077)
    try:
        with running(tmp_path_factory.mktemp("platform")) as platform:
            yield platform
    finally:
        os.umask(before)


@pytest.fixture(scope="package")
def dev(platform: Platform) -> Finished:
    """Environment `dev`, created."""
    finished = platform.flow("create_environment", "dev")
    assert finished.status == 0, finished.log[-4000:]
    return finished


@pytest.fixture(scope="package")
def sandbox(platform: Platform) -> SandboxSettings:
    """The platform's sandbox; the module's tests may stop and start it."""
    return platform.settings


@pytest.fixture(scope="module")
def demo(sandbox: SandboxSettings) -> Iterator[Connection]:
    """The demo project."""
    connection = connect(sandbox, "sandbox")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def admin(sandbox: SandboxSettings) -> Iterator[Connection]:
    """The cloud's administrator."""
    connection = connect(sandbox, "sandbox-admin")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def template(demo: Connection) -> Iterator[Any]:
    """A cluster template with a keypair of its own."""
    made = make_template(demo, "kubernetes", "v1.33.4")
    yield made
    demo.container_infrastructure_management.delete_cluster_template(made.uuid)
    demo.compute.delete_keypair(made.keypair_id)
