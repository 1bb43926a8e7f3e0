"""Charts made of a few files."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path


def packed(folder: Path, **files: str) -> Path:
    """A chart `demo` of these files, packed into `folder`."""
    path = folder / "demo-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n", **files}.items():
            item = tarfile.TarInfo(f"demo/{name}")
            item.size = len(text.encode())
            archive.addfile(item, BytesIO(text.encode()))
    return path
