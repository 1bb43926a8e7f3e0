"""Tables, and the older plugin SDK's arithmetic on them; and both against what upstream's source says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tf.types import Unknown

from deployments.sandbox.provider import tables
from deployments.sandbox.provider.mirror import install
from deployments.sandbox.provider.openstack import PROVIDER, RESOURCES, SOURCES
from deployments.sandbox.provider.tables import Table, table
from infra.settings import ROOT

UPSTREAM = json.loads((Path(__file__).parent / "upstream_schema.json").read_text())["tables"]
OURS: dict[str, Table] = {
    **{f"openstack_{kind.name}": kind.table for kind in RESOURCES},
    **{f"data openstack_{kind.name}": kind.table for kind in SOURCES},
    'provider "openstack"': PROVIDER,
}
ROWS = table(
    """
    name   string required          new
    size   number optional          default=1
    labels map    optional+computed new
    note   string optional
    zones  set    optional
    at     string computed
    """,
    timeouts={"create": 60},
)


def plan(prior: dict[str, Any] | None, **config: Any) -> tuple[dict[str, Any], list[str]]:
    """As terraform asks: the proposed state keeps prior values of what is computed and not configured."""
    full = {name: config.get(name) for name in ROWS.names()}
    proposed = {
        argument.name: (prior or {}).get(argument.name)
        if full[argument.name] is None and argument.computed
        else full[argument.name]
        for argument in ROWS.arguments
    }
    return tables.plan(ROWS, prior, proposed, full)


PRIOR = {"id": "1", "name": "a", "size": 3, "labels": {"k": "v"}, "note": None, "zones": ["b", "a"], "at": "now"}


def test_a_new_object_knows_its_arguments_and_defaults_and_nothing_computed() -> None:
    planned, forcing = plan(None, name="a")
    assert planned == {
        "id": Unknown, "name": "a", "size": 1, "labels": Unknown, "note": None, "zones": None, "at": Unknown,
    }  # fmt: skip
    assert forcing == []


def test_an_argument_that_is_no_longer_set_falls_back_to_its_default() -> None:
    planned, forcing = plan(PRIOR, name="a", zones=["a", "b"])
    assert planned["size"] == 1
    assert forcing == []


def test_a_changed_name_forces_another_object_and_an_unset_computed_one_does_not() -> None:
    planned, forcing = plan(PRIOR, name="b", size=3)
    assert forcing == ["name"]
    assert planned["labels"] == {"k": "v"}
    assert plan(PRIOR, name="a", size=3, labels={"k": "w"})[1] == ["labels"]
    assert plan(PRIOR, name=Unknown, size=3)[1] == ["name"]


@pytest.mark.parametrize("zero", ["", None])
def test_nothing_and_zero_are_one_for_an_optional_argument(zero: Any) -> None:
    assert plan(PRIOR, name="a", size=3, note=zero, zones=["b", "a"])[0] == PRIOR


def test_the_order_of_a_set_says_nothing() -> None:
    assert plan(PRIOR, name="a", size=3, zones=["a", "b"])[0]["zones"] == ["b", "a"]


def test_what_is_observed_is_recorded_and_what_was_never_set_stays_unset() -> None:
    observed = {"id": "1", "name": "a", "size": 0, "note": "", "zones": ["b", "a"], "at": "now", "labels": {}}
    settled = tables.settle(ROWS, observed, {"size": 1, "timeouts": {"create": "1m"}})
    assert settled == {
        "id": "1", "name": "a", "size": 0, "labels": {}, "note": None, "zones": ["a", "b"], "at": "now",
        "timeouts": {"create": "1m"},
    }  # fmt: skip
    assert tables.settle(ROWS, {"id": "1"}, {"name": "kept", "at": Unknown})["name"] == "kept"
    assert tables.settle(ROWS, {"id": "1"}, {"at": Unknown})["at"] is None


def test_an_object_that_was_begun_is_recorded_with_what_is_known() -> None:
    state = tables.partial(ROWS, {"name": "a", "at": Unknown, "timeouts": None}, "1")
    assert state == {
        "id": "1", "name": "a", "size": None, "labels": None, "note": None, "zones": None, "at": None, "timeouts": None,
    }  # fmt: skip


@pytest.mark.parametrize("row", ["x text required", "x string wanted"])
def test_a_misspelt_row_is_noticed(row: str) -> None:
    with pytest.raises(ValueError, match="row"):
        table(row)


def test_an_environment_variable_may_stand_for_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, image) = table("image string required env=OS_MAGNUM_IMAGE").arguments
    assert (image.required, image.fallback()) == (True, None)
    monkeypatch.setenv("OS_MAGNUM_IMAGE", "fcos")
    assert (image.required, image.fallback()) == (False, "fcos")


@pytest.mark.parametrize("name", sorted(UPSTREAM))
def test_each_table_is_upstreams(name: str) -> None:
    ours = {argument.name: argument for argument in OURS[name].arguments if argument.name != "id"}
    assert {
        argument.name: {
            "type": argument.kind,
            "use": argument.use,
            **({"force_new": True} if argument.force_new else {}),
            **({"sensitive": True} if argument.sensitive else {}),
            **({} if argument.default is None else {"default": argument.default}),
            **({"env": argument.env} if argument.env else {}),
        }
        for argument in ours.values()
    } == UPSTREAM[name]["arguments"]
    assert sorted(OURS[name].timeouts) == UPSTREAM[name]["timeouts"]


def test_terraform_sees_upstreams_schema(tmp_path: Path) -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on PATH")
    config = tmp_path / "terraformrc"
    config.write_text(install(tmp_path / "mirror", Path(sys.executable), ROOT))
    source = "terraform-provider-openstack/openstack"
    (tmp_path / "main.tf").write_text(
        f'terraform {{\n required_providers {{\n openstack = {{ source = "{source}", version = "~> 3.0" }}\n}}\n}}\n'
    )
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(config), "CHECKPOINT_DISABLE": "1"}

    def terraform(*arguments: str) -> str:
        command = ["terraform", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    terraform("init", "-input=false")
    (found,) = json.loads(terraform("providers", "schema", "-json"))["provider_schemas"].values()
    wire = {
        'provider "openstack"': found["provider"],
        **found["resource_schemas"],
        **{f"data {name}": schema for name, schema in found["data_source_schemas"].items()},
    }
    assert sorted(wire) == sorted(UPSTREAM)
    for name, schema in wire.items():
        block = schema["block"]
        attributes = {key: value for key, value in block["attributes"].items() if key != "id"}
        expected = {key: _wire(value) for key, value in UPSTREAM[name]["arguments"].items()}
        assert {key: _facts(value) for key, value in attributes.items()} == expected, name
        timeouts = block.get("block_types", {}).get("timeouts", {})
        assert timeouts.get("nesting_mode", "single") == "single"
        assert sorted(timeouts.get("block", {}).get("attributes", {})) == UPSTREAM[name]["timeouts"]


def _facts(attribute: dict[str, Any]) -> dict[str, Any]:
    uses = [name for name in ("required", "optional", "computed", "sensitive") if attribute.get(name)]
    return {"type": attribute["type"], "is": uses}


def _wire(argument: dict[str, Any]) -> dict[str, Any]:
    kind = argument["type"]
    uses = [*argument["use"].split("+"), *(["sensitive"] if argument.get("sensitive") else [])]
    return {"type": [kind, "string"] if kind in ("map", "list", "set") else kind, "is": uses}
