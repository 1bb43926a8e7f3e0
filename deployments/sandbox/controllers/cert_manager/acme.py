"""ACME in the sandbox: Orders and Challenges that are really verified, over the sandbox's own DNS and ingress.

There is no ACME server. What one would check is checked here: the name is looked up at every authoritative server, and
the token is fetched over HTTP from the address they give (HTTP-01), or looked for as a TXT record (DNS-01).
"""

from __future__ import annotations

import base64
import hashlib
import logging
from dataclasses import dataclass, field

from cryptography import x509 as cx509

from deployments.sandbox.controllers.cert_manager import solver
from deployments.sandbox.controllers.cert_manager.spec import alternative_names, common_name_of
from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    annotated,
    deleting,
    key_of,
    owner_reference,
    parent_key,
    short_hash,
)
from deployments.sandbox.controllers.kube.resources import (
    CERTIFICATEREQUESTS,
    CHALLENGES,
    CLUSTERISSUERS,
    ISSUERS,
    ORDERS,
    Key,
    Obj,
)

FINALIZER = "finalizer.acme.cert-manager.io"
OVERRIDE_NAME = "acme.cert-manager.io/http01-override-ingress-name"
LOOK = 2.0
"""Seconds between two checks whether a challenge is visible."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unsettled:
    """Why a request cannot be signed yet, or at all."""

    reason: str
    message: str
    extra: dict[str, str] = field(default_factory=dict)


class Acme:
    """Plays cert-manager's orders and challenges controllers, and the ACME server's checks.

    Args:
        cluster: where they are.
        controller: whether cert-manager's controller runs.
        checker: looks names up and fetches tokens.
    """

    def __init__(self, cluster: Cluster, controller: Feature, checker: solver.Checker) -> None:
        self._cluster, self._checker = cluster, checker
        self._orders, self._challenges = cluster.informer(ORDERS), cluster.informer(CHALLENGES)
        self._solver = solver.HttpSolver(cluster)
        orders = Controller("orders", self._orders, controller.gate(self.reconcile_order)).on(
            self._challenges, lambda each: parent_key(each, "Order")
        )
        challenges = Controller("challenges", self._challenges, controller.gate(self.reconcile_challenge))
        for queue in (orders, challenges):
            controller.subscribe(queue.enqueue_all)
            cluster.add(queue)

    async def settle(self, request: Obj, issuer: Obj, csr: cx509.CertificateSigningRequest) -> Unsettled | None:
        """Prove the names of a request; None once all are proven."""
        namespace, name = key_of(request)
        order_name = f"{name}-{short_hash(request['spec']['request'])}"
        order = self._orders.get(namespace, order_name)
        if order is None:
            dns, addresses = alternative_names(csr)
            body = {
                "metadata": {
                    "name": order_name,
                    "namespace": namespace,
                    "annotations": annotated(request),
                    "ownerReferences": [owner_reference(request, CERTIFICATEREQUESTS)],
                },
                "spec": {
                    "request": request["spec"]["request"],
                    "issuerRef": request["spec"]["issuerRef"],
                    "commonName": common_name_of(csr),
                    "dnsNames": dns,
                    "ipAddresses": addresses,
                },
            }
            await self._cluster.create(ORDERS, body)
            return Unsettled("Pending", f"Created Order resource {namespace}/{order_name}")
        state = (order.get("status") or {}).get("state", "pending")
        if state == "valid":
            return None
        if state in {"invalid", "errored", "expired"}:
            return Unsettled("Failed", (order.get("status") or {}).get("reason", state))
        return Unsettled("Pending", f'Waiting on certificate issuance from order {namespace}/{order_name}: "{state}"')

    async def reconcile_order(self, key: Key) -> None:
        """Make an Order's Challenges, and fold their states into its own."""
        order = self._orders.get(*key)
        if order is None or deleting(order) or (order.get("status") or {}).get("state") in {"valid", "invalid"}:
            return
        issuer = self._issuer(order)
        if issuer is None or "acme" not in issuer["spec"]:
            return
        states: list[str] = []
        for name in names_of(order):
            wanted = choose_solver(issuer["spec"]["acme"].get("solvers") or [], name)
            if wanted is None:
                message = f"no configured challenge solvers can be used for {name}"
                await self._cluster.patch_status(ORDERS, order, {"state": "invalid", "reason": message})
                return
            challenge = challenge_for(order, issuer, name, wanted)
            known = self._challenges.get(key[0], challenge["metadata"]["name"])
            if known is None:
                known = await self._cluster.create(CHALLENGES, challenge)
            states.append(((known or {}).get("status") or {}).get("state") or "pending")
        state = "invalid" if "invalid" in states else "valid" if set(states) == {"valid"} else "pending"
        server = issuer["spec"]["acme"]["server"].rsplit("/", 1)[0]
        status = {
            "state": state,
            "url": f"{server}/order/{short_hash(order['metadata']['uid'])}",
            "authorizations": [
                {
                    "url": f"{server}/authz/{short_hash(name)}",
                    "identifier": name.removeprefix("*."),
                    "wildcard": "*" in name,
                }
                for name in names_of(order)
            ],
        }
        await self._cluster.patch_status(ORDERS, order, status)
        if state == "valid":
            for name in names_of(order):
                await self._cluster.client.delete(CHALLENGES, key[0], challenge_name(order, name))

    async def reconcile_challenge(self, key: Key) -> float | None:
        """Present one Challenge, check it, and clean up after it."""
        challenge = self._challenges.get(*key)
        if challenge is None:
            return None
        if deleting(challenge):
            await self._solver.withdraw(challenge)
            await self._cluster.set_finalizer(CHALLENGES, challenge, FINALIZER, present=False)
            return None
        if (challenge.get("status") or {}).get("state") in {"valid", "invalid"}:
            return None
        challenge = await self._cluster.set_finalizer(CHALLENGES, challenge, FINALIZER, present=True)
        spec = challenge["spec"]
        if spec["type"] == "HTTP-01":
            await self._solver.present(challenge)
            why = await self._checker.http(spec["dnsName"], spec["token"], spec["key"])
        else:
            why = await self._checker.txt(spec["dnsName"], spec["key"])
        if why is None:
            status = {
                "state": "valid",
                "processing": False,
                "presented": True,
                "reason": "Successfully authorized domain",
            }
            await self._cluster.patch_status(CHALLENGES, challenge, status)
            return None
        reason = f"Waiting for {spec['type']} challenge propagation: {why}"
        status = {"state": "pending", "processing": True, "presented": spec["type"] == "HTTP-01", "reason": reason}
        await self._cluster.patch_status(CHALLENGES, challenge, status)
        return LOOK

    def _issuer(self, order: Obj) -> Obj | None:
        reference = order["spec"]["issuerRef"]
        if reference.get("kind") == "ClusterIssuer":
            return self._cluster.informer(CLUSTERISSUERS).get("", reference["name"])
        return self._cluster.informer(ISSUERS).get(key_of(order)[0], reference["name"])


def names_of(order: Obj) -> list[str]:
    """The names an Order is for, each once."""
    spec = order["spec"]
    return list(
        dict.fromkeys([*([spec["commonName"]] if spec.get("commonName") else []), *(spec.get("dnsNames") or [])])
    )


def choose_solver(solvers: list[Obj], name: str) -> Obj | None:
    """The solver for a name: the most specific selector wins; wildcards need DNS-01 (RFC 8555 8.3)."""
    best: tuple[int, Obj] | None = None
    for each in solvers:
        if name.startswith("*.") and "dns01" not in each:
            continue
        rank = _rank(each.get("selector") or {}, name)
        if rank is not None and (best is None or rank > best[0]):
            best = (rank, each)
    return best[1] if best else None


def _rank(selector: Obj, name: str) -> int | None:
    names, zones = selector.get("dnsNames") or [], selector.get("dnsZones") or []
    if names:
        return 1000 if name in names else None
    if zones:
        plain = name.removeprefix("*.")
        fitting = [zone for zone in zones if plain == zone or plain.endswith(f".{zone}")]
        return max((len(zone.split(".")) for zone in fitting), default=None)
    return 0


def challenge_name(order: Obj, name: str) -> str:
    """The name of the Challenge for one of an Order's names."""
    return f"{order['metadata']['name']}-{short_hash(order['metadata']['uid'], name)}"


def challenge_for(order: Obj, issuer: Obj, name: str, chosen: Obj) -> Obj:
    """The Challenge that proves one name."""
    token = short_hash(order["metadata"]["uid"], name, "token", length=32)
    account = (issuer.get("status") or {}).get("acme", {}).get("uri", "")
    authorization = f"{token}.{_digest(account)}"
    http = "http01" in chosen
    picked = {key: value for key, value in chosen.items() if key != "selector"}
    override = annotated(order).get(OVERRIDE_NAME)
    if http and override:
        picked = {"http01": {"ingress": {"name": override}}}
    return {
        "metadata": {
            "name": challenge_name(order, name),
            "namespace": order["metadata"]["namespace"],
            "ownerReferences": [owner_reference(order, ORDERS)],
        },
        "spec": {
            "type": "HTTP-01" if http else "DNS-01",
            "dnsName": name.removeprefix("*."),
            "wildcard": name.startswith("*."),
            "token": token,
            # RFC 8555 8.1 and 8.4: the key authorization, or its digest for DNS.
            "key": authorization if http else _digest(authorization),
            "issuerRef": order["spec"]["issuerRef"],
            "solver": picked,
            "url": f"{account}/chall/{short_hash(token)}",
            "authorizationURL": f"{account}/authz/{short_hash(name)}",
        },
    }


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
