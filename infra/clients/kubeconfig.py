"""Kubeconfigs minted from Magnum: made when needed, readable by us alone, removed afterwards.

The key is made here and never leaves its folder; Magnum signs a request for `CN=plumbline` in the group (O) that is
asked for. What a killed run leaves behind is removed by the next one (infra.clients.private).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.clients.errors import Failed, NotYet
from infra.clients.openstack import OpenStackClient
from infra.clients.openstack_models import Cluster
from infra.clients.private import PrivateFolder
from infra.settings import get_settings

COMMON_NAME = "plumbline"
ORGANIZATION = "system:masters"
"""The group Kubernetes lets do everything; Magnum's own kubeconfigs use it too."""
READERS = "plumbline:readers"
"""The group of those who only look; infra.planes.access binds it to a role that can write nothing."""


def default_folder() -> Path:
    """Where kubeconfigs are kept while they are in use."""
    return get_settings().state_dir / "private"


class Kubeconfigs:
    """The kubeconfigs of one run: each cluster's is minted once, and all are removed at the end.

        async with Kubeconfigs(cloud) as kubeconfigs:
            path = await kubeconfigs.of(cluster)

    Args:
        cloud: signs for the clusters of its project.
        folder: where private folders are kept; leftovers of killed runs are removed from it on entry.
        group: the Kubernetes group to sign in as.
    """

    def __init__(self, cloud: OpenStackClient, *, folder: Path | None = None, group: str = ORGANIZATION) -> None:
        self._cloud = cloud
        self._group = group
        self._folder = (folder or default_folder()).absolute()
        self._held: PrivateFolder | None = None
        self._minted: dict[tuple[str, str], Path] = {}
        self._lock = asyncio.Lock()

    async def of(self, cluster: Cluster) -> Path:
        """The kubeconfig of a cluster (0600), minted on first use and again when its address changes.

        Raises:
            NotYet: the cluster has no API address yet.
            Failed: Magnum signed something else than was asked.
        """
        if not cluster.api_address:
            raise NotYet(f"Cluster {cluster.name} has no API address yet ({cluster.status}).")
        if self._held is None:
            raise RuntimeError("Kubeconfigs is an async context manager")
        key = (cluster.uuid, cluster.api_address)
        async with self._lock:
            if key not in self._minted:
                target = self._held.path / f"{cluster.name}-{len(self._minted)}"
                self._minted[key] = await _mint(self._cloud, cluster, self._group, cluster.api_address, target)
        return self._minted[key]

    async def __aenter__(self) -> Self:
        self._held = await asyncio.to_thread(PrivateFolder, self._folder, "kubeconfig")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        self._minted.clear()
        if held is not None:
            held.remove()


@contextlib.asynccontextmanager
async def mint(cloud: OpenStackClient, cluster: Cluster, *, folder: Path | None = None) -> AsyncIterator[Path]:
    """A kubeconfig for one cluster (0600, in a folder of its own, 0700), removed afterwards.

    Raises:
        NotYet: the cluster has no API address yet.
    """
    async with Kubeconfigs(cloud, folder=folder) as kubeconfigs:
        yield await kubeconfigs.of(cluster)


async def _mint(cloud: OpenStackClient, cluster: Cluster, group: str, address: str, target: Path) -> Path:
    # An RSA key takes a hundred times as long to make, and every check makes one.
    key = ec.generate_private_key(ec.SECP256R1())
    ca, signed = await asyncio.gather(
        cloud.magnum.ca_certificate(cluster.uuid), cloud.magnum.sign(cluster.uuid, request(key, group))
    )
    _check(cluster, ca, signed, key)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {"ca.crt": ca.encode(), "client.crt": signed.encode(), "client.key": private}
    return await asyncio.to_thread(_write, target, cluster.name, address, files)


def request(key: ec.EllipticCurvePrivateKey, group: str) -> str:
    """The certificate request for a client key in a Kubernetes group, as PEM."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        ]
    )
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def _check(cluster: Cluster, ca_pem: str, signed_pem: str, key: ec.EllipticCurvePrivateKey) -> None:
    """See that Magnum signed our key with the authority it shows."""
    try:
        ca = x509.load_pem_x509_certificate(ca_pem.encode())
        signed = x509.load_pem_x509_certificate(signed_pem.encode())
        signed.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Failed(
            f"Magnum's certificate for cluster {cluster.name} is not signed by the cluster's authority.",
            detail=str(error),
        ) from error
    if signed.public_key() != key.public_key():
        raise Failed(f"Magnum signed another key for cluster {cluster.name} than the one it was given.")


def _write(folder: Path, name: str, address: str, files: dict[str, bytes]) -> Path:
    """Write the files of a kubeconfig; it names the others, so that no client copies the key elsewhere."""
    folder.mkdir(mode=0o700)
    user = {"client-certificate": str(folder / "client.crt"), "client-key": str(folder / "client.key")}
    cluster = {"server": address, "certificate-authority": str(folder / "ca.crt")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": COMMON_NAME, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": COMMON_NAME}}],
        "current-context": name,
    }
    text = yaml.safe_dump(document, sort_keys=False).encode()
    for file, content in {**files, "kubeconfig": text}.items():
        descriptor = os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    return folder / "kubeconfig"
