"""The runner on the real terraform program, with its built-in provider."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from infra.clients.errors import Conflict, InvalidInput, Misconfigured, Refused
from infra.terraform import policy
from infra.terraform.runner import Terraform
from infra.terraform.variables import NodeGroup, Nodes

CLUSTER = "terraform_data.cluster"
BUILD = (NodeGroup(name="build", count=1, flavor="m1.xlarge"),)


def modes(folder: Path) -> dict[str, int]:
    return {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.name != ".terraform.lock.hcl"
    }


async def test_plan_apply_and_nothing_left_to_do(make: Any) -> None:
    said: list[str] = []
    terraform = make(said=said, node_groups=BUILD)
    plan = await terraform.plan()
    assert sorted(change.address for change in plan.changes) == [CLUSTER, 'terraform_data.group["build"]']
    assert plan.file is not None and plan.file.exists()
    outputs = await terraform.apply(plan)
    assert outputs.cluster_id and set(outputs.node_group_ids) == {"build"}
    assert not plan.file.exists()
    assert any(sentence.startswith(f"Created {CLUSTER} in") for sentence in said)

    before = (terraform.folder / "terraform.tfstate").read_bytes()
    again = await terraform.plan()
    assert again.empty and again.file is None
    assert await terraform.apply(again) == outputs
    assert (terraform.folder / "terraform.tfstate").read_bytes() == before
    assert list((terraform.folder / "runs").iterdir()) == []
    assert set(modes(terraform.folder).values()) == {0o600}
    assert stat.S_IMODE(terraform.folder.stat().st_mode) == 0o700


async def test_initialised_once_and_again_only_for_another_module(make: Any, module: Path) -> None:
    said: list[str] = []
    await make(said=said).prepare()
    await make(said=said).prepare()
    assert said == ["Terraform is initialised for dev."]
    (module / "more.tf").write_text('output "keypair_name" { value = "k" }\n')
    terraform = make(said=said)
    await terraform.prepare()
    assert said == ["Terraform is initialised for dev."] * 2
    (module / "more.tf").unlink()
    await make(said=said).prepare()
    assert not (terraform.folder / "more.tf").exists()
    assert len(said) == 3


async def test_only_the_plan_that_was_judged_is_applied(make: Any) -> None:
    first, second = make(), make(nodes=Nodes(count=5, flavor="m1.large"))
    plan, other = await first.plan(), await second.plan()
    await second.apply(other)
    with pytest.raises(Conflict, match="stale"):
        await first.apply(plan)
    assert plan.file is not None and not plan.file.exists()


async def test_a_plan_to_look_at_cannot_be_applied(make: Any) -> None:
    terraform = make()
    plan = await terraform.plan()
    found = plan.model_copy(update={"file": None})
    with pytest.raises(InvalidInput, match="only to look"):
        await terraform.apply(found)
    assert await terraform.objects() == ()
    await terraform.discard(plan)


async def test_a_refused_plan_is_not_applied_and_not_kept(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(policy.PROTECTED, "terraform_data", "the node group")
    await (one := make(node_groups=BUILD)).apply(await one.plan())
    two = make(node_groups=BUILD, nodes=Nodes(count=3, flavor="m1.small"))
    plan = await two.plan()
    with pytest.raises(Refused, match="triggers_replace cannot change in place"):
        await two.apply(plan)
    assert plan.file is not None and not plan.file.exists()
    assert not (await two.plan()).empty


async def test_destroying_leaves_no_backup_of_secrets(make: Any) -> None:
    terraform = make(node_groups=BUILD)
    await terraform.apply(await terraform.plan())
    plan = await terraform.plan(destroy=True)
    assert plan.destroy
    await terraform.apply(plan, allow=policy.agreed_by_destroy(plan))
    assert await terraform.objects() == ()
    assert not (terraform.folder / "terraform.tfstate.backup").exists()


async def test_adopting_imports_what_is_missing_and_skips_what_is_not_declared(make: Any) -> None:
    said: list[str] = []
    terraform = make(said=said)
    adopted = await terraform.adopt({CLUSTER: "c-1", 'terraform_data.group["build"]': "g-1"})
    assert adopted.imported == (CLUSTER,)
    assert list(adopted.skipped) == ['terraform_data.group["build"]']
    assert [(item.address, item.identifier) for item in await terraform.objects()] == [(CLUSTER, "c-1")]
    assert f"Imported {CLUSTER} (id c-1)." in said
    again = await terraform.adopt({CLUSTER: "c-1"})
    assert not again.changed
    with pytest.raises(Conflict, match="has another"):
        await terraform.adopt({CLUSTER: "c-2"})
    with pytest.raises(InvalidInput, match="declares no"):
        await terraform.import_("terraform_data.nothing", "x")


@pytest.mark.parametrize("seen", [True, False])
async def test_what_an_interrupted_run_left_tainted_is_trusted_when_seen(make: Any, seen: bool) -> None:
    terraform = make()
    await terraform.apply(await terraform.plan())
    state = terraform.folder / "terraform.tfstate"
    document = json.loads(state.read_text())
    (instance,) = document["resources"][0]["instances"]
    instance["status"] = "tainted"
    state.write_text(json.dumps({**document, "serial": document["serial"] + 1}))
    (change,) = (await terraform.plan()).changes
    assert change.tainted
    if seen:
        await terraform.trust({CLUSTER})
    else:
        await terraform.trust({"terraform_data.other"})
        assert (await terraform.plan()).changes == (change,)
        adopted = await terraform.adopt({CLUSTER: instance["attributes"]["id"]})
        assert adopted.untainted == (CLUSTER,)
    assert (await terraform.plan()).empty


async def test_the_child_sees_only_what_it_needs(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "hunter2")
    monkeypatch.setenv("PG_CONN_STR", "postgres://")
    monkeypatch.setenv("TF_VAR_environment", "other")
    terraform = make()
    child = terraform._workspace.folder.variables(os.environ)
    assert "OS_PASSWORD" not in child and "TF_VAR_environment" not in child
    assert child["PG_CONN_STR"] == "postgres://"
    assert (child["TF_INPUT"], child["CHECKPOINT_DISABLE"], child["TF_IN_AUTOMATION"]) == ("0", "1", "1")
    assert child["TF_DATA_DIR"] == str(terraform.folder / ".terraform")


async def test_what_a_module_cannot_take_is_an_input_error(make: Any, module: Path) -> None:
    text = (module / "main.tf").read_text()
    rule = 'validation {\n condition = var.environment != "dev"\n error_message = "Not dev."\n }\n}'
    (module / "main.tf").write_text(text.replace('"environment" { type = string }', f'"environment" {{\n{rule}'))
    with pytest.raises(InvalidInput, match="Not dev"):
        await make().plan()
    assert list((make().folder / "runs").iterdir()) == []


async def test_a_state_that_could_not_be_written_is_written_next(make: Any) -> None:
    said: list[str] = []
    terraform = make(said=said)
    await terraform.apply(await terraform.plan())
    state = terraform.folder / "terraform.tfstate"
    kept = terraform.folder / "errored.tfstate"
    kept.write_text(state.read_text())
    state.unlink()
    assert [item.address for item in await terraform.objects()] == [CLUSTER]
    assert not kept.exists()
    assert "Wrote the state that an earlier run could not write." in said


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "was not found"),
        ('#!/bin/sh\necho \'{"terraform_version": "1.5.7"}\'\n', "1.5.7 is not supported"),
        ('#!/bin/sh\necho \'{"terraform_version": "2.0.0"}\'\n', "2.0.0 is not supported"),
        ("#!/bin/sh\necho OpenSesame\n", "does not say its version"),
    ],
)
async def test_a_wrong_terraform_says_how_to_get_a_right_one(
    make: Any, tmp_path: Path, script: str | None, words: str
) -> None:
    binary = tmp_path / "other-terraform"
    if script is not None:
        binary.write_text(script)
        binary.chmod(0o755)
    terraform: Terraform = make(settings={"terraform_binary": str(binary)})
    with pytest.raises(Misconfigured, match=words) as caught:
        await terraform.prepare()
    assert "Install terraform 1.9 or newer" in (caught.value.hint or "")


async def test_a_changed_backend_asks_for_migration(make: Any, tmp_path: Path) -> None:
    await (terraform := make()).apply(await terraform.plan())
    moved = {"terraform_backend_config": {"path": f"{tmp_path}/{{environment}}.tfstate"}}
    with pytest.raises(Misconfigured) as caught:
        await make(settings=moved).prepare()
    assert "migrate-state" in (caught.value.hint or "")


async def test_an_apply_names_what_it_has_begun(make: Any) -> None:
    terraform: Terraform = make(node_groups=(NodeGroup(name="build", count=1, flavor="m1.xlarge"),))
    begun: dict[str, str] = {}
    await terraform.apply(await terraform.plan(), begun=begun)
    assert begun == {CLUSTER: "create", 'terraform_data.group["build"]': "create"}
    again: dict[str, str] = {}
    await terraform.apply(await terraform.plan(), begun=again)
    assert again == {}
