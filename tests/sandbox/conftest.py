"""One platform for all end-to-end tests: it takes half a minute to start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from deployments.helm import ensure_helm
from deployments.prefect_server import LocalPrefect
from deployments.settings import PrefectSettings
from infra.sandbox import environment
from infra.settings import ROOT
from tests.sandbox.platform import Finished, Platform

PORT_BASE = 26000


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Sandbox, Prefect server and worker, in a folder of their own and on ports of their own."""
    home = tmp_path_factory.mktemp("platform")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUMBLINE_SANDBOX_HOME", str(home))
        patch.setenv("PLUMBLINE_SANDBOX_PORT_BASE", str(PORT_BASE))
        patch.setenv("PLUMBLINE_SANDBOX_LOADBALANCER_NETWORK", "127.88.0.0/16")
        for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "KUBECONFIG"):
            patch.delenv(name, raising=False)
        helm = ensure_helm()
        subprocess.run([sys.executable, "-m", "infra.sandbox", "up"], cwd=ROOT, check=True, timeout=400)
        settings = PrefectSettings(port=PORT_BASE + 90)
        prefect = LocalPrefect(settings, settings.home(home))
        try:
            prefect.start_server()
            environment.merge(home / "env", prefect.variables(), path=(str(helm.parent),))
            prefect.wait_server()
            prefect.deploy()
            platform = Platform(home, prefect, settings.api_url, helm.parent)
            prefect.start_worker(platform.variables())
            yield platform
        finally:
            prefect.stop()
            subprocess.run([sys.executable, "-m", "infra.sandbox", "down"], cwd=ROOT, check=True, timeout=120)


@pytest.fixture(scope="session")
def dev(platform: Platform) -> Finished:
    """Environment `dev`, created."""
    finished = platform.flow("create_environment", "dev")
    assert finished.status == 0, finished.log[-4000:]
    return finished
