"""The sandbox's ACME server, pebble: how it is configured, and which roots it has had.

pebble keeps nothing: at each start it makes another root and has forgotten every account. So that what it issued before
stays trusted, each root it has had is kept.
"""

from __future__ import annotations

import datetime as dt
import json
import ssl
from pathlib import Path

import aiohttp
from cryptography.x509 import load_pem_x509_certificates

from deployments.sandbox.controllers import x509
from deployments.sandbox.layout import Layout, write
from deployments.sandbox.settings import HOST, NAME_SERVERS, SandboxSettings
from deployments.sandbox.upstream import build
from infra.clients.errors import Unavailable

DIRECTORY = "/dir"
ENVIRONMENT = {
    # It is patient with nobody by default, so that clients are tried: validations take seconds, nonces are refused,
    # and authorizations are used again at random.
    "PEBBLE_VA_NOSLEEP": "1",
    "PEBBLE_WFE_NONCEREJECT": "0",
    "PEBBLE_AUTHZREUSE": "0",
}
BLOCKED = "blocked.example"
"""A domain for which every order is refused."""
LIFETIME = dt.timedelta(days=3650)
NAMES = ("acme.sandbox.example", "localhost")


class Acme:
    """One pebble.

    Args:
        folder: for its configuration, certificate and key.
        authority: the folder with the `ca.crt` and `ca.key` that sign its own certificate.
        port: of the ACME API.
        management_port: of what tells the roots.
    """

    def __init__(self, folder: Path, authority: Path, *, port: int, management_port: int) -> None:
        self._folder, self._authority = folder, authority
        self._port, self._management_port = port, management_port

    @classmethod
    def of(cls, settings: SandboxSettings, layout: Layout) -> Acme:
        """A sandbox's."""
        ports = {"port": settings.port("acme"), "management_port": settings.port("acme_management")}
        return cls(layout.acme, layout.ca, **ports)

    @property
    def server(self) -> str:
        """The directory's URL."""
        return f"https://{HOST}:{self._port}{DIRECTORY}"

    @property
    def roots(self) -> Path:
        """Every root it has had, in PEM; not there before it was once ready."""
        return self._authority / "acme-roots.pem"

    def configure(self, *, http_port: int, tls_port: int) -> None:
        """Write what it reads.

        Args:
            http_port, tls_port: where it looks for an answer to a challenge.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._folder / "server.crt").exists():
            self._make_certificate()
        config = {
            "listenAddress": f"{HOST}:{self._port}",
            "managementListenAddress": f"{HOST}:{self._management_port}",
            "certificate": str(self._folder / "server.crt"),
            "privateKey": str(self._folder / "server.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "keyAlgorithm": "ecdsa",
            "domainBlocklist": [BLOCKED],
            "retryAfter": {"authz": 1, "order": 1},
        }
        write(self._folder / "pebble.json", json.dumps({"pebble": config}, indent=2) + "\n")

    def argv(self, dns_port: int) -> tuple[str, ...]:
        """The command; it asks an authoritative server, as ACME servers do lest they believe an old answer."""
        server = f"{NAME_SERVERS['ns1']}:{dns_port}"
        return str(build.program("pebble")), "-config", str(self._folder / "pebble.json"), "-dnsserver", server

    async def ready(self) -> bool:
        """Whether it answers; its root is then among `roots`."""
        context = ssl.create_default_context(cafile=str(self._authority / "ca.crt"))
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                async with session.get(self.server, ssl=context) as answer:
                    if answer.status != 200:
                        return False
                url = f"https://{HOST}:{self._management_port}/roots/0"
                async with session.get(url, ssl=context) as answer:
                    remember(self.roots, await answer.text())
        except aiohttp.ClientError:
            return False
        return True

    def _make_certificate(self) -> None:
        authority = x509.Authority.load(
            (self._authority / "ca.crt").read_bytes(), (self._authority / "ca.key").read_bytes()
        )
        subject = x509.Subject(NAMES[0], [], NAMES, [HOST], usages=x509.SERVER_USAGES)
        certificate, key = authority.issue(subject, LIFETIME)
        write(self._folder / "server.key", key)
        write(self._folder / "server.crt", certificate)


def remember(path: Path, root: str) -> None:
    """Have a root among those in a file; those that have expired are forgotten.

    Raises:
        Unavailable: it is not a certificate.
    """
    try:
        (new,) = load_pem_x509_certificates(root.encode())
    except ValueError as error:
        raise Unavailable("The ACME server did not tell its root.", detail=root) from error
    known = load_pem_x509_certificates(path.read_bytes()) if path.exists() else []
    now = dt.datetime.now(dt.UTC)
    kept = [one for one in known if one != new and one.not_valid_after_utc > now]
    write(path, x509.pem(*kept, new).decode())
