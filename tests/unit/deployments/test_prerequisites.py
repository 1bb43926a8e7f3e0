"""What has to be on a machine: everything that is wrong is said at once, with how to get it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from deployments import prerequisites
from infra.clients.errors import Misconfigured
from infra.settings import ROOT

Put = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put a program on a PATH that has git, make, terraform and go, and nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name: str, said: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)

    for name, said in {"git": "", "make": "", "terraform": "Terraform v1.11.4", "go": "go1.99.0 local"}.items():
        put(name, said)
    return put


@pytest.mark.usefixtures("program")
def test_a_machine_with_everything_will_do() -> None:
    prerequisites.check_prerequisites("terraform")


@pytest.mark.parametrize("version", ["v1.9.0", "v2.0.0"])
def test_terraform_may_be_newer(program: Put, version: str) -> None:
    program("terraform", f"Terraform {version}")
    prerequisites.check_prerequisites("terraform")


def test_everything_that_is_missing_is_said_at_once(program: Put, tmp_path: Path) -> None:
    for name in ("git", "make", "terraform", "go"):
        (tmp_path / name).unlink()
    with pytest.raises(Misconfigured) as caught:
        prerequisites.check_prerequisites("terraform")
    for name in ("git", "make", "terraform", "go"):
        assert f"There is no {name} on PATH." in str(caught.value)
    assert "go.dev/doc/install" in (caught.value.hint or "")
    assert "developer.hashicorp.com" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Terraform v1.8.5", r"1\.9 or later is needed; v1\.8\.5 is there"),
        ("Terraform v0.15.0", r"v0\.15\.0 is there"),
        ("no version", "an unknown one is there"),
    ],
)
def test_an_older_terraform_will_not_do(program: Put, said: str, why: str) -> None:
    program("terraform", said)
    with pytest.raises(Misconfigured, match=why):
        prerequisites.check_prerequisites("terraform")


@pytest.mark.parametrize(
    ("said", "fine"),
    [("go1.20.1 auto", False), ("go1.21.0 auto", True), ("go1.21.0 local", False), ("go1.26.0 local", True)],
)
def test_an_older_go_will_do_where_it_may_fetch_a_newer_one(program: Put, said: str, fine: bool) -> None:
    program("go", said)
    assert [what for what, _ in prerequisites.problems()] == (
        [] if fine else [f"Go 1.26.0 or later is needed; {said.split(maxsplit=1)[0].removeprefix('go')} is there."]
    )


@pytest.mark.usefixtures("program")
def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**29))
    (what, how), *_ = prerequisites.problems()
    assert "has 0.5 GiB of free disk" in what
    assert "XDG_CACHE_HOME" in how


@pytest.mark.usefixtures("program")
def test_another_python_is_refused_with_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites.sys, "version_info", (3, 9, 1))
    (what, how), *_ = prerequisites.problems()
    assert "needs Python 3.11" in what
    assert "make PYTHON=" in how


def test_it_works_with_nothing_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "deployments/prerequisites.py")],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 4
