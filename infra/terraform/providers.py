"""Which package of each provider terraform's folder holds, and whether it is the one that the lock file names.

Terraform compares the two itself before it does anything, and then says only that plugins are missing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from infra.clients.errors import Misconfigured

LOCK = ".terraform.lock.hcl"
"""The dependency lock file, in the folder terraform runs in."""

_BLOCK = re.compile(r'^provider "([^"]+)" \{(.*?)^\}', re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r'^\s*version\s*=\s*"([^"]+)"', re.MULTILINE)
_HASH = re.compile(r'"(h1:[^"]+)"')


class ProviderChanged(Misconfigured):
    """A folder holds another package of a provider than its lock file names, and nobody said that this is meant."""

    category = "ProviderChanged"


@dataclass(frozen=True)
class Other:
    """A provider of which there is another package than the lock names.

    Attributes:
        source: its address, such as registry.terraform.io/hashicorp/null.
        locked: the checksums the lock names for unpacked packages.
        found: that of the package in the folder; None where there is none.
    """

    source: str
    version: str
    locked: tuple[str, ...]
    found: str | None

    def sentence(self) -> str:
        """Both checksums in words."""
        there = f"a package with the checksum {self.found}" if self.found else "no package"
        return f"Of {self.source} {self.version}, {' or '.join(self.locked)} is locked, and there is {there}."


def others(lock: Path, data: Path) -> tuple[Other, ...]:
    """The providers whose package is not the locked one.

    What the lock names by the checksums of archives alone (`zh:`) is terraform's to judge, and not among them.

    Args:
        lock: the lock file; without one, nothing is locked.
        data: terraform's data folder (TF_DATA_DIR).
    """
    try:
        text = lock.read_text()
    except FileNotFoundError:
        return ()
    found = []
    for source, block in _BLOCK.findall(text):
        version, locked = _VERSION.search(block), tuple(_HASH.findall(block))
        if version is None or not locked:
            continue
        there = _package(data / "providers" / source / version[1])
        if there not in locked:
            found.append(Other(source, version[1], locked, there))
    return tuple(found)


def refusal(changed: tuple[Other, ...], environment: str, folder: Path) -> ProviderChanged:
    """The error that names both checksums, and what to do."""
    return ProviderChanged(
        f"Terraform's folder of {environment} holds another provider than is locked. "
        + " ".join(other.sentence() for other in changed),
        hint=f"If the one that is there is meant, delete {folder / LOCK}; if the locked one is, delete "
        f"{folder / '.terraform'} and {folder.parent / 'plugins'}; then start the flow again. "
        "Where providers come from a mirror of yours, set PLUMBLINE_TERRAFORM_PROVIDERS=mirror.",
    )


def _package(folder: Path) -> str | None:
    """The checksum of the unpacked package for this machine; None where there is none."""
    packages = sorted(folder.glob("*"))
    files = sorted(path for path in packages[0].rglob("*") if path.is_file()) if packages else []
    if not files:
        return None
    stamps = [(path, path.stat()) for path in files]
    return _checksum(packages[0], tuple((path, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stamps))


@lru_cache(maxsize=16)
def _checksum(package: Path, files: tuple[tuple[Path, int, int, int], ...]) -> str:
    """Terraform's `h1:`, which is Go's dirhash: the SHA-256 over the sorted names and SHA-256 of all files.

    Remembered for as long as no file is another: a provider has tens of megabytes.
    """
    lines = []
    for path, *_ in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(package).as_posix()}\n")
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()
