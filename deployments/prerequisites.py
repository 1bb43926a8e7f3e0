"""What cannot be fetched and has to be there: said first, all at once, with how to get it.

`python deployments/prerequisites.py` works with any Python 3 and nothing installed: make runs it before all else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PYTHON = (3, 11)
TERRAFORM = (1, 9)
GO_MOD = Path(__file__).resolve().parent / "sandbox" / "upstream" / "go.mod"
GIB = 1024**3
DISK = 8.0
"""GiB of free disk that downloads, builds and state take the first time."""
LATER = 2.0
"""GiB that they take once upstream's programs are built."""
MEMORY = 4.0
"""GiB of free memory for the sandbox, Prefect and one cluster."""

Problem = tuple[str, str]
"""What is wrong, and what to do about it."""


def check_prerequisites(terraform: str) -> None:
    """Look for the programs that no package registry carries, and for room.

    Args:
        terraform: the program's name or path.

    Raises:
        Misconfigured: names everything that is missing, too old or too little, and how to get it.
    """
    from infra.clients.errors import Misconfigured  # noqa: PLC0415 - not there yet when make asks

    found = list(problems(terraform))
    if found:
        raise Misconfigured(" ".join(what for what, _ in found), hint=" ".join(how for _, how in found))


def problems(terraform: str = "terraform") -> Iterator[Problem]:
    """Everything that is missing, too old or too little."""
    if sys.version_info[:2] != PYTHON:
        which = f"{sys.version_info[0]}.{sys.version_info[1]}"
        yield (
            f"Plumbline needs Python 3.11; {sys.executable} is {which}.",
            "Install Python 3.11 with its venv module and say where it is: make PYTHON=/path/to/python3.11 …",
        )
    for program in ("git", "make"):
        if shutil.which(program) is None:
            yield f"There is no {program} on PATH.", f"Install {program} with your system's package manager."
    yield from _terraform(terraform)
    yield from _go()
    yield from _room()


def _terraform(terraform: str) -> Iterator[Problem]:
    how = "Install Terraform 1.9 or later (https://developer.hashicorp.com/terraform/install) and put it on PATH."
    if shutil.which(terraform) is None:
        yield f"There is no {terraform} on PATH.", how
        return
    found = re.search(r"v(\d+)\.(\d+)\.\d+", _output(terraform, "version"))
    if found is None or (int(found[1]), int(found[2])) < TERRAFORM:
        yield f"Terraform 1.9 or later is needed; {found[0] if found else 'an unknown one'} is there.", how


def _go() -> Iterator[Problem]:
    named = re.search(r"^go (\S+)$", GO_MOD.read_text(), re.MULTILINE)
    needed = named[1] if named else "1"
    how = f"Install Go {needed} or later (https://go.dev/doc/install) and put it on PATH."
    if shutil.which("go") is None:
        yield "There is no go on PATH.", how
        return
    version, toolchain = (*_output("go", "env", "GOVERSION", "GOTOOLCHAIN").split(), "", "")[:2]
    # From 1.21 on, Go fetches the version that go.mod names itself, where it may.
    may_fetch = _numbers(version) >= (1, 21) and not toolchain.startswith("local")
    if _numbers(version) < _numbers(needed) and not may_fetch:
        yield f"Go {needed} or later is needed; {version.removeprefix('go') or 'an unknown one'} is there.", how


def _room() -> Iterator[Problem]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    needed = LATER if any((cache / "plumbline/programs").glob("[0-9a-f]*/etcd")) else DISK
    for place in (Path(__file__).resolve().parent, cache):
        there = next(each for each in (place, *place.parents) if each.exists())
        free = shutil.disk_usage(there).free / GIB
        if free < needed:
            how = "Free some, or name a larger disk: XDG_CACHE_HOME for builds, PLUMBLINE_SANDBOX_HOME for state."
            yield f"{there} has {free:.1f} GiB of free disk; {needed:g} are needed.", how
            break
    known = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", known.read_text()) if known.exists() else None
    if found is not None and int(found[1]) * 1024 < MEMORY * GIB:
        free = int(found[1]) * 1024 / GIB
        yield f"{free:.1f} GiB of memory are free; {MEMORY:g} are needed.", "End other programs first."


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _output(*argv: str) -> str:
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=60)
    return done.stdout.decode(errors="replace")


def main() -> int:
    """Print what is wrong, a line each; 1 where something is."""
    found = list(problems())
    for what, how in found:
        sys.stderr.write(f"{what} {how}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
