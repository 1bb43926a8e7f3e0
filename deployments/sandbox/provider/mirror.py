"""The filesystem mirror terraform installs the provider from."""

from __future__ import annotations

import shlex
from pathlib import Path

HOST = "registry.terraform.io"
SOURCE = f"{HOST}/terraform-provider-openstack/openstack"
VERSION = "3.4.0"
PLATFORM = "linux_amd64"

_WRAPPER = """\
#!/bin/sh
# The sandbox's OpenStack provider. Terraform's lock file pins the hash of this file: keep it constant.
exec env PYTHONPATH={root} PYTHONDONTWRITEBYTECODE=1 {python} -W ignore -m deployments.sandbox.provider
"""


def install(mirror: Path, python: Path, repo_root: Path) -> str:
    """Write the mirror and say how terraform finds it.

    Args:
        mirror: folder to write; made when absent. Files that are already right are left alone.
        python: interpreter of the environment with the OpenStack libraries.
        repo_root: folder that holds the `infra` package.

    Returns:
        The text of a terraform CLI configuration (for `TF_CLI_CONFIG_FILE`): this provider from the mirror, every
        other one from where terraform usually looks, and no call home.
    """
    mirror = mirror.absolute()
    folder = mirror / SOURCE / VERSION / PLATFORM
    folder.mkdir(parents=True, exist_ok=True)
    wrapper = folder / f"terraform-provider-openstack_v{VERSION}"
    # Not resolved: a virtual environment's python is a link, and only its own path finds the environment.
    text = _WRAPPER.format(root=shlex.quote(str(repo_root.absolute())), python=shlex.quote(str(python.absolute())))
    if not wrapper.is_file() or wrapper.read_text() != text:
        fresh = wrapper.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o755)
        # Renamed into place: a terraform that is just starting sees the old file or the new one, never half of it.
        fresh.rename(wrapper)
    return cli_config(mirror)


def cli_config(mirror: Path) -> str:
    """The CLI configuration that takes the OpenStack provider from `mirror` and all others directly."""
    path = str(mirror.absolute()).replace("\\", "\\\\").replace('"', '\\"')
    return (
        "disable_checkpoint = true\n\n"
        "provider_installation {\n"
        "  filesystem_mirror {\n"
        f'    path    = "{path}"\n'
        f'    include = ["{SOURCE}"]\n'
        "  }\n"
        "  direct {\n"
        f'    exclude = ["{SOURCE}"]\n'
        "  }\n"
        "}\n"
    )
