"""Requests to one API server by a kubeconfig, and the one place where its refusals become our errors.

The `kubernetes` package carries the connection; bodies stay plain JSON, because its typed models cost three times
the time on long lists and lose fields they do not know.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import urllib3
import yaml
from kubernetes import client as kube

from infra.clients.calling import Caller, error_for, retry_after
from infra.clients.errors import InvalidInput, Misconfigured, PlumblineError, Refused, Temporary, Unavailable
from infra.clients.private import PrivateFolder
from infra.clients.waiting import Clock
from infra.settings import Settings, get_settings

VERSION = "1"
USER_AGENT = f"plumbline/{VERSION}"
CONNECTIONS = 16
"""Requests in flight at most; dry runs cost 20 ms each in a row and 3 ms side by side."""

Object = dict[str, Any]
"""A Kubernetes object, or any JSON object the API server speaks."""

HAS_EXPIRED = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""

CONTENT_TYPES: Mapping[str, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class WebhookUnavailable(Temporary):
    """The API server could not reach an admission webhook: the classic false "ready" of cert-manager (issue 2908)."""

    category = "WebhookUnavailable"


class Expired(Temporary):
    """A list's continue token is too old (410): to ask with it again is of no use, to begin again is."""

    category = "Unavailable"


class Transport:
    """A connection to one API server.

    Args:
        kubeconfig: its current context is used; certificates and keys as files or inline, or a token.
        settings: `request_timeout` bounds every request.
        read_only: refuse everything but reads and `dryRun=All`.
        clock: replaced in tests.
    """

    def __init__(
        self,
        kubeconfig: Path,
        settings: Settings | None = None,
        *,
        read_only: bool = False,
        user_agent: str = USER_AGENT,
        clock: Clock | None = None,
    ) -> None:
        settings = settings or get_settings()
        self._timeout = settings.request_timeout
        self._read_only = read_only
        self._caller = Caller("kubernetes", workers=CONNECTIONS, clock=clock)
        self._keys = _Keys(settings.state_dir / "private")
        try:
            configuration = read_kubeconfig(kubeconfig, self._keys.write)
        except BaseException:
            self._keys.remove()
            raise
        configuration.connection_pool_maxsize = CONNECTIONS
        configuration.retries = urllib3.Retry(total=False, redirect=False)
        self.server: str = configuration.host
        self._api = kube.ApiClient(configuration)
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        token = configuration.api_key.get("authorization")
        if token:
            self._headers["Authorization"] = token

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """GET with the short retries; `NotFound` on 404."""
        return await self._caller.read(lambda: self._request("GET", path, params))

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        *,
        patch: str | None = None,
        harmless_twice: bool = False,
    ) -> Any:
        """Send a write.

        Args:
            patch: "json", "merge", "strategic" or "apply" for PATCH.
            harmless_twice: repeat it after timeouts and 5xx as well.

        Raises:
            Refused: the client only reads, and this is no dry run.
        """
        if self._read_only and not _dry(body, params):
            raise Refused(f"This run only looks: {method} {path} was not sent.")
        content = CONTENT_TYPES[patch] if patch else "application/json"
        attempt = self._caller.read if harmless_twice else self._caller.write
        return await attempt(lambda: self._request(method, path, params, body, content))

    def close(self) -> None:
        """Close the connections and remove the key material that was written for them."""
        self._caller.close()
        self._api.close()
        self._keys.remove()

    def _request(
        self, method: str, path: str, params: Mapping[str, str] | None, body: Any = None, content: str | None = None
    ) -> Any:
        url = f"{self.server}{path}{'?' + urlencode(params) if params else ''}"
        headers = {**self._headers, **({"Content-Type": content} if content else {})}
        timeout = (min(10.0, self._timeout), self._timeout)
        try:
            response = self._api.call_api(method, url, headers, body, _request_timeout=timeout)
            data: bytes = response.read()
        except (kube.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self.server) from error
        if response.status >= 400:
            raise refusal(response.status, data, response.headers, f"{method} {path}")
        if "json" not in (response.headers.get("Content-Type") or ""):
            return data.decode(errors="replace")
        try:
            return orjson.loads(data)
        except ValueError as error:
            raise Unavailable(
                f"The API server's answer to {method} {path} broke off.", detail=data[:200].decode(errors="replace")
            ) from error


class _Keys:
    """Files for the inline keys of a kubeconfig; the folder is made with the first."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._folder: PrivateFolder | None = None

    def write(self, name: str, content: bytes) -> Path:
        self._folder = self._folder or PrivateFolder(self._base, "keys")
        return self._folder.write(name, content)

    def remove(self) -> None:
        if self._folder is not None:
            self._folder.remove()


def _dry(body: Any, params: Mapping[str, str] | None) -> bool:
    return (params or {}).get("dryRun") == "All" or (isinstance(body, dict) and body.get("dryRun") == ["All"])


def unreachable(error: Exception, server: str) -> PlumblineError:
    """The error a request without an answer stands for."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            break
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code == HAS_EXPIRED:
        return Misconfigured(
            f"The API server at {server} serves a certificate that has expired.",
            detail=str(error),
            hint="Renew the cluster's certificates: until then nobody can tell whom they speak to.",
        )
    if cause is not None or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Misconfigured(
            f"The API server at {server} has a certificate that the kubeconfig's authority did not sign.",
            detail=str(error),
            hint="Is the kubeconfig from an earlier cluster at this address?",
        )
    return Unavailable(f"The API server at {server} did not answer.", detail=f"{type(error).__name__}: {error}")


def refusal(status: int, data: bytes, headers: Mapping[str, str], doing: str) -> PlumblineError:
    """The error an unsuccessful answer stands for, by its Status body."""
    text = data.decode(errors="replace")
    try:
        body = orjson.loads(data)
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    detail = str(body.get("message") or text)
    summary = f"The API server answered {status}{_reason(body)} to {doing}."
    wait = retry_after(headers)
    if "failed calling webhook" in detail or "no endpoints available for service" in detail:
        return WebhookUnavailable(summary, detail=detail, retry_after=wait)
    if "denied the request" in detail:
        return InvalidInput(summary, detail=detail, hint="An admission webhook or policy of the cluster refused it.")
    if status == 410:
        return Expired(summary, detail=detail, retry_after=wait)
    return error_for(status, summary, detail=detail, retry_after=wait)


def _reason(body: Mapping[str, Any]) -> str:
    return f" ({body['reason']})" if body.get("reason") else ""


def read_kubeconfig(path: Path, keep: Callable[[str, bytes], Path]) -> Any:
    """The `kubernetes` package's configuration for a kubeconfig's current context.

    The package's own loader copies inline keys to files in /tmp that stay after a kill; here `keep` writes them, and
    files the kubeconfig names are used where they are.

    Raises:
        Misconfigured: the file cannot be used, in a sentence that says why.
    """
    try:
        config = yaml.load(path.read_text(), yaml.CSafeLoader)
        contexts = {item["name"]: item["context"] for item in config["contexts"]}
        context = contexts[config["current-context"]]
        cluster = {item["name"]: item["cluster"] for item in config["clusters"]}[context["cluster"]]
        user = {item["name"]: item["user"] for item in config["users"]}[context["user"]]
        server = str(cluster["server"]).rstrip("/")
    except (OSError, yaml.YAMLError) as error:
        raise Misconfigured(f"The kubeconfig {path} cannot be read.", detail=str(error)) from error
    except (KeyError, TypeError) as error:
        raise Misconfigured(f"The kubeconfig {path} lacks {error}.") from error
    if "exec" in user or "auth-provider" in user:
        raise Misconfigured(
            f"The kubeconfig {path} signs in by a program.", hint="Use one with a client certificate or a token."
        )
    configuration = kube.Configuration(host=server)
    configuration.ssl_ca_cert = _file(cluster, "certificate-authority", path, keep)
    configuration.cert_file = _file(user, "client-certificate", path, keep)
    configuration.key_file = _file(user, "client-key", path, keep)
    configuration.verify_ssl = not cluster.get("insecure-skip-tls-verify", False)
    configuration.tls_server_name = cluster.get("tls-server-name")
    if user.get("token"):
        configuration.api_key["authorization"] = f"Bearer {user['token']}"
    return configuration


def _file(entry: Mapping[str, Any], key: str, kubeconfig: Path, keep: Callable[[str, bytes], Path]) -> str | None:
    """The file of a kubeconfig entry; `keep` writes inline data."""
    if entry.get(f"{key}-data"):
        return str(keep(key, base64.b64decode(entry[f"{key}-data"])))
    return str(kubeconfig.parent / entry[key]) if entry.get(key) else None
