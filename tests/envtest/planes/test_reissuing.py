"""What cert-manager has left alone is tried again once in a run, and then told with its cause.

The API server is real and knows cert-manager's kinds; what its controllers would write, the tests write.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from infra.clients.errors import Failed, NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.planes import issuance, manifests, reissuing
from infra.planes.clients import Clients
from infra.planes.reissuing import Reissuing
from tests.unit.planes.fakes import FakeJournal
from tests.unit.planes.test_issuance import FAILED, NOTHING_YET, condition

pytestmark = [pytest.mark.envtest, pytest.mark.usefixtures("certificates_defined")]
Object = dict[str, Any]
CERTIFICATE: Object = {
    "apiVersion": issuance.CERTIFICATE[0],
    "kind": issuance.CERTIFICATE[1],
    "metadata": {"name": "shop", "namespace": "apps"},
    "spec": {"secretName": "shop", "dnsNames": ["shop.example.org"], "issuerRef": {"name": "le"}},
}
ISSUER: Object = {
    "apiVersion": issuance.ISSUER[0],
    "kind": issuance.ISSUER[1],
    "metadata": {"name": "le"},
    "spec": {"acme": {"server": "https://acme.example.org/dir", "privateKeySecretRef": {"name": "key"}}},
}
LIMITED = condition("Issuing", "False", f"{FAILED}429 urn:ietf:params:acme:error:rateLimited: enough")
LOST = condition("Issuing", "False", f"{FAILED}400 urn:ietf:params:acme:error:accountDoesNotExist: who?")
REFUSED = condition("Ready", "False", "Failed to register ACME account: 429 urn:ietf:params:acme:error:rateLimited: no")


@pytest.fixture(autouse=True)
async def objects(kubernetes: KubernetesClient, certificates_defined: None) -> None:
    """An issuer and a certificate of it, of which nothing has been said."""
    del certificates_defined
    await kubernetes.create(manifests.namespace("apps"))
    await kubernetes.create(ISSUER)
    await kubernetes.create(CERTIFICATE)


async def live(kubernetes: KubernetesClient, item: Object) -> Object:
    found = await kubernetes.get_like(item)
    assert found is not None
    return found


async def says(kubernetes: KubernetesClient, item: Object, *conditions: Object, **status: Any) -> None:
    """What cert-manager says of an object now."""
    found = await live(kubernetes, item)
    said = {"conditions": deepcopy(list(conditions)), **status}
    await kubernetes.replace({**found, "status": said}, subresource="status")


async def issuing(kubernetes: KubernetesClient) -> Object:
    found = issuance.condition(await live(kubernetes, CERTIFICATE), "Issuing")
    assert found is not None
    return dict(found)


async def test_a_failed_issuance_is_asked_for_once_and_then_ends_the_wait(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    await says(kubernetes, CERTIFICATE, NOTHING_YET, LIMITED)
    asking = Reissuing(clients, None)
    with pytest.raises(NotYet, match="is tried again"):
        await asking.ready(CERTIFICATE)
    asked = await issuing(kubernetes)
    assert (asked["status"], asked["reason"]) == ("True", "ManuallyTriggered")
    with pytest.raises(NotYet, match="is not ready"):
        await asking.ready(CERTIFICATE)
    await says(kubernetes, CERTIFICATE, NOTHING_YET, LIMITED)
    with pytest.raises(Failed, match=r"could not be issued: .*rateLimited: enough .*tried again in this run"):
        await asking.ready(CERTIFICATE)
    assert journal.actions == ["ask again Certificate/apps/shop"]


async def test_it_is_asked_for_after_the_second_in_which_it_failed(
    clients: Clients, kubernetes: KubernetesClient
) -> None:
    """cert-manager would take the failed request of that second for the answer."""
    failed = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    await says(kubernetes, CERTIFICATE, NOTHING_YET, LIMITED, lastFailureTime=f"{failed:%Y-%m-%dT%H:%M:%SZ}")
    with pytest.raises(NotYet, match="is tried again"):
        await Reissuing(clients, None).ready(CERTIFICATE)
    asked = await issuing(kubernetes)
    assert asked["lastTransitionTime"] == f"{failed + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"


async def test_a_failing_renewal_is_waited_for_to_its_end(clients: Clients, kubernetes: KubernetesClient) -> None:
    good = condition("Ready", "True")
    await says(kubernetes, CERTIFICATE, good, LIMITED)
    asking = Reissuing(clients, None)
    for said in ("is tried again", "is being renewed"):
        with pytest.raises(NotYet, match=said):
            await asking.ready(CERTIFICATE)
    await says(kubernetes, CERTIFICATE, good)
    await asking.ready(CERTIFICATE)


async def test_a_renewal_that_cert_manager_began_itself_is_not_waited_for(
    clients: Clients, kubernetes: KubernetesClient
) -> None:
    await says(kubernetes, CERTIFICATE, condition("Ready", "True"), condition("Issuing", "True", "Renewing"))
    await Reissuing(clients, None).ready(CERTIFICATE)


async def test_an_account_that_the_server_has_lost_is_registered_anew(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    async def registered(url: str) -> None:
        await says(kubernetes, ISSUER, condition("Ready", "True"), acme={"uri": url})

    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "apps"}}
    await kubernetes.create(key)
    await registered("https://acme/1")
    await says(kubernetes, CERTIFICATE, NOTHING_YET, LOST)
    asking = Reissuing(clients, ("apps", "key"))
    await asking.ready(ISSUER)
    with pytest.raises(NotYet, match="is tried again"):
        await asking.ready(CERTIFICATE)
    assert journal.actions == ["register anew Secret/apps/key"]
    assert await kubernetes.get_like(key) is None
    with pytest.raises(NotYet, match="registered anew"):
        await asking.ready(ISSUER)
    await registered("https://acme/2")
    await asking.ready(ISSUER)
    with pytest.raises(NotYet, match="is tried again"):
        await asking.ready(CERTIFICATE)
    await says(kubernetes, CERTIFICATE, NOTHING_YET, LOST)
    with pytest.raises(Failed, match="accountDoesNotExist"):
        await asking.ready(CERTIFICATE)
    assert journal.actions[1:] == ["ask again Certificate/apps/shop"]


async def test_no_other_failure_costs_the_account_its_key(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    await says(kubernetes, CERTIFICATE, NOTHING_YET, LIMITED)
    with pytest.raises(NotYet):
        await Reissuing(clients, ("apps", "key")).ready(CERTIFICATE)
    assert journal.actions == ["ask again Certificate/apps/shop"]


async def test_an_issuer_that_was_given_up_is_touched_once_and_gets_time_to_answer(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    await says(kubernetes, ISSUER, REFUSED)
    before = (await live(kubernetes, ISSUER))["metadata"]["resourceVersion"]
    clock = count(0, reissuing.ANSWER_TIME / 2 + 1)
    asking = Reissuing(clients, None, monotonic=lambda: next(clock))
    for _ in range(2):
        with pytest.raises(NotYet, match="is tried again"):
            await asking.ready(ISSUER)
    with pytest.raises(Failed, match="was refused by its ACME server"):
        await asking.ready(ISSUER)
    assert journal.actions == ["ask again ClusterIssuer/le"]
    touched = (await live(kubernetes, ISSUER))["metadata"]
    assert touched["resourceVersion"] != before
    assert touched.get("annotations", {}) == {}
