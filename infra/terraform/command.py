"""One terraform command: its arguments, its process, its words, its failure."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version
from python_terraform import IsFlagged, Terraform

from infra.clients.errors import Misconfigured
from infra.clients.process import Completed, run
from infra.terraform import events
from infra.terraform.events import Event
from infra.terraform.failures import error_of
from infra.terraform.folder import MODULE

MINIMUM = Version("1.9")
"""The module's required_version; `init -json` came with it."""

HINT = f"Install terraform {MINIMUM} or newer (below 2.0), or set PLUMBLINE_TERRAFORM_BINARY to where it is."

GRACE = 60.0
"""Seconds between SIGINT and SIGKILL: terraform needs about 2 s to write its state, a remote backend longer."""

FLAG = IsFlagged
"""The value of an option without one."""

OnEvent = Callable[[Event], None]


class Command:
    """Runs terraform in one folder.

    Args:
        binary: the program.
        folder: where it runs.
        environment: the environment's name, for sentences.
        variables: the whole environment of the process.
        timeout: seconds one command may take.
        on_event: told every event of the JSON output.
    """

    def __init__(
        self,
        *,
        binary: str,
        folder: Path,
        environment: str,
        variables: Mapping[str, str],
        timeout: float,
        on_event: OnEvent | None = None,
    ) -> None:
        self._builder = Terraform(working_dir=str(MODULE), terraform_bin_path=binary)
        self._folder = folder
        self._environment = environment
        self._variables = dict(variables)
        self._timeout = timeout
        self._on_event = on_event

    def arguments(self, command: str, *arguments: str, **options: Any) -> list[str]:
        """The command line: python-terraform's building, without its running (no signals, timeouts, streams)."""
        built = self._builder.generate_cmd_string(command, *arguments, **options)
        return [str(part) for part in built]

    async def run(
        self,
        command: str,
        *arguments: str,
        doing: str,
        accept: tuple[int, ...] = (0,),
        mute: frozenset[str] = frozenset(),
        **options: Any,
    ) -> Completed:
        """Run a command.

        Args:
            doing: what it does, as in "planning", for the sentence when it fails.
            accept: return codes that are no failure.
            mute: types of events nobody needs to hear of again.

        Raises:
            PlumblineError: what terraform or the provider said, as one of our errors.
        """
        completed = await run(
            self.arguments(command, *arguments, **options),
            env=self._variables,
            cwd=self._folder,
            timeout=self._timeout,
            grace=GRACE,
            on_line=partial(self._heard, mute) if options.get("json") is FLAG else None,
        )
        if completed.returncode in accept:
            return completed
        said = events.diagnostics(completed.stdout.splitlines()) or events.plain_diagnostics(completed.stderr)
        error = error_of(said, doing=doing, environment=self._environment)
        if (self._folder / "errored.tfstate").exists():
            error.hint = "Terraform could not write its state; it is kept, and the next run writes it first."
        raise error

    def _heard(self, mute: frozenset[str], line: str) -> None:
        event = events.parse(line)
        if event is not None and event.type not in mute and self._on_event is not None:
            self._on_event(event)


async def check_version(binary: str, variables: Mapping[str, str]) -> Version:
    """The version of the terraform program.

    Raises:
        Misconfigured: there is none, it cannot be asked, or it is too old or too new.
    """
    try:
        completed = await run([binary, "version", "-json"], env=variables, timeout=60)
    except Misconfigured as error:
        raise Misconfigured(f"The terraform program {binary!r} was not found.", hint=HINT) from error
    try:
        version = Version(json.loads(completed.stdout)["terraform_version"])
    except (ValueError, KeyError, InvalidVersion) as error:
        raise Misconfigured(f"{binary!r} does not say its version.", detail=completed.stderr, hint=HINT) from error
    if not MINIMUM <= version < Version("2"):
        raise Misconfigured(f"terraform {version} is not supported.", hint=HINT)
    return version


def configuration_text(parent: Mapping[str, str] = os.environ) -> str:
    """The CLI configuration that says where providers come from; empty when there is none."""
    path = Path(parent.get("TF_CLI_CONFIG_FILE") or Path(parent.get("HOME", "/")) / ".terraformrc")
    return path.read_text() if path.is_file() else ""
