"""How helm is run: pyhelm3's command lines, our process groups, a private environment.

pyhelm3 0.5 knows helm's arguments and answers, but runs a shell in our own process group and ends only the shell when
cancelled. Its one point of execution is replaced here: an argument list, a session of its own, SIGINT first (on which
helm marks its release failed instead of leaving it pending), values in a private file and never on the command line.

What pyhelm3 has no parameter for is added there as well, by the version of helm that is there: nothing else starts
helm, so that no command line of ours is one that a supported version refuses.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyhelm3.command

from infra.clients import helm_program
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
    # Helm 4 waits by status, and quotes what the workload itself says of its state.
    (r"not ready\. status: failed", Failed, "A workload failed"),
    # Unknown before the time is up: helm's watch was refused, and it gave up at once.
    (r"(?s)not ready\. status: unknown(?!.*deadline exceeded)", Unavailable, "The API server did not answer"),
    (r"not ready\. status:|still exists\. status:", DeadlineExceeded, "It was not ready in time"),
    (
        r"etcdserver|connection refused|connection reset|cluster unreachable|i/o timeout|tls handshake timeout"
        r"|unexpected eof|network is unreachable|the server is currently unable|: eof$|http2: client connection lost"
        r"|http2: server sent goaway|stream error: stream id|server closed idle connection|broken pipe"
        r"|an error on the server|internal error occurred|service unavailable|too many requests"
        r"|unable to retrieve the complete list",
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
        r"|yaml parse error|template:|chart\.yaml|invalid chart|json: cannot unmarshal|chart requires kubeversion"
        # Of server-side apply: a list that has the same key twice, a field that the kind does not have.
        r"|failed to create typed patch object|strict decoding error|field not declared in schema",
        InvalidInput,
        "The chart or its values are not right",
    ),
)


_ASIDE = re.compile(r"WARNING:|[IW]\d{4} |level=(DEBUG|INFO|WARN)\b")
"""How the lines begin that helm says beside what went wrong."""


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
        self.server_side = True
        """Whether objects are written by server-side apply, where helm is one that can (4)."""
        self.skip_schemas = False
        """Whether helm leaves alone what the chart's schemas say of the values."""
        self.kube_version: str | None = None
        """The version of Kubernetes to render for; without it, a helm that asks no cluster may believe in 1.20."""

    async def run(self, command: Sequence[Any], input: bytes | None = None) -> bytes:
        """Run helm and return its stdout.

        Raises:
            PlumblineError: by what helm said; the table above.
        """
        argv = [part.decode() if isinstance(part, bytes) else str(part) for part in command]
        argv += await self._flags(argv[0])
        values: Path | None = None
        if input is not None:
            values = self._private(input)
            argv[argv.index("-")] = str(values)
        try:
            done = await helm_program.run(
                self._executable,
                argv,
                home=self._home,
                timeout=self._deadline,
                grace=GRACE,
                also={WRITER: self.writer},
            )
        finally:
            if values is not None:
                values.unlink()
        if done.returncode:
            raise failure(argv[0], _subject(argv), done.stderr or done.stdout)
        return done.stdout.encode()

    async def _flags(self, verb: str) -> list[str]:
        """What every command has, and what pyhelm3 has no parameter for."""
        flags = ["--kubeconfig", str(self._kubeconfig)]
        version = await helm_program.version_of(self._executable, self._home)
        if verb in ("upgrade", "rollback") and version.major > 3:
            # By itself, it would stop where somebody has edited what is declared, and where we have set that back.
            flags += ["--server-side=true", "--force-conflicts"] if self.server_side else ["--server-side=false"]
        if verb == "upgrade" and self.skip_schemas:
            flags.append("--skip-schema-validation")
        if verb == "template" and self.kube_version:
            flags += ["--kube-version", self.kube_version]
        return flags

    def _private(self, content: bytes) -> Path:
        descriptor, name = tempfile.mkstemp(prefix="values-", suffix=".json", dir=self._home)  # 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return Path(name)


def _subject(argv: Sequence[str]) -> str:
    return argv[1] if len(argv) > 1 and not argv[1].startswith("-") else ""


def failure(verb: str, subject: str, said: str) -> PlumblineError:
    """The error a failed helm stands for, by what it said."""
    summary = f"helm {verb} {subject}".strip()
    # The cause stands at the end, after warnings about file modes and deprecations.
    lines = [line for line in said.strip().splitlines() if line.strip() and not _ASIDE.match(line)]
    detail = "\n".join(lines[-4:])
    told = "\n".join(lines).lower()
    for pattern, kind, reason in _ERRORS:
        if re.search(pattern, told, re.MULTILINE):
            return kind(f"{reason} ({summary}).", detail=detail)
    return Failed(f"{summary} failed.", detail=detail)
