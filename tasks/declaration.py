"""Reading what git declares."""

from __future__ import annotations

from infra.settings import Settings
from infra.spec.models import Rules
from infra.spec.repository import LoadedEnvironment, Snapshot, load_async, snapshot_async
from tasks.step import step


@step("read {name}", timeout=120)
async def load_environment(
    name: str, commit: str | None, settings: Settings, addons: frozenset[str]
) -> LoadedEnvironment:
    """Read the environment's declaration from git at one commit, and refuse what cannot be right."""
    return await load_async(
        settings.environments_repository,
        name,
        commit or settings.environments_revision,
        rules=Rules.of(settings, addons),
        settings=settings,
    )


@step("read every environment", timeout=120)
async def load_fleet(commit: str | None, settings: Settings, addons: frozenset[str]) -> Snapshot:
    """Read the repository of environments at one commit."""
    return await snapshot_async(
        settings.environments_repository,
        commit or settings.environments_revision,
        rules=Rules.of(settings, addons),
        settings=settings,
    )
