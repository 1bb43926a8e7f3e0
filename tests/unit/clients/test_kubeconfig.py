"""Minted kubeconfigs: what Magnum is asked for, who may read them, and that they go away."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.clients.errors import Failed, NotYet
from infra.clients.kubeconfig import Kubeconfigs, mint
from infra.clients.openstack_models import Cluster
from infra.clients.private import PrivateFolder, sweep

CLUSTER = Cluster(uuid="c1", name="dev", status="CREATE_COMPLETE", api_address="https://10.0.0.1:6443")


class Authority:
    """Signs as Magnum does."""

    def __init__(self, name: str = "ca") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._certificate(self.name, self.key.public_key())
        self.requests: list[x509.CertificateSigningRequest] = []

    def _certificate(self, subject: x509.Name, public: Any) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
        builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        return builder.sign(self.key, hashes.SHA256())

    async def ca_certificate(self, uuid: str) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    async def sign(self, uuid: str, csr_pem: str) -> str:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        self.requests.append(csr)
        return self._certificate(csr.subject, csr.public_key()).public_bytes(serialization.Encoding.PEM).decode()


def load_key(path: str) -> Any:
    return serialization.load_pem_private_key(Path(path).read_bytes(), None)


def cloud_of(authority: Any) -> Any:
    return SimpleNamespace(magnum=authority)


async def test_a_minted_kubeconfig_is_ours_alone_and_goes_away(tmp_path: Path) -> None:
    authority = Authority()
    async with mint(cloud_of(authority), CLUSTER, folder=tmp_path / "private") as path:
        document = yaml.safe_load(path.read_text())
        files = [item for item in path.parent.iterdir() if item.is_file()]
        assert {item.stat().st_mode & 0o777 for item in files} == {0o600}
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert document["clusters"][0]["cluster"]["server"] == CLUSTER.api_address
        key = load_key(document["users"][0]["user"]["client-key"])
        assert key.public_key() == authority.requests[0].public_key()
    assert authority.requests[0].subject.rfc4514_string() == "O=system:masters,CN=plumbline"
    assert not path.exists()
    assert [item.name for item in (tmp_path / "private").iterdir()] == [".lock"]


async def test_a_run_mints_each_cluster_once_and_again_for_a_new_address(tmp_path: Path) -> None:
    authority = Authority()
    async with Kubeconfigs(cloud_of(authority), folder=tmp_path) as kubeconfigs:
        first = await kubeconfigs.of(CLUSTER)
        assert await kubeconfigs.of(CLUSTER) == first
        moved = CLUSTER.model_copy(update={"api_address": "https://10.0.0.2:6443"})
        assert await kubeconfigs.of(moved) != first
    assert len(authority.requests) == 2


async def test_a_cluster_without_address_is_not_yet(tmp_path: Path) -> None:
    with pytest.raises(NotYet, match="no API address"):
        async with mint(cloud_of(Authority()), Cluster(uuid="c", name="dev"), folder=tmp_path):
            pass


async def test_a_certificate_of_another_authority_or_key_is_refused(tmp_path: Path) -> None:
    class Strange(Authority):
        async def ca_certificate(self, uuid: str) -> str:
            return await Authority("other").ca_certificate(uuid)

    class Confused(Authority):
        async def sign(self, uuid: str, csr_pem: str) -> str:
            signed = self._certificate(self.name, ec.generate_private_key(ec.SECP256R1()).public_key())
            return signed.public_bytes(serialization.Encoding.PEM).decode()

    for authority, why in ((Strange(), "not signed"), (Confused(), "another key")):
        with pytest.raises(Failed, match=why):
            async with mint(cloud_of(authority), CLUSTER, folder=tmp_path):
                pass


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from infra.clients.private import PrivateFolder\n"
        "folder = PrivateFolder(Path(sys.argv[1]), 'dead'); folder.write('key', b'secret')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    (dead,) = tmp_path.glob("dead-*")
    assert (dead / "key").read_bytes() == b"secret"
    living = PrivateFolder(tmp_path, "living")
    assert not dead.exists()
    assert sweep(tmp_path) == 0
    assert living.path.exists()
    living.remove()
    living.remove()
    assert sweep(tmp_path / "nowhere") == 0
