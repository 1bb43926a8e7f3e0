"""What the front proxy (frontproxy/) is told: what it stands before, where it logs and what is to go wrong. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployments.sandbox.layout import Layout
from deployments.sandbox.openstack.config import SERVICES
from deployments.sandbox.settings import BEHIND, SandboxSettings


def openstack(settings: SandboxSettings, layout: Layout) -> dict[str, Any]:
    """Before all of OpenStack's services: each listens on another address, at the port that clients know."""
    services = [
        {
            "name": name,
            "listen": f"127.0.0.1:{settings.port(name)}",
            "upstream": f"http://{BEHIND}:{settings.port(name)}",
        }
        for name in SERVICES
    ]
    return _document(services, log=layout.requests, faults=layout.faults)


def kubernetes(name: str, *, listen: str, upstream: str, home: Path, log: Path, faults: Path) -> dict[str, Any]:
    """Before one API server, whose users it authenticates by their client certificates.

    Args:
        name: of the cluster.
        listen: HOST:PORT that clients know.
        upstream: the API server's URL.
        home: the control plane's folder, with its certificates.
    """
    files = {
        "authority": "ca.crt",
        "certificate": "server.crt",
        "key": "server.key",
        "proxy_certificate": "front-proxy.crt",
        "proxy_key": "front-proxy.key",
    }
    service = {
        "name": f"kubernetes/{name}",
        "listen": listen,
        "upstream": upstream,
        "cluster": {key: str(home / file) for key, file in files.items()},
    }
    return _document([service], log=log, faults=faults)


def _document(services: list[dict[str, Any]], *, log: Path, faults: Path) -> dict[str, Any]:
    return {"log": str(log), "faults": str(faults), "services": services}
