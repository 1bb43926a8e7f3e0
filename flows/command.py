"""A flow as a command: the same flow in the foreground, in a terminal or a CI job."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Our own log lines belong into the flow run's log. Prefect reads this once, when it is imported.
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "infra")

from prefect.flows import Flow
from pydantic import BaseModel, ValidationError
from rich.console import Console

from infra.clients.errors import Failed, PlumblineError

EXIT_STATUS = (
    "Exit status: 0 done or in step, 2 drift found (or not everything could be looked at) or approval needed, 1 failed."
)


Formats = Mapping[str, Callable[[Any], str]]
"""By name, how a result can be printed; the first is the default. As JSON every one can be."""


def main(flow: Flow[..., Any], arguments: Sequence[str] | None = None, *, formats: Formats | None = None) -> None:
    """Run `flow` with the command line's arguments and exit with its status.

    Args:
        formats: for a flow whose result is a document: how it can be printed, or written to a file.
    """
    # Prefect keeps a failed run's exception in a file: ours alone, like everything else that a run writes.
    os.umask(0o077)
    parsed = vars(_parser(flow, formats or {}).parse_args(arguments))
    as_json = parsed.pop("json")
    chosen, output = parsed.pop("format", None), parsed.pop("output", None)
    as_json = as_json or chosen == "json"
    form = _json if as_json else formats[chosen] if formats else None
    status = _run(flow, parsed, form, output, as_json=as_json)
    # The interpreter looks for garbage among everything before it ends: half a second for nothing.
    gc.freeze()
    sys.exit(status)


def _json(result: object) -> str:
    return result.model_dump_json() if isinstance(result, BaseModel) else ""


def _run(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    form: Callable[[Any], str] | None,
    output: Path | None,
    *,
    as_json: bool,
) -> int:
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        validated = flow.validate_parameters(parameters)
    except Exception as error:
        console.print(_reason(error), style="red")
        return 1
    try:
        # Prefect prints its log to stdout; that has to stay clean for the document.
        with contextlib.redirect_stdout(sys.stderr):
            result = asyncio.run(flow(**validated))
        if form is not None:
            _deliver(form(result), output)
    except (asyncio.CancelledError, KeyboardInterrupt):
        cancelled = Failed("The run was cancelled.", hint="Start it again: it looks at what is there and goes on.")
        return _failed(cancelled, console, as_json=as_json)
    except PlumblineError as error:
        return _failed(error, console, as_json=as_json)
    if form is None or output is not None:
        console.print(getattr(result, "sentence", lambda: str(result))())
    return int(getattr(result, "exit_status", 0))


def _deliver(document: str, output: Path | None) -> None:
    """Print a document, or write it to a file as it is."""
    if output is None:
        sys.stdout.write(document if document.endswith("\n") or not document else f"{document}\n")
        return
    try:
        output.write_text(document, encoding="utf-8", newline="")
    except OSError as error:
        raise Failed(f"{output} cannot be written: {error.strerror}.") from error


def _failed(error: PlumblineError, console: Console, *, as_json: bool) -> int:
    console.print(error.summary, style="red")
    for line in (error.detail, error.hint):
        if line:
            console.print(line)
    if as_json:
        print(_failure(error))
    return 1


def _parser(flow: Flow[..., Any], formats: Formats) -> argparse.ArgumentParser:
    described = flow.parameters.properties
    parser = argparse.ArgumentParser(
        prog=f"python -m {flow.fn.__module__ if flow.fn.__module__ != '__main__' else _module(flow)}",
        description=(inspect.getdoc(flow.fn) or "").split("\n\nArgs:")[0],
        epilog=EXIT_STATUS,
    )
    for name, schema in described.items():
        required = name in (flow.parameters.required or [])
        positional = name == "name" and required
        flags = [name] if positional else [f"--{name.replace('_', '-')}"]
        extra: dict[str, Any] = {} if positional else {"required": required, "default": schema.get("default")}
        if schema.get("type") == "boolean":
            extra = {"action": "store_true"}
        parser.add_argument(*flags, help=schema.get("description"), **extra)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document on stdout")
    if formats:
        default = next(iter(formats))
        parser.add_argument(
            "--format", choices=[*formats, "json"], default=default, help=f"how to print it ({default})"
        )
        parser.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of to stdout")
    return parser


def _module(flow: Flow[..., Any]) -> str:
    return f"flows.{flow.fn.__name__}"


def _reason(error: Exception) -> str:
    # Prefect raises its own error in place of the model's, with the same sentences under a heading.
    cause = error.__context__
    if isinstance(cause, ValidationError):
        return "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in cause.errors())
    return str(error)


def _failure(error: PlumblineError) -> str:
    class Failure(BaseModel):
        state: str = "failed"
        category: str
        summary: str
        detail: str | None
        hint: str | None

    return Failure(
        category=error.category, summary=error.summary, detail=error.detail, hint=error.hint
    ).model_dump_json()
