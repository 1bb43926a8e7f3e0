"""The working folder: locks between processes, leftovers, fingerprints; and the module's variables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from infra.clients.errors import Conflict
from infra.spec.models import Environment
from infra.terraform.command import configuration_text
from infra.terraform.folder import LEFTOVER_AGE, MODULE, Folder
from infra.terraform.variables import Variables

LOCAL = {"terraform": {"backend": {"local": {"path": "/x/terraform.tfstate"}}}}
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJYMHKFo4T2BG7K8yzkmZOcXmwDmQ1Z1qGr0oWZ5m5mO"
REMOTE = {"terraform": {"backend": {"http": {"address": "https://s/dev"}}}}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "terraform", "dev", LOCAL)
    made.make()
    return made


async def test_many_may_run_and_nobody_changes_the_files_meanwhile(folder: Folder) -> None:
    async with folder.lock(exclusive=False, timeout=1), folder.lock(exclusive=False, timeout=1):
        with pytest.raises(Conflict, match="in use by another run"):
            async with folder.lock(exclusive=True, timeout=0.1):
                pass
    async with folder.lock(exclusive=True, timeout=1):
        pass


async def test_one_installs_providers_at_a_time(folder: Folder) -> None:
    async with folder.plugin_lock(timeout=1):
        with pytest.raises(Conflict):
            async with folder.plugin_lock(timeout=0.1):
                pass


def test_what_killed_runs_leave_is_removed_after_a_day(folder: Folder) -> None:
    old, young = folder.new_run(), folder.new_run()
    (old / "saved.tfplan").write_text("secret")
    age = old.stat().st_mtime - LEFTOVER_AGE - 60
    os.utime(old, (age, age))
    folder.new_run()
    assert not old.exists() and young.exists()


def test_a_fingerprint_covers_module_backend_and_more(folder: Folder, tmp_path: Path) -> None:
    other = Folder(tmp_path / "terraform", "dev", REMOTE)
    prints = {folder.fingerprint(), other.fingerprint(), folder.fingerprint("cli"), folder.fingerprint("c", "li")}
    assert len(prints) == 4
    assert folder.fingerprint("cli") == Folder(tmp_path / "terraform", "dev", LOCAL).fingerprint("cli")


def test_only_the_local_backend_has_a_file(folder: Folder, tmp_path: Path) -> None:
    assert folder.local_state == Path("/x/terraform.tfstate")
    remote = Folder(tmp_path / "terraform", "dev", REMOTE)
    assert remote.local_state is None
    remote.forget_backup(destroyed=True)


def test_locked_providers_are_forgotten_when_they_come_from_elsewhere(folder: Folder) -> None:
    lock = folder.path / ".terraform.lock.hcl"
    lock.write_text("hashes")
    folder.forget_providers("mirror a")
    assert lock.exists()
    folder.forget_providers("mirror a")
    assert lock.exists()
    folder.forget_providers("mirror b")
    assert not lock.exists()


def test_the_cli_configuration_is_found_where_terraform_looks(tmp_path: Path) -> None:
    assert configuration_text({"HOME": str(tmp_path)}) == ""
    (tmp_path / ".terraformrc").write_text("home")
    assert configuration_text({"HOME": str(tmp_path)}) == "home"
    (tmp_path / "other").write_text("named")
    assert configuration_text({"HOME": str(tmp_path), "TF_CLI_CONFIG_FILE": str(tmp_path / "other")}) == "named"


def test_python_and_hcl_name_the_same_variables() -> None:
    declared = set(re.findall(r'^variable "(\w+)"', (MODULE / "variables.tf").read_text(), re.MULTILINE))
    assert declared == set(Variables.model_fields)


def test_every_variable_and_output_of_the_module_is_described() -> None:
    for name in ("variables.tf", "outputs.tf"):
        blocks = re.split(r"^(?=variable |output )", (MODULE / name).read_text(), flags=re.MULTILINE)[1:]
        assert blocks and all("description" in block for block in blocks)


def test_no_output_of_the_module_is_secret() -> None:
    text = (MODULE / "outputs.tf").read_text()
    assert ".kubeconfig" not in text and ".private_key" not in text


def test_variables_of_a_declared_environment() -> None:
    environment = Environment.model_validate(
        {
            "apiVersion": "plumbline.dev/v1",
            "kind": "Environment",
            "metadata": {"name": "dev", "owner": "platform"},
            "spec": {
                "cloud": "sandbox",
                "cluster": {
                    "kubernetes": "v1.33.4",
                    "image": "fedora-coreos",
                    "masters": {"count": 1, "flavor": "m1.medium"},
                    "nodes": {"count": 3, "flavor": "m1.large"},
                    "nodeGroups": [{"name": "build", "count": 1, "flavor": "m1.xlarge", "min": 1, "max": 5}],
                    "sshPublicKey": "ssh-ed25519 "
                    + "AAAAC3NzaC1lZDI1NTE5AAAAIJYMHKFo4T2BG7K8yzkmZOcXmwDmQ1Z1qGr0oWZ5m5mO dev",
                    "labels": {"auto_healing_enabled": "true"},
                    "networkDriver": "calico",
                },
            },
        }
    )
    document = Variables.of(environment, cluster_timeout=30).document()
    assert document["environment"] == "dev"
    assert document["node_groups"] == [{"name": "build", "count": 1, "flavor": "m1.xlarge", "min": 1, "max": 5}]
    assert document["network_driver"] == "calico"
    assert document["cluster_timeout"] == 30
    assert document["labels"] == {"auto_healing_enabled": "true"}
