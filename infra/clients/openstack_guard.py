"""What a client that only looks may send to a cloud: reads, and two requests that change nothing of an environment.

The first is Keystone's token, without which nothing can be asked. The second is Magnum's signature under a client
certificate (POST /certificates): it is how a kubeconfig is minted, so a check that looks into a cluster needs it.
Magnum writes nothing down for it; cluster, template and node groups stay as they are. To *replace* the authority is a
PATCH, and that is refused like everything else.

The guard stands at two places: before a request is made, where it can say what was meant, and in the SDK's transport,
where whatever the SDK might send of its own accord passes as well.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from keystoneauth1.session import TCPKeepAliveAdapter

from infra.clients.errors import Refused

READS = frozenset({"GET", "HEAD"})
SIGNS = ("container_infrastructure_management", "POST", "/certificates")
"""Magnum's signature, as `OpenStackSession` asks for it."""

_POSTS = ("/auth/tokens", "/v1/certificates")
"""How the paths of sign-in and signature end, whatever stands before them in a cloud's catalogue."""


def check(service: str, method: str, path: str) -> None:
    """Let a request of ours pass, or refuse it (pure).

    Raises:
        Refused: it is neither a read nor a signature.
    """
    if method.upper() not in READS and (service, method.upper(), path) != SIGNS:
        raise _refused(method, path)


def check_url(method: str, url: str) -> None:
    """Let a request on the wire pass, or refuse it (pure).

    Raises:
        Refused: it is neither a read, nor a sign-in, nor a signature.
    """
    path = urlsplit(url).path
    if method.upper() in READS:
        return
    if method.upper() == "POST" and path.endswith(_POSTS):
        return
    raise _refused(method, path)


def _refused(method: str, path: str) -> Refused:
    return Refused(f"This run only looks: {method.upper()} {path} was not sent.")


class ReadOnlyAdapter(TCPKeepAliveAdapter):  # type: ignore[misc]  # the SDK's types say Any
    """The SDK's transport, which sends nothing that changes something."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send a request that passes the guard.

        Raises:
            Refused: it does not.
        """
        check_url(request.method or "", request.url or "")
        answer: requests.Response = super().send(request, *args, **options)
        return answer


def guard(session: requests.Session) -> None:
    """Have a session of the SDK's send nothing that changes something."""
    for scheme in list(session.adapters):
        session.mount(scheme, ReadOnlyAdapter())
