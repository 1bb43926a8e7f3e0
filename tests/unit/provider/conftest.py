"""A cloud that answers from a script and checks that exactly the expected requests come, in order; time that jumps."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments.sandbox.provider.cloud import Cloud, Unsent


@dataclass
class Reply:
    """A response of the script."""

    status_code: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)
    url: str = "http://cloud/v1"

    def json(self) -> Any:
        return json.loads(self.text)


class Script(Cloud):
    """A cloud whose answers are written down beforehand."""

    def __init__(self) -> None:
        super().__init__(self._answer, region="RegionOne", stopping=threading.Event())
        self.expected: list[tuple[str, Reply | Exception]] = []
        self.bodies: list[Any] = []
        self.versions: list[str] = []
        self.now = 0.0

    def expect(self, request: str, status: int = 200, body: Any = None, **headers: str) -> None:
        """The next request is `METHOD /path`, and is answered like this."""
        text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
        self.expected.append((request, Reply(status, text, headers)))

    def breaks(self, request: str) -> None:
        """The next request gets no answer."""
        self.expected.append((request, ConnectionError("connection reset")))

    def unsent(self, request: str, status: int) -> None:
        """The next request finds no token."""
        self.expected.append((request, Unsent("Error authenticating", status)))

    def _answer(self, service: str, method: str, path: str, *, headers: dict[str, str], json: Any) -> Reply:
        assert self.expected, f"unexpected {method} {path}"
        request, reply = self.expected.pop(0)
        assert f"{method} {path}" == request
        self.bodies.append(json)
        self.versions.append(headers.get("OpenStack-API-Version", ""))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def pause(self, seconds: float) -> None:
        self.now += seconds
        super().pause(0)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()
    monkeypatch.setattr("deployments.sandbox.provider.waits.monotonic", lambda: script.now)
    yield script
    assert script.expected == [], "requests that did not come"
