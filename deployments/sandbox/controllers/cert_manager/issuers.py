"""Issuers and ClusterIssuers: whether they could sign, and the means to."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from cryptography import x509 as cx509

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.cert_manager.spec import read_pair
from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import deleting, is_true, key_of, set_condition
from deployments.sandbox.controllers.kube.resources import CLUSTERISSUERS, ISSUERS, SECRETS, Key, Obj, Resource

SANDBOX_CA = "sandbox-ca"


class NotReady(Exception):
    """The issuer cannot sign.

    Args:
        reason: for the condition.
        message: its sentence.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Issuers:
    """Keeps issuers' conditions true, and lends their authorities.

    Args:
        cluster: where they are.
        controller: whether cert-manager's controller runs.
        ca_folder: the sandbox's CA, ca.crt and ca.key.
    """

    def __init__(self, cluster: Cluster, controller: Feature, ca_folder: Path) -> None:
        self._cluster, self._feature, self._ca = cluster, controller, ca_folder
        self._issuers = cluster.informer(ISSUERS)
        self._cluster_issuers = cluster.informer(CLUSTERISSUERS)
        self._secrets = cluster.informer(SECRETS)
        for resource in (ISSUERS, CLUSTERISSUERS):
            self._watch(resource)

    def _watch(self, resource: Resource) -> None:
        informer = self._cluster.informer(resource)

        async def reconcile(key: Key) -> None:
            await self._reconcile(resource, informer.get(*key))

        queue = Controller(resource.plural, informer, self._feature.gate(reconcile))
        queue.on(self._secrets, lambda secret: self._using(resource, secret))
        self._feature.subscribe(queue.enqueue_all)
        self._cluster.add(queue)

    def find(self, namespace: str, kind: str, name: str) -> Obj | None:
        """The issuer a reference in `namespace` means."""
        return self._cluster_issuers.get("", name) if kind == "ClusterIssuer" else self._issuers.get(namespace, name)

    def authority(self, issuer: Obj) -> x509.Authority:
        """What a `ca` issuer signs with; NotReady where its Secret does not do."""
        name = issuer["spec"]["ca"]["secretName"]
        namespace = key_of(issuer)[0] or self._feature.namespace
        secret = self._secrets.get(namespace, name)
        if secret is None:
            raise NotReady("ErrGetKeyPair", f'Error getting keypair for CA issuer: secret "{name}" not found')
        try:
            pair = read_pair(secret)
        except ValueError as error:
            raise NotReady("ErrInvalidKeyPair", f"Error getting keypair for CA issuer: {error}") from error
        constraints = pair.leaf.extensions.get_extension_for_class(cx509.BasicConstraints).value
        if not constraints.ca:
            raise NotReady("ErrInvalidKeyPair", "Error getting keypair for CA issuer: certificate is not a CA")
        return x509.Authority(pair.leaf, pair.key, tuple(pair.chain[1:]))

    def sandbox_authority(self) -> x509.Authority:
        """The sandbox's own CA, which stands in for the public ones."""
        return x509.Authority.load((self._ca / "ca.crt").read_bytes(), (self._ca / "ca.key").read_bytes())

    async def lend(self) -> None:
        """Put the sandbox's CA where a ClusterIssuer finds it: Secret sandbox-ca beside the controller."""
        namespace = self._feature.namespace
        if not namespace or not (self._ca / "ca.key").exists():
            return
        data = {
            "tls.crt": base64.b64encode((self._ca / "ca.crt").read_bytes()).decode(),
            "tls.key": base64.b64encode((self._ca / "ca.key").read_bytes()).decode(),
        }
        known = self._secrets.get(namespace, SANDBOX_CA)
        if known is None:
            metadata = {"name": SANDBOX_CA, "namespace": namespace}
            await self._cluster.create(SECRETS, {"metadata": metadata, "type": "kubernetes.io/tls", "data": data})
        elif known.get("data") != data:
            await self._cluster.patch(SECRETS, known, {"data": data})

    async def _reconcile(self, resource: Resource, issuer: Obj | None) -> None:
        if issuer is None or deleting(issuer):
            return
        status: Obj = {}
        try:
            if "ca" in issuer["spec"]:
                self.authority(issuer)
                word, reason, message = True, "KeyPairVerified", "Signing CA verified"
            elif "selfSigned" in issuer["spec"]:
                word, reason, message = True, "IsReady", ""
            elif "acme" in issuer["spec"]:
                status["acme"] = await self._register(issuer)
                word, reason = True, "ACMEAccountRegistered"
                message = "The ACME account was registered with the sandbox, which stands in for the ACME server"
            else:
                raise NotReady("Unsupported", "The sandbox signs for ca, selfSigned and acme issuers only")
        except NotReady as error:
            word, reason, message = False, error.reason, error.message
            await self._cluster.event(resource, issuer, reason, message, warning=True)
        generation = issuer["metadata"].get("generation", 1)
        known = (issuer.get("status") or {}).get("conditions")
        status["conditions"] = set_condition(known, "Ready", word, reason, message, generation=generation)
        await self._cluster.patch_status(resource, issuer, status)

    async def _register(self, issuer: Obj) -> Obj:
        acme = issuer["spec"]["acme"]
        namespace = key_of(issuer)[0] or self._feature.namespace
        name = acme["privateKeySecretRef"]["name"]
        entry = acme["privateKeySecretRef"].get("key") or "tls.key"
        secret = self._secrets.get(namespace, name)
        if secret is None:
            account = base64.b64encode(x509.key_pem(x509.generate_key("RSA"), encoding="PKCS1")).decode()
            secret = await self._cluster.create(
                SECRETS,
                {"metadata": {"name": name, "namespace": namespace}, "type": "Opaque", "data": {entry: account}},
            )
        if secret is None or entry not in (secret.get("data") or {}):
            raise NotReady("ErrGetKeyPair", f'secret "{name}" has no account key {entry!r}')
        digest = hashlib.sha256(base64.b64decode(secret["data"][entry])).hexdigest()
        server = acme["server"].rsplit("/", 1)[0]
        return {"uri": f"{server}/acct/{int(digest[:8], 16)}", "lastRegisteredEmail": acme.get("email", "")}

    def _using(self, resource: Resource, secret: Obj) -> list[Key]:
        namespace, name = key_of(secret)
        cluster_wide = resource is CLUSTERISSUERS
        if cluster_wide and namespace != self._feature.namespace:
            return []
        issuers = self._cluster.informer(resource).all(None if cluster_wide else namespace)
        return [key_of(each) for each in issuers if _secret_name(each) == name]


def _secret_name(issuer: Obj) -> str | None:
    spec = issuer["spec"]
    if "ca" in spec:
        return str(spec["ca"].get("secretName"))
    name: str | None = (spec.get("acme") or {}).get("privateKeySecretRef", {}).get("name")
    return name


def ready(issuer: Obj) -> bool:
    """Whether the issuer says Ready of its present spec."""
    return is_true(issuer, "Ready")
