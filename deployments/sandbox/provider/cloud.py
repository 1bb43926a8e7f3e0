"""The cloud as the provider sees it: a Keystone session, plain requests, upstream's words for errors."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

READ_ATTEMPTS = 6
"""Tries of a request that changes nothing."""

_BACKOFF = 0.2
_BACKOFF_MAX = 5.0
_PASSING = {429, 500, 502, 503, 504}


class CloudError(Exception):
    """A request that failed. `status` is the HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether asking again may help."""
        return self.status == 0 or self.status in _PASSING


class Unsent(CloudError):
    """The request never left: there was no token or no endpoint for it. Sending it again can do nothing twice."""


class Stopped(Exception):
    """Terraform asked the provider to stop."""


class Answer(Protocol):
    """What is used of a response."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def text(self) -> str: ...
    @property
    def url(self) -> str: ...
    def json(self) -> Any: ...


Send = Callable[..., Answer]
"""`send(service, method, path, headers=…, json=…)`; raises ConnectionError when there is no answer."""


class Cloud:
    """Requests to one cloud, in one project.

    Args:
        send: carries out one request.
        region: the region's name.
        stopping: set when terraform asks for an end; cuts pauses short.
    """

    def __init__(self, send: Send, *, region: str = "", stopping: threading.Event | None = None) -> None:
        self._send = send
        self.region = region
        self.stopping = stopping or threading.Event()

    def get(self, service: str, path: str, *, microversion: str | None = None) -> Any:
        """GET a document; passing errors are asked again, since nothing can happen twice."""
        for attempt in range(READ_ATTEMPTS):
            try:
                return self.request(service, "GET", path, microversion=microversion)
            except CloudError as error:
                if not error.passing or attempt == READ_ATTEMPTS - 1:
                    raise
                self.pause(min(_BACKOFF_MAX, _BACKOFF * 2**attempt) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    def request(
        self, service: str, method: str, path: str, body: Any = None, *, microversion: str | None = None
    ) -> Any:
        """Send one request and return the decoded answer.

        A write is sent again only when it was not carried out: after 429, and when Keystone gave no token for it.

        Raises:
            CloudError: any answer but 2xx, or none.
        """
        headers = {"OpenStack-API-Version": f"{service} {microversion}"} if microversion else {}
        for attempt in range(READ_ATTEMPTS):
            last = attempt == READ_ATTEMPTS - 1
            try:
                answer = self._send(service, method, path, headers=headers, json=body)
            except Unsent as error:
                if last or not error.passing:
                    raise
                self.pause(_BACKOFF * 2**attempt)
                continue
            except ConnectionError as error:
                raise CloudError(f"{method} {service}{path}: {error}") from error
            if last or answer.status_code != 429:
                break
            self.pause(_retry_after(answer))
        if 200 <= answer.status_code < 300:
            return answer.json() if answer.text else None
        # gophercloud's sentence: whoever reads provider errors knows it.
        raise CloudError(
            f"Expected HTTP response code [200 201 202 204] when accessing [{method} {answer.url}], "
            f"but got {answer.status_code} instead: {answer.text[:600]}",
            answer.status_code,
        )

    def pause(self, seconds: float) -> None:
        """Wait, unless terraform asks for an end.

        Raises:
            Stopped: it did.
        """
        if self.stopping.wait(seconds):
            raise Stopped("context canceled")


def _retry_after(answer: Answer) -> float:
    try:
        return min(30.0, float(answer.headers.get("Retry-After", "1")))
    except ValueError:  # an HTTP date is allowed too (RFC 9110, 10.2.3); a second is as good
        return 1.0
