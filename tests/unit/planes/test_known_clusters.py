"""The UUIDs of an environment's clusters: kept while somebody still knows them, until nothing of them is left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.clients.errors import Failed, Unavailable
from infra.clients.openstack_models import Cluster, Leftovers
from infra.ledger import Clusters, Ledger, LedgerRun
from infra.planes import leftovers
from infra.planes.clients import Clients
from infra.settings import Settings
from infra.spec.names import MARK
from infra.terraform.state import StateObject
from tests.unit.planes.answering import Answering, Refusal
from tests.unit.planes.fakes import FakeMagnum, declared, make_clients, state_knows

FIRST, SECOND = "11111111-0d0f-4c39-9d8e-0a4f1b2c3d4e", "22222222-0d0f-4c39-9d8e-0a4f1b2c3d4e"


def in_magnum(uuid: str, environment: str = "dev") -> FakeMagnum:
    return FakeMagnum(Cluster(uuid=uuid, name="dev", status="CREATE_COMPLETE", labels={MARK: environment}))


def without_cluster(folder: Path, clusters: Clusters | None = None) -> Clients:
    """Clients whose cluster is neither in Magnum nor in Terraform's state."""
    made = make_clients(folder)
    if clusters is not None:
        made.clusters = clusters
    state_knows(made)
    return made


async def test_magnums_is_kept_as_soon_as_the_cluster_is_seen(tmp_path: Path) -> None:
    clients = without_cluster(tmp_path)
    clients.openstack.magnum = in_magnum(FIRST)  # type: ignore[assignment]
    # It has no API address yet: there is nothing to connect to, but a cluster.
    said = await leftovers.reach(declared(), clients)
    assert said.startswith(("there is no cluster", "cluster dev does not answer"))
    assert await clients.clusters.clusters() == (FIRST,)


async def test_a_strangers_cluster_of_that_name_is_not_ours(tmp_path: Path) -> None:
    clients = without_cluster(tmp_path)
    clients.openstack.magnum = in_magnum(FIRST, environment="other")  # type: ignore[assignment]
    await leftovers.reach(declared(), clients)
    assert await clients.clusters.clusters() == ()


async def test_where_magnum_knows_none_terraforms_state_may(tmp_path: Path) -> None:
    clients = without_cluster(tmp_path)
    state_knows(clients, FIRST)
    assert await leftovers.reach(declared(), clients) == "there is no cluster dev to ask"
    assert await clients.clusters.clusters() == (FIRST,)


async def test_also_where_the_cluster_does_not_answer(clients: Clients, kubernetes: Answering) -> None:
    kubernetes.answer("GET /version", Refusal(503))
    state_knows(clients, FIRST)
    assert (await leftovers.reach(declared(), clients)).startswith("cluster dev does not answer")
    assert await clients.clusters.clusters() == (FIRST,)


async def test_a_state_that_cannot_be_read_ends_the_run_before_it_deletes(tmp_path: Path) -> None:
    async def objects() -> tuple[StateObject, ...]:
        raise Unavailable("The backend does not answer.")

    clients = without_cluster(tmp_path)
    clients._terraform = SimpleNamespace(objects=objects)  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="backend"):
        await leftovers.reach(declared(), clients)


class Asked:
    """A project in which nothing is left, or which cannot be looked at; it keeps what clusters it was asked for."""

    def __init__(self, **not_looked: str) -> None:
        self.not_looked = not_looked
        self.clusters: list[tuple[str, ...]] = []

    async def find(self, *, clusters: tuple[str, ...], **_: Any) -> Leftovers:
        self.clusters.append(clusters)
        return Leftovers(not_looked=self.not_looked)


async def test_the_sweep_knows_every_cluster_also_after_a_kill_and_forgets_none_before_all_is_gone(
    tmp_path: Path,
) -> None:
    project = Asked(Cinder="timed out")
    async with Ledger.open(Settings(state_dir=tmp_path / "ledger")) as ledger:

        async def next_run(flow: str) -> tuple[LedgerRun, Clients]:
            run = await ledger.begin(flow, "dev", None)
            clients = without_cluster(tmp_path, run)
            clients.openstack.leftovers = project  # type: ignore[assignment]
            return run, clients

        for uuid in (FIRST, SECOND):  # made, lost, and made anew
            run, clients = await next_run("create-environment")
            clients.openstack.magnum = in_magnum(uuid)  # type: ignore[assignment]
            await leftovers.reach(declared(), clients)
            await run.end("ready")
        # The run that had Magnum delete the cluster was killed, and left Terraform's state empty.
        run, clients = await next_run("destroy-environment")
        await leftovers.reach(declared(), clients)
        with pytest.raises(Failed, match="timed out"):
            await leftovers.clear_the_way(declared(), clients)
        await run.end("failed")
        project.not_looked = {}
        run, clients = await next_run("destroy-environment")
        await leftovers.sweep(declared(), clients)
        await run.end("removed")
        assert await run.clusters() == ()
    assert project.clusters == [(FIRST, SECOND)] * 2
