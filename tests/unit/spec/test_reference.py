"""What is published is what the models say, and the command that checks files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from infra.spec.__main__ import main
from infra.spec.explain import model_of
from infra.spec.models import Environment
from infra.spec.part import Part
from infra.spec.reference import REFERENCE_PATH, SCHEMA_PATH, reference, schema


def test_the_published_schema_is_current() -> None:
    assert SCHEMA_PATH.read_text() == schema(), "run: python -m infra.spec write"


def test_the_published_reference_is_current() -> None:
    assert REFERENCE_PATH.read_text() == reference(), "run: python -m infra.spec write"


def parts(model: type[Part]) -> set[type[Part]]:
    inner = [found for field in model.model_fields.values() if (found := model_of(field.annotation))]
    return {model}.union(*(parts(found) for found in inner))


def test_every_field_is_described() -> None:
    found = parts(Environment)
    assert len(found) >= 14
    for part in found:
        assert part.__doc__
        for name, field in part.model_fields.items():
            assert field.description and field.description.endswith("."), f"{part.__name__}.{name}"


def test_the_schema_takes_what_is_valid_and_refuses_what_is_not(document: dict[str, Any]) -> None:
    validator = Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    Draft202012Validator.check_schema(validator.schema)
    validator.validate(document)
    validator.validate(Environment.model_validate(document).document())
    for section, key, value in (
        ("cluster", "node", {}),
        ("cluster", "kubernetes", "1.33"),
        ("dns", "ttl", "5m"),
        ("certificates", "issuer", "other"),
        ("delivery", "credentials", "Not A Name"),
    ):
        broken = json.loads(json.dumps(document))
        broken["spec"][section][key] = value
        assert not validator.is_valid(broken), key


def test_the_command_checks_files(
    tmp_path: Path, document: dict[str, Any], yaml_of: Callable[..., bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "dev.yaml", tmp_path / "prod.yaml"
    good.write_bytes(yaml_of(document))
    bad.write_bytes(yaml_of(document))
    assert main(["check", str(good)]) == 0
    assert main(["check", str(good), str(bad)]) == 1
    assert main(["check", str(tmp_path / "none.yaml")]) == 1
    said = capsys.readouterr()
    assert "dev.yaml is valid." in said.out
    assert "write prod, or rename the file" in said.err and "cannot be read" in said.err


def test_the_command_writes_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.spec.reference.SCHEMA_PATH", tmp_path / "schema.json")
    monkeypatch.setattr("infra.spec.reference.REFERENCE_PATH", tmp_path / "docs/environment.md")
    assert main(["write"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["write"]) == 0
    assert capsys.readouterr().out == ""
