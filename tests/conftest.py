"""What every test may count on: the programs of our own virtual environment, and the pinned Helm 4 on PATH."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from deployments.helm import built_helm
from deployments.sandbox.upstream import build
from infra.clients.errors import PlumblineError
from infra.clients.masking import MASKER

# A flow's command sends our log lines to Prefect's API, and Prefect settles that once, when it is imported: not here.
os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"] = ""

# What these assert says what it has found, too, as in a test.
pytest.register_assert_rewrite("tests.platform", "tests.sandbox.cloud", "tests.sandbox.clusters", "tests.sandbox.runs")

HELM = pytest.StashKey[str]()
ON_DEV = frozenset(f"tests/sandbox/test_{name}.py" for name in ("drift", "environment", "restart"))
"""Files whose tests need environment `dev`, which takes minutes."""


@pytest.fixture(autouse=True)
def own_secrets() -> Iterator[None]:
    """What one test has read as secret is not masked in the next."""
    known, ordered = set(MASKER._known), MASKER._longest_first
    yield
    MASKER._known, MASKER._longest_first = known, ordered


def pytest_configure(config: pytest.Config) -> None:
    """Before collection, since some modules look for a program when they are imported."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started as a background job: what tests start would inherit it, and could not be interrupted.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folders = [str(Path(sys.executable).parent)]
    if build.folder().exists():
        # kubectl, which tests use as people do.
        folders.append(str(build.folder()))
    try:
        # Whichever is on PATH as well: what runs on Helm 3, too, says so (tests/helms.py).
        helm = built_helm()
        folders.append(str(helm.parent))
        config.stash[HELM] = str(helm)
    except PlumblineError as error:
        # Tests that need it say so themselves; the header says why it is missing.
        config.stash[HELM] = f"none: {error}"
    known = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder not in folders]
    os.environ["PATH"] = os.pathsep.join([*folders, *known])


class ByWorld(LoadFileScheduling):  # type: ignore[misc]
    """Each file to one process; files that need the same environment to the same one, which makes it once."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "dev" if file in ON_DEV else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByWorld:
    """How tests are shared out among processes."""
    return ByWorld(config, log)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which helm the tests will find."""
    return [f"helm: {config.stash[HELM]}"]
