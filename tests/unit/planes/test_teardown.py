"""What a cluster holds in the cloud is given back before it goes, and what is left is found and named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, Denied, Failed, NotFound, NotYet
from infra.clients.openstack_leftovers import KINDS
from infra.clients.openstack_models import Cluster, Leftover, Leftovers
from infra.planes import dns, leftovers, teardown
from infra.planes.clients import Clients
from tests.unit.planes.answering import Answering, Refusal
from tests.unit.planes.fakes import FakeJournal, FakeMagnum, declared, state_knows


def item(kind: str, name: str, namespace: str | None = "web", **parts: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts}


async def test_volumes_that_are_kept_on_purpose_are_not_waited_for(clients: Clients, kubernetes: Answering) -> None:
    kubernetes.put(item("PersistentVolume", "kept", None, spec={"persistentVolumeReclaimPolicy": "Retain"}))
    assert await teardown.release_volumes(clients) == []
    kubernetes.put(item("PersistentVolume", "going", None, spec={"persistentVolumeReclaimPolicy": "Delete"}))
    with pytest.raises(DeadlineExceeded, match=r"1 volumes have not been given back yet. \(going\)"):
        await teardown.release_volumes(clients)


# -- reaching a cluster that may be gone ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [NotFound("There is no cluster dev."), NotYet("It has no API address yet.")])
async def test_a_cluster_that_is_gone_is_no_reason_to_stop(clients: Clients, error: Exception) -> None:
    async def connect(_name: str) -> None:
        raise error

    clients.connect = connect  # type: ignore[method-assign, assignment]
    state_knows(clients)
    assert await leftovers.reach(declared(), clients) == "there is no cluster dev to ask"


async def test_a_cluster_that_does_not_answer_is_disconnected(clients: Clients, kubernetes: Answering) -> None:
    kubernetes.answer("GET /version", Refusal(503))
    state_knows(clients)
    said = await leftovers.reach(declared(), clients)
    assert said == "cluster dev does not answer; what it left in the cloud is swept at the end"
    assert not clients.connected
    with pytest.raises(RuntimeError, match="connect"):
        _ = clients.kubernetes
    with pytest.raises(RuntimeError, match="connect"):
        _ = clients.helm


async def test_a_cluster_that_answers_is_used(clients: Clients, kubernetes: Answering) -> None:
    kubernetes.answer("GET /version", {"gitVersion": "v1.33.4"})
    assert await leftovers.reach(declared(), clients) == "Kubernetes v1.33.4 answers"
    assert clients.connected


async def test_connecting_to_no_cluster_says_so(clients: Clients) -> None:
    clients.disconnect()
    with pytest.raises(NotFound, match="There is no cluster dev"):
        await clients.connect("dev")


async def test_connecting_opens_the_clusters_clients_once(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    class Opened:
        def __init__(self, *arguments: object, **_: object) -> None:
            opened.append(f"{type(self).__name__} {arguments[0]}")

        async def __aenter__(self) -> Opened:
            return self

        async def __aexit__(self, *_: object) -> None:
            opened.append(f"close {type(self).__name__}")

    class Configs(Opened):
        def __init__(self, _openstack: object, *, group: str) -> None:
            super().__init__(f"for {group}")

        async def of(self, cluster: Cluster) -> str:
            return f"kubeconfig of {cluster.uuid}"

    monkeypatch.setattr("infra.planes.clients.Kubeconfigs", Configs)
    monkeypatch.setattr("infra.planes.clients.HelmClient", type("Helm", (Opened,), {}))
    monkeypatch.setattr("infra.planes.clients.KubernetesClient", type("Kubernetes", (Opened,), {}))
    clients.disconnect()
    cluster = Cluster(uuid="c1", name="dev", status="CREATE_COMPLETE")
    clients.openstack.magnum = FakeMagnum(cluster)  # type: ignore[assignment]
    for _ in range(2):
        await clients.connect("dev")
    assert opened == ["Configs for system:masters", "Kubernetes kubeconfig of c1", "Helm kubeconfig of c1"]
    await clients._stack.aclose()
    assert opened[3:] == ["close Helm", "close Kubernetes", "close Configs"]


# -- the sweep ------------------------------------------------------------------------------------------------------


class FakeSweep:
    """Things in the project; some stay whatever is done."""

    def __init__(self, *things: Leftover, stay: bool = False, not_looked: dict[str, str] | None = None) -> None:
        self.things = list(things)
        self.stay = stay
        self.not_looked = not_looked or {}
        self.asked: dict[str, Any] = {}
        self.deleted: list[str] = []

    async def find(self, **asked: Any) -> Leftovers:
        self.asked = asked
        return Leftovers(found=tuple(self.things), not_looked=self.not_looked)

    async def delete(self, thing: Leftover) -> None:
        self.deleted.append(thing.id)
        if not self.stay:
            self.things = [one for one in self.things if one.id != thing.id]


VOLUME = Leftover(kind="volume", id="v1", name="pvc-1", why="it was made for a volume claim of cluster dev")
UNNAMED = Leftover(kind="floating IP", id="f1", why="its description names cluster dev")


async def test_what_is_left_is_removed_and_looked_for_again(clients: Clients, journal: FakeJournal) -> None:
    sweep = FakeSweep(VOLUME, UNNAMED)
    clients.openstack.leftovers = sweep  # type: ignore[assignment]
    outcome = await leftovers.sweep(declared(), clients)
    assert (outcome.made, outcome.taken_away) == (("volume/pvc-1", "floating-ip/f1"), True)
    assert sweep.asked == {"names": ["dev", "plumbline-dev"], "clusters": (), "marks": [dns.mark("dev")]}
    assert journal.actions == ["sweep volume/pvc-1", "sweep floating-ip/f1"]
    again = await leftovers.sweep(declared(), clients)
    assert (again.made, again.sentence) == ((), "nothing of it is left")
    assert len(journal.began) == 2


async def test_templates_are_known_by_their_label_and_found_once(clients: Clients) -> None:
    ours = SimpleNamespace(uuid="t1", name="dev-abc", labels={"plumbline_environment": "dev"})
    theirs = SimpleNamespace(uuid="t2", name="other", labels={"plumbline_environment": "prod"})
    named = SimpleNamespace(uuid="t3", name="dev", labels={"plumbline_environment": "dev"})
    magnum: Any = clients.openstack.magnum
    magnum.templates_ = {one.uuid: one for one in (ours, theirs, named)}
    sweep = FakeSweep(Leftover(kind="cluster template", id="t3", name="dev", why="its name is dev"))
    delete = sweep.delete

    async def deleted(thing: Leftover) -> None:
        assert thing.kind in {kind.name for kind in KINDS}
        magnum.templates_.pop(thing.id)
        await delete(thing)

    sweep.delete = deleted  # type: ignore[method-assign]
    clients.openstack.leftovers = sweep  # type: ignore[assignment]
    await leftovers.sweep(declared(), clients)
    assert sweep.deleted == ["t3", "t1"]
    assert list(magnum.templates_) == ["t2"]


async def test_what_cannot_be_removed_is_named(clients: Clients) -> None:
    clients.openstack.leftovers = FakeSweep(VOLUME, UNNAMED, stay=True)  # type: ignore[assignment]
    with pytest.raises(DeadlineExceeded, match=r"2 things are still there. \(volume pvc-1; floating IP f1\)"):
        await leftovers.sweep(declared(), clients)


async def test_not_looked_is_never_nothing_left(clients: Clients) -> None:
    sweep = FakeSweep(not_looked={"network": str(Denied("403"))})
    clients.openstack.leftovers = sweep  # type: ignore[assignment]
    with pytest.raises(Failed, match="network: 403"):
        await leftovers.sweep(declared(), clients)
    assert sweep.deleted == []
