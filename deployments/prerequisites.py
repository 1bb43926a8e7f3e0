"""What cannot be fetched and has to be there: said first, with how to get it."""

from __future__ import annotations

import re
import shutil
import subprocess

from infra.clients.errors import Misconfigured

TERRAFORM_MIN = (1, 9)


def check_prerequisites(terraform: str) -> None:
    """Look for the programs that no package registry carries.

    Raises:
        Misconfigured: one is missing or too old.
    """
    if shutil.which("git") is None:
        raise Misconfigured("There is no git on PATH.", hint="Install it with your system's package manager.")
    program = shutil.which(terraform)
    hint = "Install Terraform 1.9 or later (https://developer.hashicorp.com/terraform/install) and put it on PATH."
    if program is None:
        raise Misconfigured(f"There is no {terraform} on PATH.", hint=hint)
    said = subprocess.run([program, "version"], capture_output=True, text=True, timeout=60, check=False).stdout
    found = re.search(r"v(\d+)\.(\d+)\.\d+", said)
    if found is None or (int(found[1]), int(found[2])) < TERRAFORM_MIN:
        raise Misconfigured(
            f"Terraform 1.9 or later is needed; {found[0] if found else 'an unknown one'} is there.", hint=hint
        )
