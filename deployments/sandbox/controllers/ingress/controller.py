"""Serves the Ingresses on the load balancer's address while the controller's Deployment is available."""

from __future__ import annotations

import logging
import ssl

from aiohttp import web

from deployments.sandbox.controllers.features import Feature, flag
from deployments.sandbox.controllers.ingress import solvers
from deployments.sandbox.controllers.ingress.certificates import Certificates
from deployments.sandbox.controllers.ingress.routing import ACME_PATH, DEFAULT_CLASS, Host, Table, build, served
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import annotated, key_of, labels
from deployments.sandbox.controllers.kube.resources import (
    ENDPOINTS,
    INGRESSCLASSES,
    INGRESSES,
    PODS,
    SECRETS,
    SERVICES,
    Key,
    Obj,
)
from deployments.sandbox.controllers.loadbalancers import current_address
from deployments.sandbox.controllers.serving import stop_serving

ALL: Key = ("", "all")
"""The one key there is to reconcile: the whole configuration, as nginx reloads it."""

log = logging.getLogger(__name__)


class Ingress:
    """Plays NGINX and its controller.

    Args:
        cluster: whose Ingresses.
        feature: whether the controller's workload is available.
        https, http: where it listens at the load balancer's address; 443 and 80 would need root.
    """

    def __init__(self, cluster: Cluster, feature: Feature, *, https: int, http: int) -> None:
        self._cluster, self._feature, self._https, self._http = cluster, feature, https, http
        self._ingresses = cluster.informer(INGRESSES)
        self._classes = cluster.informer(INGRESSCLASSES)
        self._services = cluster.informer(SERVICES)
        self._endpoints = cluster.informer(ENDPOINTS)
        self._pods = cluster.informer(PODS)
        self._secrets = cluster.informer(SECRETS)
        self._certificates = Certificates(self._secrets)
        self._table = Table()
        self._wildcard: Key | None = None
        self._default: Key | None = None
        self._runner: web.AppRunner | None = None
        self._address: str | None = None
        statuses = Controller("ingress-status", self._ingresses, self._reconcile_status)
        self._statuses = statuses
        queue = Controller("ingress", self._ingresses, self._reconcile_all, workers=1)
        # Every event concerns the one configuration; the queue folds a burst of them into one build.
        for informer in (self._ingresses, self._classes, self._services):
            queue.on(informer, lambda _: [ALL])
        feature.subscribe(lambda: queue.queue.add(ALL))
        queue.reading(self._endpoints, self._pods, self._secrets)
        cluster.add(queue)
        cluster.add(statuses)

    async def stop(self) -> None:
        """Stop serving."""
        runner, self._runner, self._address = self._runner, None, None
        if runner is not None:
            await stop_serving(runner)

    async def _reconcile_all(self, key: Key) -> None:
        if key != ALL:
            return
        workload = self._feature.workload
        service = self._service(workload) if workload is not None else None
        address = current_address(service) if service is not None else None
        if workload is None or address is None:
            await self.stop()
            return
        class_name = flag(workload, "ingress-class") or "nginx"
        known = self._classes.get("", class_name)
        is_default = known is not None and annotated(known).get(DEFAULT_CLASS) == "true"
        mine = [each for each in self._ingresses.all() if served(each, class_name, is_default=is_default)]
        self._table = build(mine)
        self._wildcard = _secret_key(flag(workload, "wildcard-tls-secret"))
        self._default = _secret_key(flag(workload, "default-server-tls-secret"))
        used = {host.secret for host in self._table.hosts.values() if host.secret}
        self._certificates.forget_all_but(used | {each for each in (self._wildcard, self._default) if each})
        await self._listen(address)
        for ingress in mine:
            self._statuses.queue.add(key_of(ingress))

    async def _reconcile_status(self, key: Key) -> None:
        ingress = self._ingresses.get(*key)
        owners = {host.owner for host in self._table.hosts.values()}
        if ingress is None or self._address is None:
            return
        taken = self._table.collisions.get(key)
        if taken and key not in owners:
            message = f"All hosts are taken by other resources: {', '.join(taken)}"
            await self._cluster.event(INGRESSES, ingress, "Rejected", message, warning=True)
        elif key in owners:
            await self._cluster.patch_status(INGRESSES, ingress, {"loadBalancer": {"ingress": [{"ip": self._address}]}})

    def _service(self, workload: Obj) -> Obj | None:
        """The LoadBalancer Service in front of the controller's pods."""
        pods = labels(workload["spec"]["template"])
        for service in self._services.all(key_of(workload)[0]):
            selector = service["spec"].get("selector")
            if service["spec"].get("type") == "LoadBalancer" and selector and selector.items() <= pods.items():
                return service
        return None

    async def _listen(self, address: str) -> None:
        if address == self._address:
            return
        await self.stop()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._choose
        try:
            await web.TCPSite(runner, address, self._https, ssl_context=context).start()
            await web.TCPSite(runner, address, self._http).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self._address = runner, address
        log.info("ingress serves on %s, ports %s and %s", address, self._https, self._http)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        """Give a TLS connection the certificate of the name it asks for."""
        host = self._table.find(name) if name else None
        connection.context = self._certificate(host) or self._certificates.fake()

    def _certificate(self, host: Host | None) -> ssl.SSLContext | None:
        if host is not None and host.tls:
            if host.secret is not None:
                return self._certificates.context(host.secret)
            wildcard = self._certificates.context(self._wildcard)
            if wildcard is not None:
                return wildcard
        return self._certificates.context(self._default)

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.host.partition(":")[0]
        host = self._table.find(name)
        if host is None:
            return web.Response(status=404, text="404 Not Found\n")
        if request.scheme == "http" and host.tls and not request.path.startswith(ACME_PATH):
            raise web.HTTPMovedPermanently(f"https://{name}:{self._https}{request.path_qs}")
        route = host.route(request.path)
        if route is None:
            return web.Response(status=404, text="404 Not Found\n")
        namespace, service_name = route.service
        service = self._services.get(namespace, service_name)
        if service is None or not self._has_endpoints(route.service):
            return web.Response(
                status=502, text=f"502 Bad Gateway: {namespace}/{service_name} has no ready endpoints\n"
            )
        body: str | None = f"{namespace}/{service_name}\n"
        if solvers.is_solver(service):
            body = solvers.answer(self._pods.all(namespace), name, request.path)
        status = 404 if body is None else 200
        return web.Response(status=status, text=body, headers={"Server": "plumbline-sandbox-ingress"})

    def _has_endpoints(self, service: Key) -> bool:
        endpoints = self._endpoints.get(*service)
        return any(subset.get("addresses") for subset in (endpoints or {}).get("subsets") or [])


def _secret_key(text: str | None) -> Key | None:
    namespace, slash, name = (text or "").partition("/")
    return (namespace, name) if slash and name else None
