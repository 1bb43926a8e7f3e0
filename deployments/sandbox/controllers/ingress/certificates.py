"""Certificates for server names: from Secrets, or the fake one that says it is none."""

from __future__ import annotations

import base64
import ssl

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.kube.informer import Informer
from deployments.sandbox.controllers.kube.resources import Key

FAKE = "NGINXIngressController"
"""The common name of the certificate F5's chart makes up for its default server."""


class Certificates:
    """TLS contexts by Secret, each loaded once per version."""

    def __init__(self, secrets: Informer) -> None:
        self._secrets = secrets
        self._loaded: dict[Key, tuple[str, ssl.SSLContext]] = {}
        self._fake: ssl.SSLContext | None = None

    def context(self, secret: Key | None) -> ssl.SSLContext | None:
        """A TLS context with the Secret's certificate, or None where it is not there or not usable."""
        obj = self._secrets.get(*secret) if secret is not None else None
        if obj is None or secret is None:
            return None
        version = obj["metadata"]["resourceVersion"]
        known = self._loaded.get(secret)
        if known is not None and known[0] == version:
            return known[1]
        chain, key = (base64.b64decode((obj.get("data") or {}).get(name) or "") for name in ("tls.crt", "tls.key"))
        try:
            context = x509.server_context(chain, key)
        except ssl.SSLError:
            return None
        self._loaded[secret] = (version, context)
        return context

    def forget_all_but(self, used: set[Key]) -> None:
        """Drop contexts nobody uses any more."""
        self._loaded = {key: value for key, value in self._loaded.items() if key in used}

    def fake(self) -> ssl.SSLContext:
        """The made-up certificate that is served where there is no right one."""
        if self._fake is None:
            self._fake = x509.made_up_context(FAKE)
        return self._fake
