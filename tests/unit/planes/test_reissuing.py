"""What cert-manager has left alone is tried again once in a run, and then told with its cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from infra.clients.errors import Failed, NotYet
from infra.planes import issuance, reissuing
from infra.planes.clients import Clients
from infra.planes.reissuing import Reissuing
from tests.unit.planes.fakes import FakeJournal, FakeKubernetes
from tests.unit.planes.test_issuance import FAILED, NOTHING_YET, condition, made

CERTIFICATE = made(issuance.CERTIFICATE, "shop", NOTHING_YET) | {"spec": {"issuerRef": {"name": "le"}}}
ISSUER: dict[str, Any] = {**made(issuance.ISSUER, "le"), "metadata": {"name": "le", "generation": 1}}
LIMITED = condition("Issuing", "False", f"{FAILED}429 urn:ietf:params:acme:error:rateLimited: enough")
LOST = condition("Issuing", "False", f"{FAILED}400 {issuance.ACCOUNT_LOST}: who?")
REFUSED = condition("Ready", "False", "Failed to register ACME account: 429 urn:ietf:params:acme:error:rateLimited: no")


def issuing(kubernetes: FakeKubernetes) -> dict[str, Any] | None:
    found = issuance.condition(kubernetes.live("Certificate", "shop", "apps"), "Issuing")
    return dict(found) if found else None


def put(kubernetes: FakeKubernetes, certificate: dict[str, Any], *conditions: dict[str, Any]) -> None:
    kubernetes.put({**certificate, "status": {**certificate["status"], "conditions": list(conditions)}})


async def test_a_failed_issuance_is_asked_for_once_and_then_ends_the_wait(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    put(kubernetes, CERTIFICATE, NOTHING_YET, LIMITED)
    asking = Reissuing(clients, None)
    with pytest.raises(NotYet, match="is tried again"):
        await asking.ready(CERTIFICATE)
    asked = issuing(kubernetes)
    assert asked is not None
    assert (asked["status"], asked["reason"]) == ("True", "ManuallyTriggered")
    with pytest.raises(NotYet, match="is not ready"):
        await asking.ready(CERTIFICATE)
    put(kubernetes, CERTIFICATE, NOTHING_YET, LIMITED)
    with pytest.raises(Failed, match=r"could not be issued: .*rateLimited: enough .*tried again in this run"):
        await asking.ready(CERTIFICATE)
    assert journal.actions == ["ask again Certificate/apps/shop"]


async def test_it_is_asked_for_after_the_second_in_which_it_failed(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    """cert-manager would take the failed request of that second for the answer."""
    failed = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
    status = {**CERTIFICATE["status"], "lastFailureTime": f"{failed:%Y-%m-%dT%H:%M:%SZ}"}
    put(kubernetes, {**CERTIFICATE, "status": status}, NOTHING_YET, LIMITED)
    with pytest.raises(NotYet, match="is tried again"):
        await Reissuing(clients, None).ready(CERTIFICATE)
    asked = issuing(kubernetes)
    assert asked is not None
    assert asked["lastTransitionTime"] == f"{failed + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"


async def test_a_failing_renewal_is_waited_for_to_its_end(clients: Clients, kubernetes: FakeKubernetes) -> None:
    good = condition("Ready", "True")
    put(kubernetes, CERTIFICATE, good, LIMITED)
    asking = Reissuing(clients, None)
    for said in ("is tried again", "is being renewed"):
        with pytest.raises(NotYet, match=said):
            await asking.ready(CERTIFICATE)
    put(kubernetes, CERTIFICATE, good)
    await asking.ready(CERTIFICATE)


async def test_a_renewal_that_cert_manager_began_itself_is_not_waited_for(
    clients: Clients, kubernetes: FakeKubernetes
) -> None:
    put(kubernetes, CERTIFICATE, condition("Ready", "True"), condition("Issuing", "True", "Renewing"))
    await Reissuing(clients, None).ready(CERTIFICATE)


async def test_an_account_that_the_server_has_lost_is_registered_anew(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    def registered(url: str) -> None:
        kubernetes.put({**ISSUER, "status": {"conditions": [condition("Ready", "True")], "acme": {"uri": url}}})

    kubernetes.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "cert-manager"}})
    registered("https://acme/1")
    put(kubernetes, CERTIFICATE, NOTHING_YET, LOST)
    asking = Reissuing(clients, ("cert-manager", "key"))
    await asking.ready(ISSUER)
    with pytest.raises(NotYet, match="is tried again"):
        await asking.ready(CERTIFICATE)
    assert journal.actions == ["register anew Secret/cert-manager/key"]
    with pytest.raises(NotYet, match="registered anew"):
        await asking.ready(ISSUER)
    registered("https://acme/2")
    await asking.ready(ISSUER)
    with pytest.raises(NotYet, match="is tried again"):
        await asking.ready(CERTIFICATE)
    put(kubernetes, CERTIFICATE, NOTHING_YET, LOST)
    with pytest.raises(Failed, match="accountDoesNotExist"):
        await asking.ready(CERTIFICATE)
    assert journal.actions[1:] == ["ask again Certificate/apps/shop"]


async def test_no_other_failure_costs_the_account_its_key(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    put(kubernetes, CERTIFICATE, NOTHING_YET, LIMITED)
    with pytest.raises(NotYet):
        await Reissuing(clients, ("cert-manager", "key")).ready(CERTIFICATE)
    assert journal.actions == ["ask again Certificate/apps/shop"]


async def test_an_issuer_that_was_given_up_is_touched_once_and_gets_time_to_answer(
    clients: Clients, kubernetes: FakeKubernetes, journal: FakeJournal
) -> None:
    put(kubernetes, ISSUER, REFUSED)
    clock = count(0, reissuing.ANSWER_TIME / 2 + 1)
    asking = Reissuing(clients, None, monotonic=lambda: next(clock))
    for _ in range(2):
        with pytest.raises(NotYet, match="is tried again"):
            await asking.ready(ISSUER)
    with pytest.raises(Failed, match="was refused by its ACME server"):
        await asking.ready(ISSUER)
    assert journal.actions == ["ask again ClusterIssuer/le"]
    assert kubernetes.writes == ["patch ClusterIssuer/le"] * 2
    assert kubernetes.live("ClusterIssuer", "le")["metadata"]["annotations"] == {}
