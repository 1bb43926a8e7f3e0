"""The helm program: which versions will do, which one is there, and the environment it runs in."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from infra.clients import process
from infra.clients.errors import Misconfigured
from infra.clients.process import Completed

NEEDED = SpecifierSet(">=3.16,<5")
"""3.16 is the first that can leave a chart's schema alone; of a Helm 5 nobody knows anything yet."""
RANGE = "3.16 or newer, below 5"

PASSED_ON = (
    "PATH",
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""The variables helm gets from ours; nothing else, so that no credential of ours ends up in a chart or a log."""

ASK = ("version", "--template", "{{ .Version }}")
"""The arguments with which every helm says its version and nothing else."""

_known: dict[tuple[str, int, int], Version] = {}


async def run(
    executable: str,
    arguments: Sequence[str],
    *,
    home: Path,
    timeout: float,
    grace: float,
    also: Mapping[str, str] | None = None,
) -> Completed:
    """Run a helm: the one place where we do.

    Args:
        home: as for `environment`, and the folder it runs in.
        timeout: seconds until it is interrupted.
        grace: seconds it then gets to write down how far it came.
        also: further variables.

    Raises:
        as for `infra.clients.process.run`.
    """
    variables = {**environment(home), **(also or {})}
    return await process.run([executable, *arguments], env=variables, cwd=home, timeout=timeout, grace=grace)


def environment(home: Path) -> dict[str, str]:
    """The whole environment of a helm.

    Args:
        home: the folder for its cache, configuration and data, so that nobody's repository list or login counts.
    """
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    own = {f"HELM_{part}_HOME": str(home / part.lower()) for part in ("CACHE", "CONFIG", "DATA")}
    return {**passed, **own, "HOME": str(home)}


def parse_version(said: str) -> Version | None:
    """The version in helm's words, such as `v3.16.4+g7877b45`; None where there is none."""
    found = re.search(r"v?(\d+(?:\.\d+)+(?:-[0-9A-Za-z.]+)?)", said)
    try:
        return Version(found[1]) if found else None
    except InvalidVersion:
        return None


def will_do(version: Version) -> bool:
    """Whether Plumbline works with this version of Helm."""
    return NEEDED.contains(version, prereleases=True)


async def version_of(executable: str, home: Path) -> Version:
    """The version of a helm, asked once for each program.

    Args:
        executable: its path, or its name on PATH.
        home: as for `environment`.

    Raises:
        Misconfigured: it is not there, or says no version.
    """
    found = shutil.which(executable)
    if found is None:
        raise Misconfigured(f"There is no program {executable!r}.", hint=f"Install helm {RANGE}, and put it on PATH.")
    status = await asyncio.to_thread(os.stat, found)
    key = (found, status.st_mtime_ns, status.st_size)
    if key not in _known:
        done = await run(found, ASK, home=home, timeout=60, grace=5)
        version = parse_version(done.stdout)
        if version is None:
            said = (done.stdout or done.stderr).strip()
            raise Misconfigured(f"{found} does not say which version of helm it is.", detail=said)
        _known[key] = version
    return _known[key]
