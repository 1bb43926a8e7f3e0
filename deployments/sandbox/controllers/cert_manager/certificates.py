"""Certificates: kept issued, and renewed, in their Secrets."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt

from cryptography import x509 as cx509

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.cert_manager import spec as rules
from deployments.sandbox.controllers.cert_manager.requests import KEY_SECRET
from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    annotated,
    condition,
    contains,
    deleting,
    is_true,
    key_of,
    now,
    owner_reference,
    parent_key,
    parse_stamp,
    set_condition,
    short_hash,
    stamp,
)
from deployments.sandbox.controllers.kube.resources import CERTIFICATEREQUESTS, CERTIFICATES, SECRETS, Key, Obj

REVISION = "cert-manager.io/certificate-revision"
FINGERPRINT = "plumbline.dev/spec-fingerprint"
ACME_NOTES = "acme.cert-manager.io/"
FAO = {"controller.cert-manager.io/fao": "true"}
RETRY = dt.timedelta(hours=1)
"""cert-manager's first pause after a failed issuance; it doubles up to 32 hours."""


class Certificates:
    """Plays cert-manager's trigger, key, request, issuing and readiness controllers."""

    def __init__(self, cluster: Cluster, controller: Feature) -> None:
        self._cluster = cluster
        self._certificates = cluster.informer(CERTIFICATES)
        self._requests = cluster.informer(CERTIFICATEREQUESTS)
        self._secrets = cluster.informer(SECRETS)
        queue = (
            Controller("certificates", self._certificates, controller.gate(self.reconcile))
            .on(self._requests, lambda each: parent_key(each, "Certificate"))
            .on(self._secrets, self._kept_in)
        )
        controller.subscribe(queue.enqueue_all)
        cluster.add(queue)

    async def reconcile(self, key: Key) -> float | None:
        """Take one Certificate a step further; returns the seconds until it is to be renewed or tried again."""
        certificate = self._certificates.get(*key)
        if certificate is None or deleting(certificate):
            return None
        secret = self._secrets.get(key[0], certificate["spec"]["secretName"])
        moment = dt.datetime.now(dt.UTC)
        reason = rules.reissue_reason(certificate, secret, moment)
        if reason is None and secret is not None:
            return await self._ready(certificate, secret, moment)
        return await self._issue(certificate, *(reason or ("DoesNotExist", "")), moment)

    async def _ready(self, certificate: Obj, secret: Obj, moment: dt.datetime) -> float:
        leaf = rules.read_pair(secret).leaf
        again = rules.renewal_time(certificate["spec"], leaf)
        generation = certificate["metadata"].get("generation", 1)
        known = (certificate.get("status") or {}).get("conditions") or []
        conditions = set_condition(
            [each for each in known if each["type"] != "Issuing"],
            *("Ready", True, "Ready", "Certificate is up to date and has not expired"),
            generation=generation,
        )
        status = {
            "conditions": conditions,
            "notBefore": stamp(leaf.not_valid_before_utc),
            "notAfter": stamp(leaf.not_valid_after_utc),
            "renewalTime": stamp(again),
            "revision": (certificate.get("status") or {}).get("revision") or 1,
            "nextPrivateKeySecretName": None,
            "failedIssuanceAttempts": None,
            "lastFailureTime": None,
        }
        await self._cluster.patch_status(CERTIFICATES, certificate, status)
        await self._keep_notes(certificate, secret)
        return max(1.0, (again - moment).total_seconds())

    async def _issue(self, certificate: Obj, reason: str, message: str, moment: dt.datetime) -> float | None:
        failed = self._failed_until(certificate, moment)
        if failed is not None:
            return failed
        revision = int((certificate.get("status") or {}).get("revision") or 0) + 1
        request = self._requests.get(key_of(certificate)[0], request_name(certificate, revision))
        if request is not None and annotated(request).get(FINGERPRINT) != rules.fingerprint(certificate["spec"]):
            await self._cluster.delete(CERTIFICATEREQUESTS, request)
            return 0.05
        if request is None:
            certificate = await self._say_issuing(certificate, reason, message)
            await self._ask(certificate, revision)
        elif is_true(request, "Ready"):
            await self._store(certificate, request, revision)
        elif (condition(request, "Ready") or {}).get("reason") in {"Failed", "Denied"}:
            if (condition(certificate, "Issuing") or {}).get("reason") != "Failed":
                await self._give_up(certificate, request)
                return RETRY.total_seconds()
            await self._cluster.delete(CERTIFICATEREQUESTS, request)  # its pause is over: ask anew
            return 0.05
        return None

    async def _say_issuing(self, certificate: Obj, reason: str, message: str) -> Obj:
        generation = certificate["metadata"].get("generation", 1)
        known = (certificate.get("status") or {}).get("conditions")
        conditions = set_condition(known, "Issuing", True, reason, message, generation=generation)
        serving = is_true(certificate, "Ready") and reason == "Renewing"
        if not serving:
            conditions = set_condition(conditions, "Ready", False, reason, message, generation=generation)
        await self._cluster.event(CERTIFICATES, certificate, "Issuing", message)
        return await self._cluster.patch_status(CERTIFICATES, certificate, {"conditions": conditions})

    async def _ask(self, certificate: Obj, revision: int) -> None:
        spec, metadata = certificate["spec"], certificate["metadata"]
        key, key_secret = await self._next_key(certificate, revision)
        csr = x509.request(key, rules.subject(spec))
        body: Obj = {
            "metadata": {
                "name": request_name(certificate, revision),
                "namespace": metadata["namespace"],
                "annotations": {
                    "cert-manager.io/certificate-name": metadata["name"],
                    REVISION: str(revision),
                    KEY_SECRET: key_secret,
                    FINGERPRINT: rules.fingerprint(spec),
                    **{name: value for name, value in annotated(certificate).items() if name.startswith(ACME_NOTES)},
                },
                "ownerReferences": [owner_reference(certificate, CERTIFICATES)],
            },
            "spec": {
                "request": base64.b64encode(csr).decode(),
                "issuerRef": spec["issuerRef"],
                "isCA": bool(spec.get("isCA")),
                "usages": spec.get("usages") or ["digital signature", "key encipherment"],
            },
        }
        if spec.get("duration"):
            body["spec"]["duration"] = spec["duration"]
        await self._cluster.create(CERTIFICATEREQUESTS, body)
        message = f'Created new CertificateRequest resource "{body["metadata"]["name"]}"'
        await self._cluster.event(CERTIFICATES, certificate, "Requested", message)

    async def _next_key(self, certificate: Obj, revision: int) -> tuple[x509.PrivateKey, str]:
        """The key of the next revision, kept in a Secret of its own so that a restart goes on with it."""
        spec, (namespace, name) = certificate["spec"], key_of(certificate)
        word = short_hash(certificate["metadata"]["uid"], revision, spec.get("privateKey"), length=5)
        key_secret = f"{name}-{word}"
        known = await self._cluster.client.get(SECRETS, namespace, key_secret)
        if known is None:
            key = await asyncio.to_thread(rules.new_key, spec)
            encoded = base64.b64encode(x509.key_pem(key, encoding=rules.encoding(spec))).decode()
            metadata = {
                "name": key_secret,
                "namespace": namespace,
                "labels": {"cert-manager.io/next-private-key": "true", **FAO},
                "ownerReferences": [owner_reference(certificate, CERTIFICATES)],
            }
            await self._cluster.create(SECRETS, {"metadata": metadata, "type": "Opaque", "data": {"tls.key": encoded}})
        else:
            key = x509.load_key(base64.b64decode(known["data"]["tls.key"]))
        await self._cluster.patch_status(CERTIFICATES, certificate, {"nextPrivateKeySecretName": key_secret})
        return key, key_secret

    async def _store(self, certificate: Obj, request: Obj, revision: int) -> None:
        namespace, _ = key_of(certificate)
        key_secret = annotated(request)[KEY_SECRET]
        kept = await self._cluster.client.get(SECRETS, namespace, key_secret)
        chain = cx509.load_pem_x509_certificates(base64.b64decode(request["status"]["certificate"]))
        if kept is None or not _belongs(chain[0], kept):
            # The key was lost, so its certificate is of no use: ask again with a new one.
            await self._cluster.delete(CERTIFICATEREQUESTS, request)
            return
        data = {
            "tls.crt": request["status"]["certificate"],
            "tls.key": kept["data"]["tls.key"],
            "ca.crt": request["status"].get("ca", ""),
        }
        template = certificate["spec"].get("secretTemplate") or {}
        body = {
            "metadata": {
                "name": certificate["spec"]["secretName"],
                "namespace": namespace,
                "annotations": {
                    **(template.get("annotations") or {}),
                    **rules.secret_annotations(certificate, chain[0]),
                },
                "labels": {**(template.get("labels") or {}), **FAO},
            },
            "type": "kubernetes.io/tls",
            "data": data,
        }
        known = self._secrets.get(namespace, certificate["spec"]["secretName"])
        # The revision first: were the Secret first, a restart in between would count it under the old one.
        await self._cluster.patch_status(CERTIFICATES, certificate, {"revision": revision})
        if known is None:
            await self._cluster.create(SECRETS, body)
        else:
            await self._cluster.patch(SECRETS, known, {"metadata": body["metadata"], "data": data})
        await self._cluster.client.delete(SECRETS, namespace, key_secret)
        await self._cluster.event(CERTIFICATES, certificate, "Issuing", "The certificate has been successfully issued")

    async def _give_up(self, certificate: Obj, request: Obj) -> None:
        known = certificate.get("status") or {}
        generation = certificate["metadata"].get("generation", 1)
        message = f"The certificate request has failed to complete and will be retried: {condition(request, 'Ready')}"
        conditions = set_condition(known.get("conditions"), "Issuing", False, "Failed", message, generation=generation)
        attempts = int(known.get("failedIssuanceAttempts") or 0) + 1
        status = {"conditions": conditions, "lastFailureTime": now(), "failedIssuanceAttempts": attempts}
        await self._cluster.patch_status(CERTIFICATES, certificate, status)
        await self._cluster.event(CERTIFICATES, certificate, "Failed", message, warning=True)

    def _failed_until(self, certificate: Obj, moment: dt.datetime) -> float | None:
        """Seconds until a failed issuance may be tried again; a changed spec is tried at once."""
        status = certificate.get("status") or {}
        said = condition(certificate, "Issuing")
        if said is None or said["reason"] != "Failed" or not status.get("lastFailureTime"):
            return None
        if said.get("observedGeneration") != certificate["metadata"].get("generation", 1):
            return None
        pause = RETRY * 2 ** min(int(status.get("failedIssuanceAttempts") or 1) - 1, 5)
        left = (parse_stamp(status["lastFailureTime"]) + pause - moment).total_seconds()
        return left if left > 0 else None

    async def _keep_notes(self, certificate: Obj, secret: Obj) -> None:
        wanted = rules.secret_annotations(certificate, rules.read_pair(secret).leaf)
        if not contains(annotated(secret), wanted):
            await self._cluster.patch(SECRETS, secret, {"metadata": {"annotations": wanted}})

    def _kept_in(self, secret: Obj) -> list[Key]:
        namespace, name = key_of(secret)
        found = self._certificates.all(namespace)
        return [key_of(each) for each in found if each["spec"]["secretName"] == name]


def request_name(certificate: Obj, revision: int) -> str:
    """The name of the request for one revision."""
    return f"{certificate['metadata']['name']}-{revision}"


def _belongs(leaf: cx509.Certificate, key_secret: Obj) -> bool:
    key = x509.load_key(base64.b64decode(key_secret["data"]["tls.key"]))
    return x509.public_bytes(key.public_key()) == x509.public_bytes(leaf.public_key())
