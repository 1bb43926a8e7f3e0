"""The sandbox stopped and started again: its ACME server has another root and knows no account any more."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificates

from deployments.sandbox.settings import ROOT
from infra.clients.errors import NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from infra.planes import issuance
from infra.settings import Settings
from tests.platform import Platform
from tests.sandbox.test_drift import found

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]
CANARY: dict[str, Any] = {
    "apiVersion": issuance.CERTIFICATE[0],
    "kind": issuance.CERTIFICATE[1],
    "metadata": {"name": "canary-tls", "namespace": "plumbline-system"},
}


def restart(platform: Platform) -> None:
    for command in ("down", "up"):
        argv = [sys.executable, "-m", "deployments.sandbox", command]
        subprocess.run(argv, cwd=ROOT, env=platform.variables(), check=True, timeout=400)


async def renew(kubeconfig: Path) -> str:
    """Have cert-manager renew, as its own clock would, and wait until it has failed."""
    async with KubernetesClient(kubeconfig, Settings()) as kubernetes:
        live = await kubernetes.get_like(CANARY)
        assert live is not None
        asked = {"type": "Issuing", "status": "True", "reason": "Renewing", "message": "due"}
        live["status"]["conditions"].append(asked)
        await kubernetes.replace(live, subresource="status")

        async def failed() -> str:
            try:
                await issuance.ready(CANARY, kubernetes)
            except issuance.Stuck as stuck:
                return stuck.sentence
            raise NotYet("the renewal is under way")

        return await wait_until(failed, describe="the renewal to fail", timeout=60)


@pytest.mark.usefixtures("dev")
def test_dev_is_in_step_after_a_restart_and_a_renewal_succeeds(platform: Platform) -> None:
    roots = Path(platform.variables()["PLUMBLINE_TLS_CA_FILE"])
    before = load_pem_x509_certificates(roots.read_bytes())
    restart(platform)
    after = load_pem_x509_certificates(roots.read_bytes())
    assert set(before) < set(after), "what was served before stays trusted"
    checked = platform.flow("check_drift", "dev")
    assert (checked.status, found(checked)) == (0, {}), checked.log[-4000:]

    said = asyncio.run(renew(Path(platform.sandbox("kubeconfig", "dev"))))
    assert issuance.ACCOUNT_LOST.search(said)
    checked = platform.flow("check_drift", "dev")
    assert checked.status == 2
    (failing,) = found(checked).values()
    assert failing["address"] == "Certificate/plumbline-system/canary-tls/ready"
    assert "cannot be renewed, and cert-manager tries again on" in failing["sentence"]

    healed = platform.flow("reconcile", "dev")
    assert healed.status == 0, healed.log[-4000:]
    assert (healed.result["after"]["state"], found(healed)) == ("in step", {})
    served = json.dumps(healed.result["report"])
    assert "Pebble Intermediate CA" in served
