"""Each environment has a state of its own, whatever the backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.clients.errors import Misconfigured
from infra.terraform.backend import override

FOLDER = Path("/var/lib/plumbline/terraform/dev")


def render(kind: str, **config: str) -> dict[str, str]:
    document = override(kind, config, environment="dev", folder=FOLDER)
    backend: dict[str, str] = document["terraform"]["backend"][kind]
    return backend


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("local", {}, {"path": "/var/lib/plumbline/terraform/dev/terraform.tfstate"}),
        ("local", {"path": "/s/{environment}.tfstate"}, {"path": "/s/dev.tfstate"}),
        ("pg", {}, {"schema_name": "plumbline_dev"}),
        ("pg", {"schema_name": "x_{environment}"}, {"schema_name": "x_dev"}),
        ("s3", {"bucket": "b", "region": "r"}, {"bucket": "b", "region": "r", "key": "plumbline/dev.tfstate"}),
        ("http", {"address": "https://s/{environment}"}, {"address": "https://s/dev"}),
    ],
)
def test_rendering(kind: str, config: dict[str, str], expected: dict[str, str]) -> None:
    assert render(kind, **config) == expected


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("local", {"path": "/s/all.tfstate"}),
        ("pg", {"schema_name": "all"}),
        ("s3", {"bucket": "b", "key": "all"}),
        ("http", {"address": "https://s/all"}),
    ],
)
def test_one_state_for_all_is_refused(kind: str, config: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="share one Terraform state"):
        render(kind, **config)


@pytest.mark.parametrize(("kind", "what"), [("s3", "bucket"), ("http", "address")])
def test_what_is_missing_is_named(kind: str, what: str) -> None:
    with pytest.raises(Misconfigured, match=what):
        render(kind)
