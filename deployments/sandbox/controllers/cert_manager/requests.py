"""CertificateRequests: approved, and signed by their issuer."""

from __future__ import annotations

import base64

from cryptography import x509 as cx509
from cryptography.x509.oid import NameOID

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.cert_manager.acme import Acme
from deployments.sandbox.controllers.cert_manager.issuers import Issuers, NotReady, ready
from deployments.sandbox.controllers.cert_manager.spec import alternative_names, duration, issuer_of
from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    annotated,
    condition,
    deleting,
    key_of,
    now,
    parent_key,
    set_condition,
)
from deployments.sandbox.controllers.kube.resources import (
    CERTIFICATEREQUESTS,
    CLUSTERISSUERS,
    ISSUERS,
    ORDERS,
    SECRETS,
    Key,
    Obj,
)

KEY_SECRET = "cert-manager.io/private-key-secret-name"  # noqa: S105 - an annotation's name


class Requests:
    """Signs what Certificates, and people, ask for."""

    def __init__(self, cluster: Cluster, controller: Feature, issuers: Issuers, acme: Acme) -> None:
        self._cluster, self._lender, self._acme = cluster, issuers, acme
        self._requests = cluster.informer(CERTIFICATEREQUESTS)
        queue = Controller("certificaterequests", self._requests, controller.gate(self.reconcile))
        for resource in (ISSUERS, CLUSTERISSUERS):
            queue.on(cluster.informer(resource), self._asking)
        queue.on(cluster.informer(ORDERS), lambda order: parent_key(order, "CertificateRequest"))
        controller.subscribe(queue.enqueue_all)
        cluster.add(queue)

    async def reconcile(self, key: Key) -> None:
        """Take one request a step further."""
        request = self._requests.get(*key)
        if request is None or deleting(request) or decided(request):
            return
        group, kind, name = issuer_of(request["spec"])
        if group != "cert-manager.io":
            return
        if condition(request, "Approved") is None and condition(request, "Denied") is None:
            message = "Certificate request has been approved by cert-manager.io"
            request = await self._say(request, "Approved", "True", "cert-manager.io", message)
        issuer = self._lender.find(key[0], kind, name)
        if issuer is None:
            message = f'Referenced "{kind}" not found: {kind.lower()}.cert-manager.io "{name}" not found'
            await self._say(request, "Ready", "False", "Pending", message)
            return
        if not ready(issuer):
            message = f"Referenced issuer does not have a Ready status condition: {kind} {name}"
            await self._say(request, "Ready", "False", "Pending", message)
            return
        try:
            await self._sign(request, issuer)
        except NotReady as error:
            await self._say(request, "Ready", "False", "Pending", error.message)
        except ValueError as error:
            await self._say(request, "Ready", "False", "Failed", str(error), failureTime=now())

    async def _sign(self, request: Obj, issuer: Obj) -> None:
        csr = cx509.load_pem_x509_csr(base64.b64decode(request["spec"]["request"]))
        if not csr.is_signature_valid:
            raise ValueError("The request's signature is not its key's")
        wanted = requested(request, csr)
        lasting = duration(request["spec"])
        if "acme" in issuer["spec"]:
            failure = await self._acme.settle(request, issuer, csr)
            if failure is not None:
                await self._say(request, "Ready", "False", failure.reason, failure.message, **failure.extra)
                return
            authority = self._lender.sandbox_authority()
            leaf = x509.sign(authority, csr.public_key(), wanted, lasting)
        elif "ca" in issuer["spec"]:
            authority = self._lender.authority(issuer)
            leaf = x509.sign(authority, csr.public_key(), wanted, lasting)
        else:
            key = await self._own_key(request)
            leaf = x509.self_sign(key, wanted, lasting)
            authority = x509.Authority(leaf, key)
        await self._hand_out(request, leaf, authority)

    async def _hand_out(self, request: Obj, leaf: cx509.Certificate, authority: x509.Authority) -> None:
        between = [each for each in (authority.certificate, *authority.chain) if each.issuer != each.subject]
        chain = [leaf] if authority.certificate == leaf else [leaf, *between]
        known = (request.get("status") or {}).get("conditions")
        message = "Certificate fetched from issuer successfully"
        status = {
            "certificate": base64.b64encode(x509.pem(*chain)).decode(),
            "ca": base64.b64encode(x509.pem(authority.root)).decode(),
            "conditions": set_condition(known, "Ready", True, "Issued", message),
        }
        await self._cluster.patch_status(CERTIFICATEREQUESTS, request, status)

    async def _own_key(self, request: Obj) -> x509.PrivateKey:
        name = annotated(request).get(KEY_SECRET)
        secret = await self._cluster.client.get(SECRETS, key_of(request)[0], name) if name else None
        if secret is None:
            raise NotReady("ErrorKey", f"Missing the private key a self-signed certificate is signed with ({name})")
        return x509.load_key(base64.b64decode(secret["data"]["tls.key"]))

    async def _say(self, request: Obj, kind: str, word: str, reason: str, message: str, **extra: str) -> Obj:
        known = (request.get("status") or {}).get("conditions")
        conditions = set_condition(known, kind, word, reason, message)
        return await self._cluster.patch_status(CERTIFICATEREQUESTS, request, {"conditions": conditions, **extra})

    def _asking(self, issuer: Obj) -> list[Key]:
        name = issuer["metadata"]["name"]
        namespace = key_of(issuer)[0] or None
        waiting = [each for each in self._requests.all(namespace) if not decided(each)]
        return [key_of(each) for each in waiting if each["spec"]["issuerRef"]["name"] == name]


def decided(request: Obj) -> bool:
    """Whether the request is signed or refused for good."""
    said = condition(request, "Ready")
    return said is not None and (said["status"] == "True" or said["reason"] in {"Failed", "Denied"})


def requested(request: Obj, csr: cx509.CertificateSigningRequest) -> x509.Subject:
    """What the request's CSR asks for, with the usages of its spec."""
    dns, addresses = alternative_names(csr)
    organization = csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    common = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    uris: list[str] = []
    emails: list[str] = []
    try:
        names = csr.extensions.get_extension_for_class(cx509.SubjectAlternativeName).value
        uris = list(names.get_values_for_type(cx509.UniformResourceIdentifier))
        emails = list(names.get_values_for_type(cx509.RFC822Name))
    except cx509.ExtensionNotFound:
        names = None
    return x509.Subject(
        common_name=str(common[0].value) if common else "",
        organizations=[str(each.value) for each in organization],
        dns_names=dns,
        ip_addresses=addresses,
        uris=uris,
        emails=emails,
        is_ca=bool(request["spec"].get("isCA")),
        usages=request["spec"].get("usages") or ["digital signature", "key encipherment"],
    )
