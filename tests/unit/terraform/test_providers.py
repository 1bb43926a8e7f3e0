"""Another package of a provider than the lock names: the real terraform, and a mirror whose package changes."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from infra.clients.errors import Misconfigured
from infra.terraform import providers
from infra.terraform.providers import LOCK, ProviderChanged, others
from infra.terraform.runner import Terraform
from tests.unit.terraform.conftest import MODULE, QUIET, Make

SOURCE = "registry.example.org/example/idle"
REQUIRED = f'terraform {{\n  required_providers {{\n    idle = {{ source = "{SOURCE}", version = "1.0.0" }}\n  }}\n}}\n'
"""Terraform installs and verifies it; it cannot be started."""
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


class Mirror:
    """A filesystem mirror with one provider, and the configuration that names it."""

    def __init__(self, folder: Path) -> None:
        place = folder / "mirror" / SOURCE / "1.0.0" / f"linux_{MACHINE}"
        place.mkdir(parents=True)
        self.program = place / "terraform-provider-idle_v1.0.0"
        self.config = folder / "terraformrc"
        self.config.write_text(
            f'provider_installation {{\n  filesystem_mirror {{ path = "{folder / "mirror"}" }}\n}}\n'
        )
        self.build("first")

    def build(self, text: str) -> None:
        """Another build of the same version, renamed into place as a build is."""
        fresh = self.program.with_name(".fresh")
        fresh.write_text(f"#!/bin/sh\n# {text}\nexit 1\n")
        fresh.chmod(0o755)
        fresh.replace(self.program)


@pytest.fixture
def mirror(tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    (module / "main.tf").write_text(REQUIRED + MODULE + QUIET)
    made = Mirror(tmp_path)
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(made.config))
    return made


MIRRORED = {"terraform_providers": "mirror"}


async def ready(terraform: Terraform) -> str:
    await terraform.prepare()
    return (terraform.folder / LOCK).read_text()


async def test_our_checksum_is_the_one_terraform_locks(make: Make, mirror: Mirror) -> None:
    terraform = make(settings=MIRRORED)
    assert SOURCE in await ready(terraform)
    assert others(terraform.folder / LOCK, terraform.folder / ".terraform") == ()


async def test_a_run_locks_anew_what_the_mirror_has_changed(make: Make, mirror: Mirror) -> None:
    said: list[str] = []
    terraform = make(settings=MIRRORED, said=said)
    before = await ready(terraform)
    mirror.build("second")
    (other,) = others(terraform.folder / LOCK, terraform.folder / ".terraform")
    assert (other.source, other.version) == (SOURCE, "1.0.0")
    assert other.locked[0] in before and other.found not in (None, *other.locked)
    after = await ready(terraform)
    assert str(other.found) in after and after != before
    assert "The mirror has another package of a provider: it is locked anew for dev." in said


async def test_another_package_than_a_registrys_is_refused_with_both_checksums(make: Make, mirror: Mirror) -> None:
    terraform = make()
    before = await ready(terraform)
    mirror.build("second")
    (other,) = others(terraform.folder / LOCK, terraform.folder / ".terraform")
    with pytest.raises(ProviderChanged) as caught:
        await terraform.prepare()
    assert other.locked[0] in caught.value.summary and str(other.found) in caught.value.summary
    assert str(terraform.folder / LOCK) in (caught.value.hint or "")
    assert (terraform.folder / LOCK).read_text() == before


async def test_a_lock_in_the_module_is_the_registrys_and_no_mirrors(
    make: Make, mirror: Mirror, module: Path, tmp_path: Path
) -> None:
    terraform = make(settings=MIRRORED)
    lock = await ready(terraform)
    (module / LOCK).write_text("# ours\n" + lock)
    assert await ready(make()) == "# ours\n" + lock
    (other,) = others(module / LOCK, tmp_path)
    (module / LOCK).write_text(lock.replace(other.locked[0], "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
    with pytest.raises(Misconfigured, match="another provider than was locked"):
        await make().prepare()
    assert await ready(make(settings=MIRRORED)) == lock


def test_without_a_lock_and_of_archives_alone_nothing_is_said(tmp_path: Path) -> None:
    assert others(tmp_path / LOCK, tmp_path) == ()
    (tmp_path / LOCK).write_text(
        f'provider "{SOURCE}" {{\n  version = "1.0.0"\n  hashes = [\n    "zh:00",\n  ]\n}}\n'
        'provider "registry.example.org/example/other" {\n  version = "2.0.0"\n  hashes = [\n    "h1:x",\n  ]\n}\n'
    )
    (other,) = others(tmp_path / LOCK, tmp_path)
    assert other.found is None
    assert providers.refusal((other,), "dev", tmp_path).summary.endswith("h1:x is locked, and there is no package.")
