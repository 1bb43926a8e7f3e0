"""The helms that tests run: Helm 4 as pinned with the sandbox, and the newest Helm 3 for those that say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.helm import built_helm
from deployments.sandbox.upstream import build

HELM3 = build.Module(Path(__file__).parent / "helm3", "Helm 3, for the tests", minutes=1.5)
"""A go.mod of its own: nothing of the product needs it, and its dependencies are older."""

on_both = pytest.mark.parametrize("major", [4, 3], indirect=True, ids=["helm-4", "helm-3"])
"""Runs a test on Helm 4 and on Helm 3; the others get Helm 4."""


def helm_of(major: int) -> Path:
    """The helm of a major version, built when needed."""
    return built_helm() if major == 4 else build.ensure(HELM3, say=build.tell) / "helm"
