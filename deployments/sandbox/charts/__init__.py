"""The sandbox's charts, and packing them into a repository that Helm can read.

cert-manager's is upstream's own. The others are small ones of ours: they carry the names, versions and value keys of
the upstream charts in the catalogue and make the objects a person would look for; what runs in their pods is played by
the sandbox's controllers.

Packages are the same bytes on every machine and at every time, so that the catalogue's lock can name their digests:
a plain ustar archive with fixed owner, mode and time, in a gzip stream of stored blocks, since what a compressor
makes of the same input differs between zlib and its replacements.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.charts.upstream import cert_manager

HERE = Path(__file__).resolve().parent
EPOCH = "1970-01-01T00:00:00Z"
_STORED_BLOCK = 0xFFFF
"""Bytes a stored block holds at most (RFC 1951, 3.2.4)."""


def charts() -> tuple[Path, ...]:
    """The chart folders, by name."""
    return tuple(
        sorted([*(path.parent for path in HERE.glob("*/Chart.yaml")), cert_manager()], key=lambda each: each.name)
    )


def pack(chart: Path) -> bytes:
    """Pack one chart folder as `helm package` would, deterministically."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(one for one in chart.rglob("*") if one.is_file() and not _is_hidden(one, chart)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"{chart.name}/{path.relative_to(chart).as_posix()}")
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 0
            archive.addfile(entry, io.BytesIO(content))
    return _gzip_stored(buffer.getvalue())


def build(target: Path, base_url: str) -> dict[str, str]:
    """Pack every chart into `target` and write its `index.yaml`.

    Args:
        target: folder to fill; packages of versions that are gone are removed.
        base_url: where the folder is served, for the addresses in the index.

    Returns:
        File name -> sha256 of every package.
    """
    target.mkdir(parents=True, exist_ok=True)
    entries: dict[str, list[dict[str, Any]]] = {}
    digests: dict[str, str] = {}
    for chart in charts():
        metadata = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
        filename = f"{metadata['name']}-{metadata['version']}.tgz"
        content = pack(chart)
        digests[filename] = hashlib.sha256(content).hexdigest()
        _replace(target / filename, content)
        entries.setdefault(metadata["name"], []).append(
            {
                **metadata,
                "created": EPOCH,
                "digest": digests[filename],
                "urls": [f"{base_url.rstrip('/')}/{filename}"],
            }
        )
    index = {"apiVersion": "v1", "entries": entries, "generated": EPOCH}
    _replace(target / "index.yaml", yaml.safe_dump(index, sort_keys=True, width=120).encode())
    for stale in set(target.glob("*.tgz")) - {target / filename for filename in digests}:
        stale.unlink()
    return digests


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step: the repository may be serving the folder."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_bytes(content)
    fresh.replace(path)


def _is_hidden(path: Path, chart: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(chart).parts)


def _gzip_stored(content: bytes) -> bytes:
    """Wrap bytes in a gzip stream (RFC 1952) of stored blocks, without a time or a file name."""
    parts = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    for start in range(0, len(content), _STORED_BLOCK) or (0,):
        block = content[start : start + _STORED_BLOCK]
        final = start + _STORED_BLOCK >= len(content)
        parts.append(struct.pack("<BHH", final, len(block), len(block) ^ 0xFFFF) + block)
    parts.append(struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF))
    return b"".join(parts)
