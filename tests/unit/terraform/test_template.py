"""The template's name without terraform: what `terraform plan` answered for the same variables."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.settings import ROOT
from infra.terraform.template import template_name
from tests.unit.terraform.conftest import variables

ODD = variables(image="fedora<&>ä", labels={"auto_healing_enabled": "true", "b/x": 'a"q\\ü'}, docker_volume_size=20)


def test_terraform_named_these_so() -> None:
    assert template_name(ODD) == "dev-v1.33.4-0b7c2525"


def test_any_content_makes_another_name() -> None:
    names = {
        template_name(variables(**changes))
        for changes in (
            {},
            {"image": "other"},
            {"floating_ip": False},
            {"labels": {"a": "b"}},
            {"environment": "prod"},
            {"fixed_network": "n"},
            {"volume_driver": None},
        )
    }
    assert len(names) == 7


def test_the_module_computes_the_same(tmp_path: Path) -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on PATH")
    module = ROOT / "infra/terraform/environment"
    text = (module / "main.tf").read_text()
    (tmp_path / "main.tf").write_text(text[: text.index("# Nova's keypairs")])
    (tmp_path / "variables.tf").write_text((module / "variables.tf").read_text())
    (tmp_path / "v.auto.tfvars.json").write_text(ODD.model_dump_json())
    done = subprocess.run(
        ["terraform", "console"],
        input="local.template_name\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f'"{template_name(ODD)}"'
