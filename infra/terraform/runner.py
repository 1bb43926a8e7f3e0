"""Terraform for one environment: plan, look, apply exactly that plan; and never lose what was made.

Node groups are made one after another (-parallelism=1), since Magnum's drivers fail on two at once. A plan is
always refreshed, saved, and applied from its file, so that what was judged is what happens.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from infra.clients.errors import Conflict, InvalidInput, NotFound, PlumblineError
from infra.settings import Settings
from infra.terraform import plans, state
from infra.terraform.command import FLAG
from infra.terraform.folder import MODULE
from infra.terraform.plans import Plan
from infra.terraform.policy import guard
from infra.terraform.state import Adopted, Outputs, StateObject
from infra.terraform.variables import Variables
from infra.terraform.workspace import Workspace

LOCK_TIMEOUT = 600
"""Seconds to wait for a state lock that a live terraform holds."""

_NOT_CONFIGURED = ("Configuration for import target does not exist", "does not exist in the configuration")
"""What terraform says of a key, and of a whole resource, that the module does not have."""


class Terraform:
    """Terraform for one environment; to look without a hand on anything, see `looking.PlanReader`.

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
        self._workspace = Workspace(
            variables, settings=settings, report=report, lock_timeout=lock_timeout, parent=parent, module=module
        )
        self._run = self._workspace.command.run
        self._locking: dict[str, Any] = {"lock_timeout": f"{lock_timeout}s"}

    @property
    def folder(self) -> Path:
        """The working folder, where terraform can also be run by hand."""
        return self._workspace.folder.path

    async def prepare(self) -> None:
        """Make the working folder ready: module, backend, providers. Does nothing where they are.

        Raises:
            Misconfigured: terraform is missing or not of a supported version, the provider cannot be found, or the
                backend has changed.
        """
        async with self._workspace.ready():
            pass

    # -- planning and applying -------------------------------------------------------------------------------------

    async def plan(self, *, destroy: bool = False, targets: Sequence[str] = ()) -> Plan:
        """Look at the cloud and plan what would make it as declared.

        The plan's file holds secrets: apply the plan, or `discard` it. An empty plan has none.

        Args:
            destroy: plan the end of everything instead.
            targets: addresses to confine the plan to.

        Raises:
            Conflict: the state's lock did not come free.
            PlumblineError: what terraform, the provider or the cloud said.
        """
        async with self._workspace.ready():
            run = self._workspace.folder.new_run()
            try:
                found = await self._plan(run, destroy=destroy, targets=targets, **self._locking)
            except BaseException:
                shutil.rmtree(run, ignore_errors=True)
                raise
        if not found.empty:
            return found
        await self.discard(found)
        return found.model_copy(update={"file": None})

    async def _plan(self, run: Path, *, destroy: bool = False, targets: Sequence[str] = (), **options: Any) -> Plan:
        file = run / "saved.tfplan"
        await self._run(
            "plan",
            doing="planning",
            accept=(0, 2),
            json=FLAG,
            detailed_exitcode=FLAG,
            input=False,
            parallelism=1,
            var_file=str(self._workspace.variables_file(run)),
            out=str(file),
            destroy=FLAG if destroy else None,
            target=list(targets),
            **options,
        )
        shown = await self._run("show", str(file), doing="reading the plan for", json=FLAG, no_color=FLAG)
        return plans.parse(shown.stdout, environment=self.environment, destroy=destroy, file=file)

    async def apply(self, plan: Plan, *, allow: Collection[str] = (), begun: dict[str, str] | None = None) -> Outputs:
        """Carry out exactly this plan.

        Args:
            plan: from `plan`. It is tried once: whatever comes of it, its file is gone afterwards.
            allow: addresses of clusters and node groups whose loss somebody agreed to.
            begun: gets what was begun, also where it fails: address -> the last action.

        Raises:
            Refused: it would destroy a cluster or a node group nobody agreed to lose.
            Conflict: the state has changed since, or is locked; plan again.
            Failed: the cloud reports a final failure.
            asyncio.CancelledError: we were cancelled; terraform has been interrupted and has written its state.
        """
        try:
            guard(plan, allow=allow)
            if plan.empty:
                return await self.outputs()
            if plan.file is None:
                raise InvalidInput("This plan was made only to look, and cannot be applied.")
            async with self._workspace.ready():
                self._workspace.begun = {} if begun is None else begun
                await self._run(
                    "apply",
                    str(plan.file),
                    doing="applying the plan for",
                    mute=frozenset({"planned_change"}),
                    json=FLAG,
                    input=False,
                    parallelism=1,
                    **self._locking,
                )
                self._workspace.folder.forget_backup(destroyed=plan.destroy)
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
        async with self._workspace.ready():
            return await self._outputs()

    async def _outputs(self) -> Outputs:
        done = await self._run("output", doing="reading the outputs of", json=FLAG, no_color=FLAG)
        return state.outputs(done.stdout)

    async def objects(self) -> tuple[StateObject, ...]:
        """The objects terraform knows of."""
        async with self._workspace.ready():
            return await self._objects()

    async def _objects(self) -> tuple[StateObject, ...]:
        done = await self._run("show", doing="reading the state of", json=FLAG, no_color=FLAG)
        return state.objects(done.stdout)

    async def import_(self, address: str, identifier: str) -> None:
        """Take an object that exists into the state.

        Raises:
            InvalidInput: the module declares no such object.
            NotFound: there is no object of that id.
        """
        async with self._workspace.ready():
            await self._import(address, identifier)

    async def _import(self, address: str, identifier: str) -> None:
        try:
            with self._workspace.run_folder() as run:
                await self._run(
                    "import",
                    address,
                    identifier,
                    doing=f"importing {address} for",
                    input=False,
                    no_color=FLAG,
                    var_file=str(self._workspace.variables_file(run)),
                    **self._locking,
                )
        except PlumblineError as error:
            if any(said in (error.detail or "") for said in _NOT_CONFIGURED):
                raise InvalidInput(f"The module declares no {address} today.", detail=error.detail) from error
            raise
        self._workspace.say(f"Imported {address} (id {identifier}).")

    async def adopt(self, found: Mapping[str, str]) -> Adopted:
        """Bring the state up to what is known to exist: the way back after terraform was killed.

        Objects missing from the state are imported; objects that an interrupted run left tainted are trusted again.

        Args:
            found: address -> the provider's id, of objects the caller has seen in the cloud and found good.

        Raises:
            Conflict: the state knows another object under an address.
        """
        async with self._workspace.ready():
            known = {item.address: item for item in await self._objects()}
            for address, identifier in found.items():
                if address in known and known[address].identifier != identifier:
                    raise Conflict(
                        f"The Terraform state of {self.environment} has another {address}.",
                        detail=f"state: {known[address].identifier}, cloud: {identifier}",
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

    async def trust(self, addresses: Collection[str]) -> None:
        """Lift the doubt that an operation which did not finish has left on objects.

        Args:
            addresses: of objects the caller has seen in the cloud and found good; others of them are left as they are.
        """
        async with self._workspace.ready():
            for item in await self._objects():
                if item.tainted and item.address in addresses:
                    await self._untaint(item.address)

    async def _untaint(self, address: str) -> None:
        await self._run("untaint", address, doing=f"trusting {address} again for", no_color=FLAG, **self._locking)
        self._workspace.say(f"Trusting {address} again.")
