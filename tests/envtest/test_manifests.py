"""What Helm stores, against what it sent to a real kube-apiserver."""

from __future__ import annotations

import shutil
import socket
import tarfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from infra.clients.helm import HelmClient
from infra.clients.kubernetes import KubernetesClient
from infra.drift.findings import PlaneName
from infra.drift.objects import compare_objects, key_of
from infra.sandbox.envtest import ControlPlane, available
from infra.settings import Settings
from tests.corpora.scalars import KEYS, SCALARS

pytestmark = [
    pytest.mark.envtest,
    pytest.mark.skipif(available() is None, reason="KUBEBUILDER_ASSETS names no control plane"),
    pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH"),
]

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scalars.x.plumbline.dev}
spec:
  group: x.plumbline.dev
  names: {kind: Scalars, plural: scalars, singular: scalars, listKind: ScalarsList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
HEAD = "apiVersion: x.plumbline.dev/v1\nkind: Scalars\nmetadata: {name: all, namespace: scalars}\nspec:\n"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ControlPlane(tmp_path_factory.mktemp("plane"), port=port) as plane:
        yield plane


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", helm_timeout=60, request_timeout=20)


@pytest.fixture
async def kubernetes(plane: ControlPlane, settings: Settings) -> AsyncIterator[KubernetesClient]:
    async with KubernetesClient(plane.kubeconfig, settings) as client:
        yield client


@pytest.fixture
async def helm(kubernetes: KubernetesClient, settings: Settings) -> AsyncIterator[HelmClient]:
    async with HelmClient(kubernetes.kubeconfig, settings, kubernetes=kubernetes) as client:
        yield client


def packed(folder: Path, **files: str) -> Path:
    """A chart of these files."""
    path = folder / "demo-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n", **files}.items():
            item = tarfile.TarInfo(f"demo/{name}")
            item.size = len(text.encode())
            archive.addfile(item, BytesIO(text.encode()))
    return path


async def test_a_stored_manifest_is_read_as_helm_read_it(
    kubernetes: KubernetesClient, helm: HelmClient, tmp_path: Path
) -> None:
    written = "".join(f"  - {each}\n" for each in SCALARS), "".join(f"    {each}: x\n" for each in KEYS)
    text = f"{HEAD}  values:\n{written[0]}  keys:\n{written[1]}"
    done = await helm.ensure(
        "demo", "scalars", packed(tmp_path, **{"crds/a.yaml": CRD, "templates/all.yaml": text}), {}
    )
    declared = done.release.objects()
    live = await kubernetes.list("x.plumbline.dev/v1", "Scalars", "scalars")
    assert declared[0]["spec"] == live[0]["spec"]
    assert compare_objects(declared, {key_of(each): each for each in live}, plane=PlaneName.ADDONS) == []
