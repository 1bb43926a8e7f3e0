"""How helm is run: pyhelm3's command lines, our process groups, a private environment.

pyhelm3 0.5 knows helm's arguments and answers, but runs a shell in our own process group and ends only the shell when
cancelled. Its one point of execution is replaced here: an argument list, a session of its own, SIGINT first (on which
helm marks its release failed instead of leaving it pending), values in a private file and never on the command line.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyhelm3.command

from infra.clients import process
from infra.clients.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Failed,
    InvalidInput,
    NotFound,
    PlumblineError,
    Refused,
    Unavailable,
)
from infra.clients.helm_lease import MARGIN, WRITER
from infra.clients.kubernetes import UnknownKind, WebhookUnavailable

PASSED_ON = ("PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")
"""The variables helm gets from ours; nothing else, so that no credential of ours ends up in a chart or a log."""

GRACE = 20.0
"""Seconds helm gets to mark its release failed after SIGINT."""

# The first row whose pattern is in helm's stderr.
_ERRORS: tuple[tuple[str, type[PlumblineError], str], ...] = (
    (r"failed calling webhook", WebhookUnavailable, "An admission webhook did not answer"),
    (r"another operation \(install/upgrade/rollback\) is in progress", Conflict, "Another helm is at work"),
    (r"release: not found", NotFound, "There is no such release"),
    (r"unauthorized|is forbidden|must be logged in", Denied, "The API server did not allow it"),
    # Before the next: helm asks whether each object exists, and says "already exists" also when it got no answer.
    (r"could not get information about the resource", Unavailable, "The API server did not answer"),
    (
        r"cannot be imported into the current release|resource that already exists|invalid ownership metadata",
        Refused,
        "An object of the chart is there already and belongs to somebody else",
    ),
    (
        r"etcdserver|connection refused|connection reset|cluster unreachable|i/o timeout|tls handshake timeout"
        r"|unexpected eof|network is unreachable|the server is currently unable|: eof$|http2: client connection lost"
        r"|http2: server sent goaway|server closed idle connection|broken pipe|an error on the server"
        r"|internal error occurred|service unavailable|too many requests|unable to retrieve the complete list",
        Unavailable,
        "The API server did not answer",
    ),
    (r"timed out waiting for the condition|context deadline exceeded", DeadlineExceeded, "It was not ready in time"),
    (
        r"no matches for kind|ensure crds are installed first",
        UnknownKind,
        "The chart uses a kind that is not installed",
    ),
    (
        r"is invalid|error validating|don't meet the specifications|execution error|failed to render|parse error"
        r"|yaml parse error|template:|chart\.yaml|invalid chart|json: cannot unmarshal|chart requires kubeversion",
        InvalidInput,
        "The chart or its values are not right",
    ),
)


class HelmCommand(pyhelm3.command.Command):  # type: ignore[misc]
    """pyhelm3's commands, carried out by `infra.clients.process`.

    Args:
        executable: the helm program.
        kubeconfig: given by --kubeconfig; no other is ever used.
        home: a private folder for helm's cache, configuration, data and discovery cache.
        timeout: seconds helm may wait for what it installs.
    """

    def __init__(self, executable: str, kubeconfig: Path, home: Path, timeout: float) -> None:
        super().__init__(default_timeout=f"{int(timeout)}s", executable=executable, kubeconfig=kubeconfig)
        self._home = home
        self._deadline = timeout + MARGIN
        self.writer = ""
        """What names the current writer in the child's environment."""

    async def run(self, command: Sequence[Any], input: bytes | None = None) -> bytes:
        """Run helm and return its stdout.

        Raises:
            PlumblineError: by what helm said; the table above.
        """
        argv = [self._executable, *(part.decode() if isinstance(part, bytes) else str(part) for part in command)]
        argv += ["--kubeconfig", str(self._kubeconfig)]
        values: Path | None = None
        if input is not None:
            values = self._private(input)
            argv[argv.index("-")] = str(values)
        try:
            done = await process.run(argv, env=self._environment(), cwd=self._home, timeout=self._deadline, grace=GRACE)
        finally:
            if values is not None:
                values.unlink()
        if done.returncode:
            raise failure(argv[1], _subject(argv), done.stderr or done.stdout)
        return done.stdout.encode()

    def _environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        own = {f"HELM_{part}_HOME": str(self._home / part.lower()) for part in ("CACHE", "CONFIG", "DATA")}
        return {**passed, **own, "HOME": str(self._home), WRITER: self.writer}

    def _private(self, content: bytes) -> Path:
        descriptor, name = tempfile.mkstemp(prefix="values-", suffix=".json", dir=self._home)  # 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return Path(name)


def _subject(argv: Sequence[str]) -> str:
    return argv[2] if len(argv) > 2 and not argv[2].startswith("-") else ""


def failure(verb: str, subject: str, said: str) -> PlumblineError:
    """The error a failed helm stands for, by what it said."""
    summary = f"helm {verb} {subject}".strip()
    # The cause stands at the end, after warnings about file modes and deprecations.
    lines = [
        line for line in said.strip().splitlines() if line.strip() and not line.startswith(("WARNING:", "W1", "I1"))
    ]
    detail = "\n".join(lines[-4:])
    for pattern, kind, reason in _ERRORS:
        if re.search(pattern, said.lower(), re.MULTILINE):
            return kind(f"{reason} ({summary}).", detail=detail)
    return Failed(f"{summary} failed.", detail=detail)
