"""The ingress shim: an Ingress annotated with an issuer gets Certificates for its TLS Secrets."""

from __future__ import annotations

from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    annotated,
    contains,
    deleting,
    key_of,
    labels,
    owned_by,
    owner_reference,
    parent_key,
)
from deployments.sandbox.controllers.kube.resources import CERTIFICATES, INGRESSES, Key, Obj

CLUSTER_ISSUER, ISSUER = "cert-manager.io/cluster-issuer", "cert-manager.io/issuer"
EDIT_IN_PLACE = "acme.cert-manager.io/http01-edit-in-place"
FIELDS = {
    "cert-manager.io/common-name": "commonName",
    "cert-manager.io/duration": "duration",
    "cert-manager.io/renew-before": "renewBefore",
}


class IngressShim:
    """Keeps Certificates in step with the annotated Ingresses."""

    def __init__(self, cluster: Cluster, controller: Feature) -> None:
        self._cluster = cluster
        self._ingresses = cluster.informer(INGRESSES)
        self._certificates = cluster.informer(CERTIFICATES)
        queue = Controller("ingress-shim", self._ingresses, controller.gate(self.reconcile)).on(
            self._certificates, lambda each: parent_key(each, "Ingress")
        )
        controller.subscribe(queue.enqueue_all)
        cluster.add(queue)

    async def reconcile(self, key: Key) -> None:
        """Make one Ingress's Certificates right."""
        ingress = self._ingresses.get(*key)
        if ingress is None or deleting(ingress):
            return
        wanted = {each["metadata"]["name"]: each for each in certificates_for(ingress)}
        for name, certificate in wanted.items():
            known = self._certificates.get(key[0], name)
            if known is None:
                await self._cluster.create(CERTIFICATES, certificate)
                message = f'Successfully created Certificate "{name}"'
                await self._cluster.event(INGRESSES, ingress, "CreateCertificate", message)
            elif owned_by(known, ingress["metadata"]["uid"]) and not contains(known["spec"], certificate["spec"]):
                await self._cluster.patch(CERTIFICATES, known, {"spec": certificate["spec"]})
        for known in self._certificates.all(key[0]):
            if owned_by(known, ingress["metadata"]["uid"]) and known["metadata"]["name"] not in wanted:
                await self._cluster.delete(CERTIFICATES, known)


def certificates_for(ingress: Obj) -> list[Obj]:
    """The Certificates an Ingress's annotations and TLS blocks ask for."""
    notes = annotated(ingress)
    kind = "ClusterIssuer" if CLUSTER_ISSUER in notes else "Issuer" if ISSUER in notes else None
    if kind is None:
        return []
    hosts: dict[str, list[str]] = {}
    for block in ingress["spec"].get("tls") or []:
        if block.get("secretName") and block.get("hosts"):
            hosts.setdefault(block["secretName"], []).extend(block["hosts"])
    reference = {"group": "cert-manager.io", "kind": kind, "name": notes.get(CLUSTER_ISSUER) or notes[ISSUER]}
    fields = {field: notes[name] for name, field in FIELDS.items() if name in notes}
    namespace, name = key_of(ingress)
    acme: dict[str, str] = {}
    if notes.get(EDIT_IN_PLACE) == "true":
        acme = {
            "acme.cert-manager.io/http01-override-ingress-name": name,
            "cert-manager.io/issue-temporary-certificate": "true",
        }
    return [
        {
            "metadata": {
                "name": secret,
                "namespace": namespace,
                "labels": labels(ingress),
                "annotations": acme,
                "ownerReferences": [owner_reference(ingress, INGRESSES)],
            },
            "spec": {
                "secretName": secret,
                "dnsNames": list(dict.fromkeys(names)),
                "issuerRef": reference,
                "usages": ["digital signature", "key encipherment"],
                **fields,
            },
        }
        for secret, names in hosts.items()
    ]
