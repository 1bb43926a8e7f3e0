"""What cert-manager says, and what is made of it: the deepest cause, for this certificate alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.clients.errors import NotYet
from infra.planes import issuance
from infra.planes.issuance import Stuck, Trail
from tests.unit.planes.answering import Answering

NAMESPACE = "apps"
FAILED = "The certificate request has failed to complete and will be retried: "
LIMITED = 'Failed to wait for order resource "shop-1" to become ready: order is in "errored" state: Failed to create'


def condition(kind: str, status: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Pending", "message": message, "observedGeneration": 1, **more}


def made(kind: tuple[str, str], name: str, *conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{kind[1]}-{name}", "generation": 1}
    owner = more.pop("owner", None)
    if owner is not None:
        metadata["ownerReferences"] = [{"uid": owner["metadata"]["uid"]}]
    if kind == issuance.REQUEST:
        metadata["annotations"] = {
            issuance.CERTIFICATE_NAME: name.rpartition("-")[0],
            issuance.REVISION: name.rpartition("-")[2],
        }
    status = {"conditions": list(conditions), **more.pop("status", {})}
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": {}, "status": status, **more}


def challenge(order: dict[str, Any], name: str, state: str, reason: str = "", **status: Any) -> dict[str, Any]:
    spec = {"dnsName": f"{name}.example.org", "type": status.pop("type", "HTTP-01")}
    said = {"state": state, "reason": reason, "processing": True, **status}
    return made(issuance.CHALLENGE, f"{name}-{order['metadata']['name']}", owner=order, spec=spec, status=said)


NOTHING_YET = condition("Ready", "False", "Issuing certificate as Secret does not exist")
UNDER_WAY = condition("Issuing", "True", "Issuing certificate as Secret does not exist")
SHOP = made(issuance.CERTIFICATE, "shop", NOTHING_YET, UNDER_WAY)


async def refused(kubernetes: Answering, certificate: dict[str, Any]) -> NotYet:
    kubernetes.put(certificate)
    with pytest.raises(NotYet) as caught:
        await issuance.ready(certificate, kubernetes.client)
    return caught.value


def events(kubernetes: Answering, order: dict[str, Any], *found: dict[str, Any]) -> None:
    """What the API server has on record about an order."""
    about = f"&fieldSelector=involvedObject.uid%3D{order['metadata']['uid']}"
    items = [{"metadata": {"name": "e", "namespace": NAMESPACE}, **one} for one in found]
    kubernetes.answer(kubernetes.listing("Event", NAMESPACE, about), {"items": items})


async def test_the_cause_is_looked_for_in_what_was_made_for_this_certificate_alone(kubernetes: Answering) -> None:
    """All certificates of a namespace would else complain of the same challenge."""
    for name, reason in (("shop", "wrong status code '404', expected '200'"), ("blog", "no such host")):
        request = kubernetes.put(made(issuance.REQUEST, f"{name}-1", condition("Ready", "False", "Waiting")))
        order = kubernetes.put(made(issuance.ORDER, f"{name}-1-77", owner=request, status={"state": "pending"}))
        events(kubernetes, order)
        kubernetes.put(challenge(order, name, "pending", reason))
        kubernetes.put(challenge(order, f"www-{name}", "valid"))
    error = await refused(kubernetes, SHOP)
    assert error.detail == "shop.example.org: wrong status code '404', expected '200'"
    assert not isinstance(error, Stuck)


async def test_the_newest_request_counts(kubernetes: Answering) -> None:
    for number in ("9", "10"):
        kubernetes.put(made(issuance.REQUEST, f"shop-{number}", condition("Ready", "False", f"request {number}")))
    assert (await refused(kubernetes, SHOP)).detail == "request 10"


async def test_an_order_without_a_solver_says_so_in_an_event_alone(kubernetes: Answering) -> None:
    request = kubernetes.put(made(issuance.REQUEST, "shop-1", condition("Ready", "False", "Waiting")))
    order = kubernetes.put(made(issuance.ORDER, "shop-1-77", owner=request, status={"state": "pending"}))
    why = "no configured challenge solvers can be used for this challenge"
    events(kubernetes, order, {"type": "Normal", "message": "Created"}, {"type": "Warning", "message": why})
    detail = (await refused(kubernetes, SHOP)).detail
    assert detail == "no configured challenge solvers can be used for this challenge"


ORDER = made(issuance.ORDER, "shop-1-77")
REQUEST = made(issuance.REQUEST, "shop-1", condition("Ready", "False", "Referenced issuer not found"))


@pytest.mark.parametrize(
    ("trail", "said"),
    [
        (Trail(), None),
        (Trail(REQUEST), "Referenced issuer not found"),
        (Trail(REQUEST, ORDER), "the ACME server has not been asked for it yet, or does not answer; that the issuer"),
        (Trail(REQUEST, {**ORDER, "status": {"state": "errored", "reason": "429"}}), "the ACME order is errored: 429"),
        (Trail(REQUEST, {**ORDER, "status": {"state": "invalid"}}), "the ACME order is invalid"),
        (Trail(REQUEST, {**ORDER, "status": {"state": "valid"}}), "Referenced issuer not found"),
        (Trail(REQUEST, ORDER, challenges=(challenge(ORDER, "a", "pending", type="DNS-01"),)), "a.example.org: cert-"),
        (Trail(REQUEST, ORDER, challenges=(challenge(ORDER, "a", "pending", processing=False),)), "a.example.org: the"),
        (
            Trail(REQUEST, ORDER, challenges=(challenge(ORDER, "a", "pending"),)),
            "a.example.org: the challenge is",
        ),
        (Trail(REQUEST, ORDER, challenges=(challenge(ORDER, "a", "invalid", "403"),)), "a.example.org: 403"),
    ],
)
def test_the_deepest_cause_is_said(trail: Trail, said: str | None) -> None:
    found = issuance.cause(trail)
    assert found is None if said is None else str(found).startswith(said)


async def test_a_failed_issuance_is_told_by_its_own_condition_and_with_the_time_of_the_next_try(
    kubernetes: Answering,
) -> None:
    issuing = condition("Issuing", "False", f"{FAILED}{LIMITED}: 429 urn:ietf:params:acme:error:rateLimited: enough")
    status = {"lastFailureTime": "2026-11-30T12:20:00Z", "failedIssuanceAttempts": 2}
    error = await refused(kubernetes, made(issuance.CERTIFICATE, "shop", NOTHING_YET, issuing, status=status))
    assert isinstance(error, Stuck)
    assert error.summary.startswith(
        "Certificate/apps/shop could not be issued, and cert-manager tries again on 2026-11-30 at 14:20 UTC: The cert"
    )
    assert "rateLimited: enough" in error.summary
    assert not error.account_lost


async def test_a_renewal_that_fails_is_told_though_the_old_certificate_is_good(kubernetes: Answering) -> None:
    issuing = condition("Issuing", "False", f"{FAILED}400 urn:ietf:params:acme:error:accountDoesNotExist: unknown")
    error = await refused(kubernetes, made(issuance.CERTIFICATE, "shop", condition("Ready", "True"), issuing))
    assert isinstance(error, Stuck)
    assert error.summary.startswith("Certificate/apps/shop cannot be renewed: The certificate request has failed")
    assert error.account_lost


@pytest.mark.parametrize(
    ("problem", "lost"),
    [
        ("400 urn:ietf:params:acme:error:accountDoesNotExist: Account not found", True),
        ("400 urn:ietf:params:acme:error:malformed: Key ID (kid) in JWS header missing expected URL prefix", True),
        ("400 urn:ietf:params:acme:error:malformed: No Key ID in JWS header", True),
        ("400 urn:ietf:params:acme:error:malformed: Error parsing the request", False),
        ("403 urn:ietf:params:acme:error:unauthorized: The key ID is not allowed to", False),
        ("429 urn:ietf:params:acme:error:rateLimited: too many", False),
    ],
)
async def test_an_account_that_is_lost_is_told_from_other_refusals(
    kubernetes: Answering, problem: str, lost: bool
) -> None:
    """A cert-manager that was started since sends no key ID, since the server knows of none."""
    issuing = condition("Issuing", "False", f"{FAILED}Failed to create Order: {problem}")
    error = await refused(kubernetes, made(issuance.CERTIFICATE, "shop", NOTHING_YET, issuing))
    assert isinstance(error, Stuck)
    assert error.account_lost == lost


async def test_an_invalid_order_says_nothing_and_its_challenges_do(kubernetes: Answering) -> None:
    request = kubernetes.put(made(issuance.REQUEST, "shop-1", condition("Ready", "False", "Waiting")))
    order = kubernetes.put(made(issuance.ORDER, "shop-1-77", owner=request, status={"state": "invalid"}))
    events(kubernetes, order)
    why = "Error accepting authorization: acme: authorization error for shop.example.org: 403 unauthorized"
    kubernetes.put(challenge(order, "shop", "invalid", why))
    issuing = condition("Issuing", "False", f'{FAILED}order is in "invalid" state: ')
    error = await refused(kubernetes, made(issuance.CERTIFICATE, "shop", NOTHING_YET, issuing))
    assert error.summary.endswith('order is in "invalid" state:')
    assert error.detail == f"shop.example.org: {why}"


@pytest.mark.parametrize(
    ("message", "given_up"),
    [
        ("Failed to register ACME account: 429 urn:ietf:params:acme:error:rateLimited: too many", True),
        ("… the ACME server returned an HTTP 404 response which is not an RFC 8555 problem document; …", True),
        ("… the ACME server returned an HTTP 502 response which is not an RFC 8555 problem document; …", False),
        ("Failed to register ACME account: 500 urn:ietf:params:acme:error:serverInternal: oops", False),
        ('Failed to register ACME account: Get "https://acme:4291/dir": connect: connection refused', False),
    ],
)
async def test_an_issuer_that_cert_manager_has_given_up_is_told_from_one_it_asks_again(
    kubernetes: Answering, message: str, given_up: bool
) -> None:
    issuer = made(issuance.ISSUER, "le", condition("Ready", "False", message))
    del issuer["metadata"]["namespace"]
    assert isinstance(await refused(kubernetes, issuer), Stuck) == given_up


async def test_a_condition_without_a_message_says_its_reason(kubernetes: Answering) -> None:
    without = made(issuance.CERTIFICATE, "shop", condition("Ready", "False", "", reason="InvalidKeyPair"))
    assert (await refused(kubernetes, without)).summary == "Certificate/apps/shop is not ready: InvalidKeyPair"


@pytest.mark.parametrize(("attempts", "hours"), [(None, 1), (0, 1), (1, 1), (3, 4), (6, 32), (40, 32)])
def test_the_pause_doubles_up_to_32_hours(attempts: int | None, hours: int) -> None:
    status = {"lastFailureTime": "2026-11-30T12:00:00Z", "failedIssuanceAttempts": attempts}
    due = issuance.next_try({"status": status})
    assert due is not None
    assert (due - datetime(2026, 11, 30, 12, tzinfo=UTC)).total_seconds() == hours * 3600
    assert issuance.next_try({"status": {}}) is None
