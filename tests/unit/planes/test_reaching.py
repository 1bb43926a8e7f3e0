"""The way into a cluster to look, and what is said where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.errors import Denied, PlumblineError, Unavailable
from infra.clients.openstack_models import Cluster
from infra.planes import reaching
from infra.planes.clients import Clients
from tests.unit.planes.answering import Answering
from tests.unit.planes.fakes import FakeMagnum, declared

SILENT = Unavailable("The API server did not answer.", detail="refused")


@pytest.fixture
def magnum(clients: Clients) -> FakeMagnum:
    clients.openstack.magnum = found = FakeMagnum(  # type: ignore[assignment]
        Cluster(uuid="c1", name="dev", status="CREATE_COMPLETE")
    )
    return found


def answers(clients: Clients, error: PlumblineError) -> None:
    async def list(*_: Any) -> Any:
        raise error

    clients.kubernetes.list = list  # type: ignore[method-assign]


async def test_a_cluster_that_answers_needs_no_words(clients: Clients, kubernetes: Answering) -> None:
    assert await reaching.reach(declared(), clients) is None
    assert kubernetes.writes == []


async def test_one_that_does_not_answer_is_explained(clients: Clients, magnum: FakeMagnum) -> None:
    answers(clients, SILENT)
    assert await reaching.reach(declared(), clients) == str(SILENT)
    answers(clients, Denied("The API server answered 403.", detail="no rights"))
    said = await reaching.reach(declared(), clients)
    assert said == "The API server answered 403. Run create-environment, which lets plumbline:readers read."


async def test_half_a_deletion_is_named_before_what_the_api_says(clients: Clients, magnum: FakeMagnum) -> None:
    answers(clients, SILENT)
    magnum.found = Cluster(uuid="c1", name="dev", status="DELETE_FAILED", status_reason="a port is in use")
    said = await reaching.reach(declared(), clients)
    assert said == f"The deletion of cluster dev failed (DELETE_FAILED): a port is in use. {SILENT}"


async def test_what_is_being_deleted_is_not_looked_into_but_by_who_deletes_it(
    clients: Clients, magnum: FakeMagnum, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients.disconnect()
    magnum.found = Cluster(uuid="c1", name="dev", status="DELETE_IN_PROGRESS", api_address="https://c")
    clients._read_only = True
    assert await reaching.reach(declared(), clients) == "Cluster dev is being deleted."
    assert not clients.connected

    class Minting:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise SILENT

    clients._read_only = False
    monkeypatch.setattr("infra.planes.clients.Kubeconfigs", Minting)
    with pytest.raises(Unavailable):
        await clients.connect("dev")


async def test_a_cluster_that_is_gone(clients: Clients, magnum: FakeMagnum) -> None:
    clients.disconnect()
    magnum.found = None
    assert await reaching.reach(declared(), clients) == "There is no cluster dev."
