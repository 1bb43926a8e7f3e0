"""The sandbox: `python -m deployments.sandbox up|down|status|reset|install|kubeconfig|faults`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from deployments.sandbox import faults, lifecycle
from deployments.sandbox.layout import Layout
from deployments.sandbox.settings import SandboxSettings, get_sandbox_settings
from infra.clients.errors import PlumblineError

NOT_RUNNING = 3
"""Exit status of `status` when there is nothing, as service managers have it."""

COLOURS = {"ready": "green", "starting": "yellow", "restarting": "red", "stopped": "dim"}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m deployments.sandbox",
        description="An OpenStack cloud on this machine: Keystone, Nova, Glance, Magnum, Designate and clusters.",
        epilog="Settings: PLUMBLINE_SANDBOX_HOME, PLUMBLINE_SANDBOX_PORT_BASE …, see deployments/sandbox/settings.py.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    command("up", "Start everything and wait until it is ready; what runs already is left alone.")
    command("down", "Stop everything and keep its state.")
    command("reset", "Stop everything and forget its state.")
    command("install", "Build and install what every start needs: upstream's programs, OpenStack.")
    shown = command("status", "Show what runs. Exit status: 0 all ready, 1 something is not, 3 nothing runs.")
    shown.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    kubeconfig = command("kubeconfig", "Print the path of a cluster's administrator kubeconfig.")
    kubeconfig.add_argument("name", help="the cluster's name or UUID")
    faults.add_arguments(command("faults", "Make requests fail, creations hang or a name server lag."))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = parser().parse_args(argv)
    os.umask(0o077)
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return run(arguments, get_sandbox_settings(), Console(highlight=False), messages)
    except PlumblineError as error:
        messages.print(str(error), style="red", markup=False)
    except ValidationError as error:
        for problem in error.errors():
            place = "_".join(str(part) for part in problem["loc"]).upper()
            messages.print(f"PLUMBLINE_SANDBOX_{place}: {problem['msg']}", style="red", markup=False)
    return 1


def run(arguments: argparse.Namespace, settings: SandboxSettings, out: Console, messages: Console) -> int:
    """Carry out a parsed command."""

    def say(text: str) -> None:
        messages.print(text, markup=False)

    match arguments.command:
        case "up":
            summary(settings, lifecycle.up(settings, say), out)
        case "down":
            say("The sandbox is stopped." if lifecycle.down(settings, say) else "The sandbox was not running.")
        case "reset":
            lifecycle.reset(settings, say)
            say("The sandbox's state is forgotten.")
        case "install":
            lifecycle.install_once(settings, say)
        case "kubeconfig":
            out.print(str(lifecycle.kubeconfig(settings, arguments.name)), markup=False, soft_wrap=True)
        case "faults":
            path = Layout(settings.home.absolute()).faults
            out.print(faults.run(arguments, path), markup=False, soft_wrap=True)
        case _:
            return _status(lifecycle.status(settings), out, as_json=arguments.json)
    return 0


def _status(now: dict[str, Any] | None, out: Console, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(now or {"ready": False, "services": [], "clusters": []}, indent=2))
    elif now is None:
        out.print("The sandbox is not running.")
    else:
        show(now, out)
    if now is None:
        return NOT_RUNNING
    return 0 if now["ready"] else 1


def show(now: dict[str, Any], out: Console) -> None:
    """Print the status as tables."""
    table = Table("service", "state", "port", "pid", "restarts", "remark", title="Sandbox", title_justify="left")
    for row in now["services"]:
        _add(table, row, row["name"])
    out.print(table)
    if now["content"] != "seeded":
        out.print(f"Content: {now['content']}", markup=False)
    if now["clusters"]:
        columns = ("cluster", "state", "port", "pid", "restarts", "remark")
        clusters = Table(*columns, title="Clusters", title_justify="left")
        for row in now["clusters"]:
            _add(clusters, row["api"], f"{row['name']} {row['version']}, {row['nodes']} nodes")
            _add(clusters, row["controllers"], f"{row['name']} controllers")
        out.print(clusters)


def _add(table: Table, row: dict[str, Any], label: str) -> None:
    state = f"[{COLOURS[row['state']]}]{row['state']}[/]"
    table.add_row(label, state, str(row["port"] or ""), str(row["pid"] or ""), str(row["restarts"]), row["detail"])


def summary(settings: SandboxSettings, now: dict[str, Any], out: Console) -> None:
    """Print what a sandbox that is ready has to offer."""
    layout = Layout(settings.home.absolute())
    names = ", ".join(row["name"] for row in now["services"])
    lines = (
        f"The sandbox is ready: {names}.",
        f"  Keystone   {settings.url('keystone', '/v3')}  (clouds `sandbox` and `sandbox-admin` in {layout.clouds})",
        f"  Git        {layout.git / 'environments.git'}",
        f"  Clusters   {len(now['clusters'])}",
        f"  Your shell source {layout.environment}",
    )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
