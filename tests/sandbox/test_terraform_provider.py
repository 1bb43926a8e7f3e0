"""A mirror that changes its build of the provider: runs and looks go on, and elsewhere both checksums are named.

Needs terraform and upstream's provider, but no running sandbox: a plan for a new environment asks the cloud nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.sandbox import terraform
from deployments.sandbox.upstream import build
from infra.settings import Settings
from infra.terraform.looking import PlanReader
from infra.terraform.providers import LOCK, ProviderChanged, others
from infra.terraform.runner import Terraform
from infra.terraform.variables import Variables
from tests.sandbox.test_terraform_module import CLOUDS, GOOD

WANTED = Variables.model_validate(GOOD)


class Place:
    """A mirror, a cloud nobody reaches, and a state folder."""

    def __init__(self, folder: Path) -> None:
        self.mirror, self.state = folder / "mirror", folder / "state"
        terraform.fill(self.mirror, build.program(terraform.PROGRAM))
        (folder / "clouds.yaml").write_text(CLOUDS)
        (folder / "terraformrc").write_text(terraform.from_mirror(self.mirror))

    def rebuild(self) -> None:
        """Another build of the same version; what follows a program's own end, it does not read."""
        (program,) = (path for path in self.mirror.rglob("*") if path.is_file())
        fresh = program.with_name(".fresh")
        fresh.write_bytes(program.read_bytes() + b"another build")
        fresh.chmod(0o700)
        fresh.replace(program)

    def settings(self, origin: str) -> Settings:
        return Settings(state_dir=self.state, terraform_providers=origin)

    async def run(self, origin: str) -> Terraform:
        made = Terraform(WANTED, settings=self.settings(origin))
        await made.discard(await made.plan())
        return made

    async def look(self, origin: str) -> int:
        return len((await PlanReader(WANTED, settings=self.settings(origin)).plan()).plan.changes)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    build.ensure(say=build.tell)
    made = Place(tmp_path)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "terraformrc"))
    return made


async def test_what_a_mirror_has_changed_is_locked_anew_by_a_run_and_seen_through_by_a_look(place: Place) -> None:
    run = await place.run("mirror")
    assert await place.look("mirror") == 3
    before = (run.folder / LOCK).read_text()
    assert others(run.folder / LOCK, run.folder / ".terraform") == (), "our checksum is terraform's"
    place.rebuild()
    # The look comes first: it does not wait for a run, and changes nothing of a run's.
    assert await place.look("mirror") == 3
    assert (run.folder / LOCK).read_text() == before
    await place.run("mirror")
    assert (run.folder / LOCK).read_text() != before
    assert await place.look("mirror") == 3


async def test_elsewhere_another_package_is_refused_with_both_checksums(place: Place) -> None:
    run = await place.run("registry")
    assert await place.look("registry") == 3
    before = (run.folder / LOCK).read_text()
    place.rebuild()
    (other,) = others(run.folder / LOCK, run.folder / ".terraform")
    for asked in (place.run, place.look):
        with pytest.raises(ProviderChanged) as caught:
            await asked("registry")
        assert other.locked[0] in caught.value.summary and str(other.found) in caught.value.summary
    assert (run.folder / LOCK).read_text() == before
