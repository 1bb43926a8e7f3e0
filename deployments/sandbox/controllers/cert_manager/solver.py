"""A stand-in for the Designate solver of cert-manager, which runs from a container image: an aggregated API.

cert-manager asks it as https://cert-manager.io/docs/configuration/acme/dns01/webhook/ says. The objects it needs in the
cluster bear a label that says what they are; upstream's are made by its chart (github.com/syseleven/
designate-certmanager-webhook).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.cert_manager.designate import Records
from deployments.sandbox.controllers.egress import Egress
from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.resources import DEPLOYMENTS, SERVICES, Key, Obj, Resource
from deployments.sandbox.controllers.serving import stop_serving
from infra.clients.errors import NotYet, PlumblineError
from infra.clients.waiting import wait_until

GROUP, VERSION, SOLVER = "acme.syseleven.de", "v1alpha1", "designatedns"
NAME = "designate-solver-stand-in"
LABELS = {"plumbline.dev/stand-in": "designate-certmanager-webhook"}
MANAGER = "plumbline-sandbox"
ADDRESS = "192.0.2.1"
"""Of the Service's only endpoint: an APIService counts as unavailable without one. Nobody dials it (RFC 5737)."""
ENDPOINTSLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
CLUSTERROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False)
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False)
APISERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", False)
PLANE_TIME = 60.0
"""Seconds a control plane gets for its first start."""

log = logging.getLogger(__name__)


class Solver:
    """The API, and what leads the API server to it, while cert-manager runs.

    Args:
        cluster: in which cert-manager asks.
        egress: leads the API server here.
        feature: cert-manager's controller.
        records: where challenges are answered.
        front_proxy: PEM of who signs the API server's certificate as a proxy; nobody else is let in.
    """

    def __init__(self, cluster: Cluster, egress: Egress, feature: Feature, records: Records, front_proxy: Path) -> None:
        self._cluster, self._egress, self._feature = cluster, egress, feature
        self._records, self._front_proxy = records, front_proxy
        controller = Controller("designate-solver", cluster.informer(DEPLOYMENTS), feature.gate(self._reconcile))
        feature.subscribe(lambda: controller.queue.add(_key(feature)))
        cluster.add(controller)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the API on a port of the loopback interface, once the control plane has made its certificates."""
        await wait_until(self._proxy_known, describe=f"{self._front_proxy}", timeout=PLANE_TIME)
        app = web.Application()
        app.router.add_get(f"/apis/{GROUP}", self._group)
        app.router.add_get(f"/apis/{GROUP}/{VERSION}", self._resources)
        app.router.add_post(f"/apis/{GROUP}/{VERSION}/{SOLVER}", self._challenge)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener, ssl_context=self._context()).start()
        self._port = int(listener.getsockname()[1])
        try:
            yield
        finally:
            await stop_serving(runner)

    async def _proxy_known(self) -> None:
        if not self._front_proxy.exists():
            raise NotYet("The control plane has not started yet.")

    def _context(self) -> ssl.SSLContext:
        context = x509.made_up_context(NAME)
        context.load_verify_locations(cafile=str(self._front_proxy))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    async def _reconcile(self, key: Key) -> None:
        if key != _key(self._feature):
            return
        namespace, workload = self._feature.namespace, self._feature.workload
        if workload is None:
            return
        account = workload["spec"]["template"]["spec"].get("serviceAccountName", "default")
        self._egress.route((namespace, NAME), self._port)
        for path, manifest in objects(namespace, account):
            await self._cluster.client.apply(path, manifest, manager=MANAGER)

    async def _group(self, _: web.Request) -> web.Response:
        version = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
        return web.json_response(
            {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version}
        )

    async def _resources(self, _: web.Request) -> web.Response:
        solver = {"name": SOLVER, "singularName": "", "namespaced": False, "kind": "ChallengePayload"}
        group = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}"}
        return web.json_response({**group, "resources": [{**solver, "verbs": ["create"]}]})

    async def _challenge(self, request: web.Request) -> web.Response:
        payload: dict[str, Any] = await request.json()
        asked = payload["request"]
        answer: dict[str, Any] = {"uid": asked["uid"], "success": True}
        act = self._records.present if asked["action"] == "Present" else self._records.clean_up
        try:
            await act(asked["resolvedZone"], asked["resolvedFQDN"], asked["key"])
        except PlumblineError as error:
            log.warning("%s %s: %s", asked["action"], asked["resolvedFQDN"], error)
            answer |= {"success": False, "status": {"status": "Failure", "message": str(error), "code": 500}}
        # As cert-manager's own library answers; what cert-manager sends names neither.
        kind = {"kind": "ChallengePayload", "apiVersion": "webhook.acme.cert-manager.io/v1alpha1"}
        return web.json_response({**kind, "response": answer})


def objects(namespace: str, account: str) -> list[tuple[str, Obj]]:
    """Path and manifest of what the API server and cert-manager need to find the solver, and to be let in (pure)."""

    def made(resource: Resource, name: str = NAME, **parts: Any) -> tuple[str, Obj]:
        metadata = {"name": name, "labels": LABELS | parts.pop("labels", {})}
        metadata |= {"namespace": namespace} if resource.namespaced else {}
        manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **parts}
        return resource.path(namespace, name), manifest

    rule = {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["create"]}
    role = {"apiGroup": CLUSTERROLES.group, "kind": CLUSTERROLES.kind, "name": NAME}
    port = {"name": "https", "port": 443, "protocol": "TCP"}
    endpoint = {"addresses": [ADDRESS], "conditions": {"ready": True}}
    api = {
        "group": GROUP,
        "version": VERSION,
        "service": {"name": NAME, "namespace": namespace, "port": 443},
        "groupPriorityMinimum": 1000,
        "versionPriority": 15,
        "insecureSkipTLSVerify": True,
    }
    slices: Obj = {"addressType": "IPv4", "endpoints": [endpoint], "ports": [port]}
    return [
        made(SERVICES, spec={"ports": [port]}),
        made(ENDPOINTSLICES, labels={"kubernetes.io/service-name": NAME}, **slices),
        made(CLUSTERROLES, rules=[rule]),
        made(BINDINGS, roleRef=role, subjects=[{"kind": "ServiceAccount", "name": account, "namespace": namespace}]),
        made(APISERVICES, f"{VERSION}.{GROUP}", spec=api),
    ]


def _key(feature: Feature) -> Key:
    return (feature.namespace, NAME)
