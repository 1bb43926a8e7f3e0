"""Terraform for one environment: plan, look, apply exactly that plan; and never lose what was made.

Node groups are made one after another (-parallelism=1), since Magnum's drivers fail on two at once. A plan is
always refreshed, saved, and applied from its file, so that what was judged is what happens.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from infra.clients.errors import Conflict, InvalidInput, NotFound, PlumblineError
from infra.settings import Settings
from infra.terraform import backend, events, plans, state
from infra.terraform.command import FLAG, Command, check_version, configuration_text
from infra.terraform.events import Event
from infra.terraform.folder import MODULE, Folder, write_private
from infra.terraform.plans import Plan
from infra.terraform.policy import guard
from infra.terraform.state import Adopted, Outputs, StateObject
from infra.terraform.variables import Variables

LOCK_TIMEOUT = 600
"""Seconds to wait for a state lock that a live terraform holds."""

_COPY_ATTEMPTS = 20
_COPY_PAUSE = 0.1
_NOT_CONFIGURED = "Configuration for import target does not exist"


class Runner:
    """Terraform for one environment.

    Args:
        variables: what the module is told.
        settings: where things are.
        report: told sentences about what terraform does, as it does it.
        lock_timeout: seconds to wait for the state's lock.
        parent: environment variables to choose the child's from; ours when left out.
        module: folder of the HCL module.
    """

    def __init__(
        self,
        variables: Variables,
        *,
        settings: Settings,
        report: Callable[[str], None] | None = None,
        lock_timeout: int = LOCK_TIMEOUT,
        parent: Mapping[str, str] | None = None,
        module: Path = MODULE,
    ) -> None:
        self.environment = variables.environment
        self._variables = variables
        self._report = report
        self._lock_timeout = lock_timeout
        self._parent = dict(os.environ if parent is None else parent)
        base = settings.state_dir.absolute() / "terraform"
        rendered = backend.override(
            settings.terraform_backend,
            settings.terraform_backend_config,
            environment=self.environment,
            folder=base / self.environment,
        )
        self._folder = Folder(base, self.environment, rendered, module)
        self._binary = settings.terraform_binary
        self._command = Command(
            binary=settings.terraform_binary,
            folder=self._folder.path,
            environment=self.environment,
            variables=self._folder.variables(self._parent),
            timeout=settings.terraform_timeout,
            on_event=self._heard,
        )

    @property
    def folder(self) -> Path:
        """The working folder, where terraform can also be run by hand."""
        return self._folder.path

    # -- planning and applying -------------------------------------------------------------------------------------

    async def plan(self, *, destroy: bool = False, targets: Sequence[str] = ()) -> Plan:
        """Look at the cloud and plan what would make it as declared.

        Args:
            destroy: plan the end of everything instead.
            targets: addresses to confine the plan to.

        Raises:
            Conflict: the state's lock did not come free.
            PlumblineError: what terraform, the provider or the cloud said.
        """
        async with self._ready():
            return await self._plan(destroy, targets, lock_timeout=f"{self._lock_timeout}s")

    async def drift(self) -> Plan:
        """Plan without touching anything: no lock taken, no state written. The plan cannot be applied.

        With the local backend terraform reads a copy of the state, so that a running apply is not disturbed.
        """
        async with self._ready():
            with self._run() as run:
                copy = await self._copy_of_state(run / "copy.tfstate")
                found = await self._plan(False, (), lock=False, state=copy)
        await self.discard(found)
        return found.model_copy(update={"file": None})

    async def _plan(self, destroy: bool, targets: Sequence[str], **options: object) -> Plan:
        run = self._folder.new_run()
        try:
            file = run / "saved.tfplan"
            await self._command.run(
                "plan",
                doing="planning",
                accept=(0, 2),
                json=FLAG,
                detailed_exitcode=FLAG,
                input=False,
                parallelism=1,
                var_file=str(self._variables_file(run)),
                out=str(file),
                destroy=FLAG if destroy else None,
                target=list(targets),
                **options,
            )
            shown = await self._command.run("show", str(file), doing="reading the plan for", json=FLAG, no_color=FLAG)
            return plans.parse(shown.stdout, environment=self.environment, destroy=destroy, file=file)
        except BaseException:
            shutil.rmtree(run, ignore_errors=True)
            raise

    async def apply(self, plan: Plan, *, allow: Collection[str] = ()) -> Outputs:
        """Carry out exactly this plan.

        Args:
            plan: from `plan`; it can be applied once.
            allow: addresses of clusters and node groups whose loss somebody agreed to.

        Raises:
            Refused: it would destroy a cluster or a node group nobody agreed to lose.
            Conflict: the state has changed since; plan again.
            Failed: the cloud reports a final failure.
            asyncio.CancelledError: we were cancelled; terraform has been interrupted and has written its state.
        """
        guard(plan, allow=allow)
        if plan.file is None:
            raise InvalidInput("This plan was made only to look, and cannot be applied.")
        try:
            async with self._ready():
                await self._command.run(
                    "apply",
                    str(plan.file),
                    doing="applying the plan for",
                    json=FLAG,
                    input=False,
                    parallelism=1,
                    lock_timeout=f"{self._lock_timeout}s",
                )
                return await self._outputs()
        finally:
            await self.discard(plan)

    async def discard(self, plan: Plan) -> None:
        """Delete a plan's file; it holds secrets."""
        if plan.file is not None:
            await asyncio.to_thread(partial(shutil.rmtree, plan.file.parent, ignore_errors=True))

    # -- the state -------------------------------------------------------------------------------------------------

    async def outputs(self) -> Outputs:
        """The module's outputs as last applied."""
        async with self._ready():
            return await self._outputs()

    async def _outputs(self) -> Outputs:
        done = await self._command.run("output", doing="reading the outputs of", json=FLAG, no_color=FLAG)
        return state.outputs(done.stdout)

    async def objects(self) -> tuple[StateObject, ...]:
        """The objects terraform knows of."""
        async with self._ready():
            return await self._objects()

    async def _objects(self) -> tuple[StateObject, ...]:
        done = await self._command.run("show", doing="reading the state of", json=FLAG, no_color=FLAG)
        return state.objects(done.stdout)

    async def import_(self, address: str, identifier: str) -> None:
        """Take an object that exists into the state.

        Raises:
            InvalidInput: the module declares no such object.
            NotFound: there is no object of that id.
        """
        async with self._ready():
            await self._import(address, identifier)

    async def _import(self, address: str, identifier: str) -> None:
        try:
            with self._run() as run:
                await self._command.run(
                    "import",
                    address,
                    identifier,
                    doing=f"importing {address} for",
                    input=False,
                    no_color=FLAG,
                    lock_timeout=f"{self._lock_timeout}s",
                    var_file=str(self._variables_file(run)),
                )
        except PlumblineError as error:
            if _NOT_CONFIGURED in (error.detail or ""):
                raise InvalidInput(f"The module declares no {address} today.", detail=error.detail) from error
            raise
        self._say(f"Imported {address} (id {identifier}).")

    async def adopt(self, found: Mapping[str, str]) -> Adopted:
        """Bring the state up to what is known to exist: the way back after terraform was killed.

        Objects missing from the state are imported; objects that an interrupted run left tainted are trusted again.

        Args:
            found: address -> the provider's id, of objects the caller has seen in the cloud and found good.

        Raises:
            Conflict: the state knows another object under an address.
        """
        async with self._ready():
            known = {item.address: item for item in await self._objects()}
            for address, identifier in found.items():
                here = known.get(address)
                if here is not None and here.identifier != identifier:
                    raise Conflict(
                        f"The Terraform state of {self.environment} has another {address}.",
                        detail=f"state: {here.identifier}, cloud: {identifier}",
                        hint="Plan again: terraform finds out whether its own still exists.",
                    )
            tainted = [address for address in found if address in known and known[address].tainted]
            for address in tainted:
                await self._untaint(address)
            imported, skipped = list[str](), dict[str, str]()
            for address in (address for address in found if address not in known):
                try:
                    await self._import(address, found[address])
                except (InvalidInput, NotFound) as error:
                    skipped[address] = error.summary
                else:
                    imported.append(address)
        return Adopted(tuple(imported), tuple(tainted), skipped)

    async def _untaint(self, address: str) -> None:
        await self._command.run(
            "untaint", address, doing=f"trusting {address} again for", lock_timeout=f"{self._lock_timeout}s"
        )
        self._say(f"Trusting {address} again.")

    # -- the folder ------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the working folder ready: module, backend, providers. Does nothing where they are.

        Raises:
            Misconfigured: terraform is missing or not of a supported version, the provider cannot be found, or the
                backend has changed.
        """
        async with self._ready():
            pass

    @asynccontextmanager
    async def _ready(self) -> AsyncIterator[None]:
        """Everything in place, and nobody changes it underneath."""
        self._folder.make()
        source = configuration_text(self._parent)
        fingerprint = self._folder.fingerprint(source, str(shutil.which(self._binary)))
        while True:
            async with self._folder.lock(exclusive=False, timeout=self._lock_timeout):
                if self._folder.initialised(fingerprint):
                    await self._write_errored_state()
                    yield
                    return
            await self._initialise(fingerprint, source)

    async def _initialise(self, fingerprint: str, source: str) -> None:
        async with (
            self._folder.lock(exclusive=True, timeout=self._lock_timeout),
            self._folder.plugin_lock(timeout=self._lock_timeout),
        ):
            if self._folder.initialised(fingerprint):
                return
            await check_version(self._binary, self._folder.variables(self._parent))
            self._folder.write_module()
            self._folder.forget_providers(source)
            await self._command.run("init", doing="initialising", json=FLAG, input=False)
            self._folder.mark_initialised(fingerprint)
            self._say(f"Terraform is initialised for {self.environment}.")

    async def _write_errored_state(self) -> None:
        """Write the state that a run kept in a file, since its backend did not take it."""
        kept = self._folder.path / "errored.tfstate"
        if not kept.exists():
            return
        await self._command.run("state push", str(kept), doing="writing the kept state of", no_color=FLAG)
        kept.unlink(missing_ok=True)
        self._say("Wrote the state that an earlier run could not write.")

    async def _copy_of_state(self, copy: Path) -> str | None:
        """A copy of the local state; None with a backend that keeps it elsewhere.

        Terraform writes the file in place, so a copy taken in between is half a document: taken again.
        """
        original = self._folder.local_state
        if original is None:
            return None
        for _ in range(_COPY_ATTEMPTS):
            try:
                text = await asyncio.to_thread(original.read_text)
                json.loads(text)
            except FileNotFoundError:
                return str(copy)
            except ValueError:
                await asyncio.sleep(_COPY_PAUSE)
            else:
                return str(write_private(copy, text))
        raise Conflict(f"The Terraform state of {self.environment} is being written.", retry_after=5)

    @contextmanager
    def _run(self) -> Iterator[Path]:
        """A folder for the files of one run, gone afterwards."""
        run = self._folder.new_run()
        try:
            yield run
        finally:
            shutil.rmtree(run, ignore_errors=True)

    def _variables_file(self, run: Path) -> Path:
        return write_private(run / "variables.tfvars.json", json.dumps(self._variables.document(), indent=2))

    def _heard(self, event: Event) -> None:
        said = events.sentence(event)
        if said:
            self._say(said)

    def _say(self, sentence: str) -> None:
        if self._report is not None:
            self._report(sentence)
