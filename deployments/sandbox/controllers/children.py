"""Upstream's programs as children of the controllers: each runs while the workload that would run it is available."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.resources import Obj
from deployments.sandbox.controllers.lifetime import end_group

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SETTLED = 30.0
"""After so many seconds the next end of a program is treated as the first."""
GRACE = 10.0
"""Seconds a program gets to end by itself."""

GUARD = 'exec 3<&0; (read -r _ <&3; kill -TERM $$; sleep 5; kill -KILL $$ 2>/dev/null) & exec "$@" </dev/null 3<&-'
"""Becomes the program, and leaves a watcher that ends it when our end of the pipe closes: it dies when we die.

An API server whose etcd went first never ends by itself.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """How a program is started.

    Args:
        argv: program and arguments; no secrets.
        env: what its environment has beside ours.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


Prepare = Callable[[Obj], Awaitable[Command]]
"""From the workload that would run it to how the program is started; called before every start."""


class Child:
    """One program.

    Args:
        name: of the program, and of its log.
        feature: runs it: the program is started, stopped and configured anew with it.
        prepare: says how.
        logs: the folder of its log.
    """

    def __init__(self, name: str, feature: Feature, prepare: Prepare, logs: Path) -> None:
        self.name, self._feature, self._prepare, self._logs = name, feature, prepare, logs
        self._changed = asyncio.Event()
        feature.subscribe(self._changed.set)

    async def run(self) -> None:
        """Keep the program running while it is to, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            self._changed.clear()
            workload = self._feature.workload
            if workload is None:
                await self._changed.wait()
                continue
            since = asyncio.get_running_loop().time()
            try:
                await self._once(workload)
            except Exception as error:  # whatever keeps it from starting, the next try may do
                log.warning("%s cannot be started: %s", self.name, error or repr(error))
            if self._changed.is_set() or asyncio.get_running_loop().time() - since > SETTLED:
                pause = FIRST_PAUSE
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _once(self, workload: Obj) -> None:
        """Run the program until it ends, or its workload changes."""
        command = await self._prepare(workload)
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._logs / f"{self.name}.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", GUARD, self.name, *command.argv),
                env={**os.environ, **command.env},
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=0o077,
            )
        log.info("%s runs for %s", self.name, workload["metadata"]["name"])
        ended = asyncio.create_task(process.wait())
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait([ended, changed], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                log.warning("%s ended with code %s; see %s", self.name, process.returncode, output.name)
        finally:
            changed.cancel()
            # Shielded: a second cancellation must not leave a program behind that nobody waits for.
            await asyncio.shield(end_group(process, GRACE))
