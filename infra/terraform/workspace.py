"""Terraform ready to run for one environment: folder made, module copied, providers installed, nobody in between."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from infra.clients.private import write_private
from infra.settings import Settings
from infra.terraform import backend, events
from infra.terraform.command import FLAG, Command, check_version, configuration_text
from infra.terraform.events import Event
from infra.terraform.folder import MODULE, Folder
from infra.terraform.providers import refusal
from infra.terraform.variables import Variables


class Workspace:
    """The folder of one environment and the terraform commands in it.

    Args:
        variables: what the module is told.
        settings: where things are.
        report: told sentences about what terraform does, as it does it.
        lock_timeout: seconds to wait for a lock.
        parent: environment variables to choose the child's from; ours when left out.
        module: folder of the HCL module.
    """

    def __init__(
        self,
        variables: Variables,
        *,
        settings: Settings,
        report: Callable[[str], None] | None = None,
        lock_timeout: int,
        parent: Mapping[str, str] | None = None,
        module: Path = MODULE,
    ) -> None:
        self.environment = variables.environment
        self.lock_timeout = lock_timeout
        self.begun: dict[str, str] = {}
        """Address of each object that an apply has begun to work on -> the action that was begun last."""
        self._variables = variables
        self._report = report
        self._parent = dict(os.environ if parent is None else parent)
        self._binary = settings.terraform_binary
        base = settings.state_dir.absolute() / "terraform"
        rendered = backend.override(
            settings.terraform_backend,
            settings.terraform_backend_config,
            environment=self.environment,
            folder=base / self.environment,
        )
        self.folder = Folder(
            base, self.environment, rendered, module, mirrored=settings.terraform_providers == "mirror"
        )
        self.command = Command(
            binary=settings.terraform_binary,
            folder=self.folder.path,
            environment=self.environment,
            variables=self.folder.variables(self._parent),
            timeout=settings.terraform_timeout,
            on_event=self._heard,
        )

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Everything in place, and nobody changes it underneath.

        Raises:
            Misconfigured: terraform is missing or not of a supported version, the provider cannot be found, or the
                backend has changed.
            ProviderChanged: the folder holds another package of a provider than its lock names, and it does not come
                from a mirror.
            Conflict: another of our processes did not let go of the folder in time.
        """
        self.folder.make()
        source = configuration_text(self._parent)
        fingerprint = self.folder.fingerprint(source, str(shutil.which(self._binary)))
        while True:
            async with self.folder.lock(exclusive=False, timeout=self.lock_timeout):
                if await self._initialised(fingerprint):
                    await self._write_errored_state()
                    yield
                    return
            await self._initialise(fingerprint, source)

    async def _initialise(self, fingerprint: str, source: str) -> None:
        async with (
            self.folder.lock(exclusive=True, timeout=self.lock_timeout),
            self.folder.plugin_lock(timeout=self.lock_timeout),
        ):
            if await self._initialised(fingerprint):
                return
            await check_version(self._binary, self.folder.variables(self._parent))
            self.folder.write_module()
            self.folder.forget_providers(source)
            changed = await asyncio.to_thread(self.folder.other_providers)
            if changed and self.folder.mirrored:
                self.folder.lock_file.unlink()
                self.say(f"The mirror has another package of a provider: it is locked anew for {self.environment}.")
            await self.command.run("init", doing="initialising", json=FLAG, input=False)
            self.folder.mark_initialised(fingerprint)
            self.say(f"Terraform is initialised for {self.environment}.")

    async def _initialised(self, fingerprint: str) -> bool:
        """Whether terraform can run with exactly this; what a mirror has changed is to be installed again."""
        if not self.folder.initialised(fingerprint):
            return False
        changed = await asyncio.to_thread(self.folder.other_providers)
        if changed and not self.folder.mirrored:
            raise refusal(changed, self.environment, self.folder.path)
        return not changed

    async def _write_errored_state(self) -> None:
        """Write the state that a run kept in a file, since its backend did not take it."""
        kept = self.folder.errored_state
        if not kept.exists():
            return
        await self.command.run("state push", str(kept), doing="writing the kept state of", no_color=FLAG)
        kept.unlink(missing_ok=True)
        self.say("Wrote the state that an earlier run could not write.")

    @contextmanager
    def run_folder(self) -> Iterator[Path]:
        """A folder for the files of one run, gone afterwards."""
        run = self.folder.new_run()
        try:
            yield run
        finally:
            shutil.rmtree(run, ignore_errors=True)

    def variables_file(self, run: Path) -> Path:
        """The module's variables, for one run."""
        return write_private(run / "variables.tfvars.json", json.dumps(self._variables.document(), indent=2))

    def _heard(self, event: Event) -> None:
        if event.type == "apply_start" and event.address:
            self.begun[event.address] = event.action or ""
        said = events.sentence(event)
        if said:
            self.say(said)

    def say(self, sentence: str) -> None:
        """Tell the caller."""
        if self._report is not None:
            self._report(sentence)
