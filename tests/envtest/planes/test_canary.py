"""The canary: found by the look that looks at everything, missed by one that is blind, and always set back."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.errors import Denied, NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.planes import canary, dns
from infra.planes.clients import Clients
from infra.planes.live import LiveObjects
from infra.planes.looking import Looked
from tests.unit.planes.fakes import FakeDesignate, FakeJournal, declared

pytestmark = pytest.mark.envtest
NAME = f"{dns.CANARY_LABEL}.dev.sandbox.example."


async def config_is_set_back(kubernetes: KubernetesClient) -> None:
    live = await kubernetes.get_like(canary.CONFIG)
    assert live is not None and live["data"] == canary.CONFIG["data"]


async def everything_is_set_back(clients: Clients, kubernetes: KubernetesClient) -> None:
    await config_is_set_back(kubernetes)
    designate: Any = clients.openstack.designate
    (there,) = [one for one in designate.sets.values() if one.name == NAME]
    assert (there.records, there.description) == ((canary.DECLARED,), dns.mark("dev"))


async def test_both_differences_are_found_and_set_back(
    clients: Clients, kubernetes: KubernetesClient, journal: FakeJournal
) -> None:
    assert await canary.exercise(declared(), clients) == []
    await everything_is_set_back(clients, kubernetes)
    assert [action.partition(" ")[0] for action in journal.actions] == ["make", "set", "make", "set"]


async def test_a_blind_look_is_named_and_the_canaries_are_set_back(
    clients: Clients, kubernetes: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def blind(*_: Any, **__: Any) -> Looked:
        return Looked()

    monkeypatch.setattr(LiveObjects, "look", blind)
    monkeypatch.setattr(dns, "compare", lambda *_: [])
    missed = await canary.exercise(declared(), clients)
    assert [one.partition(" ")[0] for one in missed] == ["ConfigMap/plumbline-system/drift-canary", f"recordset/{NAME}"]
    await everything_is_set_back(clients, kubernetes)


async def test_other_differences_do_not_pass_for_the_canary(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    designate: Any = clients.openstack.designate
    designate.put("old.sandbox.example.", "192.0.2.9", description=dns.mark("dev"))
    observing = dns.observe

    async def without_the_canary(wanted: Any, clients: Clients) -> Any:
        seen = await observing(wanted, clients)
        right = {name: one.model_copy(update={"records": (canary.DECLARED,)}) for name, one in seen.recordsets.items()}
        return dns.Observed(seen.zone, right, seen.undeclared)

    monkeypatch.setattr(dns, "observe", without_the_canary)
    assert await canary.exercise(declared(), clients) == [
        f"recordset/{NAME} was made different, and the look did not find it."
    ]


async def test_a_look_that_could_not_look_says_nothing_of_the_look(
    clients: Clients, kubernetes: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> Any:
        raise Denied("403")

    monkeypatch.setattr(kubernetes, "list", refused)
    with pytest.raises(NotYet, match="could not be looked at"):
        await canary.exercise(declared(), clients)
    await config_is_set_back(kubernetes)


async def test_without_names_the_cluster_alone_is_tried(clients: Clients) -> None:
    bare = declared(dns=None, certificates=None, runners=None, delivery=None)
    clients.openstack.designate = FakeDesignate(zone=None)  # type: ignore[assignment]
    assert await canary.exercise(bare, clients) == []
