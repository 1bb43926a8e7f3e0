"""The sandbox's own certificate authority, and its made-up GitHub App."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path

from deployments.sandbox.controllers import x509
from deployments.sandbox.layout import write

VALID = timedelta(days=3650)


def make_authority(folder: Path) -> None:
    """Make ca.crt and ca.key in `folder`, once: certificates have to stay good over restarts."""
    certificate, private = folder / "ca.crt", folder / "ca.key"
    if certificate.exists() and private.exists():
        return
    authority = x509.Authority.make("Plumbline sandbox CA", VALID)
    write(private, x509.key_pem(authority.key).decode())
    write(certificate, x509.pem(authority.certificate).decode())


def make_github_app(folder: Path) -> None:
    """Make the secret `github-app`: what ARC authenticates with, random and good for nothing else."""
    if (folder / "github_app_private_key").exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(folder / "github_app_id", str(secrets.randbelow(900_000) + 100_000))
    write(folder / "github_app_installation_id", str(secrets.randbelow(90_000_000) + 10_000_000))
    write(folder / "github_app_private_key", x509.key_pem(x509.generate_key("RSA")).decode())
