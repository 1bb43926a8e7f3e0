"""What the tests of the sandbox's cloud share: waits and questions."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import openstack
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from openstack.connection import Connection

from deployments.sandbox import lifecycle
from deployments.sandbox.settings import NAME_SERVERS, ROOT, SandboxSettings


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
    begun = time.monotonic()
    seen: list[Any] = []
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
        time.sleep(0.25)
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


def ask(host: str, port: int, name: str, kind: str = "A") -> tuple[str, list[str]]:
    response = dns.query.udp(dns.message.make_query(name, kind), host, port=port, timeout=5)
    return dns.rcode.to_text(response.rcode()), sorted(str(item) for rrset in response.answer for item in rrset)


def everywhere(settings: SandboxSettings, name: str, kind: str = "A") -> set[tuple[str, tuple[str, ...]]]:
    answers = (ask(host, settings.port("dns"), name, kind) for host in NAME_SERVERS.values())
    return {(code, tuple(records)) for code, records in answers}


def ready(sandbox: SandboxSettings, uuid: str) -> bool:
    now = lifecycle.status(sandbox)
    return now is not None and {row["uuid"]: row["api"]["state"] for row in now["clusters"]}.get(uuid) == "ready"


def get(sandbox: SandboxSettings) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port("glance"), timeout=10)
    try:
        connection.request("GET", "/", headers={"User-Agent": "test/1"})
        return connection.getresponse().status
    finally:
        connection.close()


def command(sandbox: SandboxSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {"PLUMBLINE_SANDBOX_HOME": str(sandbox.home), "PLUMBLINE_SANDBOX_PORT_BASE": str(sandbox.port_base)}
    return subprocess.run(
        [sys.executable, "-m", "deployments.sandbox", *arguments],
        cwd=ROOT,
        env=dict(os.environ) | ours,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def cli_status(sandbox: SandboxSettings) -> int:
    return command(sandbox, "status").returncode


def connect(settings: SandboxSettings, cloud: str) -> Connection:
    config = openstack.config.OpenStackConfig(config_files=[str(settings.home / "clouds.yaml")])
    return Connection(config=config.get_one(cloud))
