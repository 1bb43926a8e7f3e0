"""The lock of chart digests: what was once fetched and looked at is what gets installed.

Only a digest of bytes that somebody really downloaded stands in the file. A chart without one is refused, and so is a
chart whose bytes differ: a repository that serves other content under a published version is an accident or an attack.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.catalog.models import Chart
from infra.clients.errors import Misconfigured, Refused

LOCK_FILE = Path(__file__).resolve().parent / "charts.lock.yaml"
COMMAND = "python -m infra.catalog lock"
SANDBOX = "sandbox"
"""The key of the sandbox's own packages, whatever port they are served on."""

_HEADER = (
    f"# Written by `{COMMAND}`: the sha256 of every chart that was really downloaded, by the repository it came from.\n"
    "# Look at a change here as at a change of code: it is what gets installed.\n"
)

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Entry(BaseModel):
    """One chart that was downloaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, description="Repository URL it came from, or `sandbox`.")
    name: str = Field(min_length=1, description="Name of the chart.")
    version: str = Field(min_length=1, description="Its exact version.")
    sha256: Digest = Field(description="Digest of the packed chart.")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    charts: tuple[Entry, ...]


Key = tuple[str, str, str]
"""Source, name, version."""


@dataclass(frozen=True)
class Lock:
    """The recorded digests."""

    digests: Mapping[Key, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path = LOCK_FILE) -> Lock:
        """Read the lock file; a missing one is an empty lock.

        Raises:
            Misconfigured: the file is not valid.
        """
        if not path.exists():
            return cls()
        try:
            content = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (ValidationError, yaml.YAMLError, OSError) as error:
            raise Misconfigured(
                f"The chart lock {path.name} cannot be read.", detail=str(error), hint=f"Write it anew: {COMMAND}"
            ) from error
        return cls({(one.source, one.name, one.version): one.sha256 for one in content.charts})

    def save(self, path: Path = LOCK_FILE) -> None:
        """Write the lock file, sorted, so that a change is a readable difference."""
        charts = [
            {"source": source, "name": name, "version": version, "sha256": sha256}
            for (source, name, version), sha256 in sorted(self.digests.items())
        ]
        text = _HEADER + yaml.safe_dump({"version": 1, "charts": charts}, sort_keys=False, width=120)
        path.write_text(text, encoding="utf-8")

    def with_digest(self, key: Key, sha256: str) -> Lock:
        """The same lock with one digest added or replaced."""
        return Lock({**self.digests, key: sha256})

    def only(self, keys: Iterable[Key]) -> Lock:
        """The same lock without the entries that are not among `keys`."""
        kept = set(keys)
        return Lock({key: sha256 for key, sha256 in self.digests.items() if key in kept})


@lru_cache(maxsize=1)
def recorded() -> Lock:
    """The repository's own lock, read once by a process."""
    return Lock.load()


def digest(path: Path) -> str:
    """Compute the sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_keys(chart: Chart, mirror: str | None) -> tuple[str, ...]:
    """Under which sources of the lock a chart's digest may stand.

    A mirror on this machine is the sandbox, whose charts are the project's own. Any other mirror passes upstream's
    bytes on, or has been locked under its own address.
    """
    if mirror is None:
        return (chart.repository,)
    return (SANDBOX,) if is_local(mirror) else (mirror.rstrip("/"), chart.repository)


def is_local(mirror: str) -> bool:
    """Say whether a mirror is on this machine: a file:// folder or a loopback address."""
    parts = urlsplit(mirror)
    if parts.scheme == "file":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def expected(chart: Chart, mirror: str | None, lock: Lock) -> tuple[str, ...]:
    """Give the digests that are accepted for a chart.

    Raises:
        Refused: none is recorded; the sentence names the command that records it.
    """
    keys = [(source, chart.name, chart.version) for source in source_keys(chart, mirror)]
    found = tuple(lock.digests[key] for key in keys if key in lock.digests)
    if not found:
        raise Refused(
            f"The chart {chart.name} {chart.version} from {keys[0][0]} is not in the chart lock.",
            hint=f"Look at the chart, then record its digest: {COMMAND}{f' --mirror {mirror}' if mirror else ''}",
        )
    return found


def verify(path: Path, chart: Chart, *, mirror: str | None = None, lock: Lock | None = None) -> None:
    """Check a packed chart against the lock.

    Args:
        path: the .tgz file.
        chart: what it claims to be.
        mirror: the mirror it came from, if any.
        lock: the recorded digests; the repository's own when unset.

    Raises:
        Refused: no digest is recorded for it, or the file has another one.
    """
    accepted = expected(chart, mirror, lock if lock is not None else Lock.load())
    actual = digest(path)
    if actual not in accepted:
        raise Refused(
            f"The chart {chart.name} {chart.version} is not the one that was locked: "
            f"its sha256 is {actual[:16]}…, recorded is {accepted[0][:16]}….",
            hint="Find out why the repository serves other content under the same version before you lock it anew.",
        )
