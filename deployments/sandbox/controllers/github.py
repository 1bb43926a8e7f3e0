"""`python -m deployments.sandbox.controllers.github`: stands in for GitHub where runner scale sets register.

It knows the GitHub Apps in the sandbox's secrets (`secrets/*/github_app_id`, …) and personal tokens
(`secrets/*/github_token`), refuses everybody else, and keeps registrations in `github/registrations.json`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from deployments.sandbox.controllers import jwt, x509
from deployments.sandbox.layout import write_json

TOKEN_LIFETIME = 3600
SCALE_SETS = "/_apis/runtime/runnerscalesets"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class GitHub:
    """The stand-in.

    Args:
        home: the sandbox's folder.
    """

    def __init__(self, home: Path) -> None:
        self._secrets = home / "secrets"
        self._file = home / "github" / "registrations.json"
        self._tokens: dict[str, float] = {}

    def app(self) -> web.Application:
        """The HTTP application."""
        app = web.Application(middlewares=[self._check])
        app.router.add_post("/app/installations/{installation}/access_tokens", self._token)
        app.router.add_get(SCALE_SETS, self._list)
        app.router.add_post(SCALE_SETS, self._register)
        app.router.add_delete(SCALE_SETS + "/{id}", self._delete)
        return app

    def registrations(self) -> list[dict[str, Any]]:
        """The runner scale sets that are registered."""
        if not self._file.exists():
            return []
        found: list[dict[str, Any]] = json.loads(self._file.read_text())
        return found

    @web.middleware
    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(SCALE_SETS) and not self._known(_bearer(request)):
            return _problem(401, "Bad credentials")
        return await handler(request)

    def _known(self, token: str) -> bool:
        if self._tokens.get(token, 0) > time.time():
            return True
        personal = [file.read_text().strip() for file in self._secrets.glob("*/github_token")]
        return any(secrets.compare_digest(token.encode(), each.encode()) for each in personal if each)

    async def _token(self, request: web.Request) -> web.Response:
        """Exchange an App's signed word for an installation's token, as GitHub's REST API does."""
        why = self._refusal(_bearer(request), request.match_info["installation"])
        if why is not None:
            return why
        token = "ghs_" + secrets.token_urlsafe(24)
        self._tokens[token] = time.time() + TOKEN_LIFETIME
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=TOKEN_LIFETIME)
        return web.json_response({"token": token, "expires_at": until.isoformat()}, status=201)

    def _refusal(self, token: str, installation: str) -> web.Response | None:
        for folder in self._secrets.glob("*/github_app_id"):
            names = ("github_app_id", "github_app_installation_id")
            app = {name: (folder.parent / name).read_text().strip() for name in names}
            key = x509.load_key((folder.parent / "github_app_private_key").read_bytes())
            if not isinstance(key, rsa.RSAPrivateKey):
                continue
            try:
                claims = jwt.verify(token, key.public_key())
            except ValueError:
                continue
            if str(claims.get("iss")) == app["github_app_id"]:
                found = installation == app["github_app_installation_id"]
                return None if found else _problem(404, "Not Found")
        return _problem(401, "A JSON web token could not be decoded")

    async def _list(self, request: web.Request) -> web.Response:
        wanted = {key: request.query[key] for key in ("name", "url") if key in request.query}
        found = [each for each in self.registrations() if wanted.items() <= each.items()]
        return web.json_response({"count": len(found), "value": found})

    async def _register(self, request: web.Request) -> web.Response:
        body = await request.json()
        known = self.registrations()
        if not body.get("name") or not body.get("url"):
            return _problem(422, "name and url are required")
        if any((each["name"], each["url"]) == (body["name"], body["url"]) for each in known):
            return _problem(409, f"Runner scale set {body['name']} already exists")
        number = max((each["id"] for each in known), default=0) + 1
        made = {"id": number, "name": body["name"], "url": body["url"], "group": body.get("group", "default")}
        self._keep([*known, made])
        return web.json_response(made, status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        known = self.registrations()
        left = [each for each in known if str(each["id"]) != request.match_info["id"]]
        if len(left) == len(known):
            return _problem(404, "Not Found")
        self._keep(left)
        return web.Response(status=204)

    def _keep(self, registrations: list[dict[str, Any]]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, registrations)


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() in {"bearer", "token"} else ""


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"message": message, "status": str(status)}, status=status)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.controllers.github", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's state folder")
    parser.add_argument("--port", type=int, required=True, help="to listen on")
    options = parser.parse_args(argv)
    web.run_app(GitHub(options.home.absolute()).app(), host="127.0.0.1", port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
