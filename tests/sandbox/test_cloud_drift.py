"""The read-only check of the cluster plane on the real cloud: what people do behind Plumbline's back, and faults."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from openstack.connection import Connection

from infra.catalog import Catalog
from infra.clients.errors import Denied, Failed
from infra.clients.kubeconfig import mint
from infra.clients.openstack import OpenStackClient
from infra.drift.findings import Finding, PlaneName, PlaneState, PlaneVerdict, Severity
from infra.planes import cluster
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients, open_clients
from infra.planes.cloud.check import check
from infra.planes.cloud.compare import compare_cloud
from infra.planes.cloud.seen import see
from infra.planes.cloud.strays import strays
from infra.planes.cloud.terraform import terraform_findings
from infra.planes.looking import Looked
from infra.settings import ROOT, Settings
from infra.spec.models import Environment
from infra.terraform.looking import PlanReader
from infra.terraform.template import template_name
from infra.terraform.variables import Variables
from tests.platform import Platform, writes
from tests.sandbox.clusters import agreeing
from tests.sandbox.runs import BARE, SMALL, away
from tests.unit.planes.fakes import FakeJournal
from tests.waiting import until

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

NAME = "plumb"
GROUP = {"name": "build", "count": 1, "flavor": "m1.xlarge", "min": 1, "max": 5}
CLUSTER = {**SMALL, "nodeGroups": [GROUP]}
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIII9cHX46K0xtng8aKzxNXm9wgZKjtMXW5/gJGis8TV5"
LATEST = {"OpenStack-API-Version": "container-infra 1.10"}


class Cloud:
    """The environment, ways to look at it, and what a person could do to it behind Plumbline's back."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.settings = Settings(state_dir=platform.home / "state", terraform_providers="mirror")
        text = platform._git(
            "-C", str(platform.home / "git/environments.git"), "show", f"main:environments/{NAME}.yaml"
        )
        self.environment = Environment.model_validate(yaml.safe_load(text))
        self.wanted = Variables.of(self.environment)
        self.connection: Connection = platform.connection()
        self.magnum = self.connection.container_infrastructure_management

    async def check(self, environment: Environment | None = None) -> Looked:
        wanted = environment or self.environment
        journal: Any = FakeJournal()
        async with open_clients(
            wanted, settings=self.settings, catalog=Catalog.load(), journal=journal, read_only=True
        ) as clients:
            return await check(wanted, clients)

    async def repair(self) -> None:
        async with self.writing(self.environment) as clients:
            await agreeing(self.environment, clients)

    @asynccontextmanager
    async def writing(self, environment: Environment) -> AsyncIterator[Clients]:
        journal: Any = FakeJournal()
        opened = open_clients(environment, settings=self.settings, catalog=Catalog.load(), journal=journal)
        async with opened as clients:
            yield clients

    async def bring(self, environment: Environment) -> None:
        async with self.writing(environment) as clients:
            await bring_into_step(
                cluster, cluster.desired(environment), clients, name=PlaneName.CLUSTER, step="cluster"
            )

    @property
    def state(self) -> Path:
        return self.settings.state_dir / f"terraform/{NAME}/terraform.tfstate"

    def call(self, method: str, path: str, **extra: Any) -> Any:
        answer = self.magnum.request(path, method, headers=LATEST, **extra)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/clusters/{NAME}")
        return found

    def resize(self, group: str, count: int) -> None:
        uuid = self.cluster()["uuid"]
        identifier = self.call("GET", f"/clusters/{uuid}/nodegroups/{group}")["uuid"]
        self.call("POST", f"/clusters/{uuid}/actions/resize", json={"node_count": count, "nodegroup": identifier})
        counted = f"/clusters/{uuid}/nodegroups/{group}"
        until(lambda: self.call("GET", counted)["node_count"] == count, f"{count} nodes in the group {group}")
        self.settled()

    def settled(self) -> None:
        until(lambda: self.cluster()["status"].endswith("_COMPLETE"), "the cluster to settle")

    def faults(self, *arguments: str) -> None:
        self.platform.sandbox("faults", *arguments)


@pytest.fixture(scope="module")
def cloud(platform: Platform) -> Iterator[Cloud]:
    platform.declare(NAME, **BARE | {"cluster": CLUSTER})
    made = platform.flow("create_environment", NAME)
    assert made.status == 0, made.log[-4000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(platform.home / "clouds.yaml"))
        patch.setenv("TF_CLI_CONFIG_FILE", str(platform.home / "terraformrc"))
        found = Cloud(platform)
        yield found
        found.connection.close()
    away(platform, NAME)


@pytest.fixture(autouse=True)
def no_faults(platform: Platform) -> Iterator[None]:
    yield
    platform.sandbox("faults", "clear")


def places(looked: Looked) -> dict[tuple[str, str], Finding]:
    return {finding.place: finding for finding in looked.findings}


def verdict(looked: Looked) -> PlaneState:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = PlaneVerdict.of(
        PlaneName.CLUSTER,
        looked.findings,
        looked.blind_spots,
        looked_at=now,
        seconds=0,
    )
    return made.state


async def test_what_is_as_declared_is_in_step_and_nothing_was_written(cloud: Cloud) -> None:
    folder = {path: path.stat().st_mtime_ns for path in cloud.state.parent.rglob("*") if path.is_file()}
    before = len(cloud.platform.requests())
    looked = await cloud.check()
    # Magnum looks at a cluster's health every half minute, and may have looked before its nodes were ready: a note.
    assert (looked.findings, looked.blind_spots) == ((), ())
    asked = cloud.platform.requests()[before:]
    assert writes(asked) == []
    assert {item["method"] for item in asked if item["path"] != "/v3/auth/tokens"} == {"GET"}
    assert {path: path.stat().st_mtime_ns for path in cloud.state.parent.rglob("*") if path.is_file()} == folder
    assert list((cloud.settings.state_dir / "private").glob("plan-*")) == []
    begun, before = time.monotonic(), len(cloud.platform.requests())
    await cloud.check()
    took, asked = time.monotonic() - begun, cloud.platform.requests()[before:]
    ours = [item for item in asked if "terraform" not in (item.get("ua") or "").lower()]
    print(f"a check in step: {took:.2f} s, {len(ours)} requests of our own, {len(asked) - len(ours)} of Terraform's")
    begun = time.monotonic()
    await PlanReader(cloud.wanted, settings=cloud.settings).plan()
    print(f"Terraform's look: {time.monotonic() - begun:.2f} s")


async def test_the_name_of_the_template_is_terraforms(cloud: Cloud) -> None:
    template = cloud.call("GET", f"/clustertemplates/{cloud.cluster()['cluster_template_id']}")
    assert template["name"] == template_name(cloud.wanted)


async def both(cloud: Cloud) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """What each of the two looks finds by itself."""
    journal: Any = FakeJournal()
    async with open_clients(
        cloud.environment, settings=cloud.settings, catalog=Catalog.load(), journal=journal, read_only=True
    ) as clients:
        ours = compare_cloud(cloud.wanted, await see(NAME, clients.openstack)).findings
    theirs = terraform_findings((await PlanReader(cloud.wanted, settings=cloud.settings).plan()).plan)
    return {one.place for one in ours}, {one.place for one in theirs}


async def test_a_resize_by_hand_is_seen_by_both(cloud: Cloud) -> None:
    await asyncio.to_thread(cloud.resize, "build", 3)
    await asyncio.to_thread(cloud.resize, "default-worker", 2)
    workers, build = (f"cluster/{NAME}", "node_count"), (f"nodegroup/{NAME}/build", "node_count")
    for found in await both(cloud):
        assert found == {workers, build}
    looked = await cloud.check()
    assert set(places(looked)) == {workers, build} and looked.blind_spots == ()
    finding = places(looked)[workers]
    assert (finding.declared, finding.observed, finding.severity) == (1, 2, Severity.CONFIG)
    assert finding.sentence == f"Cluster {NAME} has node_count 2 instead of 1."
    assert finding.changed is not None and finding.changed.when is not None
    await cloud.repair()
    assert verdict(await cloud.check()) is PlaneState.IN_STEP


async def test_what_is_waived_from_the_report_is_named_alike_and_left_alone_by_reconcile(cloud: Cloud) -> None:
    await asyncio.to_thread(cloud.resize, "default-worker", 2)
    cloud.connection.compute.delete_keypair(f"plumbline-{NAME}")
    about = {"owner": "platform-team", "reason": "Until the load test is over.", "expires": "2999-12-31"}
    waivers = [
        {"address": one.address, "path": one.path, **about}
        for one in (await cloud.check()).findings
        if one.path == "node_count"
    ]
    declared = BARE | {"cluster": CLUSTER}
    cloud.platform.declare(NAME, **declared, policy={"drift": {"every": "15m", "waivers": waivers}})
    try:
        healed = await asyncio.to_thread(cloud.platform.flow, "reconcile", NAME)
        assert healed.status == 0, healed.log[-4000:]
        (found,) = [one for plane in healed.result["before"]["planes"] for one in plane["findings"]]
        written = [where for step in healed.result["report"]["steps"] for where in step["made"]]
        assert written == [found["address"]] == [f"keypair/plumbline-{NAME}"]
        assert set(places(await cloud.check())) == {(f"cluster/{NAME}", "node_count")}
    finally:
        cloud.platform.declare(NAME, **declared)
        await cloud.repair()
    assert verdict(await cloud.check()) is PlaneState.IN_STEP


async def test_a_node_group_nobody_declared(cloud: Cloud) -> None:
    uuid = cloud.cluster()["uuid"]
    body = {"name": "mine", "node_count": 1, "flavor_id": "m1.large"}
    groups = f"/clusters/{uuid}/nodegroups"
    cloud.call("POST", groups, json=body)
    until(lambda: "mine" in [one["name"] for one in cloud.call("GET", groups)["nodegroups"]], "the node group")
    await asyncio.to_thread(cloud.settled)
    (finding,) = (await cloud.check()).findings
    assert (finding.address, finding.severity) == (f"nodegroup/{NAME}/mine", Severity.SECURITY)
    assert finding.sentence == f"Cluster {NAME} has a node group mine (1) nobody declared."
    cloud.call("DELETE", f"/clusters/{uuid}/nodegroups/mine")
    until(lambda: "mine" not in [one["name"] for one in cloud.call("GET", groups)["nodegroups"]], "its end")
    await asyncio.to_thread(cloud.settled)
    assert verdict(await cloud.check()) is PlaneState.IN_STEP


async def test_the_keypair_deleted_and_another_in_its_place(cloud: Cloud) -> None:
    name = f"plumbline-{NAME}"
    cloud.connection.compute.delete_keypair(name)
    (gone,) = (await cloud.check()).findings
    assert (gone.place, gone.severity) == ((f"keypair/{name}", ""), Severity.DESTRUCTIVE)
    assert gone.sentence == f"There is no keypair {name}."
    cloud.connection.compute.create_keypair(name=name, public_key=OTHER_KEY)
    (other,) = (await cloud.check()).findings
    assert (other.place, other.severity) == ((f"keypair/{name}", "public_key"), Severity.SECURITY)
    assert other.changed is not None and other.changed.who.startswith("user ") and other.changed.when is not None
    cloud.connection.compute.delete_keypair(name)
    await cloud.repair()
    assert verdict(await cloud.check()) is PlaneState.IN_STEP


async def test_a_lost_state_is_one_finding_that_says_what_to_do(cloud: Cloud, tmp_path: Path) -> None:
    kept = cloud.state.rename(tmp_path / "kept")
    try:
        looked = await cloud.check()
        assert not cloud.state.exists()
    finally:
        kept.rename(cloud.state)
    (finding,) = looked.findings
    assert finding.address == f"terraform-state/{NAME}"
    assert finding.sentence.startswith(f"Terraform's state does not know cluster/{NAME}, keypair/plumbline-{NAME}, ")
    assert finding.sentence.endswith("run create-environment, which adopts it.")
    assert (finding.severity, looked.blind_spots) == (Severity.CONFIG, ())


HOLD = """
import fcntl, json, pathlib, sys
state = pathlib.Path(sys.argv[1])
with state.open("r+") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    note = {"Who": "ops@host", "Operation": "OperationTypeApply", "Created": "2026-01-01T00:00:00Z"}
    state.with_name(f".{state.name}.lock.info").write_text(json.dumps(note))
    print("held", flush=True)
    sys.stdin.read()
state.with_name(f".{state.name}.lock.info").unlink()
"""


@contextmanager
def held(state: Path) -> Iterator[None]:
    argv = [sys.executable, "-c", HOLD, str(state)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.stdin.close()


async def test_terraforms_lock_is_neither_waited_for_nor_disturbed(cloud: Cloud) -> None:
    with held(cloud.state):
        looked = await asyncio.wait_for(cloud.check(), 30)
        await asyncio.to_thread(cloud.resize, "build", 2)
        drifted = await cloud.check()
    note = f"A run is at work on the Terraform state of {NAME}, ops@host (apply), since 2026-01-01T00:00:00Z."
    assert looked == Looked(notes=(note,))
    assert [one.place for one in drifted.findings] == [(f"nodegroup/{NAME}/build", "node_count")]
    assert drifted.notes == (note,)
    await cloud.repair()


async def test_a_check_beside_an_apply_never_says_drift_of_what_is_being_made(cloud: Cloud) -> None:
    more = cloud.environment.model_copy(deep=True)
    document = more.document()
    document["spec"]["cluster"]["nodes"]["count"] = 3
    document["spec"]["cluster"]["nodeGroups"].append({"name": "late", "count": 1, "flavor": "m1.large"})
    more = Environment.model_validate(document)
    applying = asyncio.create_task(cloud.bring(more))
    seen: list[Looked] = []
    while not applying.done():
        seen.append(await cloud.check(more))
    await applying
    assert any("is at work" in note for looked in seen for note in looked.notes), seen
    for looked in seen:
        assert {one.address for one in looked.findings} <= {f"cluster/{NAME}", f"nodegroup/{NAME}/late"}, looked
        assert not any("Terraform sees no difference" in one.sentence for one in looked.findings), looked
    assert verdict(await cloud.check(more)) is PlaneState.IN_STEP
    await cloud.repair()
    assert verdict(await cloud.check()) is PlaneState.IN_STEP


KINDS = [part for kind in ("500", "429", "503", "reset", "stall") for part in ("--kind", kind)]
TIMES = int(os.environ.get("PLUMBLINE_TEST_FAULT_CHECKS", "3"))


def fifth_read_fails(cloud: Cloud, seed: int) -> None:
    """Also those of Terraform's provider; a stall is longer than our own patience in these tests."""
    cloud.faults("clear")
    rate = ("--rate", "0.2", "--retry-after", "0.1", "--stall-seconds", "2", "--seed", str(seed))
    for service in ("magnum", "nova", "keystone"):
        cloud.faults("set", "--service", service, "--method", "GET", *rate, *KINDS)


async def test_every_fifth_read_fails_and_no_verdict_is_false(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "settings", cloud.settings.model_copy(update={"request_timeout": 1.0}))
    said = []
    for seed in range(TIMES):
        fifth_read_fails(cloud, seed)
        looked = await cloud.check()
        assert looked.findings == (), looked
        assert all(spot.why and spot.category for spot in looked.blind_spots)
        said.append(verdict(looked))
    print(f"{said.count(PlaneState.IN_STEP)} of {TIMES} checks in step, the others unknown")


async def test_every_fifth_read_fails_and_drift_is_no_in_step(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(cloud.resize, "build", 3)
    monkeypatch.setattr(cloud, "settings", cloud.settings.model_copy(update={"request_timeout": 1.0}))
    for seed in range(3):
        fifth_read_fails(cloud, seed)
        looked = await cloud.check()
        assert {one.place for one in looked.findings} <= {(f"nodegroup/{NAME}/build", "node_count")}, looked
        assert looked.findings or looked.blind_spots
    cloud.faults("clear")
    await cloud.repair()


async def test_a_service_that_only_fails_leaves_the_plane_unknown(cloud: Cloud) -> None:
    cloud.faults("set", "--service", "magnum", "--kind", "500")
    looked = await cloud.check()
    assert verdict(looked) is PlaneState.UNKNOWN
    assert {spot.what for spot in looked.blind_spots} >= {f"cluster/{NAME}", "what Terraform sees"}
    assert {spot.category for spot in looked.blind_spots} == {"Unavailable"}
    cloud.faults("clear")
    cloud.faults("set", "--service", "nova", "--kind", "500")
    looked = await cloud.check()
    assert looked.findings == ()
    assert {spot.what for spot in looked.blind_spots} == {f"keypair/plumbline-{NAME}", "what Terraform sees"}


def clouds_of_a_reader(cloud: Cloud, folder: Path, auth: dict[str, Any], kind: str) -> Path:
    document = yaml.safe_load((cloud.platform.home / "clouds.yaml").read_text())
    known = document["clouds"]["sandbox"]
    known["auth_type"] = kind
    known["auth"] = {"auth_url": known["auth"]["auth_url"], **auth}
    path = folder / "clouds.yaml"
    path.write_text(json.dumps({"clouds": {"sandbox": known}}))
    return path


async def test_the_reader_role_is_enough(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = cloud.connection.identity
    user = cloud.connection.current_user_id
    made = identity.create_application_credential(user=user, name="check", roles=[{"name": "reader"}])
    auth = {"application_credential_id": made.id, "application_credential_secret": made.secret}
    file = clouds_of_a_reader(cloud, tmp_path, auth, "v3applicationcredential")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    assert await cloud.check() == Looked()
    assert await strays_of(cloud, [NAME, "dev"]) == Looked()
    # Keystone and Magnum keep the promise, not only our own guard.
    async with OpenStackClient("sandbox", cloud.settings) as reader:
        with pytest.raises(Denied):
            await reader.magnum.delete_cluster(cloud.cluster()["uuid"])
        with pytest.raises(Denied):
            await reader.magnum.sign(cloud.cluster()["uuid"], "a request")
        # Nova asks for no role at keypairs: this is 404 and not 403, which only access rules change.
        assert await reader.compute.delete_keypair("plumbline-nobodys") is False


async def test_access_rules_let_a_check_mint_a_kubeconfig_and_do_nothing_else(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/read-only-access.md").read_text()
    rules = json.loads(page.split("```json\n")[1].split("```")[0])
    made = cloud.connection.identity.create_application_credential(
        user=cloud.connection.current_user_id, name="rules", roles=[{"name": "member"}], access_rules=rules
    )
    auth = {"application_credential_id": made.id, "application_credential_secret": made.secret}
    file = clouds_of_a_reader(cloud, tmp_path, auth, "v3applicationcredential")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    assert await cloud.check() == Looked()
    assert await strays_of(cloud, [NAME, "dev"]) == Looked()
    async with OpenStackClient("sandbox", cloud.settings) as bare:
        cluster = await bare.magnum.cluster(NAME)
        assert cluster is not None
        async with mint(bare, cluster, folder=tmp_path / "private") as kubeconfig:
            assert kubeconfig.exists()
        for refused in (bare.magnum.delete_cluster(cluster.uuid), bare.compute.delete_keypair(f"plumbline-{NAME}")):
            with pytest.raises(Denied):
                await refused
    assert await cloud.check() == Looked()


async def strays_of(cloud: Cloud, declared: list[str]) -> Looked:
    async with OpenStackClient("sandbox", cloud.settings, read_only=True) as openstack:
        return await strays(declared, openstack)


async def test_another_account_does_not_take_a_keypair_for_gone(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = cloud.connection.current_project_id
    with cloud.platform.connection("sandbox-admin") as admin:
        user = admin.identity.create_user(name="auditor", password="only-looks-1", domain_id="default")
        role = admin.identity.find_role("reader")
        admin.identity.assign_project_role_to_user(project=project, user=user, role=role)
    names = {"username": "auditor", "project_id": project, "user_domain_id": "default"}
    file = clouds_of_a_reader(cloud, tmp_path, {**names, "password": "only-looks-1"}, "v3password")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    looked = await cloud.check()
    assert looked.findings == ()
    (spot,) = looked.blind_spots
    assert (spot.what, spot.category) == (f"keypair/plumbline-{NAME}", "Denied")
    assert "application credential of that account" in spot.why


async def test_what_nobody_declares_any_more_is_found(cloud: Cloud) -> None:
    found = places(await strays_of(cloud, ["dev"]))
    template = template_name(cloud.wanted)
    assert set(found) == {(f"cluster/{NAME}", ""), (f"keypair/plumbline-{NAME}", ""), (f"template/{template}", "")}
    assert found[f"cluster/{NAME}", ""].changed is not None


async def test_a_failed_apply_is_explained_in_magnums_words(cloud: Cloud) -> None:
    document = cloud.environment.document()
    document["metadata"]["name"] = "broken"
    broken = Environment.model_validate(document)
    cloud.faults("set", "--cluster", "broken", "--create", "fail", "--reason", "No valid host was found")
    try:
        with pytest.raises(Failed, match="Cluster broken is CREATE_FAILED: No valid host was found"):
            await cloud.bring(broken)
        looked = await cloud.check(broken)
        said = {finding.place: finding.sentence for finding in looked.findings}
        assert looked.blind_spots == ()
        assert said["cluster/broken", "status"].startswith("Cluster broken is CREATE_FAILED: No valid host was found")
        assert "an earlier operation on it did not finish" in said["cluster/broken", ""]
        assert said["nodegroup/broken/build", ""].endswith("it has not been made yet.")
        assert len(said) == 3
    finally:
        async with cloud.writing(broken) as clients:
            await cluster.remove(broken, clients)


KILLED = """
import asyncio, sys
from infra.settings import Settings
from infra.terraform.looking import PlanReader
from infra.terraform.variables import Variables

wanted = Variables.model_validate_json(sys.argv[1])
asyncio.run(PlanReader(wanted, settings=Settings(state_dir=sys.argv[2])).plan())
"""


async def test_a_killed_check_leaves_nothing_that_the_next_does_not_sweep(cloud: Cloud) -> None:
    private = cloud.settings.state_dir / "private"
    argv = [sys.executable, "-c", KILLED, cloud.wanted.model_dump_json(), str(cloud.settings.state_dir)]
    with subprocess.Popen(argv, cwd=ROOT) as child:  # noqa: ASYNC220  # it has to be killed like a stranger
        until(lambda: any(private.glob("plan-*/terraform.tfstate")), "a copy of the state")
        child.kill()
    (left,) = private.glob("plan-*")
    assert left.stat().st_mode & 0o777 == 0o700
    assert (left / "terraform.tfstate").stat().st_mode & 0o777 == 0o600
    assert await cloud.check() == Looked()
    assert not list(private.glob("plan-*"))


async def test_a_cluster_deleted_by_hand_is_never_in_step_from_then_on(cloud: Cloud) -> None:
    uuid = cloud.cluster()["uuid"]
    cloud.call("DELETE", f"/clusters/{uuid}")
    deadline = time.monotonic() + 60
    while True:
        looked = await cloud.check()
        assert verdict(looked) is not PlaneState.IN_STEP, looked
        if (f"cluster/{NAME}", "") in places(looked):
            break
        assert time.monotonic() < deadline, looked
    finding = places(looked)[f"cluster/{NAME}", ""]
    assert (finding.sentence, finding.severity) == (f"There is no cluster {NAME}.", Severity.DESTRUCTIVE)
    assert set(places(looked)) == {(f"cluster/{NAME}", "")}
    made = cloud.platform.flow("create_environment", NAME)
    assert made.status == 0, made.log[-3000:]
    assert verdict(await cloud.check()) is PlaneState.IN_STEP
