"""Bring a chart here once, checked against the lock; Helm then installs the local file.

Charts come from their upstream repository by `helm pull`, with Helm homes of our own so that nobody's repository list
or login changes what is installed, or from a mirror by plain HTTP.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import httpx
import yaml
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from infra.catalog.catalog import Release
from infra.catalog.lock import Lock, digest, expected, recorded, verify
from infra.catalog.models import Chart
from infra.clients import helm_program
from infra.clients.errors import DeadlineExceeded, Denied, Failed, NotFound, Temporary, Throttled, Unavailable
from infra.clients.manifest_yaml import load_documents
from infra.settings import Settings, get_settings

CHART_LIMIT = 32 * 1024 * 1024
"""Bytes a packed chart may have; the largest upstream one has under one megabyte."""

LONGEST_PAUSE = 60.0
"""Seconds a server's Retry-After is heeded at most; after that the whole step is tried again by its caller."""

# libyaml's loader reads a public repository's index of some megabytes ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Reference:
    """Where a chart is fetched from: the upstream repository, or a mirror that stands in for it."""

    chart: Chart
    mirror: str | None

    @property
    def is_oci(self) -> bool:
        """Whether it is pulled from an OCI registry."""
        return self.mirror is None and self.chart.repository.startswith("oci://")

    def __str__(self) -> str:
        if self.mirror:
            return f"{self.mirror}/{self.chart.filename}"
        if self.is_oci:
            return f"{self.chart.repository}/{self.chart.name}:{self.chart.version}"
        return f"{self.chart.repository}/{self.chart.filename}"


def resolve(release: Release | Chart, mirror: str | None) -> Reference:
    """Say where a release's chart is fetched from; pure.

    Args:
        release: the release, or its chart.
        mirror: base URL (https://, http:// or file://) of a repository used instead of every upstream one.
    """
    chart = release.chart if isinstance(release, Release) else release
    return Reference(chart=chart, mirror=mirror.rstrip("/") if mirror else None)


async def fetch(
    release: Release | Chart,
    into: Path,
    *,
    settings: Settings | None = None,
    lock: Lock | None = None,
    attempts: int = 4,
    pause: float = 1.0,
) -> Path:
    """Bring a release's chart into a cache folder, once, and check it.

    Args:
        release: the release, or its chart.
        into: the cache folder; files in it are checked again on every call, since others may write there.
        settings: where a mirror, Helm and the time limits are set; this process's own when unset.
        lock: the recorded digests; the repository's own when unset.
        attempts: how often a temporary failure is tried.
        pause: seconds before the second attempt; doubles from there, with jitter.

    Returns:
        The path of the checked .tgz file.

    Raises:
        Refused: the chart is not locked, or its content is not what was locked.
        NotFound: the repository does not have this version.
        Denied: the repository wants credentials.
        Unavailable, Throttled: the repository did not answer, after all attempts.
    """
    settings = settings or get_settings()
    reference = resolve(release, settings.chart_mirror)
    lock = lock if lock is not None else await asyncio.to_thread(recorded)
    accepted = expected(reference.chart, reference.mirror, lock)
    # The digest is part of the name: charts of the mirror and of upstream never meet in one cache.
    target = into / f"{reference.chart.name}-{reference.chart.version}.{accepted[0][:12]}.tgz"
    if target.is_file():
        if await asyncio.to_thread(digest, target) in accepted:
            return target
        target.unlink()
    await asyncio.to_thread(into.mkdir, parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=into, prefix=".fetching-") as folder:
        fresh = await download(reference, Path(folder), settings=settings, attempts=attempts, pause=pause)
        await asyncio.to_thread(verify, fresh, reference.chart, mirror=reference.mirror, lock=lock)
        fresh.replace(target)
    return target


async def download(
    reference: Reference, folder: Path, *, settings: Settings, attempts: int = 4, pause: float = 1.0
) -> Path:
    """Download a chart without checking it against the lock: for `fetch`, and to write the lock.

    Raises:
        NotFound, Denied, Unavailable, Throttled, Failed: as for `fetch`.
    """
    async for attempt in AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=_patience(pause),
        retry=retry_if_exception_type(Temporary),
        reraise=True,
    ):
        with attempt:
            if reference.mirror is None:
                return await _helm_pull(reference, folder, settings)
            return await _from_mirror(reference, folder, settings)
    raise AssertionError("tenacity ends with a result or an exception")


def _patience(pause: float) -> Callable[[RetryCallState], float]:
    """Wait twice as long each time, and at least as long as the server asked for, within reason."""
    backoff = wait_exponential_jitter(multiplier=pause, max=30, jitter=pause)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, Temporary) else None
        return max(backoff(state), min(asked or 0.0, LONGEST_PAUSE))

    return wait


async def _helm_pull(reference: Reference, folder: Path, settings: Settings) -> Path:
    chart = reference.chart
    where = [f"{chart.repository}/{chart.name}"] if reference.is_oci else [chart.name, "--repo", chart.repository]
    argv = ["pull", *where, "--version", chart.version, "--destination", str(folder)]
    home = folder / ".helm"
    home.mkdir()
    try:
        # Token, index or manifest, and the package: each is one request.
        done = await helm_program.run(
            settings.helm_binary, argv, home=home, timeout=4 * settings.request_timeout, grace=5.0
        )
    except DeadlineExceeded as error:
        raise Unavailable(f"The chart {reference} could not be fetched in time.", detail=str(error)) from error
    if done.returncode != 0:
        raise _helm_error(reference, done.stderr)
    return await asyncio.to_thread(_only_package, folder, reference)


def _only_package(folder: Path, reference: Reference) -> Path:
    packed = sorted(folder.glob("*.tgz"))
    if len(packed) != 1:
        raise Failed(f"Helm pulled {reference}, but left {len(packed)} packed charts.")
    return packed[0]


def _helm_error(reference: Reference, stderr: str) -> Temporary | NotFound | Denied:
    """Tell apart what Helm says in words only."""
    text = stderr.lower()
    summary = f"The chart {reference} could not be fetched."
    if re.search(r"\bnot found\b|no chart version found|chart .* matching|: 404\b", text):
        return NotFound(summary, detail=stderr, hint="Is the version still published?")
    if re.search(r"\b(401|403)\b|unauthorized|denied|forbidden", text):
        return Denied(summary, detail=stderr)
    return Unavailable(summary, detail=stderr)


@cache
def _trusted() -> ssl.SSLContext:
    """Whom to trust, read once: that takes longer than most charts do."""
    return httpx.create_ssl_context()


async def _from_mirror(reference: Reference, folder: Path, settings: Settings) -> Path:
    mirror = f"{reference.mirror}/"
    timeout = settings.request_timeout
    async with httpx.AsyncClient(verify=_trusted(), timeout=timeout, follow_redirects=True) as client:
        index = await _get(client, urljoin(mirror, "index.yaml"))
        content = await _get(client, urljoin(mirror, _address(index, reference)))
    target = folder / reference.chart.filename
    await asyncio.to_thread(target.write_bytes, content)
    return target


def _address(index: bytes, reference: Reference) -> str:
    """Find a chart's address in a repository's index."""
    chart = reference.chart
    try:
        entries = yaml.load(index, Loader=_LOADER)["entries"]  # noqa: S506 - a safe loader
        for entry in entries.get(chart.name, []):
            if entry["version"] == chart.version:
                return str(entry["urls"][0])
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Failed(f"The index of the chart mirror {reference.mirror} cannot be read.", detail=str(error)) from error
    raise NotFound(f"The chart mirror {reference.mirror} has no {chart.name} {chart.version}.")


async def _get(client: httpx.AsyncClient, url: str) -> bytes:
    """Read a whole answer, with the errors of our own tree and a bound on its size."""
    if urlsplit(url).scheme == "file":
        return await asyncio.to_thread(_read, url)
    content = bytearray()
    try:
        async with client.stream("GET", url) as response:
            _check(response, url)
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > CHART_LIMIT:
                    raise Failed(f"{url} is larger than a chart can be ({CHART_LIMIT} bytes).")
    except httpx.HTTPError as error:
        raise Unavailable(f"{url} could not be read.", detail=str(error) or type(error).__name__) from error
    return bytes(content)


def _check(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == 429:
        after = response.headers.get("Retry-After", "")
        raise Throttled(f"{url} asks for patience.", retry_after=float(after) if after.isdigit() else None)
    if status in (401, 403):
        raise Denied(f"{url} wants credentials ({status}).")
    if status in (404, 410):
        raise NotFound(f"{url} does not exist ({status}).")
    if status >= 500:
        raise Unavailable(f"{url} answered {status}.")
    if status != 200:
        raise Failed(f"{url} answered {status}.")


def _read(url: str) -> bytes:
    path = Path(unquote(urlsplit(url).path))
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path} cannot be read.", detail=str(error)) from error


def crds_of(packed: Path) -> list[dict[str, Any]]:
    """Read the CustomResourceDefinitions of a packed chart's crds/ folder, which `helm upgrade` leaves alone.

    Raises:
        Failed: the file is not a packed chart.
    """
    try:
        with tarfile.open(packed, "r:gz") as archive:
            documents = [
                document
                for member in sorted(archive.getmembers(), key=lambda one: one.name)
                if member.isfile() and re.fullmatch(r"[^/]+/crds/.+\.ya?ml", member.name)
                if (stream := archive.extractfile(member)) is not None
                for document in load_documents(stream.read().decode())
            ]
    except (tarfile.TarError, UnicodeDecodeError, OSError) as error:
        raise Failed(f"{packed.name} is not a packed chart.", detail=str(error)) from error
    return [one for one in documents if isinstance(one, dict) and one.get("kind") == "CustomResourceDefinition"]
