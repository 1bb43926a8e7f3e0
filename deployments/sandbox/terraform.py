"""Where terraform gets upstream's OpenStack provider from: the registry, or a mirror with a build of our own.

The mirror is filled from the sandbox's Go module, under the address and the version that the registry has. A build of
our own has other checksums than upstream's release, so that locks of the one do not fit the other.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from deployments.sandbox.layout import write
from deployments.sandbox.upstream.build import UPSTREAM, Module

HOST = "registry.terraform.io"
SOURCE = f"{HOST}/terraform-provider-openstack/openstack"
MODULE = "github.com/terraform-provider-openstack/terraform-provider-openstack/v3"
"""The Go module the provider is built from."""
PROGRAM = "terraform-provider-openstack"

Origin = Literal["registry", "mirror"]

PATIENCE = 120
"""Seconds the one installation from the registry may take that shows whether it can be reached."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What Go, and terraform with it, calls the machines."""


def choose(record: Path, wanted: Literal["auto", "registry", "mirror"], terraform: str = "terraform") -> Origin:
    """Where this sandbox's providers come from: asked once, then as recorded.

    Args:
        record: the file with the answer.
        wanted: what the settings say; `auto` is the registry where terraform can install from it.
        terraform: the program that is asked.
    """
    if wanted != "auto":
        write(record, f"{wanted}\n")
        return wanted
    if record.exists():
        return "registry" if record.read_text().strip() == "registry" else "mirror"
    chosen: Origin = "registry" if installable(terraform) else "mirror"
    write(record, f"{chosen}\n")
    return chosen


def installable(terraform: str) -> bool:
    """Whether terraform can install the provider from the registry, download and signature included."""
    requirement = {"openstack": {"source": SOURCE, "version": "~> 3.0"}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "main.tf.json").write_text(json.dumps({"terraform": {"required_providers": requirement}}))
        (Path(folder) / "terraformrc").write_text(DIRECT)
        own = {
            "TF_CLI_CONFIG_FILE": str(Path(folder) / "terraformrc"),
            "TF_REGISTRY_DISCOVERY_RETRY": "0",
            "TF_REGISTRY_CLIENT_TIMEOUT": "10",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        try:
            done = subprocess.run(
                [terraform, "init", "-input=false", "-no-color"],
                cwd=folder,
                env=kept | own,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def fill(mirror: Path, program: Path, module: Module = UPSTREAM) -> None:
    """Have exactly this provider in the mirror, in the version that the Go module pins.

    Args:
        mirror: its folder; made when absent. What is right already is left alone.
        program: the provider as it was built.
    """
    version = module.version(MODULE).removeprefix("v")
    machine = platform.machine()
    target = f"{platform.system().lower()}_{_MACHINES.get(machine, machine)}"
    place = mirror / SOURCE / version / target / f"{PROGRAM}_v{version}"
    for other in (mirror / SOURCE).glob("*"):
        if other.name != version:
            shutil.rmtree(other)
    if place.is_file() and place.read_bytes() == program.read_bytes():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}")
    shutil.copyfile(program, fresh)
    fresh.chmod(0o700)
    # Renamed into place: a terraform that is just starting sees the old file or the new one, never half of it.
    fresh.replace(place)


DIRECT = "disable_checkpoint = true\n\nprovider_installation {\n  direct {}\n}\n"
"""The CLI configuration that takes every provider from its registry, and makes no call home."""


def from_mirror(mirror: Path) -> str:
    """The CLI configuration that takes the OpenStack provider from `mirror`, and all others directly."""
    path = str(mirror.absolute()).replace("\\", "\\\\").replace('"', '\\"')
    return f"""disable_checkpoint = true

provider_installation {{
  filesystem_mirror {{
    path    = "{path}"
    include = ["{SOURCE}"]
  }}
  direct {{
    exclude = ["{SOURCE}"]
  }}
}}
"""
