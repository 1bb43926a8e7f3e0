"""Which helm runs: the first on PATH that will do, else the one that is built from Helm's own Go module."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from deployments.sandbox.upstream import build
from deployments.sandbox.upstream.build import Say
from infra.clients.helm_program import ASK, RANGE, environment, parse_version, will_do
from infra.settings import ROOT


def ensure_helm(tools: Path = ROOT / ".tools", *, say: Say = build.tell) -> Path:
    """Return the helm to use, built when there is no other.

    Args:
        tools: the folder that then gets a link to it, for PATH: beside the built one lie a cluster's own programs.
        say: told of each helm on PATH that is passed over, and why, and of a build.

    Raises:
        Misconfigured: there is none that will do, and none could be built.
    """
    for found in _on_path():
        if found.parent == tools / "bin":
            continue  # ours: it may be of an earlier pin
        version = _version(found)
        if version is not None and will_do(version):
            return found
        said = f"is {version}" if version else "does not say its version"
        say(f"{found} {said}, and helm {RANGE} is needed: it is passed over.")
    return built_helm(tools, say=say)


def built_helm(tools: Path = ROOT / ".tools", *, say: Say = build.tell) -> Path:
    """Return the Helm 4 that is pinned with the sandbox, whatever is on PATH; arguments and errors as above."""
    program = build.ensure(say=say) / "helm"
    link = tools / "bin" / "helm"
    if not link.is_symlink() or link.readlink() != program:
        link.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=link.parent) as folder:
            fresh = Path(folder) / "helm"
            fresh.symlink_to(program)
            fresh.replace(link)
    return link


def _on_path() -> Iterator[Path]:
    """Every helm on PATH, the first first."""
    for folder in os.get_exec_path():
        path = Path(folder) / "helm"
        if path.is_file() and os.access(path, os.X_OK):
            yield path.absolute()


def _version(program: Path) -> Version | None:
    with tempfile.TemporaryDirectory() as home:
        try:
            done = subprocess.run(
                [program, *ASK],
                env=environment(Path(home)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    return parse_version(done.stdout)
