"""A flow as a command: what stands on stdout, what on stderr, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from flows import command
from flows.create_environment import create_environment
from flows.destroy_environment import destroy_environment
from flows.drift_report import drift_report
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

    for flow in (create_environment, destroy_environment, drift_report):
        monkeypatch.setattr(type(flow), "__call__", lambda _self, **given: body(**given))
    yield calls


def status(flow: Any, *arguments: str, **how: Any) -> int:
    with pytest.raises(SystemExit) as caught:
        command.main(flow, arguments, **how)
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


FORMATS = {"words": lambda result: f"state\r\n{result.state}"}


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ((), "state\r\nready\n"),
        (("--format", "words"), "state\r\nready\n"),
        (("--format", "json"), '{"state":"ready"}\n'),
        (("--json",), '{"state":"ready"}\n'),
        (("--json", "--format", "words"), '{"state":"ready"}\n'),
    ],
)
def test_a_document_is_printed_in_the_format_asked_for(
    called: list[Any], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], out: str
) -> None:
    assert status(drift_report, "--name", "dev", "--days", "7", *arguments, formats=FORMATS) == 0
    assert capsys.readouterr().out == out
    assert called == [{"name": "dev", "days": 7}]


def test_a_document_is_written_as_it_is_and_the_sentence_is_said(
    called: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status(drift_report, "--output", str(tmp_path / "out"), formats=FORMATS) == 0
    assert (tmp_path / "out").read_bytes() == b"state\r\nready"
    said = capsys.readouterr()
    assert said.out == "" and "[bold]more[/bold]" in said.err
    assert called == [{"name": None, "days": 30}], "a name that may be left out is an option"


@pytest.mark.usefixtures("called")
def test_a_document_that_cannot_be_written_is_a_failure_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status(drift_report, "--output", str(tmp_path / "none/out"), formats=FORMATS) == 1
    assert f"{tmp_path}/none/out cannot be written: No such file or directory." in capsys.readouterr().err


@pytest.mark.usefixtures("called")
def test_a_failure_is_a_document_in_the_format_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(drift_report, "--name", "broken", "--format", "json", formats=FORMATS) == 1
    assert json.loads(capsys.readouterr().out)["category"] == "Failed"
    assert status(drift_report, "--name", "broken", formats=FORMATS) == 1
    assert capsys.readouterr().out == ""


def test_a_format_nobody_knows_is_a_usage_error(called: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(drift_report, "--format", "xml", formats=FORMATS) == 2
    assert status(create_environment, "dev", "--format", "json") == 2
    assert "unrecognized arguments: --format" in capsys.readouterr().err
    assert called == []
