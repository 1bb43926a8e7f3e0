"""The sweep after an environment's end: what it deletes, how long it insists, and what it says of what stays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from infra.clients.errors import Conflict, DeadlineExceeded, Failed, InvalidInput, PlumblineError
from infra.clients.openstack_models import Attachment, Leftover, Leftovers
from infra.planes import leftovers
from infra.planes.clients import Clients
from tests.unit.planes.fakes import declared


def left(kind: str, name: str, status: str = "", *servers: str) -> Leftover:
    attachments = tuple(Attachment(attachment_id=f"a-{server}", server_id=server) for server in servers)
    return Leftover(kind=kind, id=f"id-{name}", name=name, why="its name", status=status, attachments=attachments)


class Project:
    """A project with leftovers; a deletion is accepted, refused, or accepted without effect."""

    def __init__(self, *there: Leftover) -> None:
        self.there = list(there)
        self.asked: list[str] = []
        self.refusals: dict[str, list[PlumblineError]] = {}
        self.deaf: set[str] = set()
        self.not_looked: dict[str, str] = {}

    async def find(self, **_: Any) -> Leftovers:
        return Leftovers(found=tuple(self.there), not_looked=self.not_looked)

    async def delete(self, item: Leftover) -> bool:
        self.asked.append(item.name)
        if self.refusals.get(item.name):
            raise self.refusals[item.name].pop(0)
        if item.name not in self.deaf:
            self.there.remove(item)
        return True


def use(clients: Clients, project: Project) -> Project:
    async def templates() -> tuple[()]:
        return ()

    clients.openstack.leftovers = project  # type: ignore[assignment]
    clients.openstack.magnum = SimpleNamespace(templates=templates)  # type: ignore[assignment]
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 0.3, "probe_interval": 0.05})
    return project


async def test_what_is_in_use_goes_after_what_uses_it(clients: Clients) -> None:
    project = use(clients, Project(left("volume", "pvc-1"), left("network", "dev"), left("load balancer", "lb")))
    project.refusals = {"network": [], "dev": [Conflict("409", detail="ports in use")], "pvc-1": [InvalidInput("400")]}
    outcome = await leftovers.sweep(declared(), clients)
    assert project.asked == ["pvc-1", "dev", "lb", "pvc-1", "dev"]
    assert outcome.made == ("load-balancer/lb", "volume/pvc-1", "network/dev")
    assert (await leftovers.sweep(declared(), clients)).sentence == "nothing of it is left"


async def test_what_is_going_is_waited_for_and_not_asked_again(clients: Clients) -> None:
    project = use(clients, Project(left("load balancer", "lb", "pending_delete"), left("volume", "pvc-1", "deleting")))
    with pytest.raises(DeadlineExceeded, match="load balancer lb; volume pvc-1"):
        await leftovers.sweep(declared(), clients)
    assert project.asked == []


async def test_a_deletion_that_failed_is_asked_for_again(clients: Clients) -> None:
    project = use(clients, Project(left("load balancer", "lb", "error")))
    project.deaf = {"lb"}
    with pytest.raises(DeadlineExceeded, match="load balancer lb is in ERROR"):
        await leftovers.sweep(declared(), clients)
    assert project.asked.count("lb") > 1


@pytest.mark.parametrize(
    ("item", "refusal", "said"),
    [
        (left("volume", "v", "in-use", "s1"), None, "volume v is still attached to server s1 (in-use): whoever runs"),
        (left("volume", "v", "error_detaching"), None, "volume v is still attached (error_detaching)"),
        (left("volume", "v", "error_deleting"), None, "volume v is in ERROR_DELETING: Cinder could not delete it"),
        (left("load balancer", "b", "error"), "400", "load balancer b is in ERROR"),
        (left("network", "n", "active"), "ports are in use", "network n cannot be deleted: ports are in use"),
    ],
)
def test_each_that_stays_has_its_sentence(item: Leftover, refusal: str | None, said: str) -> None:
    assert (leftovers.stuck(item, refusal) or "").startswith(said)


def test_what_nothing_keeps_has_none() -> None:
    assert leftovers.stuck(left("volume", "v", "deleting"), None) is None


async def test_a_cluster_that_cannot_be_asked_loses_only_what_stands_in_the_way(clients: Clients) -> None:
    things = [left("load balancer", "lb"), left("floating IP", "ip"), left("volume", "pvc-1"), left("cluster", "dev")]
    project = use(clients, Project(*things))
    assert await leftovers.clear_the_way(declared(), clients) == ["load-balancer/lb", "floating-ip/ip"]
    assert [item.name for item in project.there] == ["pvc-1", "dev"]


async def test_where_nobody_looked_nothing_is_said_to_be_gone(clients: Clients) -> None:
    use(clients, Project()).not_looked = {"Cinder (volume)": "timed out"}
    with pytest.raises(Failed, match="Cinder \\(volume\\): timed out"):
        await leftovers.sweep(declared(), clients)
