"""A flow as a command: what stands on stdout, what on stderr, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from flows import command
from flows.create_environment import create_environment
from flows.destroy_environment import destroy_environment
from infra.clients.errors import Failed


class Result(BaseModel):
    """What a flow returns."""

    state: Literal["ready"] = "ready"

    def sentence(self) -> str:
        """With what rich takes for markup."""
        return 'made openstack_x.this["dev"] and [bold]more[/bold]'


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The flow's body is replaced; parameters, parser and validation are the flow's own."""
    calls: list[dict[str, Any]] = []

    async def body(**parameters: Any) -> Result:
        calls.append(parameters)
        print("a library prints to stdout")
        if parameters["name"] == "broken":
            raise Failed("It broke [a-z] [/red].", detail="stdout: [Errno 1] [type=x]", hint="Mend it.")
        return Result()

    for flow in (create_environment, destroy_environment):
        monkeypatch.setattr(type(flow), "__call__", lambda _self, **given: body(**given))
    yield calls


def status(flow: Any, *arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        command.main(flow, arguments)
    return int(caught.value.code or 0)


def test_json_is_one_document_and_stdout_is_clean(called: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(create_environment, "dev", "--commit", "abc1234", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"state": "ready"}
    assert "a library prints" in said.err
    assert called == [{"name": "dev", "commit": "abc1234"}]


def test_for_people_the_sentence_stands_on_stderr_as_it_is(
    called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(create_environment, "dev") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert 'made openstack_x.this["dev"] and [bold]more[/bold]' in said.err
    assert called == [{"name": "dev", "commit": None}]


@pytest.mark.usefixtures("called")
def test_a_failure_says_what_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(create_environment, "broken") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-3:] == ["It broke [a-z] [/red].", "stdout: [Errno 1] [type=x]", "Mend it."]


@pytest.mark.usefixtures("called")
def test_a_failure_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(create_environment, "broken", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "state": "failed",
        "category": "Failed",
        "summary": "It broke [a-z] [/red].",
        "detail": "stdout: [Errno 1] [type=x]",
        "hint": "Mend it.",
    }


@pytest.mark.parametrize(
    ("arguments", "path"),
    [(("Dev!",), "name"), (("dev", "--commit", "main"), "commit"), (("x" * 31,), "name")],
)
def test_a_parameter_that_cannot_be_right_is_refused_with_its_name(
    called: list[Any], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], path: str
) -> None:
    assert status(create_environment, *arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{path}: ")
    assert "Traceback" not in said.err
    assert called == []


def test_help_explains_parameters_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(destroy_environment, "--help") == 0
    said = capsys.readouterr().out
    for part in (
        "usage: python -m flows.destroy_environment [-h] --confirm CONFIRM [--json] name",
        "Delete an environment",
        "everything in it will be deleted",
        "Exit status: 0 done or in step, 2 drift found",
    ):
        assert part in " ".join(said.split())


@pytest.mark.parametrize("arguments", [(), ("dev",), ("dev", "--confirm", "dev", "--nonsense")])
def test_a_wrong_command_line_is_a_usage_error(
    called: list[Any], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert status(destroy_environment, *arguments) == 2
    assert "usage: python -m flows.destroy_environment" in capsys.readouterr().err
    assert called == []
