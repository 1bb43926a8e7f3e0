"""cert-manager's controller, cainjector and webhook: upstream's own, each while its Deployment is available."""

from __future__ import annotations

from pathlib import Path

from deployments.sandbox.controllers.children import Child, Command
from deployments.sandbox.controllers.egress import Egress
from deployments.sandbox.controllers.features import Feature, arguments, runs_container
from deployments.sandbox.controllers.kube.client import kubeconfig
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.objects import key_of
from deployments.sandbox.controllers.kube.resources import SERVICEACCOUNTS, Obj
from deployments.sandbox.layout import write
from deployments.sandbox.settings import NAME_SERVERS, free_port
from deployments.sandbox.upstream import build

CONTAINERS = {
    "controller": "cert-manager-controller",
    "cainjector": "cert-manager-cainjector",
    "webhook": "cert-manager-webhook",
}
"""How upstream's chart calls the containers, by the part they run."""
TOKEN_SECONDS = 365 * 24 * 3600


class CertManager:
    """The three programs of one cluster.

    Args:
        cluster: theirs.
        egress: leads the API server to the webhook.
        folder: for their kubeconfigs and logs.
        dns_port: of the authoritative name servers.
        proxy: where plain HTTP requests for the cluster's names go; see `names`.
    """

    def __init__(self, cluster: Cluster, egress: Egress, folder: Path, *, dns_port: int, proxy: str) -> None:
        self._cluster, self._egress, self._folder, self._dns_port, self._proxy = (
            cluster,
            egress,
            folder,
            dns_port,
            proxy,
        )
        self.features = {part: Feature(cluster, runs_container(name)) for part, name in CONTAINERS.items()}
        prepare = {"controller": self._controller, "cainjector": self._injector, "webhook": self._webhook}
        self.children = [
            Child(CONTAINERS[part], feature, prepare[part], folder / "log") for part, feature in self.features.items()
        ]

    async def _controller(self, workload: Obj) -> Command:
        servers = ",".join(f"{address}:{self._dns_port}" for address in NAME_SERVERS.values())
        return Command(
            (
                *(str(build.program("cert-manager")), "controller"),
                *await self._flags(workload),
                # It asks who is in charge of a zone, and the servers that are know it at once.
                *("--dns01-recursive-nameservers", servers, "--dns01-recursive-nameservers-only"),
                *("--dns01-check-retry-period", "1s"),
            ),
            # Its own look at an HTTP-01 challenge goes to port 80 of a name that only this machine knows.
            {"HTTP_PROXY": self._proxy},
        )

    async def _injector(self, workload: Obj) -> Command:
        return Command((str(build.program("cert-manager")), "cainjector", *await self._flags(workload)))

    async def _webhook(self, workload: Obj) -> Command:
        port, health = free_port(), free_port()
        # Upstream's chart calls the Service before it as it calls its Deployment.
        self._egress.route(key_of(workload), port)
        program = str(build.program("cert-manager-webhook", build.WEBHOOK))
        own = (f"--secure-port={port}", f"--healthz-port={health}", "--metrics-listen-address=0")
        return Command((program, *await self._flags(workload), *own))

    async def _flags(self, workload: Obj) -> list[str]:
        """The flags the chart gives its container, and a kubeconfig."""
        given = [word for word in arguments(workload) if word.startswith("--")]
        return [*given, "--kubeconfig", str(await self._kubeconfig(workload))]

    async def _kubeconfig(self, workload: Obj) -> Path:
        """A kubeconfig of the workload's ServiceAccount, whose rights are the chart's."""
        namespace, name = key_of(workload)
        account = workload["spec"]["template"]["spec"].get("serviceAccountName", "default")
        client = self._cluster.client
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = await client.request(
            "POST",
            SERVICEACCOUNTS.path(namespace, account, "token"),
            body={**asked, "spec": {"expirationSeconds": TOKEN_SECONDS}},
        )
        path = self._folder / f"{name}.kubeconfig"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, kubeconfig(client.url, client.authority, token=answer["status"]["token"]))
        return path
