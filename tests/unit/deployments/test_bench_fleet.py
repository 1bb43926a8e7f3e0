"""The fleet bench's recording under other names, its outside world, and its arithmetic; what it measures is no test."""

from __future__ import annotations

import io
import json
import subprocess
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import dns.message
import dns.zone
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from prefect.utilities.annotations import quote
from rich.console import Console

from deployments import bench_fleet
from deployments import bench_fleet_keys as keys
from deployments.bench_fleet_figures import FleetFigures, Process, surprises
from deployments.bench_fleet_home import FleetHome
from deployments.bench_fleet_looks import bare
from deployments.bench_fleet_replay import recordsets, zone_text
from deployments.bench_fleet_stencil import Exchange, Identity, Recording, Stencil, digest, identities, packed, unpacked
from deployments.bench_fleet_world import World
from deployments.sandbox.dns.answers import Zone, respond
from infra.clients.helm_records import SECRET_TYPE, decode, encode
from infra.clients.kubeconfig import READERS, request
from infra.settings import ROOT
from infra.terraform.plans import parse
from tasks.drift import look_at_plane

CLOUD, CLUSTER = 32003, 32020
ZONE = "7d3a2f5c-1111-4222-8333-0123456789ab"
OWN = "0a1b2c3d-4444-4555-8666-0123456789ab"
NETWORK = IPv4Network("127.85.0.0/16")
HELM = f"/api/v1/secrets?fieldSelector=type%3D{SECRET_TYPE}&limit=500"
DEPLOYED = {"items": [{"metadata": {"name": "web", "uid": OWN}, "image": "registry.example/web:0"}]}


def declaration() -> str:
    document = yaml.safe_load((ROOT / "infra/environments/dev.yaml").read_text())
    document["metadata"]["name"] = "fleet-000"
    document["spec"]["dns"]["domain"] = "fleet-000.sandbox.example."
    return yaml.safe_dump(document)


def heard(port: int, target: str, body: Any, method: str = "GET") -> Exchange:
    headers = {"Content-Type": "application/json"}
    return Exchange(port=port, method=method, target=target, status=200, headers=headers, body=json.dumps(body))


def recorded() -> Recording:
    record = {"name": "web", "manifest": "host: fleet-000.sandbox.example", "version": 1}
    secret = {
        "type": SECRET_TYPE,
        "metadata": {"name": "sh.helm.release.v1.web.v1"},
        "data": {"release": encode(record)},
    }
    named = {"name": "*.fleet-000.sandbox.example.", "type": "A", "ttl": 300, "records": ["127.85.0.1"], "id": OWN}
    soa = {"name": "sandbox.example.", "type": "SOA", "ttl": 300, "id": ZONE,
           "records": ["ns1.sandbox.example. ops.example.org. 1 2 3 4 5"]}  # fmt: skip
    cluster = {"name": "fleet-000", "uuid": OWN, "api_address": f"https://127.0.0.1:{CLUSTER}"}
    return Recording(
        name="fleet-000",
        declaration=declaration(),
        exchanges=[
            heard(CLOUD, "/v1/clusters/fleet-000", cluster),
            heard(CLOUD, f"/v1/clusters/{OWN}/nodegroups", {"nodegroups": [{"cluster_id": OWN}]}),
            heard(CLOUD, "/v1/clusters", {"clusters": [cluster]}),
            heard(CLOUD, "/v2/zones?name=sandbox.example.", {"zones": [{"id": ZONE}]}),
            heard(CLOUD, f"/v2/zones/{ZONE}/recordsets?limit=500", {"recordsets": [soa, named]}),
            heard(CLUSTER, HELM, {"items": [secret]}),
            heard(CLUSTER, "/apis/apps/v1/deployments?limit=500", DEPLOYED),
        ],
        plan="{}",
        state='{"resources": [{"name": "fleet-000"}]}',
        api="127.0.0.1",
        api_port=CLUSTER,
        ingress="127.85.0.1",
        objects=200,
    )


@pytest.fixture
def fleet() -> list[Identity]:
    return identities(recorded(), 3, NETWORK)


@pytest.fixture
def world(fleet: list[Identity]) -> World:
    return World(recorded(), fleet, authority="AUTHORITY", sign=lambda csr: f"signed {csr}", drifted="fleet-003")


def asked(world: World, target: str, *, at: str = "127.0.0.1", port: int = CLOUD) -> Any:
    return json.loads(world.answer(port, at, "GET", target, b"").body)


def test_each_environment_has_a_name_a_digest_and_addresses_of_its_own(fleet: list[Identity]) -> None:
    assert [one.name for one in fleet] == ["fleet-001", "fleet-002", "fleet-003"]
    assert len({word for one in fleet for word in (one.digest, one.tail, one.api, one.ingress)}) == 12
    assert fleet[1].digest == digest(declaration().replace("fleet-000", "fleet-002"))


def test_what_is_an_environments_own_is_replaced_and_what_is_shared_is_not(fleet: list[Identity]) -> None:
    stencil = Stencil(recorded())
    template = f"fleet-000-v1.33.4-{digest(declaration())}"
    text = stencil.cut(f"{template} {OWN} {ZONE} https://127.0.0.1:{CLUSTER} http://127.0.0.1:{CLOUD} 127.85.0.1")
    assert fleet[1].fill(text).split() == [
        f"fleet-002-v1.33.4-{fleet[1].digest}", f"{OWN[:-4]}0002", ZONE,
        f"https://127.85.0.2:{CLUSTER}", f"http://127.0.0.1:{CLOUD}", "127.85.128.2",
    ]  # fmt: skip


def test_helm_records_are_opened_and_packed_again() -> None:
    body = next(one.body for one in recorded().exchanges if one.target == HELM)
    assert json.loads(packed(unpacked(body))) == json.loads(body)


def test_an_environment_is_found_by_name_by_uuid_and_by_address(world: World, fleet: list[Identity]) -> None:
    cluster = asked(world, "/v1/clusters/fleet-002")
    assert cluster == {"name": "fleet-002", "uuid": f"{OWN[:-4]}0002", "api_address": f"https://127.85.0.2:{CLUSTER}"}
    assert asked(world, f"/v1/clusters/{OWN[:-4]}0002/nodegroups") == {"nodegroups": [{"cluster_id": cluster["uuid"]}]}
    (secret,) = asked(world, HELM, at=fleet[1].api, port=CLUSTER)["items"]
    assert decode(secret)["manifest"] == "host: fleet-002.sandbox.example"
    assert (world.answered, world.unknown) == (3, [])


def test_what_all_have_in_common_lists_all_of_them(world: World) -> None:
    assert [one["name"] for one in asked(world, "/v1/clusters")["clusters"]] == ["fleet-001", "fleet-002", "fleet-003"]
    found = asked(world, f"/v2/zones/{ZONE}/recordsets?limit=500")["recordsets"]
    assert [one["type"] for one in found] == ["SOA", "A", "A", "A"]


def test_the_recordsets_are_what_the_name_servers_answer(world: World, fleet: list[Identity]) -> None:
    text = zone_text(recordsets(world, recorded()))
    zone = Zone(dns.zone.from_text(text, relativize=False, check_origin=False))
    query = dns.message.make_query("plumbline-probe.fleet-003.sandbox.example.", "A")
    (answer,) = respond(query, {zone.origin: zone}).answer
    assert answer[0].to_text() == fleet[2].ingress
    assert respond(dns.message.make_query("ns1.sandbox.example.", "A"), {zone.origin: zone}).answer


def test_one_environment_has_drifted_and_no_other(world: World, fleet: list[Identity]) -> None:
    images = [asked(world, "/apis/apps/v1/deployments?limit=500", at=one.api, port=CLUSTER)["items"][0]["image"]
              for one in fleet]  # fmt: skip
    assert images == ["registry.example/web:0", "registry.example/web:0", "registry.example/web:edited"]


def test_what_was_not_recorded_is_kept_and_not_made_up(world: World) -> None:
    assert world.answer(CLOUD, "127.0.0.1", "GET", "/v1/stats", b"").status == 404
    assert world.unknown == [f"GET 127.0.0.1:{CLOUD}/v1/stats"]


def test_client_certificates_are_signed_for_the_key_that_asks(tmp_path: Path, fleet: list[Identity]) -> None:
    authority = keys.authority(tmp_path)
    issuer = authority.certificate.public_bytes(Encoding.PEM).decode()
    world = World(recorded(), fleet, authority=issuer, sign=partial(keys.sign, authority))
    key = rsa.generate_private_key(65537, 1024)
    body = json.dumps({"cluster_uuid": OWN, "csr": request(key, READERS)}).encode()
    signed = json.loads(world.answer(CLOUD, "127.0.0.1", "POST", "/v1/certificates", body).body)["pem"]
    certificate = x509.load_pem_x509_certificate(signed.encode())
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.public_key() == key.public_key()


def test_a_fleet_on_disk_has_declarations_states_keys_and_a_terraform(tmp_path: Path, fleet: list[Identity]) -> None:
    (tmp_path / "charts").mkdir()
    plan = {"resource_changes": [], "output_changes": {}}
    home = FleetHome(tmp_path / "fleet", recorded().model_copy(update={"plan": json.dumps(plan)}), fleet)
    home.make(tmp_path / "charts", tmp_path / "ca")
    names = sorted(path.stem for path in (home.folder / "git/environments").iterdir())
    assert names == [one.name for one in fleet]
    state = json.loads((home.state / "terraform/fleet-002/terraform.tfstate").read_text())
    assert state["resources"][0]["name"] == "fleet-002"
    server = x509.load_pem_x509_certificate((home.folder / "keys/ingress/server.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )
    assert len(names) == 3
    assert names[0].endswith("fleet-001.sandbox.example")
    (tmp_path / "variables.tfvars.json").write_text(json.dumps({"environment": "fleet-002", "cloud": "sandbox"}))
    terraform = home.variables()["PLUMBLINE_TERRAFORM_BINARY"]
    shown = subprocess.run([terraform, "show", "saved"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert parse(shown.stdout, environment="fleet-002").empty
    assert subprocess.run([terraform, "plan", "-json"], cwd=tmp_path, check=False).returncode == 0


async def test_a_step_without_prefect_is_its_function_with_its_arguments_unquoted() -> None:
    seen = await bare(look_at_plane)("dns", quote(None), quote(None), "It does not answer.")
    assert "It does not answer." in seen.blind_spots[0].why


def process(wall: float, *, seconds: float = 1, tasks: int = 0, cpu: float = 30) -> Process:
    return Process(wall=wall, seconds=seconds, cpu=cpu, peak_mib=300, requests=6000, tasks=tasks, events=2000)


def figures(**changes: object) -> FleetFigures:
    known = {"environments": 100, "objects": 200, "first": process(70), "sweeps": [process(50, tasks=904)],
             "plain": [process(30)], "checks": [process(3, seconds=1.2, tasks=10)],
             "plain_checks": [process(2, seconds=1)], "commands": [4.0]}  # fmt: skip
    return FleetFigures.model_validate(known | changes)


def test_overhead_is_what_the_same_looks_take_less_without_prefect() -> None:
    assert figures().overhead == pytest.approx(0.2)
    assert figures().overhead_alone == pytest.approx(0.2)
    assert figures(checks=[process(3).model_copy(update={"again": 0.5})]).overhead_again == pytest.approx(0.5)
    assert figures().ratio == pytest.approx(5 / 3)
    assert next(iter(figures().document()["results"])) == "ratio to the same looks without Prefect"
    assert json.loads(json.dumps(figures().document()))["sweeps"][0]["wall"] == 50


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ["at most 60 s: met", "at most 0.3 s: met", "at most 10: met"]),
        ({"sweeps": [process(61, tasks=904)]}, ["at most 60 s: NOT met", "at most 0.3 s: NOT met"]),
        ({"checks": [process(3, seconds=1.4, tasks=11)]}, ["at most 0.3 s: NOT met", "at most 10: NOT met"]),
        ({"environments": 10}, ["of 100 environments at most 60 s: not measured"]),
    ],
)
def test_the_table_says_of_every_target_whether_it_is_met(changes: dict[str, object], said: list[str]) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(figures(**changes).table())
    text = console.export_text()
    assert [sentence for sentence in said if sentence not in text] == []
    assert "Not in it: Terraform" in " ".join(text.split())


def said(name: str, state: str, *findings: str, spots: tuple[str, ...] = ()) -> dict[str, Any]:
    plane = {"findings": [{"sentence": one} for one in findings],
             "blind_spots": [{"what": one, "why": "No answer."} for one in spots]}  # fmt: skip
    return {"environment": name, "state": state, "planes": [plane]}


def test_a_verdict_that_is_not_right_is_named_with_its_reasons() -> None:
    first, second = said("fleet-001", "in step"), said("fleet-002", "drifted", "The image differs.")
    assert surprises([first, second], "fleet-002") == []
    assert surprises([first, second], "fleet-001") == [
        "fleet-001 is in step:",
        "fleet-002 is drifted: The image differs.",
    ]
    unseen = said("fleet-001", "unknown", spots=("zone",))
    assert surprises([unseen, second], "fleet-002") == ["fleet-001 is unknown: zone: No answer."]
    assert surprises([first], "fleet-002") == ["fleet-002 was not looked at"]


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").touch()
    assert bench_fleet.main(["--home", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "precious").exists()
