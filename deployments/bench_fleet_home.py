"""A recorded fleet on disk: declarations in git, Terraform states, keys, and a stand-in for terraform."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from deployments import bench_fleet_keys as keys
from deployments.bench_fleet_stencil import Identity, Recording, Stencil
from infra.clients.private import write_private
from infra.spec.models import Environment
from infra.spec.names import record_names

TERRAFORM = """#!/bin/sh
# Stands in for terraform, whose look takes over a second for each environment: shows the plan that was recorded.
case "$1" in
version) echo '{{"terraform_version": "1.9.0"}}' ;;
init) mkdir -p "$TF_DATA_DIR" ;;
show)
  name=$(sed -n 's/^.*"environment": "\\([^"]*\\)".*$/\\1/p' variables.tfvars.json)
  exec cat "{plans}/$name.json" ;;
esac
"""


class FleetHome:
    """The folder of a recorded fleet.

    Args:
        folder: made here, 0700.
        recording: of one environment.
        fleet: who stands for it.
    """

    def __init__(self, folder: Path, recording: Recording, fleet: Sequence[Identity]) -> None:
        self.folder = folder
        self._recording, self._fleet = recording, fleet

    @property
    def state(self) -> Path:
        """Where Plumbline keeps what it knows of the fleet."""
        return self.folder / "state"

    def make(self, charts: Path, ingress_authority: Path) -> None:
        """Write everything.

        Args:
            charts: the recorded environment's charts, as they were fetched and checked.
            ingress_authority: folder of the authority that certificates of ingresses are from.
        """
        shutil.copytree(charts, self.state / "charts")
        stencil = Stencil(self._recording)
        plan, state = stencil.cut(self._recording.plan), stencil.cut(self._recording.state)
        for one in self._fleet:
            write_private(self.folder / "plans" / f"{one.name}.json", one.fill(plan))
            write_private(self.state / "terraform" / one.name / "terraform.tfstate", one.fill(state))
        self._terraform()
        self._declare()
        self._keys(ingress_authority)

    def variables(self) -> dict[str, str]:
        """What points Plumbline at the fleet."""
        return {
            "PLUMBLINE_STATE_DIR": str(self.state),
            "PLUMBLINE_ENVIRONMENTS_REPOSITORY": str(self.folder / "git"),
            "PLUMBLINE_TERRAFORM_BINARY": str(self.folder / "terraform"),
        }

    def _terraform(self) -> None:
        program = write_private(self.folder / "terraform", TERRAFORM.format(plans=self.folder / "plans"))
        program.chmod(stat.S_IRWXU)

    def _declare(self) -> None:
        environments = self.folder / "git/environments"
        environments.mkdir(parents=True)
        for one in self._fleet:
            text = self._recording.declaration.replace(self._recording.name, one.name)
            (environments / f"{one.name}.yaml").write_text(text)
        who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
        for command in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-qm", "fleet")):
            argv = ["git", "-C", str(self.folder / "git"), *command]
            subprocess.run(argv, check=True, timeout=60, capture_output=True)

    def _keys(self, ingress_authority: Path) -> None:
        own, theirs = self.folder / "keys/clusters", self.folder / "keys/ingress"
        keys.serve(keys.authority(own), own, addresses=[one.api for one in self._fleet])
        declared = yaml.safe_load(self._recording.declaration)
        # The canary host and the add-ons' pages are shaken hands with.
        wildcard = record_names(Environment.model_validate(declared))[0].removesuffix(".")
        hosts = [wildcard.replace(self._recording.name, one.name) for one in self._fleet]
        keys.serve(keys.authority(ingress_authority), theirs, hosts=hosts)
