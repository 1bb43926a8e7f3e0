"""Registering runner scale sets at GitHub, as ARC's controller does."""

from __future__ import annotations

from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric import rsa

from deployments.sandbox.controllers import jwt, x509
from deployments.sandbox.controllers.github import SCALE_SETS
from deployments.sandbox.controllers.kube.client import USER_AGENT

TIMEOUT = 10.0


class Refused(Exception):
    """GitHub, or the secret, does not allow it; the text says why."""


class GitHubClient:
    """Talks to GitHub, or its stand-in.

    Args:
        url: of its API.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def register(self, secret: dict[str, str], config_url: str, name: str, group: str) -> int:
        """The id of a scale set, registered where it was not.

        Raises:
            Refused: wrong or missing credentials.
            aiohttp.ClientError, TimeoutError: no answer.
        """
        token = await self._token(secret)
        query = {"name": name, "url": config_url}
        found = await self._call("GET", SCALE_SETS, token, params=query)
        if found["value"]:
            return int(found["value"][0]["id"])
        made = await self._call("POST", SCALE_SETS, token, json={**query, "group": group})
        return int(made["id"])

    async def forget(self, secret: dict[str, str], identity: int) -> None:
        """Take a registration back; one that is gone already is fine.

        Raises:
            Refused: wrong or missing credentials.
        """
        await self._call("DELETE", f"{SCALE_SETS}/{identity}", await self._token(secret), accept=(404,))

    async def _token(self, secret: dict[str, str]) -> str:
        if secret.get("github_token"):
            return secret["github_token"].strip()
        names = ("github_app_id", "github_app_installation_id", "github_app_private_key")
        missing = [name for name in names if not secret.get(name)]
        if missing:
            raise Refused(f"the GitHub config secret has neither github_token nor {', '.join(missing)}")
        try:
            key = x509.load_key(secret["github_app_private_key"].encode())
        except ValueError as error:
            raise Refused(f"github_app_private_key is no private key: {error}") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise Refused("github_app_private_key is no RSA key")
        word = jwt.sign(secret["github_app_id"].strip(), key)
        path = f"/app/installations/{secret['github_app_installation_id'].strip()}/access_tokens"
        answer = await self._call("POST", path, word)
        return str(answer["token"])

    async def _call(
        self, method: str, path: str, token: str, *, accept: tuple[int, ...] = (), **extra: Any
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": USER_AGENT}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(method, self._url + path, **extra) as answer,
        ):
            if answer.status in {401, 403} or (answer.status == 404 and 404 not in accept):
                document = await answer.json()
                raise Refused(f"GitHub answers {answer.status}: {document.get('message', '')}")
            if answer.status not in accept:
                answer.raise_for_status()
            body: dict[str, Any] = await answer.json() if answer.status not in {204, 404} else {}
            return body
