"""Where each thing lies in the sandbox's state folder, and the only way files are written there."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.clients.errors import Refused

MARKER = ".plumbline-sandbox"
"""A file that says: this folder is a sandbox's state and may be forgotten."""


@dataclass(frozen=True)
class Layout:
    """Paths under one state folder."""

    home: Path

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def requests(self) -> Path:
        return self.log / "requests.jsonl"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def lock(self) -> Path:
        return self.run / "supervisor.lock"

    @property
    def processes(self) -> Path:
        return self.run / "processes.json"

    @property
    def seeded(self) -> Path:
        return self.run / "seeded"

    @property
    def control(self) -> Path:
        return self.home / "control.json"

    @property
    def faults(self) -> Path:
        return self.home / "faults.json"

    @property
    def front(self) -> Path:
        return self.run / "front.json"

    @property
    def clouds(self) -> Path:
        return self.home / "clouds.yaml"

    @property
    def environment(self) -> Path:
        return self.home / "env"

    @property
    def openstack(self) -> Path:
        return self.home / "openstack"

    @property
    def dns(self) -> Path:
        return self.home / "dns"

    @property
    def clusters(self) -> Path:
        return self.home / "clusters"

    @property
    def git(self) -> Path:
        return self.home / "git"

    @property
    def charts(self) -> Path:
        return self.home / "charts"

    @property
    def ca(self) -> Path:
        return self.home / "ca"

    @property
    def acme(self) -> Path:
        return self.home / "acme"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def terraformrc(self) -> Path:
        return self.home / "terraformrc"

    @property
    def terraform_origin(self) -> Path:
        return self.home / "terraform-origin"

    @property
    def terraform_mirror(self) -> Path:
        return self.home / "terraform-mirror"

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
