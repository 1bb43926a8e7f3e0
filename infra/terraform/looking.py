"""Terraform's view of one environment, without a hand on anything: no lock, no write, not even in its folder.

    look = await PlanReader(variables, settings=settings).plan()

The state is copied (a remote one pulled, which takes no lock either) into a folder of ours alone (0700) that is gone
afterwards, also after a kill: the next one sweeps it. There terraform refreshes and plans on the copy. So a look works
while another terraform holds the lock, half-way through an apply and after one that failed.

<state_dir>/terraform/.look-<digest>/   providers, initialised once for all environments that lock the same ones
<state_dir>/terraform/.pull-<name>/     a remote backend, without the module: only to pull the state
<state_dir>/private/plan-<random>/      module, copy of the state, variables and saved plan of one look
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infra.clients.errors import PlumblineError
from infra.clients.private import PrivateFolder
from infra.settings import Settings
from infra.terraform import backend, plans, statecopy
from infra.terraform.command import FLAG, Command, check_version, configuration_text
from infra.terraform.folder import MODULE, Folder
from infra.terraform.plans import Plan
from infra.terraform.providers import refusal
from infra.terraform.statecopy import Holder
from infra.terraform.variables import Variables

PARALLEL = 4
"""Objects read at a time. Making node groups one after another is for applying; reads stand side by side."""
WAIT = 600.0
"""Seconds to wait while another of our processes installs the same providers."""

_NO_TABLES = {f"skip_{what}_creation": "true" for what in ("schema", "table", "index")}
"""PostgreSQL's backend makes its schema when it is initialised, unless it is told not to."""
_NEVER_APPLIED = ("relation", "schema")


@dataclass(frozen=True)
class Look:
    """What terraform sees.

    Attributes:
        plan: what it would do; it has no file, and cannot be applied.
        state_empty: the state knows no object: nothing was ever applied, all was destroyed, or it is lost.
        unwritten: the state was read from where a run kept it, because its backend did not take it.
        holder: whoever is at work on the state, with the local backend; a remote one does not tell.
        tainted: addresses of objects that the state doubts: an operation on them did not finish.
    """

    plan: Plan
    state_empty: bool = False
    unwritten: bool = False
    holder: Holder | None = None
    tainted: frozenset[str] = frozenset()


class PlanReader:
    """Plans for one environment, and can do nothing else.

    Args:
        variables: what the module is told.
        settings: where things are.
        parent: environment variables to choose the child's from; ours when left out.
        module: folder of the HCL module.
    """

    def __init__(
        self,
        variables: Variables,
        *,
        settings: Settings,
        parent: Mapping[str, str] | None = None,
        module: Path = MODULE,
    ) -> None:
        self.environment = variables.environment
        self._variables = variables
        self._settings = settings
        self._parent = dict(os.environ if parent is None else parent)
        self._module = module
        self._base = settings.state_dir.absolute() / "terraform"
        kept = self._base / self.environment
        self._backend = self._override(settings.terraform_backend_config, kept)
        self._mirrored = settings.terraform_providers == "mirror"
        self._kept = Folder(self._base, self.environment, self._backend, module, mirrored=self._mirrored)

    def _override(self, config: Mapping[str, str], folder: Path) -> dict[str, Any]:
        kind = self._settings.terraform_backend
        return backend.override(kind, config, environment=self.environment, folder=folder)

    async def plan(self) -> Look:
        """Look at the cloud, and say what would make it as declared.

        Raises:
            Conflict: the state is damaged, or is being written all the time.
            Misconfigured: terraform is missing or not of a supported version, or the provider cannot be found.
            ProviderChanged: the environment's folder holds another package of a provider than its lock names, and it
                does not come from a mirror.
            PlumblineError: what terraform, the provider or the cloud said.
        """
        held = await asyncio.to_thread(PrivateFolder, self._settings.state_dir / "private", "plan")
        try:
            local = self._kept.local_state
            before = await asyncio.to_thread(statecopy.holder, local) if local else None
            text, unwritten = await self._state()
            home = await self._home()
            plan = await self._planned(held, home, text)
            after = await asyncio.to_thread(statecopy.holder, local) if local else None
            return Look(
                plan,
                state_empty=_empty(text),
                unwritten=unwritten,
                holder=before or after,
                tainted=statecopy.tainted(text),
            )
        finally:
            await asyncio.to_thread(held.remove)

    async def knows_anything(self) -> bool:
        """Whether the state knows any object of the environment; without one nothing was made, or all is gone.

        Raises:
            PlumblineError: the state could not be read: as for `plan`.
        """
        text, _ = await self._state()
        return not _empty(text)

    # -- the state -------------------------------------------------------------------------------------------------

    async def _state(self) -> tuple[str | None, bool]:
        """The state's text, and whether it stands where an apply left what its backend did not take."""
        unwritten = await asyncio.to_thread(statecopy.read, self._kept.errored_state)
        if unwritten is not None:
            return unwritten, True
        if self._kept.local_state is not None:
            return await asyncio.to_thread(statecopy.read, self._kept.local_state), False
        return await self._pulled(), False

    async def _pulled(self) -> str | None:
        """A remote state. Pulling takes no lock; a folder with nothing but the backend needs no provider."""
        more = _NO_TABLES if self._settings.terraform_backend == "pg" else {}
        folder = self._base / f".pull-{self.environment}"
        rendered = self._override({**more, **self._settings.terraform_backend_config}, folder)
        place = Folder(self._base, folder.name, rendered, module=folder / "no-module")
        command = self._command(place.path, place.variables(self._parent))
        try:
            await self._initialised(place, place.fingerprint(), command, lock=False)
            pulled = await command.run("state pull", doing="reading the state of", no_color=FLAG)
        except PlumblineError as error:
            if _no_tables(error.detail or ""):
                return None
            raise
        return pulled.stdout if pulled.stdout.strip() else None  # some backends give an empty document instead

    # -- providers -------------------------------------------------------------------------------------------------

    async def _home(self) -> Folder:
        """The folder whose providers are used: those the environment itself has locked, if it has.

        What a mirror has changed since, the next run locks anew; a look does so for itself.
        """
        source = configuration_text(self._parent)
        locked = await asyncio.to_thread(self._locked, source)
        binary = str(shutil.which(self._settings.terraform_binary))
        digest = hashlib.sha256("\0".join((source, binary, locked, str(self._module))).encode()).hexdigest()[:12]
        home = Folder(self._base, f".look-{digest}", {"terraform": {}}, self._module, mirrored=self._mirrored)
        command = self._command(home.path, home.variables(self._parent))
        await self._initialised(home, home.fingerprint(source, binary), command, locked=locked)
        return home

    def _locked(self, source: str) -> str:
        """The environment's own lock on providers; nothing where others are there since, or come from elsewhere."""
        try:
            marked = (self._kept.path / ".providers-from").read_text()
            locked = self._kept.lock_file.read_text()
        except FileNotFoundError:
            return ""
        if marked != hashlib.sha256(source.encode()).hexdigest():
            return ""
        changed = self._kept.other_providers()
        if changed and not self._mirrored:
            raise refusal(changed, self.environment, self._kept.path)
        return "" if changed else locked

    async def _initialised(
        self, place: Folder, fingerprint: str, command: Command, *, locked: str = "", **options: Any
    ) -> None:
        place.make()
        if await _whole(place, fingerprint):
            return
        async with place.lock(exclusive=True, timeout=WAIT), place.plugin_lock(timeout=WAIT):
            if await _whole(place, fingerprint):
                return
            await check_version(self._settings.terraform_binary, place.variables(self._parent))
            place.write_module()
            if locked:
                place.lock_file.write_text(locked)
            elif place.mirrored:
                place.lock_file.unlink(missing_ok=True)
            await command.run("init", doing="initialising a look at", json=FLAG, input=False, **options)
            place.mark_initialised(fingerprint)

    # -- planning --------------------------------------------------------------------------------------------------

    async def _planned(self, held: PrivateFolder, home: Folder, state: str | None) -> Plan:
        await asyncio.to_thread(self._furnish, held, home, state)
        saved = held.path / "saved.tfplan"
        command = self._command(held.path, home.variables(self._parent))
        await command.run(
            "plan",
            doing="looking at",
            accept=(0, 2),
            json=FLAG,
            detailed_exitcode=FLAG,
            input=False,
            lock=False,
            refresh=True,
            parallelism=PARALLEL,
            var_file=str(held.path / "variables.tfvars.json"),
            out=str(saved),
        )
        shown = await command.run("show", str(saved), doing="reading the plan for", json=FLAG, no_color=FLAG)
        return await asyncio.to_thread(partial(plans.parse, shown.stdout, environment=self.environment))

    def _furnish(self, held: PrivateFolder, home: Folder, state: str | None) -> None:
        for path in (*home.path.glob("*.tf"), home.lock_file):
            if path.is_file():  # a module without providers of its own locks none
                held.write(path.name, path.read_bytes())
        held.write("variables.tfvars.json", json.dumps(self._variables.document()).encode())
        if state is not None:
            held.write("terraform.tfstate", state.encode())

    def _command(self, folder: Path, variables: Mapping[str, str]) -> Command:
        return Command(
            binary=self._settings.terraform_binary,
            folder=folder,
            environment=self.environment,
            variables=variables,
            timeout=self._settings.terraform_timeout,
        )


async def _whole(place: Folder, fingerprint: str) -> bool:
    """Whether a folder of our own is initialised with exactly this, and holds the providers it locks."""
    return place.initialised(fingerprint) and not await asyncio.to_thread(place.other_providers)


def _empty(state: str | None) -> bool:
    return state is None or not json.loads(state).get("resources")


def _no_tables(said: str) -> bool:
    """Whether PostgreSQL says that the schema or table of a state that was never written is not there."""
    return any(f'pq: {what} "' in said and '" does not exist' in said for what in _NEVER_APPLIED)
