"""The sandbox's cloud, driven as its users do: through openstacksdk, its files and the command line."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import dulwich.porcelain
import openstack
import pytest
from cryptography import x509
from openstack.connection import Connection

from deployments.sandbox import lifecycle
from deployments.sandbox.settings import ROOT, SandboxSettings
from infra.clients.errors import Misconfigured
from tests.platform import told
from tests.sandbox.cloud import (
    cli_status,
    connect,
    create_cluster,
    delete_cluster,
    everywhere,
    make_template,
    raw,
    ready,
    sign,
    status,
    wait,
)

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(600),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


def test_content(demo: Connection, admin: Connection) -> None:
    assert {"m1.small", "m1.medium", "m1.large", "m1.xlarge"} <= {flavor.name for flavor in demo.compute.flavors()}
    assert demo.image.find_image("fedora-coreos").os_distro == "fedora-coreos"
    assert [zone.status for zone in demo.dns.zones() if zone.name == "sandbox.example."] == ["ACTIVE"]
    assert {"admin", "demo", "service"} <= {project.name for project in admin.identity.projects()}
    with pytest.raises(openstack.exceptions.ForbiddenException):
        demo.compute.create_flavor(name="forbidden", ram=1, vcpus=1, disk=1)


def test_files_are_ours_alone_and_no_secret_is_in_a_command_line(sandbox: SandboxSettings) -> None:
    assert [path for path in sandbox.home.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077] == []
    passwords = json.loads((sandbox.home / "openstack/passwords.json").read_text()).values()
    now = lifecycle.status(sandbox)
    assert now is not None
    lines = [Path(f"/proc/{row['pid']}/cmdline").read_text() for row in now["services"]]
    assert not [line for line in lines for password in passwords if password in line]


def test_up_again_changes_nothing(sandbox: SandboxSettings) -> None:
    before, told_of = lifecycle.status(sandbox), list[bool]()
    assert lifecycle.up(sandbox, print, lambda: told_of.append(True)) == before
    assert told_of == [True], "who waits to be told of the folder is told"


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
    wait("healthy", lambda: raw(demo, "GET", f"/clusters/{uuid}")[1]["health_status"], "HEALTHY", 180)

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


def test_git_and_charts_over_http(sandbox: SandboxSettings, tmp_path: Path) -> None:
    url = sandbox.url("git", "/environments.git")
    seeded = (ROOT / "infra/environments/dev.yaml").read_text().replace(":15009/", f":{sandbox.port('git')}/")
    dulwich.porcelain.clone(url, str(tmp_path / "clone")).close()
    assert (tmp_path / "clone/environments/dev.yaml").read_text() == seeded
    with urllib.request.urlopen(f"{url}/info/refs?service=git-upload-pack", timeout=10) as response:
        assert response.status == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{url}/info/refs?service=git-receive-pack", timeout=10)
    with urllib.request.urlopen(sandbox.url("charts", "/index.yaml"), timeout=10) as response:
        assert b"cert-manager" in response.read()


def test_a_port_in_use_is_named_before_anything_starts(sandbox: SandboxSettings, tmp_path: Path) -> None:
    port = sandbox.port("glance")
    other = SandboxSettings(home=tmp_path / "other", port_base=sandbox.port_base + 300, port_glance=port)
    with pytest.raises(Misconfigured, match=f"port {port} .* glance.*PLUMBLINE_SANDBOX_PORT_GLANCE"):
        lifecycle.up(other, print)
    assert lifecycle.status(other) is None


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
    told(sandbox, "faults", "set", "--cluster", "underway", "--create", "hang")
    underway = create_cluster(demo, template, "underway", nodes=1)
    wait("under way", status(demo, underway), "CREATE_IN_PROGRESS")
    late = demo.dns.create_recordset(
        zone.id, name="inflight.sandbox.example.", type="A", ttl=300, records=["127.0.0.6"]
    )

    assert lifecycle.down(sandbox, print)
    assert lifecycle.status(sandbox) is None
    told(sandbox, "faults", "clear")
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
