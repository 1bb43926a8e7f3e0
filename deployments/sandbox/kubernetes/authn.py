"""Who asks: client certificates, service-account tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any

from deployments.sandbox.kubernetes.errors import unauthorized
from deployments.sandbox.kubernetes.requestinfo import SYSTEM_MASTERS, User
from deployments.sandbox.kubernetes.storage import Storage
from deployments.sandbox.kubernetes.wire import dumps, loads

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ISSUER = "https://kubernetes.default.svc"


def of_certificate(certificate: Mapping[str, Any] | None) -> User | None:
    """The user of a verified client certificate: CN is the name, every O a group."""
    if not certificate:
        return None
    names: list[str] = []
    groups: list[str] = []
    for entry in certificate.get("subject", ()):
        for key, value in entry:
            if key == "commonName":
                names.append(value)
            elif key == "organizationName":
                groups.append(value)
    return User(names[0], (*groups, "system:authenticated")) if names else None


class Tokens:
    """Service-account tokens: JWTs signed with a key that stays in the database."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        key = storage.read_meta("tokenKey", None)
        if key is None:
            key = secrets.token_hex(32)
            storage.write_meta("tokenKey", key)
        self._key = bytes.fromhex(key)

    def issue(self, namespace: str, name: str, uid: str, *, seconds: int, audiences: list[str]) -> str:
        """A token for a service account, valid for `seconds`."""
        moment = int(time.time())
        claims = {
            "iss": ISSUER, "aud": audiences or [ISSUER], "iat": moment, "nbf": moment, "exp": moment + seconds,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        }  # fmt: skip
        body = _encode(dumps({"alg": "HS256", "typ": "JWT"})) + b"." + _encode(dumps(claims))
        return (body + b"." + _encode(self._sign(body))).decode()

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()

    def user(self, token: str) -> User | None:
        """Whose token this is; None when it is false, expired, or its account is gone."""
        body, _, signature = token.encode().rpartition(b".")
        try:
            if not hmac.compare_digest(_decode(signature), self._sign(body)):
                return None
            claims = loads(_decode(body.partition(b".")[2]))
        except ValueError:
            return None
        held = claims["kubernetes.io"]
        account = held["serviceaccount"]
        record = self._storage.get("serviceaccounts", held["namespace"], account["name"])
        if claims["exp"] < time.time() or record is None or record.uid != account["uid"]:
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{held['namespace']}", "system:authenticated")
        return User(claims["sub"], groups, account["uid"])


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def impersonated(user: User, headers: Mapping[str, str], groups: list[str]) -> User:
    """The user that Impersonate-User names; only system:masters may."""
    name = headers.get("Impersonate-User")
    if not name or SYSTEM_MASTERS not in user.groups:
        return user
    return User(name, (*groups, "system:authenticated"))


def authenticate(certificate: Mapping[str, Any] | None, authorization: str, tokens: Tokens) -> User:
    """The user of a request; anonymous when it shows nothing.

    Raises:
        StatusError: 401, a bearer token that is not good.
    """
    user = of_certificate(certificate)
    if user is not None:
        return user
    sort, _, token = authorization.partition(" ")
    if sort.lower() == "bearer" and token:
        found = tokens.user(token.strip())
        if found is None:
            raise unauthorized()
        return found
    return ANONYMOUS
