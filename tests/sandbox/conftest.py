"""One platform for all end-to-end tests: it takes half a minute to start."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.platform import Finished, Platform, running


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Sandbox, Prefect server and worker, in a folder of their own and on ports of their own.

    What tests do in this process with its state, they do with the mask that every command and worker has.
    """
    before = os.umask(0o077)
    try:
        with running(tmp_path_factory.mktemp("platform"), 0) as platform:
            yield platform
    finally:
        os.umask(before)


@pytest.fixture(scope="package")
def dev(platform: Platform) -> Finished:
    """Environment `dev`, created."""
    finished = platform.flow("create_environment", "dev")
    assert finished.status == 0, finished.log[-4000:]
    return finished
