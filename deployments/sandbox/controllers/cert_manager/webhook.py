"""cert-manager's webhook, served where the API server looks for it, and the CA injector that makes it trusted."""

from __future__ import annotations

import base64
import datetime as dt
import logging

from aiohttp import web

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.cert_manager.rules import refusal
from deployments.sandbox.controllers.cert_manager.spec import read_pair
from deployments.sandbox.controllers.features import Feature, flag
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import annotated, key_of, labels, matches
from deployments.sandbox.controllers.kube.resources import (
    CERTIFICATES,
    CRDS,
    MUTATING,
    SECRETS,
    SERVICES,
    VALIDATING,
    Key,
    Obj,
    Resource,
)
from deployments.sandbox.controllers.serving import stop_serving

FROM_SECRET = "cert-manager.io/inject-ca-from-secret"  # noqa: S105 - an annotation's name
FROM_CERTIFICATE = "cert-manager.io/inject-ca-from"
DIRECT = "cert-manager.io/allow-direct-injection"
YEAR = dt.timedelta(days=365)

log = logging.getLogger(__name__)


class Webhook:
    """Serves the webhook on its Service's clusterIP while its Deployment is available."""

    def __init__(self, cluster: Cluster, feature: Feature) -> None:
        self._cluster, self._feature = cluster, feature
        self._secrets, self._services = cluster.informer(SECRETS), cluster.informer(SERVICES)
        self._runner: web.AppRunner | None = None
        self._at: tuple[str, int, bytes] | None = None
        queue = Controller("webhook", self._services, self.reconcile, workers=1).on(self._secrets, self._backed_by)
        feature.subscribe(queue.enqueue_all)
        cluster.add(queue)

    async def reconcile(self, key: Key) -> None:
        """Serve, or stop, as the Service says."""
        service, workload = self._services.get(*key), self._feature.workload
        if workload is None:
            await self.stop()
            return
        namespace = key_of(workload)[0]
        pods = labels(workload["spec"]["template"])
        selector = (service or {}).get("spec", {}).get("selector")
        if service is None or key[0] != namespace or not selector or not matches({"matchLabels": selector}, pods):
            return
        authority = await self._authority(workload)
        if authority is None:
            return
        port = next((each["port"] for each in service["spec"]["ports"] if each.get("name") == "https"), None)
        if port is not None:
            await self._serve(service, int(port), authority)

    async def stop(self) -> None:
        """Stop serving."""
        runner, self._runner, self._at = self._runner, None, None
        if runner is not None:
            await stop_serving(runner)

    async def _serve(self, service: Obj, port: int, authority: x509.Authority) -> None:
        address = service["spec"]["clusterIP"]
        at = (address, port, x509.pem(authority.certificate))
        if at == self._at:
            return
        await self.stop()
        namespace, name = key_of(service)
        names = [f"{name}.{namespace}.svc", f"{name}.{namespace}", name]
        key = x509.generate_key()
        subject = x509.Subject(dns_names=names, usages=("digital signature", "server auth"))
        leaf = x509.sign(authority, key.public_key(), subject, YEAR)
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/validate", self._validate)
        app.router.add_post("/mutate", self._mutate)
        app.router.add_get("/healthz", self._healthy)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(
                runner, address, port, ssl_context=x509.server_context(x509.pem(leaf), x509.key_pem(key))
            ).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self._at = runner, at
        log.info("webhook serves on %s:%s", address, port)

    async def _authority(self, workload: Obj) -> x509.Authority | None:
        """The webhook's own CA, kept in the Secret its arguments name."""
        namespace, name = key_of(workload)
        where = flag(workload, "dynamic-serving-ca-secret-namespace") or namespace
        secret_name = flag(workload, "dynamic-serving-ca-secret-name") or f"{name}-ca"
        secret = self._secrets.get(where, secret_name)
        if secret is not None:
            try:
                pair = read_pair(secret)
                return x509.Authority(pair.leaf, pair.key)
            except ValueError:
                log.warning("Secret %s/%s is not usable, making it anew", where, secret_name)
        key = x509.generate_key("ECDSA", 384)
        leaf = x509.self_sign(key, x509.Subject("cert-manager-webhook-ca", is_ca=True, usages=()), YEAR)
        data = {"ca.crt": x509.pem(leaf), "tls.crt": x509.pem(leaf), "tls.key": x509.key_pem(key)}
        encoded = {entry: base64.b64encode(content).decode() for entry, content in data.items()}
        if secret is not None:
            await self._cluster.patch(SECRETS, secret, {"data": encoded})
        else:
            metadata = {"name": secret_name, "namespace": where, "annotations": {DIRECT: "true"}}
            await self._cluster.create(SECRETS, {"metadata": metadata, "type": "Opaque", "data": encoded})
        return None  # the Secret's event brings us back

    async def _validate(self, request: web.Request) -> web.Response:
        review = await request.json()
        why = refusal(review["request"])
        response: Obj = {"uid": review["request"]["uid"], "allowed": why is None}
        if why is not None:
            name = (review["request"].get("object") or {}).get("metadata", {}).get("name", "")
            kind = review["request"].get("kind", {}).get("kind", "")
            response["status"] = {"code": 400, "message": f'{kind} "{name}" is invalid: {why}', "reason": "Invalid"}
        return web.json_response({**_review(review), "response": response})

    async def _mutate(self, request: web.Request) -> web.Response:
        review = await request.json()
        return web.json_response({**_review(review), "response": {"uid": review["request"]["uid"], "allowed": True}})

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    def _backed_by(self, secret: Obj) -> list[Key]:
        workload = self._feature.workload
        if workload is None or annotated(secret).get(DIRECT) != "true":
            return []
        return [key_of(each) for each in self._services.all(key_of(workload)[0])]


class Injector:
    """Plays cert-manager's cainjector: writes CA bundles where annotations ask for them."""

    def __init__(self, cluster: Cluster, feature: Feature) -> None:
        self._cluster = cluster
        self._secrets = cluster.informer(SECRETS)
        self._certificates = cluster.informer(CERTIFICATES)
        for resource in (VALIDATING, MUTATING, CRDS):
            self._watch(resource, feature)

    def _watch(self, resource: Resource, feature: Feature) -> None:
        informer = self._cluster.informer(resource)

        async def reconcile(key: Key) -> None:
            await self._reconcile(resource, informer.get(*key))

        def asking(secret: Obj) -> list[Key]:
            where = "/".join(key_of(secret))
            return [key_of(each) for each in informer.all() if self._source(each) == where]

        queue = Controller(f"cainjector {resource.plural}", informer, feature.gate(reconcile), workers=1)
        queue.on(self._secrets, asking)
        feature.subscribe(queue.enqueue_all)
        self._cluster.add(queue)

    async def _reconcile(self, resource: Resource, obj: Obj | None) -> None:
        source = self._source(obj) if obj is not None else None
        if obj is None or source is None:
            return
        namespace, _, name = source.partition("/")
        secret = self._secrets.get(namespace, name)
        bundle = ((secret or {}).get("data") or {}).get("ca.crt")
        if secret is None or not bundle:
            return
        if FROM_SECRET in annotated(obj) and annotated(secret).get(DIRECT) != "true":
            return
        change = with_bundle(resource, obj, bundle)
        if change is not None:
            await self._cluster.patch(resource, obj, change)

    def _source(self, obj: Obj) -> str | None:
        """The Secret the object's CA comes from, as namespace/name."""
        notes = annotated(obj)
        if FROM_SECRET in notes:
            return notes[FROM_SECRET]
        namespace, _, name = notes.get(FROM_CERTIFICATE, "").partition("/")
        certificate = self._certificates.get(namespace, name)
        return f"{namespace}/{certificate['spec']['secretName']}" if certificate is not None else None


def with_bundle(resource: Resource, obj: Obj, bundle: str) -> Obj | None:
    """The change that puts a CA bundle into an object, or None where it is there or has no place."""
    if resource is CRDS:
        conversion = obj["spec"].get("conversion") or {}
        client = (conversion.get("webhook") or {}).get("clientConfig")
        if conversion.get("strategy") != "Webhook" or client is None or client.get("caBundle") == bundle:
            return None
        return {"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}}}
    hooks = obj.get("webhooks") or []
    if all(each["clientConfig"].get("caBundle") == bundle for each in hooks):
        return None
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    changed = [{**each, "clientConfig": {**each["clientConfig"], "caBundle": bundle}} for each in hooks]
    return {"metadata": metadata, "webhooks": changed}


def _review(review: Obj) -> Obj:
    return {"apiVersion": review.get("apiVersion", "admission.k8s.io/v1"), "kind": "AdmissionReview"}
