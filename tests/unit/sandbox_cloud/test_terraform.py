"""Where the sandbox's terraform gets its provider from: asked once, and a mirror under upstream's address."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployments.sandbox import terraform
from deployments.sandbox.upstream.build import UPSTREAM, Module


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A terraform that ends with the status in a file, and keeps what it was asked."""
    found = tmp_path / "terraform"
    found.write_text(f'#!/bin/sh\ncp main.tf.json terraformrc {tmp_path}\nexit "$(cat {tmp_path}/status)"\n')
    found.chmod(0o755)
    return found


@pytest.mark.parametrize(("status", "origin"), [("0", "registry"), ("1", "mirror")])
def test_the_registry_is_asked_once_and_the_answer_kept(
    tmp_path: Path, program: Path, status: str, origin: str
) -> None:
    record, answer = tmp_path / "origin", tmp_path / "status"
    answer.write_text(status)
    assert terraform.choose(record, "auto", str(program)) == origin
    assert "mirror" not in (tmp_path / "terraformrc").read_text()
    assert terraform.SOURCE in (tmp_path / "main.tf.json").read_text()
    answer.write_text("1" if status == "0" else "0")
    assert terraform.choose(record, "auto", str(program)) == origin


def test_what_is_set_counts_and_a_missing_terraform_reaches_no_registry(tmp_path: Path) -> None:
    assert terraform.choose(tmp_path / "origin", "auto", str(tmp_path / "none")) == "mirror"
    assert terraform.choose(tmp_path / "origin", "registry") == "registry"
    assert terraform.choose(tmp_path / "origin", "auto", str(tmp_path / "none")) == "registry"


def test_the_mirror_has_exactly_the_pinned_version(tmp_path: Path) -> None:
    built, mirror = tmp_path / "built", tmp_path / "mirror"
    built.write_text("first")
    terraform.fill(mirror, built)
    version = UPSTREAM.version(terraform.MODULE).removeprefix("v")
    (place,) = (path for path in mirror.rglob("*") if path.is_file())
    assert place.parts[-6:-2] == (*terraform.SOURCE.split("/"), version)
    assert place.parts[-2].startswith("linux_")
    assert place.name == f"terraform-provider-openstack_v{version}"
    assert os.access(place, os.X_OK)
    before = place.stat().st_mtime_ns
    terraform.fill(mirror, built)
    assert place.stat().st_mtime_ns == before
    built.write_text("second")
    terraform.fill(mirror, built)
    assert place.read_text() == "second"

    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text(f"module x\n\nrequire {terraform.MODULE} v3.9.1\n")
    terraform.fill(mirror, built, Module(folder, "another pin", 0))
    assert [path.name for path in mirror.rglob("*") if path.is_file()] == ["terraform-provider-openstack_v3.9.1"]


def test_a_path_with_quotes_stays_one(tmp_path: Path) -> None:
    assert '/a\\"b"' in terraform.from_mirror(tmp_path / 'a"b')
