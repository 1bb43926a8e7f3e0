"""`python -m deployments.sandbox faults`: edits faults.json, which is read again when it changes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from deployments.sandbox.layout import write_json
from deployments.sandbox.openstack.faults import KINDS, SCENARIOS, STANDING, InvalidFaults, parse
from infra.clients.errors import InvalidInput

VICTIMS = {"cluster": "clusters", "load_balancer": "load_balancers", "volume": "volumes"}
"""Where faults.json keeps what goes wrong behind an API, by the option that names it."""
EMPTY: dict[str, Any] = {"seed": 1, "rules": [], "clusters": {}, "magnum": {"delay": 0}, "dns": {"lag": {}}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    added = actions.add_parser("set", help="add faults", description="Add to what is set; `clear` removes everything.")
    added.add_argument("--service", help="a service's name, kubernetes, kubernetes/CLUSTER, or * for all")
    added.add_argument("--rate", type=float, default=1.0, help="share of requests that fail, 0 to 1 (default 1)")
    added.add_argument(
        "--kind",
        action="append",
        choices=(*KINDS, *STANDING),
        help="how they fail; may be repeated (default: all but latency and partition, which befall every request)",
    )
    added.add_argument("--method", action="append", help="only this HTTP method; may be repeated")
    added.add_argument("--path", help="only paths that contain this regular expression")
    added.add_argument("--count", type=int, help="stop after so many faults")
    added.add_argument("--stall-seconds", type=float, default=10.0, help="how long `stall` takes (default 10)")
    added.add_argument("--retry-after", type=float, default=1.0, help="Retry-After of 429 and 503, s (default 1)")
    added.add_argument("--latency-ms", type=float, default=0.0, help="how much longer `latency` makes requests, ms")
    added.add_argument("--seed", type=int, help="seed of the randomness")
    added.add_argument("--cluster", help="a cluster that is to go wrong, see --create and --delete")
    added.add_argument("--load-balancer", metavar="NAME", help="load balancers likewise, `*` stands for anything")
    added.add_argument("--volume", metavar="NAME", help="volumes likewise, and --detach")
    added.add_argument("--create", choices=SCENARIOS, help="how its creation goes wrong")
    added.add_argument("--delete", choices=SCENARIOS, help="how its deletion goes wrong: `fail` half-way")
    added.add_argument("--detach", choices=SCENARIOS, help="how the detachment of a volume goes wrong")
    added.add_argument("--floating-ips", choices=["none"], help="have the pool of floating IPs exhausted")
    added.add_argument("--reason", help="the status reason of what failed")
    added.add_argument(
        "--magnum-delay", type=float, metavar="SECONDS", help="have Magnum write late, for --cluster or for all"
    )
    added.add_argument("--lag", action="append", metavar="SERVER=SECONDS", help="have ns1 or ns2 lag behind")
    actions.add_parser("clear", help="remove all faults", description="Remove all faults.")
    actions.add_parser("show", help="print what is set", description="Print what is set, as JSON.")


def run(arguments: argparse.Namespace, path: Path) -> str:
    """Carry out the command on the file; returns what is to be printed.

    Args:
        path: faults.json.

    Raises:
        InvalidInput: what is asked for has no meaning; the file stays as it is.
    """
    document = json.loads(path.read_text()) if path.exists() else json.loads(json.dumps(EMPTY))
    if arguments.action == "show":
        return json.dumps(document, indent=2)
    if arguments.action == "clear":
        path.unlink(missing_ok=True)
        return "All faults are cleared."
    _add(document, arguments)
    try:
        parse(document)
    except InvalidFaults as error:
        raise InvalidInput(str(error)) from error
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path, document)
    return json.dumps(document, indent=2)


def _add(document: dict[str, Any], arguments: argparse.Namespace) -> None:
    victims = {each: getattr(arguments, each) for each in VICTIMS if getattr(arguments, each)}
    delay = arguments.magnum_delay
    others = (arguments.service, arguments.lag, arguments.floating_ips)
    if not victims and not any(others) and arguments.seed is None and delay is None:
        names = ", ".join(f"--{each.replace('_', '-')}" for each in VICTIMS)
        hint = f"Give --service, {names}, --floating-ips, --magnum-delay, --lag or --seed."
        raise InvalidInput("Nothing to set.", hint=hint)
    doings = {doing: getattr(arguments, doing) for doing in ("create", "delete", "detach") if getattr(arguments, doing)}
    late = "cluster" in victims and delay is not None
    if len(victims) > 1 or bool(victims) != (bool(doings) or late):
        raise InvalidInput("--create, --delete and --detach say what befalls one cluster, load balancer or volume.")
    if "detach" in doings and "volume" not in victims:
        raise InvalidInput("--detach is for a --volume.")
    if arguments.seed is not None:
        document["seed"] = arguments.seed
    if arguments.service:
        rule = {
            "service": arguments.service,
            "rate": arguments.rate,
            "kinds": arguments.kind or list(KINDS),
            "stall_seconds": arguments.stall_seconds,
            "retry_after": arguments.retry_after,
            "latency_ms": arguments.latency_ms,
            "methods": arguments.method,
            "path": arguments.path,
            "count": arguments.count,
        }
        document.setdefault("rules", []).append(rule)
    if delay is not None and not late:
        document["magnum"] = {"delay": delay}
    for victim, name in victims.items():
        more = {"reason": arguments.reason} if arguments.reason else {}
        more |= {"delay": delay} if late else {}
        document.setdefault(VICTIMS[victim], {})[name] = doings | more
    if arguments.floating_ips:
        document["floating_ips"] = arguments.floating_ips
    for entry in arguments.lag or ():
        server, _, seconds = entry.partition("=")
        try:
            document.setdefault("dns", {}).setdefault("lag", {})[server] = float(seconds)
        except ValueError as error:
            raise InvalidInput(f"--lag {entry!r} is not SERVER=SECONDS.") from error
