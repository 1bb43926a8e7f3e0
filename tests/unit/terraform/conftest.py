"""A tiny module on terraform's built-in provider: the real program, no cloud, no network, milliseconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from infra.terraform.runner import Terraform
from infra.terraform.variables import Nodes, Variables

MODULE = """
variable "environment" { type = string }
variable "nodes" { type = object({ count = number, flavor = string }) }
variable "node_groups" { type = list(any) }
resource "terraform_data" "cluster" { input = var.nodes.count }
resource "terraform_data" "group" {
  for_each = toset([for group in var.node_groups : group.name])
  triggers_replace = [var.nodes.flavor]
}
output "cluster_id" { value = terraform_data.cluster.id }
output "node_group_ids" { value = { for name, group in terraform_data.group : name => group.id } }
"""
QUIET = "".join(
    f'variable "{name}" {{ type = any }}\n'
    for name in Variables.model_fields
    if name not in ("environment", "nodes", "node_groups")
)

Make = Callable[..., Terraform]


def variables(**changes: Any) -> Variables:
    values: dict[str, Any] = {
        "environment": "dev",
        "cloud": "sandbox",
        "kubernetes_version": "v1.33.4",
        "image": "fedora-coreos",
        "masters": Nodes(count=1, flavor="m1.medium"),
        "nodes": Nodes(count=3, flavor="m1.large"),
        "ssh_public_key": "ssh-ed25519 AAAA dev",
        **changes,
    }
    return Variables(**values)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "main.tf").write_text(MODULE + QUIET)
    return folder


@pytest.fixture
def make(tmp_path: Path, module: Path) -> Make:
    """Builds a Terraform on the tiny module, and keeps what it says."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on PATH")

    def build(*, settings: dict[str, Any] | None = None, said: list[str] | None = None, **changes: Any) -> Terraform:
        told: list[str] = [] if said is None else said
        chosen = Settings(state_dir=tmp_path / "state", **(settings or {}))
        return Terraform(variables(**changes), settings=chosen, report=told.append, lock_timeout=20, module=module)

    return build
