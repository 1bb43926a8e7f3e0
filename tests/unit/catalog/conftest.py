"""Environments for the catalogue's tests: real models, made from the same YAML a person would write."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.catalog import Catalog
from infra.settings import Settings
from infra.spec.models import Environment

ALL = (
    "actions-runner-controller",
    "argo-cd",
    "cert-manager",
    "external-dns",
    "kubernetes-dashboard",
    "nginx-ingress",
    "rook-ceph",
)

DOCUMENT: dict[str, Any] = {
    "apiVersion": "plumbline.dev/v1",
    "kind": "Environment",
    "metadata": {"name": "dev", "owner": "platform-team"},
    "spec": {
        "cloud": "sandbox",
        "cluster": {
            "kubernetes": "v1.33.4",
            "image": "fedora-coreos",
            "masters": {"count": 1, "flavor": "m1.medium"},
            "nodes": {"count": 3, "flavor": "m1.large"},
            "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl dev",
        },
        "dns": {"zone": "sandbox.example.", "domain": "dev.sandbox.example."},
        "certificates": {"email": "ops@example.org", "issuer": "letsencrypt-staging", "challenge": "http01"},
        "addons": {name: {} for name in ALL},
        "runners": [{"name": "build", "url": "https://github.com/example/app", "credentials": "github-app"}],
    },
}

Make = Callable[..., Environment]


@pytest.fixture(scope="session")
def make() -> Make:
    """Make an environment; keyword arguments replace parts of the spec, None leaves a part out."""

    def _make(*, name: str = "dev", **spec: Any) -> Environment:
        document = copy.deepcopy(DOCUMENT)
        document["metadata"]["name"] = name
        for key, value in spec.items():
            if value is None:
                document["spec"].pop(key, None)
            elif key == "cluster":
                document["spec"][key] |= value
            else:
                document["spec"][key] = value
        return Environment.model_validate(document)

    return _make


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings that no shell's `.sandbox/env` reaches."""
    for name in ("PLUMBLINE_CHART_MIRROR", "PLUMBLINE_HELM_BINARY", "PLUMBLINE_HELM_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    yield Settings()
