"""Looking before the first write: what we may not see is unknown, what is not there is absent."""

from __future__ import annotations

import asyncio
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from infra.clients.errors import Denied, Unavailable
from infra.clients.openstack_models import Cluster, Flavor, Image, Limits, Network, NodeGroup, Subnet, Usage
from infra.clients.openstack_session import ServiceAbsent
from infra.planes import preflight
from infra.planes.clients import Clients
from infra.spec.facts import ExistingCluster, NodeCount, Quota
from infra.spec.problems import InvalidDeclaration
from tests.unit.planes.fakes import FakeDesignate, FakeMagnum, declared


class FakeCompute:
    """A project with room; each question may be answered otherwise."""

    def __init__(self) -> None:
        sizes = {"m1.medium": 4096, "m1.large": 8192, "m1.xlarge": 16384}
        self.answers: dict[str, Any] = {
            "flavors": tuple(
                Flavor.model_validate({"id": name, "name": name, "vcpus": 2, "ram": ram, "disk": 40})
                for name, ram in sizes.items()
            ),
            "images": (
                Image(id="i1", name="fedora-coreos", status="active", os_distro="fedora-coreos"),
                Image(id="i2", name="gone", status="deactivated"),
            ),
            "keypairs": (),
            "places": ("nova",),
            "types": ("standard", "ssd"),
            "limits": Limits(
                instances=Usage(limit=None, used=1), cores=Usage(limit=100, used=0), ram_mb=Usage(limit=999999, used=0)
            ),
        }

    async def _answer(self, name: str) -> Any:
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def flavors(self) -> Any:
        return await self._answer("flavors")

    async def images(self) -> Any:
        return await self._answer("images")

    async def keypairs(self) -> Any:
        return await self._answer("keypairs")

    async def availability_zones(self, service: str) -> Any:
        assert service == "block_storage"
        return await self._answer("places")

    async def volume_types(self) -> Any:
        return await self._answer("types")

    async def limits(self) -> Any:
        return await self._answer("limits")


class FakeNetwork:
    """Neutron with an external network, and one to stand in."""

    answer: Exception | None = None

    async def networks(self) -> tuple[Network, ...]:
        if self.answer is not None:
            raise self.answer
        outside = {"id": "n1", "name": "public", "router:external": True}
        return tuple(Network.model_validate(one) for one in (outside, {"id": "n2", "name": "inside"}))

    async def subnets(self) -> tuple[Subnet, ...]:
        return (Subnet(id="s1", name="outside", network_id="n1"), Subnet(id="s2", name="nodes", network_id="n2"))


@pytest.fixture
def compute(clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCompute:
    """A cloud, a secret store and programs that have all that dev needs."""
    found = FakeCompute()
    clients.openstack.compute = found  # type: ignore[assignment]
    clients.openstack.network = FakeNetwork()  # type: ignore[assignment]

    async def authorize() -> None: ...

    async def restricted_credential() -> None: ...

    clients.openstack.authorize = authorize  # type: ignore[method-assign]
    clients.openstack.restricted_credential = restricted_credential  # type: ignore[method-assign]
    folder = clients.settings.secrets_dir / "github-app"
    folder.mkdir(parents=True, mode=0o700)
    for name in ("github_app_id", "github_app_installation_id", "github_app_private_key"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text("x" * 8)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, said in (("helm", "v4.3.2+g1"), ("terraform", "Terraform v1.11.4")):
        (programs / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return found


async def test_everything_that_is_needed_is_there(clients: Clients, compute: FakeCompute) -> None:
    del compute
    assert await preflight.prove_possible(declared(), clients) == (
        "everything that is needed is there; helm 4.3.2, terraform 1.11.4"
    )
    facts = await preflight.gather_facts(declared(), clients)
    assert facts.flavors is not None
    assert {one.name for one in facts.flavors} == {"m1.medium", "m1.large", "m1.xlarge"}
    assert facts.images is not None
    assert [one.name for one in facts.images] == ["fedora-coreos"], "an image that cannot boot is none"
    assert facts.zones == frozenset({"sandbox.example."})
    assert facts.availability_zones == frozenset({"nova"})
    assert (facts.block_storage, facts.volume_types) == (True, {"standard", "ssd"})
    assert (facts.networks, facts.subnets) == ({"n1", "public"}, {key: {"s2", "nodes"} for key in ("n2", "inside")})
    assert facts.quotas == {"instances": Quota(-1, 1), "cores": Quota(100, 0), "ram": Quota(999999, 0)}
    assert (facts.cluster, facts.cluster_known) == (None, True)
    assert facts.tools == {"helm": "4.3.2", "terraform": "1.11.4"}
    keys = frozenset({"github_app_id", "github_app_installation_id", "github_app_private_key"})
    assert facts.secrets == {"github-app": keys}
    assert facts.addons is not None
    assert "cert-manager" in facts.addons
    assert facts.addon_secrets["external-dns"] == {"openstack-clouds": {"clouds.yaml"}}


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("flavors", "flavors"),
        ("images", "images"),
        ("keypairs", "keypairs"),
        ("places", "availability_zones"),
        ("limits", "quotas"),
    ],
)
async def test_what_we_may_not_see_is_unknown_and_said(
    clients: Clients, compute: FakeCompute, question: str, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    compute.answers[question] = Denied("403")
    with caplog.at_level(logging.INFO, "infra"):
        facts = await preflight.gather_facts(declared(), clients)
        said = await preflight.prove_possible(declared(), clients)
    assert getattr(facts, field) is None
    assert said.startswith("possible; not looked at: ")
    assert "Not allowed to look" in caplog.text


async def test_what_is_not_there_is_a_problem_all_at_once(clients: Clients, compute: FakeCompute) -> None:
    compute.answers |= {"flavors": (), "images": (), "places": ("az2",)}
    clients.openstack.designate = FakeDesignate(None)  # type: ignore[assignment]
    with pytest.raises(InvalidDeclaration) as caught:
        await preflight.prove_possible(declared(), clients)
    said = str(caught.value)
    for path in ("spec.cluster.image", "spec.cluster.nodes.flavor", "spec.storage.availabilityZone", "spec.dns.zone"):
        assert path in said


async def test_a_cloud_without_cinder_is_refused_and_its_zones_are_unknown(
    clients: Clients, compute: FakeCompute
) -> None:
    compute.answers |= {"places": None, "types": ServiceAbsent("no Cinder")}
    facts = await preflight.gather_facts(declared(), clients)
    assert (facts.block_storage, facts.volume_types, facts.availability_zones) == (False, None, None)
    with pytest.raises(InvalidDeclaration, match="volumeDriver: the cloud has no block storage service"):
        await preflight.prove_possible(declared(), clients)


@pytest.mark.parametrize("error", [ServiceAbsent("no Neutron"), Denied("403")])
async def test_networks_that_cannot_be_seen_are_unknown(
    clients: Clients, compute: FakeCompute, error: Exception
) -> None:
    del compute
    clients.openstack.network.answer = error  # type: ignore[attr-defined]
    facts = await preflight.gather_facts(declared(), clients)
    assert (facts.networks, facts.subnets) == (None, None)


async def test_a_cloud_that_does_not_answer_is_no_unknown(clients: Clients, compute: FakeCompute) -> None:
    compute.answers["flavors"] = Unavailable("timed out")
    with pytest.raises(Unavailable):
        await preflight.prove_possible(declared(), clients)


async def test_zones_are_asked_for_only_where_names_are_declared(clients: Clients, compute: FakeCompute) -> None:
    del compute
    facts = await preflight.gather_facts(declared(dns=None, certificates=None), clients)
    assert facts.zones is None


@pytest.mark.parametrize(("label", "ours"), [("dev", True), ("prod", False), (None, False)])
async def test_a_cluster_of_that_name_is_looked_at(
    clients: Clients, compute: FakeCompute, label: str | None, ours: bool
) -> None:
    del compute
    labels = {"plumbline_environment": label} if label else {}
    magnum = FakeMagnum(Cluster(uuid="c1", name="dev", coe_version="v1.33.4", labels=labels))
    magnum.groups["w"] = NodeGroup(uuid="g", name="w", role="worker", node_count=3, flavor_id="m1.large")
    clients.openstack.magnum = magnum  # type: ignore[assignment]
    facts = await preflight.gather_facts(declared(), clients)
    assert facts.cluster == ExistingCluster(
        uuid="c1", ours=ours, kubernetes="v1.33.4", nodes=(NodeCount("m1.large", 3),)
    )


async def test_a_magnum_we_may_not_ask_leaves_the_cluster_unknown(clients: Clients, compute: FakeCompute) -> None:
    del compute

    class Closed(FakeMagnum):
        async def cluster(self, name: str) -> Cluster | None:
            raise Denied(f"403 on {name}")

    clients.openstack.magnum = Closed()  # type: ignore[assignment]
    facts = await preflight.gather_facts(declared(), clients)
    assert (facts.cluster, facts.cluster_known) == (None, False)


async def test_a_program_that_is_missing_or_mute_is_said_to_be(
    clients: Clients, compute: FakeCompute, tmp_path: Path
) -> None:
    del compute
    mute = tmp_path / "mute"
    await asyncio.to_thread(mute.write_text, "#!/bin/sh\necho something else\n")
    mute.chmod(stat.S_IRWXU)
    clients.settings = clients.settings.model_copy(
        update={"helm_binary": str(tmp_path / "none"), "terraform_binary": str(mute)}
    )
    facts = await preflight.gather_facts(declared(), clients)
    assert facts.tools == {"helm": None, "terraform": "something else"}
