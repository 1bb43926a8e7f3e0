"""Charts with nothing in them but definitions."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import yaml


def pack(folder: Path, name: str, version: str, *, crds: tuple[dict[str, Any], ...] = (), note: str = "") -> Path:
    """A packed chart."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tgz"
    files = {"Chart.yaml": yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version, "description": note})}
    files |= {f"crds/{item['metadata']['name']}.yaml": yaml.safe_dump(item) for item in crds}
    with tarfile.open(path, "w:gz") as archive:
        for inside, text in files.items():
            member = tarfile.TarInfo(f"{name}/{inside}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path
