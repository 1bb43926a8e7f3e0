"""Pins other versions of upstream's modules: go.mod and go.sum are edited by go itself, and committed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from deployments.sandbox.upstream.build import Module, find_go
from infra.clients.errors import InvalidInput

KUBERNETES = "k8s.io/kubernetes"


def pin(module: Module, wanted: Sequence[str]) -> None:
    """Require other versions, and keep Kubernetes' staging modules (k8s.io/api and so on) at Kubernetes' own.

    Args:
        wanted: MODULE@VERSION each.

    Raises:
        InvalidInput: one is not of that form.
    """
    go = find_go(module)
    for each in wanted:
        path, _, version = each.partition("@")
        if not re.fullmatch(r"v\d+\.\d+\.\d+\S*", version):
            raise InvalidInput(f"{each!r} is not MODULE@VERSION.", hint=f"For example {KUBERNETES}@v1.36.4.")
        if path == KUBERNETES:
            staging = version.replace("v1.", "v0.", 1)
            replaced = re.findall(r"^\s*(?:replace )?(k8s\.io/\S+) => ", module.text, re.MULTILINE)
            _go(module, go, "mod", "edit", *(f"-replace={one}={one}@{staging}" for one in replaced))
        _go(module, go, "mod", "edit", f"-require={path}@{version}")
    _go(module, go, "mod", "tidy")


def _go(module: Module, go: str, *arguments: str) -> None:
    subprocess.run([go, *arguments], cwd=module.folder, check=True, timeout=1800)
