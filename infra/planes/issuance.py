"""What cert-manager says of an issuer or a certificate, and why: from the Certificate down to the challenge that hangs.

A Certificate's condition Ready only says that there is none yet. Why, its condition Issuing says, where an attempt has
failed; else what cert-manager makes on the way does: the CertificateRequest, the ACME Order with its events, and the
Order's Challenges (https://cert-manager.io/docs/troubleshooting/acme/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.clients.errors import NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.planes import manifests

Object = Mapping[str, Any]

CERTIFICATE = ("cert-manager.io/v1", "Certificate")
ISSUER = ("cert-manager.io/v1", "ClusterIssuer")
REQUEST = ("cert-manager.io/v1", "CertificateRequest")
ORDER = ("acme.cert-manager.io/v1", "Order")
CHALLENGE = ("acme.cert-manager.io/v1", "Challenge")
CERTIFICATE_NAME = "cert-manager.io/certificate-name"
REVISION = "cert-manager.io/certificate-revision"
"""Annotations of a CertificateRequest: whose it is, and the how manieth."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(hours=1), timedelta(hours=32)
"""How long cert-manager leaves a failed issuance alone: each time twice as long (cert-manager.io, "Certificate")."""
ACCOUNT_LOST = re.compile(
    r"urn:ietf:params:acme:error:accountDoesNotExist|urn:ietf:params:acme:error:malformed: [^;]*\bkey ID\b",
    re.IGNORECASE,
)
"""What a refused order says where the ACME server does not know the account (any more): RFC 8555, 6.7.

A cert-manager that was started since asks the server which account its key has. It is told that there is none, and asks
for the order all the same, without a key ID: that is then what the server complains of.
"""
GIVEN_UP = re.compile(r"\b4\d\d urn:(?:ietf:params:)?acme:error:|HTTP 4\d\d response which is not an RFC 8555 problem")
"""What an issuer says whose account an ACME server has refused: cert-manager does not ask that server again."""


class Stuck(NotYet):
    """cert-manager will not try again for an hour or more, or not at all: waiting alone does not help.

    Args:
        account_lost: whether the ACME server does not know the account (any more).
    """

    def __init__(self, summary: str, *, detail: str | None = None, account_lost: bool = False) -> None:
        super().__init__(summary, detail=detail)
        self.account_lost = account_lost


@dataclass(frozen=True)
class Trail:
    """What cert-manager has made for one certificate, as far as it has come."""

    request: Object | None = None
    order: Object | None = None
    warnings: tuple[str, ...] = ()
    challenges: tuple[Object, ...] = ()


async def ready(manifest: Object, kubernetes: KubernetesClient) -> Object:
    """The live issuer or certificate, Ready for the generation that is there; a certificate's renewal is not failing.

    That an issuer is Ready only means that its account was registered once: cert-manager does not ask its server again.

    Raises:
        Stuck: it failed, and cert-manager leaves it alone for a while.
        NotYet: it is not ready, with the deepest cause that cert-manager names.
    """
    where = manifests.address(manifest)
    live = await kubernetes.get_like(dict(manifest))
    if live is None:
        raise NotYet(f"{where} is not there.")
    is_ready, generation = condition(live, "Ready"), live["metadata"].get("generation", 0)
    if is_ready is None or is_ready.get("observedGeneration", generation) < generation:
        raise NotYet(f"{where} has not been looked at yet.")
    if manifest["kind"] == ISSUER[1]:
        _judge_issuer(where, is_ready)
    else:
        await _judge_certificate(where, live, is_ready, kubernetes)
    return live


def _judge_issuer(where: str, is_ready: Object) -> None:
    if is_ready["status"] == "True":
        return
    why = said(is_ready)
    if GIVEN_UP.search(why):
        raise Stuck(f"{where} was refused by its ACME server, and cert-manager does not ask again: {why}")
    raise NotYet(f"{where} is not ready: {why}")


async def _judge_certificate(where: str, live: Object, is_ready: Object, kubernetes: KubernetesClient) -> None:
    issuing = condition(live, "Issuing")
    failed = issuing is not None and issuing["status"] == "False"
    if is_ready["status"] == "True" and not failed:
        return
    why = said(issuing if failed and issuing else is_ready)
    deeper = cause(await follow(live, kubernetes))
    detail = deeper if deeper and deeper not in why else None
    if not failed:
        raise NotYet(f"{where} is not ready: {why}", detail=detail)
    what = "cannot be renewed" if is_ready["status"] == "True" else "could not be issued"
    when = next_try(live)
    again = f", and cert-manager tries again on {when:%Y-%m-%d at %H:%M} UTC" if when else ""
    raise Stuck(
        f"{where} {what}{again}: {why}", detail=detail, account_lost=ACCOUNT_LOST.search(f"{why} {deeper}") is not None
    )


def condition(live: Object, kind: str) -> Object | None:
    """A condition of an object by its type."""
    conditions = (live.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == kind), None)


def said(found: Object) -> str:
    """A condition's message, else its reason."""
    return str(found.get("message") or found.get("reason") or "no reason given").strip()


def next_try(certificate: Object) -> datetime | None:
    """When cert-manager tries again by itself after a failed issuance; None where none has failed."""
    status = certificate.get("status") or {}
    failed = status.get("lastFailureTime")
    if failed is None:
        return None
    doubled = min(max(int(status.get("failedIssuanceAttempts") or 1) - 1, 0), 8)
    return datetime.fromisoformat(failed).astimezone(UTC) + min(FIRST_PAUSE * (1 << doubled), LONGEST_PAUSE)


async def follow(certificate: Object, kubernetes: KubernetesClient) -> Trail:
    """What cert-manager has made for a certificate: its newest request, that one's order, and so on."""
    namespace, name = certificate["metadata"]["namespace"], certificate["metadata"]["name"]
    requests = [
        item
        for item in await kubernetes.list(*REQUEST, namespace)
        if (item["metadata"].get("annotations") or {}).get(CERTIFICATE_NAME) == name
    ]
    request = max(requests, key=_age, default=None)
    if request is None:
        return Trail()
    order = max(_owned(await kubernetes.list(*ORDER, namespace), request), key=_age, default=None)
    if order is None:
        return Trail(request)
    about = f"involvedObject.uid={order['metadata']['uid']}"
    events = await kubernetes.list("v1", "Event", namespace, field_selector=about)
    warnings = dict.fromkeys(str(item.get("message")) for item in events if item.get("type") == "Warning")
    challenges = _owned(await kubernetes.list(*CHALLENGE, namespace), order)
    return Trail(request, order, tuple(warnings), tuple(challenges))


def _age(item: Object) -> tuple[int, str]:
    metadata = item["metadata"]
    revision = (metadata.get("annotations") or {}).get(REVISION, "0")
    return int(revision) if revision.isdecimal() else 0, metadata.get("creationTimestamp", "")


def _owned(items: Iterable[Object], owner: Object) -> list[Object]:
    uid = owner["metadata"]["uid"]
    return [item for item in items if any(o["uid"] == uid for o in item["metadata"].get("ownerReferences") or ())]


def cause(trail: Trail) -> str | None:
    """The deepest thing that cert-manager names as what an issuance waits for, or failed by (pure)."""
    challenges = sorted(filter(None, map(_challenge, trail.challenges)))
    if challenges:
        return "; ".join(challenges)
    if trail.order is not None:
        status = trail.order.get("status") or {}
        state, reason = status.get("state"), status.get("reason")
        if not state:
            return (
                "the ACME server has not been asked for it yet, or does not answer; that the issuer is Ready only "
                "means that its account was registered once"
            )
        if trail.warnings and not reason and state == "pending":
            return trail.warnings[-1]
        if reason or state != "valid":
            return f"the ACME order is {state}{f': {reason}' if reason else ''}"
    found = condition(trail.request, "Ready") if trail.request is not None else None
    return said(found) if found is not None and found["status"] != "True" else None


def _challenge(challenge: Object) -> str | None:
    """What one challenge waits for, or failed by; None where it is met."""
    status, spec = challenge.get("status") or {}, challenge["spec"]
    if status.get("state") == "valid":
        return None
    why = status.get("reason")
    if not why and not status.get("processing"):
        # The scheduler takes up challenges for the same name one after the other.
        why = "the challenge has not been taken up yet; those for one name are met one after the other"
    if not why and spec.get("type") == "DNS-01":
        why = "cert-manager lets 60 s pass for the TXT record to spread before it has it looked at"
    return f"{spec.get('dnsName')}: {why or 'the challenge is being met'}"
