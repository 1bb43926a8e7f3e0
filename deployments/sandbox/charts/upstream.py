"""Upstream's own charts, where a module that the sandbox builds from has them."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from deployments.sandbox.upstream import build

CERT_MANAGER = "github.com/cert-manager/cert-manager"
PARTS = ("Chart.yaml", "values.yaml", "values.schema.json", "templates")
"""What Helm reads of a chart; the rest are its tests and its making."""


def cert_manager() -> Path:
    """The folder of cert-manager's chart, in the version that its controllers are built from.

    Upstream's release tool writes the version into it, and so do we; nothing else is changed.

    Raises:
        Misconfigured: there is no Go, or the module cannot be had.
    """
    version = build.UPSTREAM.version(CERT_MANAGER)
    target = build.cache() / "charts" / f"cert-manager-{version}" / "cert-manager"
    if target.is_dir():
        return target
    source = build.source(CERT_MANAGER) / "deploy/charts/cert-manager"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        for part in PARTS:
            # Copied by content: a module's files may not be written to.
            copy = shutil.copytree if (source / part).is_dir() else shutil.copyfile
            copy(source / part, partial / part)
        for path in (partial, *partial.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        chart = partial / "Chart.yaml"
        chart.write_text(re.sub(r"(?m)^(version|appVersion): .*$", rf"\1: {version}", chart.read_text()))
        partial.replace(target)
    except OSError:
        if not target.is_dir():  # somebody else was first, and has made the same
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
