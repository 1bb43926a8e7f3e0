"""Where each thing lies in the sandbox's state folder, and the only way files are written there."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from infra.clients.errors import Refused

MARKER = ".plumbline-sandbox"
"""A file that says: this folder is a sandbox's state and may be forgotten."""


class Layout:
    """Paths under one state folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / "log"
        self.requests = self.log / "requests.jsonl"
        self.run = home / "run"
        self.lock = self.run / "supervisor.lock"
        self.processes = self.run / "processes.json"
        self.seeded = self.run / "seeded"
        self.control = home / "control.json"
        self.faults = home / "faults.json"
        self.front = self.run / "front.json"
        self.clouds = home / "clouds.yaml"
        self.environment = home / "env"
        self.openstack = home / "openstack"
        self.dns = home / "dns"
        self.clusters = home / "clusters"
        self.git = home / "git"
        self.charts = home / "charts"
        self.ca = home / "ca"
        self.acme = home / "acme"
        self.secrets = home / "secrets"
        self.state = home / "state"
        self.terraformrc = home / "terraformrc"
        self.terraform_origin = home / "terraform-origin"
        self.terraform_mirror = home / "terraform-mirror"

    def make(self) -> None:
        """Create the folders, ours alone."""
        fresh = not self.home.exists()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker = self.home / MARKER
        if not marker.exists():
            if not fresh and self.home.name != ".sandbox" and any(self.home.iterdir()):
                raise Refused(
                    f"{self.home} is not empty and not a sandbox's state folder.",
                    hint="Set PLUMBLINE_SANDBOX_HOME to an empty or new folder.",
                )
            marker.write_text("The state of a Plumbline sandbox; `python -m deployments.sandbox reset` removes it.\n")
        for folder in (
            *(self.log, self.run, self.openstack, self.dns, self.clusters, self.git, self.charts, self.ca),
            *(self.secrets, self.state),
        ):
            folder.mkdir(mode=0o700, exist_ok=True)

    def forget(self) -> None:
        """Remove the folder with everything in it.

        Raises:
            Refused: it does not look like a sandbox's state.
        """
        if not self.home.exists():
            return
        if not (self.home / MARKER).exists():
            raise Refused(f"{self.home} is not a sandbox's state folder; it is left alone.")
        shutil.rmtree(self.home)


def write(path: Path, text: str, *, mode: int = 0o600) -> bool:
    """Write a file in one step, readable by us alone; returns whether its content changed."""
    if path.exists() and path.read_text() == text:
        path.chmod(mode)
        return False
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return True


def write_json(path: Path, value: object) -> bool:
    """`write` a value as JSON."""
    return write(path, json.dumps(value, indent=2) + "\n")


def tail(path: Path, lines: int = 5) -> str:
    """The last lines of a log. A log that does not exist has none."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
