"""cert-manager as a whole: which of its parts run follows its three Deployments."""

from __future__ import annotations

from pathlib import Path

from deployments.sandbox.controllers.cert_manager.acme import Acme
from deployments.sandbox.controllers.cert_manager.certificates import Certificates
from deployments.sandbox.controllers.cert_manager.issuers import SANDBOX_CA, Issuers
from deployments.sandbox.controllers.cert_manager.requests import Requests
from deployments.sandbox.controllers.cert_manager.shim import IngressShim
from deployments.sandbox.controllers.cert_manager.solver import Checker
from deployments.sandbox.controllers.cert_manager.webhook import Injector, Webhook
from deployments.sandbox.controllers.features import Feature, runs_container
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.resources import SECRETS, Key


class CertManager:
    """All of cert-manager.

    Args:
        cluster: where it runs.
        ca_folder: the sandbox's CA.
        checker: what ACME challenges are checked with.
    """

    def __init__(self, cluster: Cluster, ca_folder: Path, checker: Checker) -> None:
        controller = Feature(cluster, runs_container("cert-manager-controller"))
        self._issuers = Issuers(cluster, controller, ca_folder)
        acme = Acme(cluster, controller, checker)
        Requests(cluster, controller, self._issuers, acme)
        Certificates(cluster, controller)
        IngressShim(cluster, controller)
        self.webhook = Webhook(cluster, Feature(cluster, runs_container("cert-manager-webhook")))
        Injector(cluster, Feature(cluster, runs_container("cert-manager-cainjector")))
        lender = Controller("sandbox-ca", cluster.informer(SECRETS), controller.gate(self._lend), workers=1)
        controller.subscribe(lambda: lender.queue.add((controller.namespace, SANDBOX_CA)))
        cluster.add(lender)

    async def _lend(self, key: Key) -> None:
        if key[1] == SANDBOX_CA:
            await self._issuers.lend()

    async def stop(self) -> None:
        """Stop what it serves."""
        await self.webhook.stop()
