"""The module itself, on upstream's provider: valid, formatted, and refusing what cannot be right.

Needs terraform, but no running sandbox: a plan for a new environment asks the cloud nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox import terraform
from deployments.sandbox.upstream import build
from infra.terraform.folder import MODULE

GOOD: dict[str, Any] = {
    "environment": "dev",
    "cloud": "sandbox",
    "kubernetes_version": "v1.33.4",
    "image": "fedora-coreos",
    "masters": {"count": 1, "flavor": "m1.medium"},
    "nodes": {"count": 3, "flavor": "m1.large"},
    "ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJYMHKFo4T2BG7K8yzkmZOcXmwDmQ1Z1qGr0oWZ5m5mO dev",
}
GROUP = {"name": "build", "count": 1, "flavor": "m1.xlarge", "min": 1, "max": 5}


CLOUDS = """
clouds:
  sandbox:
    auth: {auth_url: "http://127.0.0.1:9/v3", username: nobody, password: none, project_name: none, domain_name: none}
"""
"""The provider reads what a cloud of this name is, and signs in when it has something to ask."""


class Module:
    """A copy of the module, initialised."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "clouds.yaml").write_text(CLOUDS)
        shutil.copytree(MODULE, folder, dirs_exist_ok=True)
        build.ensure(say=build.tell)
        terraform.fill(folder / "mirror", build.program(terraform.PROGRAM))
        (folder / "terraformrc").write_text(terraform.from_mirror(folder / "mirror"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        own = {"TF_CLI_CONFIG_FILE": "terraformrc", "OS_CLIENT_CONFIG_FILE": "clouds.yaml", "CHECKPOINT_DISABLE": "1"}
        environment = {**os.environ, **own}
        command = ["terraform", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def plan(self, **changes: Any) -> dict[str, Any]:
        """The values planned for a new environment, by address; nothing is asked of any cloud."""
        file = self.folder / "x.tfvars.json"
        file.write_text(json.dumps({**GOOD, **changes}))
        done = self.run("plan", "-no-color", "-input=false", f"-var-file={file}", "-out=x.plan")
        assert done.returncode == 0, " ".join(done.stderr.split())
        shown = json.loads(self.run("show", "-json", "x.plan").stdout)
        resources = shown["planned_values"]["root_module"]["resources"]
        return {resource["address"]: resource["values"] for resource in resources}


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Module:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on PATH")
    made = Module(tmp_path_factory.mktemp("module"))
    assert made.run("init", "-input=false").returncode == 0
    return made


def test_the_module_is_formatted_and_valid(module: Module) -> None:
    assert module.run("fmt", "-check", str(MODULE)).returncode == 0
    assert module.run("validate", "-json").returncode == 0


def test_every_object_carries_our_mark_and_a_template_its_content(module: Module) -> None:
    planned = module.plan(node_groups=[GROUP], labels={"auto_healing_enabled": "true"}, external_network="public")
    (template,) = (values for address, values in planned.items() if "clustertemplate" in address)
    assert template["labels"] == {
        "kube_tag": "v1.33.4",
        "plumbline_environment": "dev",
        "auto_healing_enabled": "true",
    }
    assert template["external_network_id"] == "public"
    assert template["name"].startswith("dev-v1.33.4-") and len(template["name"]) == len("dev-v1.33.4-") + 8
    assert planned["openstack_compute_keypair_v2.nodes"]["name"] == "plumbline-dev"
    cluster = planned["openstack_containerinfra_cluster_v1.cluster"]
    assert (cluster["name"], cluster["node_count"], cluster["keypair"]) == ("dev", 3, "plumbline-dev")
    group = planned['openstack_containerinfra_nodegroup_v1.group["build"]']
    assert (group["node_count"], group["min_node_count"], group["max_node_count"]) == (1, 1, 5)


def test_another_content_is_another_template_and_the_same_is_the_same(module: Module) -> None:
    def name(**changes: Any) -> str:
        (address,) = (address for address in module.plan(**changes) if "clustertemplate" in address)
        return address

    first = name()
    assert name(nodes={"count": 9, "flavor": "m1.large"}, node_groups=[GROUP], cluster_timeout=5) == first
    assert len({first, name(image="other"), name(labels={"a": "b"})}) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": "Dev"}, "environment must be"),
        ({"cloud": ""}, "cloud must name"),
        ({"kubernetes_version": "1.33"}, "must look like v1.33.4"),
        ({"image": ""}, "must name a Glance image"),
        ({"masters": {"count": 2, "flavor": "m"}}, "must be odd"),
        ({"nodes": {"count": 1.5, "flavor": "m"}}, "whole number"),
        ({"node_groups": [GROUP, GROUP]}, "a name of its own"),
        ({"node_groups": [{**GROUP, "name": "default-worker"}]}, "must not start with default-"),
        ({"node_groups": [{**GROUP, "count": 6}]}, "between its min and its max"),
        ({"ssh_public_key": "AAAA"}, "OpenSSH format"),
        ({"labels": {"kube_tag": "v1"}}, "set by Plumbline itself"),
        ({"masters": {"count": 3, "flavor": "m"}, "master_load_balancer": False}, "need a load balancer"),
        ({"cluster_timeout": 0}, "1 to 1440 minutes"),
    ],
)
def test_what_cannot_be_right_is_refused_in_words(module: Module, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        module.plan(**changes)
