"""A look through terraform's eyes: on a copy, beside whoever works on the state, and nothing of it stays."""

from __future__ import annotations

import fcntl
import json
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from infra.clients.errors import Conflict
from infra.settings import Settings
from infra.terraform import statecopy
from infra.terraform.looking import PlanReader, _no_tables
from infra.terraform.runner import Terraform
from infra.terraform.statecopy import Holder
from infra.terraform.variables import NodeGroup, Nodes
from tests.unit.terraform.conftest import variables

CLUSTER = "terraform_data.cluster"
BUILD = (NodeGroup(name="build", count=1, flavor="m1.xlarge"),)
Reader = Callable[..., PlanReader]


@pytest.fixture
def reader(tmp_path: Path, module: Path, make: Any) -> Reader:
    del make  # it says whether there is a terraform

    def build(*, settings: dict[str, Any] | None = None, **changes: Any) -> PlanReader:
        chosen = Settings(state_dir=tmp_path / "state", **(settings or {}))
        return PlanReader(variables(**changes), settings=chosen, module=module)

    return build


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_a_look_changes_nothing_and_leaves_nothing(make: Any, reader: Reader, tmp_path: Path) -> None:
    terraform: Terraform = make()
    await terraform.apply(await terraform.plan())
    before = everything(terraform.folder)
    look = await reader().plan()
    assert look.plan.empty and look.plan.file is None
    assert await reader().knows_anything()
    assert (look.state_empty, look.unwritten, look.holder) == (False, False, None)
    assert everything(terraform.folder) == before
    assert [path.name for path in (tmp_path / "state/private").iterdir() if path.is_dir()] == []


async def test_what_it_sees_it_says_field_by_field(make: Any, reader: Reader) -> None:
    terraform: Terraform = make(node_groups=BUILD)
    await terraform.apply(await terraform.plan())
    look = await reader(node_groups=BUILD, nodes=Nodes(count=5, flavor="m1.large")).plan()
    (change,) = look.plan.changes
    assert (change.address, change.verb) == (CLUSTER, "update")
    assert ("input", 3, 5) in [(item.path, item.before, item.after) for item in change.differences]


async def test_without_a_state_it_would_make_everything_and_says_why(reader: Reader, tmp_path: Path) -> None:
    assert not await reader().knows_anything()
    look = await reader().plan()
    assert look.state_empty
    assert [change.verb for change in look.plan.changes] == ["create"]
    assert not (tmp_path / "state/terraform/dev").exists()


async def test_providers_are_installed_once_for_all_looks(reader: Reader, tmp_path: Path) -> None:
    await reader().plan()
    await reader(environment="other").plan()
    homes = [path for path in (tmp_path / "state/terraform").iterdir() if path.name.startswith(".look-")]
    assert len(homes) == 1
    assert stat.S_IMODE(homes[0].stat().st_mode) == 0o700


async def test_a_state_its_backend_did_not_take_is_the_newest(make: Any, reader: Reader) -> None:
    terraform: Terraform = make()
    await terraform.apply(await terraform.plan())
    state = terraform.folder / "terraform.tfstate"
    kept = terraform.folder / "errored.tfstate"
    state.rename(kept)
    look = await reader().plan()
    assert look.unwritten and look.plan.empty
    assert kept.exists() and not state.exists()


async def test_what_the_state_doubts_is_named_as_terraform_names_it(make: Any, reader: Reader) -> None:
    terraform: Terraform = make(node_groups=BUILD)
    await terraform.apply(await terraform.plan())
    file = terraform.folder / "terraform.tfstate"
    state = json.loads(file.read_text())
    for resource in state["resources"]:
        resource["instances"][0]["status"] = "tainted"
    file.write_text(json.dumps(state))
    look = await reader(node_groups=BUILD).plan()
    assert look.tainted == {CLUSTER, 'terraform_data.group["build"]'}
    assert look.tainted == {change.address for change in look.plan.changes if change.tainted}


LOCKS = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Terraform's lock, held by another process."""
    argv = [sys.executable, "-c", textwrap.dedent(LOCKS), str(state)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.stdin.close()


async def test_a_lock_that_another_holds_is_named_and_not_waited_for(make: Any, reader: Reader) -> None:
    terraform: Terraform = make()
    await terraform.apply(await terraform.plan())
    state = terraform.folder / "terraform.tfstate"
    note = {"Who": "ops@host", "Created": "2026-01-01T00:00:00Z", "Operation": "OperationTypeApply"}
    (terraform.folder / ".terraform.tfstate.lock.info").write_text(json.dumps(note))
    assert (await reader().plan()).holder is None, "a note without a lock is what a killed terraform left"
    with held(state):
        look = await reader().plan()
    assert look.plan.empty
    assert look.holder == Holder("ops@host", "2026-01-01T00:00:00Z", "OperationTypeApply")
    assert look.holder.sentence("dev") == (
        "A run is at work on the Terraform state of dev, ops@host (apply), since 2026-01-01T00:00:00Z."
    )


def test_a_lock_without_a_note_is_still_a_lock(tmp_path: Path) -> None:
    state = tmp_path / "terraform.tfstate"
    assert statecopy.holder(state) is None
    state.write_text("{}")
    with held(state):
        found = statecopy.holder(state)
    assert found is not None
    assert found.sentence("dev") == "A run is at work on the Terraform state of dev."
    with state.open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # looking took nothing


def test_half_a_document_is_read_again_and_an_empty_one_is_none_yet(tmp_path: Path) -> None:
    state = tmp_path / "terraform.tfstate"
    state.write_text('{"version": 4, "serial"')
    slept: list[float] = []

    def written(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            state.write_text('{"version": 4}')

    assert statecopy.read(state, pause=written) == '{"version": 4}'
    assert len(slept) == 3
    state.write_text("")
    assert statecopy.read(state, pause=lambda _: None) is None
    state.write_text("{")
    with pytest.raises(Conflict, match="not whole"):
        statecopy.read(state, pause=lambda _: None)
    state.unlink()
    assert statecopy.read(state) is None


async def test_what_a_killed_look_left_is_swept_by_the_next(reader: Reader, tmp_path: Path) -> None:
    left = tmp_path / "state/private/plan-left"
    left.mkdir(parents=True)
    (left / "terraform.tfstate").write_text("secret")
    await reader().plan()
    assert not left.exists()


async def test_a_remote_state_is_pulled_and_never_locked(
    make: Any, reader: Reader, tmp_path: Path, httpserver: HTTPServer
) -> None:
    terraform: Terraform = make()
    await terraform.apply(await terraform.plan())
    state = (terraform.folder / "terraform.tfstate").read_text()
    httpserver.expect_request("/state/dev", method="GET").respond_with_data(state)
    config = {name: httpserver.url_for("/state/{environment}") for name in ("address", "lock_address")}
    remote = {"terraform_backend": "http", "terraform_backend_config": config}
    look = await reader(settings=remote).plan()
    assert look.plan.empty and not look.state_empty
    assert {request.method for request, _ in httpserver.log} == {"GET"}
    httpserver.clear()
    httpserver.expect_request("/state/dev", method="GET").respond_with_data("", status=404)
    assert (await reader(settings=remote).plan()).state_empty
    assert {request.method for request, _ in httpserver.log} == {"GET"}


def test_a_database_without_our_tables_has_no_state() -> None:
    assert _no_tables('pq: relation "plumbline_dev.states" does not exist')
    assert not _no_tables('pq: database "terraform" does not exist')


def test_a_reader_can_do_nothing_but_plan(reader: Reader) -> None:
    assert [name for name in dir(reader()) if not name.startswith("_")] == ["environment", "knows_anything", "plan"]
