"""What people do behind Plumbline's back, and an hour or a night does for them: to git, and to a certificate."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from deployments.sandbox.acme import remember
from deployments.sandbox.controllers import x509
from deployments.sandbox.settings import NAME_SERVERS
from infra.clients.tls import TlsClient
from infra.settings import Settings
from tests.platform import Platform
from tests.sandbox.cloud import ask
from tests.waiting import until

AUTHORITY = "Pebble Intermediate CA of yesterday"
SECRET = ("-n", "plumbline-system", "secret", "canary-tls")


class History:
    """The branch of the environments' repository, which somebody rewrites."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self._git, self.bare, self._clone = platform._git, str(platform.home / "git/environments.git"), str(folder)
        self._git("clone", "-q", self.bare, self._clone)
        self.url = f"http://127.0.0.1:{platform.port('git')}/environments.git"

    def head(self) -> str:
        return self._git("-C", self.bare, "rev-parse", "main").strip()

    def rewrite(self, *, without: str | None = None) -> str:
        """One commit with everything in place of all that there were, and force it upon the branch."""
        here = ("-C", self._clone, "-c", "user.name=t", "-c", "user.email=t@example.org")
        self._git(*here, "checkout", "-q", "--orphan", f"rewritten-{without}")
        if without:
            self._git(*here, "rm", "-qf", f"environments/{without}.yaml")
        self._git(*here, "commit", "-qm", "the same, without its past")
        self._git(*here, "push", "-qf", "origin", "HEAD:main")
        return self.head()

    def set_back(self, commit: str) -> None:
        self._git("-C", self.bare, "update-ref", "refs/heads/main", commit)

    def forget(self) -> None:
        """Remove what no branch holds."""
        self._git("-C", self.bare, "reflog", "expire", "--expire=now", "--all")
        self._git("-C", self.bare, "gc", "-q", "--prune=now")


class Served:
    """The certificate that an environment's ingress serves for the canary host."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.host = f"plumbline.{name}.sandbox.example"
        self._kubeconfig = platform.sandbox("kubeconfig", name)
        key = x509.generate_key()
        root = x509.self_sign(key, x509.Subject(AUTHORITY, is_ca=True), timedelta(days=365))
        self._authority = x509.Authority(root, key)
        remember(Path(platform.variables()["PLUMBLINE_TLS_CA_FILE"]), x509.pem(root).decode())
        self._port = int(platform.variables()["PLUMBLINE_INGRESS_HTTPS_PORT"])
        self._address = ask(NAME_SERVERS["ns1"], platform.port("dns"), f"{self.host}.")[1][0]

    def _kubectl(self, *arguments: str) -> str:
        argv = ["kubectl", f"--kubeconfig={self._kubeconfig}", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout

    def stop_renewing(self) -> None:
        """Scale cert-manager to nothing, as somebody does who forgets it."""
        where = ("-n", "cert-manager", "deployment", "cert-manager")
        self._kubectl("scale", *where, "--replicas=0")
        left = ("get", *where, "-o", "jsonpath={.status.availableReplicas}")
        until(lambda: self._kubectl(*left) in ("", "0"), "the end of cert-manager")

    def replace(self, ends: datetime) -> None:
        """Put one of a trusted authority, 90 days old when it ends, in the served one's place."""
        key = x509.generate_key("RSA")
        days = timedelta(days=90)
        leaf = x509.sign(self._authority, key.public_key(), x509.Subject(dns_names=[self.host]), days, now=ends - days)
        data = {"tls.crt": x509.pem(leaf), "tls.key": x509.key_pem(key)}
        patch = {"data": {name: base64.b64encode(value).decode() for name, value in data.items()}}
        self._kubectl("patch", *SECRET, "-p", json.dumps(patch))
        until(lambda: self._serial() == leaf.serial_number, "the ingress to serve the new certificate")

    def _serial(self) -> int:
        return asyncio.run(TlsClient(Settings()).served(self.host, self._port, address=self._address)).leaf.serial
