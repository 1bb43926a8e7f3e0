"""Client of the supervisor's control API, for the Magnum driver and the command line; standard library only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT = 20.0
USER_AGENT = "plumbline-sandbox/magnum"


class ControlError(Exception):
    """The supervisor did not do what it was asked."""


class Control:
    """The control API of the sandbox whose state is in `home`."""

    def __init__(self, home: Path) -> None:
        self._file = home / "control.json"
        # No proxy, whatever the environment says: it is on loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def put(self, uuid: str, cluster: dict[str, Any]) -> dict[str, Any]:
        """Have a cluster as described; returns its api_address and whether it is ready."""
        answer: dict[str, Any] = self._call("PUT", f"/clusters/{uuid}", cluster)
        return answer

    def get(self, uuid: str) -> dict[str, Any] | None:
        """The cluster as the supervisor knows it, None where it does not."""
        answer: dict[str, Any] | None = self._call("GET", f"/clusters/{uuid}")
        return answer

    def delete(self, uuid: str) -> None:
        """Have no such cluster; returns when it is gone."""
        self._call("DELETE", f"/clusters/{uuid}")

    def status(self) -> dict[str, Any]:
        """What the supervisor says of itself and its children."""
        answer: dict[str, Any] = self._call("GET", "/status")
        return answer

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        access = json.loads(self._file.read_text())
        request = urllib.request.Request(  # noqa: S310 - a URL of our own making
            access["url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {access['token']}",
                "Content-Type": "application/json",
                "User-Agent": USER_AGENT,
            },
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            detail = error.read(400).decode(errors="replace")
            message = f"The sandbox's supervisor answered {error.code} to {method} {path}: {detail}"
            raise ControlError(message) from error
        except OSError as error:
            raise ControlError(f"The sandbox's supervisor does not answer: {error}") from error
        return json.loads(text) if text else None
