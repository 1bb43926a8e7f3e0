"""The embedded cloud, driven as its users do: through openstacksdk, DNS queries and the command line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dulwich.porcelain
import openstack
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from openstack.connection import Connection

from infra.clients.errors import Misconfigured
from infra.sandbox import lifecycle
from infra.sandbox.settings import NAME_SERVERS, ROOT, SandboxSettings

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(600),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

PORT_BASE = int(os.environ.get("PLUMBLINE_SANDBOX_PORT_BASE", "15000")) + 200


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> SandboxSettings:
    return SandboxSettings(home=tmp_path_factory.mktemp("cloud") / "home", port_base=PORT_BASE)


@pytest.fixture(scope="module")
def sandbox(settings: SandboxSettings) -> Iterator[SandboxSettings]:
    lifecycle.up(settings, print)
    try:
        yield settings
    finally:
        lifecycle.down(settings, print)


def connect(settings: SandboxSettings, cloud: str) -> Connection:
    config = openstack.config.OpenStackConfig(config_files=[str(settings.home / "clouds.yaml")])
    return Connection(config=config.get_one(cloud))


@pytest.fixture(scope="module")
def demo(sandbox: SandboxSettings) -> Iterator[Connection]:
    connection = connect(sandbox, "sandbox")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def admin(sandbox: SandboxSettings) -> Iterator[Connection]:
    connection = connect(sandbox, "sandbox-admin")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def template(demo: Connection) -> Any:
    return make_template(demo, "kubernetes", "v1.33.4")


def make_template(demo: Connection, name: str, version: str) -> Any:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    public = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    demo.compute.create_keypair(name=name, public_key=public)
    image = demo.image.find_image("fedora-coreos")
    return demo.container_infrastructure_management.create_cluster_template(
        name=name,
        coe="kubernetes",
        image_id=image.id,
        keypair_id=name,
        flavor_id="m1.large",
        master_flavor_id="m1.medium",
        network_driver="calico",
        labels={"kube_tag": version},
    )


def wait(what: str, look: Callable[[], Any], wanted: Any, seconds: float = 60) -> float:
    """Look until it is as wanted; returns how long that took."""
    begun, seen = time.monotonic(), []
    while time.monotonic() - begun < seconds:
        try:
            now = look()
        except openstack.exceptions.NotFoundException:
            now = "absent"
        except openstack.exceptions.BadRequestException:
            now = "refused"
        if now == wanted:
            return time.monotonic() - begun
        if not seen or seen[-1] != now:
            seen.append(now)
        time.sleep(0.1)
    raise AssertionError(f"{what} never was {wanted!r}, but in turn {seen}")


def raw(demo: Connection, method: str, path: str, **extra: Any) -> tuple[int, Any]:
    """A call that openstacksdk has no method for: node groups, resize, upgrade."""
    response = demo.container_infrastructure_management.request(
        path, method, headers={"OpenStack-API-Version": "container-infra 1.10"}, **extra
    )
    return response.status_code, response.json() if response.content else None


def create_cluster(demo: Connection, template: Any, name: str, nodes: int = 2) -> str:
    cluster = demo.container_infrastructure_management.create_cluster(
        name=name, cluster_template_id=template.uuid, master_count=1, node_count=nodes, keypair=template.keypair_id
    )
    return str(cluster.id or cluster.uuid)


def status(demo: Connection, uuid: str) -> Callable[[], str]:
    return lambda: str(demo.container_infrastructure_management.get_cluster(uuid).status)


def delete_cluster(demo: Connection, uuid: str) -> None:
    demo.container_infrastructure_management.delete_cluster(uuid)
    wait("deleted cluster", status(demo, uuid), "absent")


def ask(host: str, port: int, name: str, kind: str = "A") -> tuple[str, list[str]]:
    response = dns.query.udp(dns.message.make_query(name, kind), host, port=port, timeout=5)
    return dns.rcode.to_text(response.rcode()), sorted(str(item) for rrset in response.answer for item in rrset)


def everywhere(settings: SandboxSettings, name: str, kind: str = "A") -> set[tuple[str, tuple[str, ...]]]:
    answers = (ask(host, settings.port("dns"), name, kind) for host in NAME_SERVERS.values())
    return {(code, tuple(records)) for code, records in answers}


def test_content(demo: Connection, admin: Connection) -> None:
    assert {"m1.small", "m1.medium", "m1.large", "m1.xlarge"} <= {flavor.name for flavor in demo.compute.flavors()}
    assert demo.image.find_image("fedora-coreos").os_distro == "fedora-coreos"
    assert [zone.status for zone in demo.dns.zones() if zone.name == "sandbox.example."] == ["ACTIVE"]
    assert {"admin", "demo", "service"} <= {project.name for project in admin.identity.projects()}
    with pytest.raises(openstack.exceptions.ForbiddenException):
        demo.compute.create_flavor(name="forbidden", ram=1, vcpus=1, disk=1)


def test_files_are_ours_alone_and_no_secret_is_in_a_command_line(sandbox: SandboxSettings) -> None:
    readable = [path for path in sandbox.home.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert [path for path in readable if "terraform-mirror" not in path.parts] == []
    passwords = json.loads((sandbox.home / "openstack/passwords.json").read_text()).values()
    now = lifecycle.status(sandbox)
    assert now is not None
    lines = [Path(f"/proc/{row['pid']}/cmdline").read_text() for row in now["services"]]
    assert not [line for line in lines for password in passwords if password in line]


def test_up_again_changes_nothing(sandbox: SandboxSettings) -> None:
    before = lifecycle.status(sandbox)
    begun = time.monotonic()
    assert lifecycle.up(sandbox, print) == before
    assert time.monotonic() - begun < 3


def test_cluster_from_birth_to_death(sandbox: SandboxSettings, demo: Connection, template: Any) -> None:
    magnum = demo.container_infrastructure_management
    uuid = create_cluster(demo, template, "life")
    took = wait("cluster", status(demo, uuid), "CREATE_COMPLETE", 120)
    print(f"CREATE_COMPLETE after {took:.1f} s")
    cluster = magnum.get_cluster(uuid)
    assert cluster.api_address.startswith("https://127.0.0.1:")
    assert (len(cluster.master_addresses), len(cluster.node_addresses)) == (1, 2)
    assert cluster.coe_version == "v1.33.4"

    certificate = sign(demo, uuid, "admin", "system:masters")
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate(magnum.get_cluster_certificate(uuid).pem.encode())
    )

    kept = list(cluster.node_addresses)
    assert raw(demo, "POST", f"/clusters/{uuid}/actions/resize", json={"node_count": 3})[0] == 202
    wait(
        "resized", lambda: (status(demo, uuid)(), len(magnum.get_cluster(uuid).node_addresses)), ("UPDATE_COMPLETE", 3)
    )
    assert magnum.get_cluster(uuid).node_addresses[:2] == kept

    body = {"name": "build", "node_count": 1, "flavor_id": "m1.xlarge"}
    assert raw(demo, "POST", f"/clusters/{uuid}/nodegroups", json=body)[0] == 202
    wait("group", lambda: raw(demo, "GET", f"/clusters/{uuid}/nodegroups/build")[1].get("status"), "CREATE_COMPLETE")
    folder = sandbox.home / "clusters" / uuid
    nodes = json.loads((folder / "cluster.json").read_text())["nodes"]
    assert sorted((node["nodegroup"], node["role"], node["flavor"]) for node in nodes) == [
        ("build", "worker", "m1.xlarge"),
        ("default-master", "master", "m1.medium"),
        *[("default-worker", "worker", "m1.large")] * 3,
    ]
    assert raw(demo, "DELETE", f"/clusters/{uuid}/nodegroups/build")[0] == 204
    wait(
        "no group", lambda: raw(demo, "GET", f"/clusters/{uuid}/nodegroups/build")[1].get("status", "absent"), "absent"
    )
    wait("healthy", lambda: raw(demo, "GET", f"/clusters/{uuid}")[1]["health_status"], "HEALTHY", 90)

    wait("settled", status(demo, uuid), "UPDATE_COMPLETE")
    newer = make_template(demo, "kubernetes-newer", "v1.33.5")
    assert (
        raw(
            demo,
            "POST",
            f"/clusters/{uuid}/actions/upgrade",
            json={"cluster_template": newer.uuid, "max_batch_size": 1},
        )[0]
        == 202
    )
    wait(
        "upgraded", lambda: (status(demo, uuid)(), magnum.get_cluster(uuid).coe_version), ("UPDATE_COMPLETE", "v1.33.5")
    )

    assert lifecycle.kubeconfig(sandbox, "life") == folder / "admin.kubeconfig"
    delete_cluster(demo, uuid)
    assert not folder.exists()


def sign(demo: Connection, uuid: str, name: str, organisation: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [
        x509.NameAttribute(NameOID.COMMON_NAME, name),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
    ]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject)).sign(key, hashes.SHA256())
    signed = demo.container_infrastructure_management.create_cluster_certificate(
        cluster_uuid=uuid, csr=request.public_bytes(serialization.Encoding.PEM).decode()
    )
    return x509.load_pem_x509_certificate(signed.pem.encode())


def test_creation_fails_or_hangs_as_told(sandbox: SandboxSettings, demo: Connection, template: Any) -> None:
    reason = "No valid host was found. There are not enough hosts available."
    cli(sandbox, "faults", "set", "--cluster", "doomed", "--create", "fail", "--reason", reason)
    cli(sandbox, "faults", "set", "--cluster", "stuck", "--create", "hang")
    try:
        doomed, stuck = create_cluster(demo, template, "doomed"), create_cluster(demo, template, "stuck")
        wait("failure", status(demo, doomed), "CREATE_FAILED")
        assert demo.container_infrastructure_management.get_cluster(doomed).status_reason == reason
        time.sleep(3)
        assert status(demo, stuck)() == "CREATE_IN_PROGRESS"
    finally:
        cli(sandbox, "faults", "clear")
    wait("no longer stuck", status(demo, stuck), "CREATE_COMPLETE", 120)
    delete_cluster(demo, doomed)
    delete_cluster(demo, stuck)


def test_records_are_answered_by_both_name_servers(sandbox: SandboxSettings, demo: Connection) -> None:
    zone = demo.dns.find_zone("sandbox.example.")
    wildcard = demo.dns.create_recordset(
        zone.id, name="*.apps.sandbox.example.", type="A", ttl=300, records=["127.77.0.1", "127.77.0.2"]
    )
    wait("record", lambda: demo.dns.get_recordset(wildcard.id, zone.id).status, "ACTIVE")
    both = ("NOERROR", ("127.77.0.1", "127.77.0.2"))
    wait("answer", lambda: everywhere(sandbox, "a.b.apps.sandbox.example."), {both})
    # The wildcard's parent exists, without records of its own (RFC 4592 section 2.2.2).
    assert everywhere(sandbox, "apps.sandbox.example.") == {("NOERROR", ())}
    assert everywhere(sandbox, "other.sandbox.example.") == {("NXDOMAIN", ())}
    assert everywhere(sandbox, "sandbox.example.", "NS") == {
        ("NOERROR", ("ns1.sandbox.example.", "ns2.sandbox.example."))
    }
    response = dns.query.tcp(
        dns.message.make_query("x.apps.sandbox.example.", "A"), NAME_SERVERS["ns2"], port=sandbox.port("dns"), timeout=5
    )
    assert response.flags & dns.flags.AA
    assert len(response.answer[0]) == 2
    demo.dns.delete_recordset(wildcard.id, zone.id)
    wait("no record", lambda: demo.dns.find_recordset(zone.id, wildcard.id, ignore_missing=True), None)
    wait("no answer", lambda: everywhere(sandbox, "a.b.apps.sandbox.example."), {("NXDOMAIN", ())})


def test_active_does_not_mean_everywhere(sandbox: SandboxSettings, demo: Connection) -> None:
    zone = demo.dns.find_zone("sandbox.example.")
    cli(sandbox, "faults", "set", "--lag", "ns2=4")
    try:
        record = demo.dns.create_recordset(
            zone.id, name="late.sandbox.example.", type="A", ttl=300, records=["127.0.0.9"]
        )
        wait("record", lambda: demo.dns.get_recordset(record.id, zone.id).status, "ACTIVE", 10)
        assert everywhere(sandbox, "late.sandbox.example.") == {("NOERROR", ("127.0.0.9",)), ("NXDOMAIN", ())}
        wait("everywhere", lambda: everywhere(sandbox, "late.sandbox.example."), {("NOERROR", ("127.0.0.9",))}, 15)
    finally:
        cli(sandbox, "faults", "clear")


def test_resolver_remembers_that_there_is_none(sandbox: SandboxSettings, demo: Connection) -> None:
    def resolved(name: str) -> tuple[str, list[str]]:
        return ask("127.0.0.1", sandbox.port("resolver"), name)

    zone = demo.dns.find_zone("sandbox.example.")
    assert resolved("early.sandbox.example.") == ("NXDOMAIN", [])
    record = demo.dns.create_recordset(zone.id, name="early.sandbox.example.", type="A", ttl=300, records=["127.0.0.8"])
    wait("record", lambda: demo.dns.get_recordset(record.id, zone.id).status, "ACTIVE")
    wait("everywhere", lambda: everywhere(sandbox, "early.sandbox.example."), {("NOERROR", ("127.0.0.8",))})
    assert resolved("early.sandbox.example.") == ("NXDOMAIN", [])
    assert resolved("ns1.sandbox.example.") == ("NOERROR", [NAME_SERVERS["ns1"]])
    assert resolved("elsewhere.example.") == ("SERVFAIL", [])


def test_many_writers_at_once(sandbox: SandboxSettings, demo: Connection) -> None:
    zone = demo.dns.find_zone("sandbox.example.")

    def one(number: int) -> str:
        name = f"h{number}.many.sandbox.example."
        return str(demo.dns.create_recordset(zone.id, name=name, type="A", ttl=300, records=[f"10.0.0.{number}"]).id)

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(one, range(1, 41)))

    def pending() -> set[str]:
        return {row.id for row in demo.dns.recordsets(zone.id) if row.id in made and row.status != "ACTIVE"}

    print(f"40 records ACTIVE after {wait('40 records', pending, set(), 60):.1f} s")
    names = (f"h{number}.many.sandbox.example." for number in (1, 20, 40))
    assert {answer[0] for name in names for answer in everywhere(sandbox, name)} == {"NOERROR"}


@pytest.mark.parametrize("kind", ["500", "503", "429"])
def test_injected_errors(sandbox: SandboxSettings, kind: str) -> None:
    cli(sandbox, "faults", "set", "--service", "nova", "--kind", kind, "--count", "1", "--retry-after", "2")
    try:
        seen = []
        for _ in range(2):
            request = urllib.request.Request(sandbox.url("nova", "/?fault=" + kind), headers={"User-Agent": "test/1"})
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    seen.append((response.status, None))
            except urllib.error.HTTPError as error:
                with error:
                    seen.append((error.code, error.headers.get("Retry-After")))
        assert seen == [(int(kind), None if kind == "500" else "2"), (200, None)]
        lines = (sandbox.home / "log/requests.jsonl").read_text().splitlines()
        logged = [json.loads(line) for line in lines if f"fault={kind}" in line]
        assert [(row["service"], row["ua"], row["status"]) for row in logged] == [
            ("nova", "test/1", int(kind)),
            ("nova", "test/1", 200),
        ]
    finally:
        cli(sandbox, "faults", "clear")


def test_injected_reset_and_stall(sandbox: SandboxSettings) -> None:
    cli(sandbox, "faults", "set", "--service", "glance", "--kind", "reset", "--count", "1")
    cli(sandbox, "faults", "set", "--service", "glance", "--kind", "stall", "--stall-seconds", "2", "--count", "1")
    try:
        with pytest.raises(ConnectionResetError):
            get(sandbox)
        begun = time.monotonic()
        assert get(sandbox) == 300
        assert time.monotonic() - begun >= 2
        assert get(sandbox) == 300
    finally:
        cli(sandbox, "faults", "clear")


def test_a_killed_service_comes_back(sandbox: SandboxSettings, demo: Connection) -> None:
    def designate() -> dict[str, Any]:
        now = lifecycle.status(sandbox)
        assert now is not None
        return next(row for row in now["services"] if row["name"] == "designate")

    before = designate()
    os.kill(before["pid"], signal.SIGKILL)
    wait("restart", lambda: (designate()["state"], designate()["restarts"]), ("ready", before["restarts"] + 1))
    assert designate()["pid"] != before["pid"]
    assert demo.dns.find_zone("sandbox.example.").status == "ACTIVE"


def test_a_restart_forgets_nothing_and_resumes(sandbox: SandboxSettings, demo: Connection, template: Any) -> None:
    zone = demo.dns.find_zone("sandbox.example.")
    record = demo.dns.create_recordset(zone.id, name="kept.sandbox.example.", type="A", ttl=300, records=["127.0.0.7"])
    wait("record", lambda: demo.dns.get_recordset(record.id, zone.id).status, "ACTIVE")
    steady = create_cluster(demo, template, "steady", nodes=1)
    wait("cluster", status(demo, steady), "CREATE_COMPLETE", 120)
    address = demo.container_infrastructure_management.get_cluster(steady).api_address
    cli(sandbox, "faults", "set", "--cluster", "underway", "--create", "hang")
    underway = create_cluster(demo, template, "underway", nodes=1)
    wait("under way", status(demo, underway), "CREATE_IN_PROGRESS")
    late = demo.dns.create_recordset(
        zone.id, name="inflight.sandbox.example.", type="A", ttl=300, records=["127.0.0.6"]
    )

    assert lifecycle.down(sandbox, print)
    assert lifecycle.status(sandbox) is None
    cli(sandbox, "faults", "clear")
    begun = time.monotonic()
    lifecycle.up(sandbox, print)
    print(f"warm start {time.monotonic() - begun:.1f} s")

    assert everywhere(sandbox, "kept.sandbox.example.") == {("NOERROR", ("127.0.0.7",))}
    again = connect(sandbox, "sandbox")
    wait("cluster under way", status(again, underway), "CREATE_COMPLETE", 120)
    wait("record under way", lambda: again.dns.get_recordset(late.id, zone.id).status, "ACTIVE", 40)
    wait("its answer", lambda: everywhere(sandbox, "inflight.sandbox.example."), {("NOERROR", ("127.0.0.6",))})
    assert again.container_infrastructure_management.get_cluster(steady).api_address == address
    assert again.compute.find_keypair("kubernetes") is not None
    wait("steady API", lambda: ready(sandbox, steady), True)
    delete_cluster(again, steady)
    delete_cluster(again, underway)
    again.close()


def test_a_killed_supervisor_leaves_nothing_behind(sandbox: SandboxSettings) -> None:
    now = lifecycle.status(sandbox)
    assert now is not None
    old = {row["pid"] for row in now["services"]}
    os.kill(now["pid"], signal.SIGKILL)
    wait("supervisor's end", lambda: cli_status(sandbox), 3)
    lifecycle.up(sandbox, print)
    assert not [pid for pid in old if Path(f"/proc/{pid}").exists()]


def test_a_port_in_use_is_named_before_anything_starts(sandbox: SandboxSettings, tmp_path: Path) -> None:
    port = sandbox.port("glance")
    other = SandboxSettings(home=tmp_path / "other", port_base=sandbox.port_base + 300, port_glance=port)
    with pytest.raises(Misconfigured, match=f"port {port} .* glance.*PLUMBLINE_SANDBOX_PORT_GLANCE"):
        lifecycle.up(other, print)
    assert lifecycle.status(other) is None


def test_git_and_charts_over_http(sandbox: SandboxSettings, tmp_path: Path) -> None:
    url = sandbox.url("git", "/environments.git")
    dulwich.porcelain.clone(url, str(tmp_path / "clone")).close()
    assert (tmp_path / "clone/environments/dev.yaml").read_bytes() == (
        ROOT / "infra/environments/dev.yaml"
    ).read_bytes()
    with urllib.request.urlopen(f"{url}/info/refs?service=git-upload-pack", timeout=10) as response:
        assert response.status == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{url}/info/refs?service=git-receive-pack", timeout=10)
    with urllib.request.urlopen(sandbox.url("charts", "/index.yaml"), timeout=10) as response:
        assert b"cert-manager" in response.read()


def get(sandbox: SandboxSettings) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port("glance"), timeout=10)
    try:
        connection.request("GET", "/", headers={"User-Agent": "test/1"})
        return connection.getresponse().status
    finally:
        connection.close()


def ready(sandbox: SandboxSettings, uuid: str) -> bool:
    now = lifecycle.status(sandbox)
    return now is not None and {row["uuid"]: row["api"]["state"] for row in now["clusters"]}.get(uuid) == "ready"


def cli(sandbox: SandboxSettings, *arguments: str) -> str:
    done = command(sandbox, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cli_status(sandbox: SandboxSettings) -> int:
    return command(sandbox, "status").returncode


def command(sandbox: SandboxSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {"PLUMBLINE_SANDBOX_HOME": str(sandbox.home), "PLUMBLINE_SANDBOX_PORT_BASE": str(sandbox.port_base)}
    return subprocess.run(
        [sys.executable, "-m", "infra.sandbox", *arguments],
        cwd=ROOT,
        env=dict(os.environ) | ours,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
