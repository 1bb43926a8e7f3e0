"""RS256 JSON Web Tokens (RFC 7519), as much as GitHub Apps use."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

LIFETIME = 540
"""Seconds; GitHub refuses more than ten minutes."""


def sign(issuer: str, key: rsa.RSAPrivateKey, *, now: float | None = None) -> str:
    """A token for a GitHub App."""
    moment = int(now if now is not None else time.time())
    claims = {"iat": moment - 60, "exp": moment + LIFETIME, "iss": issuer}
    head = f"{_encode({'alg': 'RS256', 'typ': 'JWT'})}.{_encode(claims)}"
    signature = key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{head}.{_text(signature)}"


def verify(token: str, key: rsa.RSAPublicKey, *, now: float | None = None) -> dict[str, Any]:
    """The claims of a token; ValueError where it is not signed by this key, or not valid now."""
    head, dot, signature = token.rpartition(".")
    if not dot or head.count(".") != 1:
        raise ValueError("no JSON Web Token")
    try:
        key.verify(_bytes(signature), head.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise ValueError("A JSON web token could not be decoded") from error
    claims: dict[str, Any] = json.loads(_bytes(head.split(".")[1]))
    if claims.get("exp", 0) < (now if now is not None else time.time()):
        raise ValueError("'Expiration time' claim ('exp') is in the past")
    return claims


def _encode(document: dict[str, Any]) -> str:
    return _text(json.dumps(document, separators=(",", ":")).encode())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
