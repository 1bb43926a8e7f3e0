"""The programs on this machine that a run starts: asked for before it writes anything."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection, Mapping

from infra.clients.errors import Misconfigured
from infra.clients.process import run
from infra.settings import Settings
from infra.spec.preflight import TOOLS, tool_problems


async def versions(settings: Settings, names: Collection[str] = tuple(TOOLS)) -> dict[str, str | None]:
    """What each program says its version is; None for one that is not there."""
    programs = {
        "helm": [settings.helm_binary, "version", "--short"],
        "terraform": [settings.terraform_binary, "version"],
    }
    found = await asyncio.gather(*(_version(programs[name]) for name in names))
    return dict(zip(names, found, strict=True))


async def prove_there(settings: Settings, names: Collection[str]) -> str:
    """Ask for programs, and name them with their versions.

    Raises:
        Misconfigured: one is missing, or of a version that will not do.
    """
    found = await versions(settings, names)
    problems = list(tool_problems(found))
    if problems:
        said = "; ".join(problem.reason for problem in problems)
        raise Misconfigured(
            f"{said[0].upper()}{said[1:]}: nothing was changed.",
            hint=". ".join(problem.right[0].upper() + problem.right[1:] for problem in problems) + ".",
        )
    return named(found)


def named(found: Mapping[str, str | None]) -> str:
    """Programs and their versions, for people."""
    return ", ".join(f"{name} {version}" for name, version in found.items() if version)


async def _version(argv: list[str]) -> str | None:
    try:
        done = await run(argv, env=dict(os.environ), timeout=60)
    except Misconfigured:
        return None
    found = re.search(r"v(\d+\.\d+(?:\.\d+)?(?:-[0-9A-Za-z.]+)?)", done.stdout)
    return found[1] if found else done.stdout.strip()[:40]
