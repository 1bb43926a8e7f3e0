"""Fault injection: what is to go wrong, and how. Pure but for reading one file; standard library only.

Requests go wrong in the front proxy (frontproxy/faults.go), and what is behind an API in the drivers and backends. All
of them read the file (`faults.json` in the sandbox's home) again when it changes:

    {"seed": 1,
     "rules": [{"service": "magnum", "rate": 0.1, "kinds": ["500", "503", "429", "reset", "stall", "lost"],
                "stall_seconds": 10, "retry_after": 1, "methods": null, "path": null, "count": null},
               {"service": "kubernetes/dev", "kinds": ["latency"], "latency_ms": 20}],
     "clusters": {"dev": {"create": "fail", "delete": "hang", "reason": "No valid host was found.", "delay": 5}},
     "magnum": {"delay": 1},
     "load_balancers": {"kube_service_*_web_web": {"create": "fail", "delete": "hang", "reason": "No amphora."}},
     "volumes": {"pvc-*": {"delete": "fail", "detach": "fail"}},
     "floating_ips": "none",
     "dns": {"lag": {"ns2": 5.0}}}

The same seed and the same order of requests give the same faults. The rules' `service` is a service's name,
`kubernetes` for all clusters, `kubernetes/NAME` for one, or `*`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

KINDS = ("500", "503", "429", "reset", "stall", "lost")
"""An answer without work; no answer, without (`reset`) or after the work (`lost`); work after a while (`stall`)."""
STANDING = ("latency", "partition")
"""Befall every request of their rule: each takes longer, or is neither answered nor cut off until the rule is gone."""
SCENARIOS = ("fail", "hang")
VICTIMS = {
    "clusters": {"create", "delete", "delay"},
    "load_balancers": {"create", "delete"},
    "volumes": {"create", "delete", "detach"},
}
"""What can go wrong behind the APIs, with each kind of thing."""
LONGEST_DELAY = 50.0
"""Seconds: Magnum's API gives its conductor a minute to take up an upgrade."""
EXEMPT = "plumbline-sandbox/"
"""User agents that begin like this are the sandbox looking after itself."""
HEALTH = f"{EXEMPT}health"
"""Looks at whether something is ready; they are in no request log, either."""
BEYOND_GO = re.compile(r"\(\?(?:[=!]|<[=!]|P=)|\\[1-9]")
"""Looking ahead or behind, and back references: expressions that the front proxy does not know."""


class InvalidFaults(ValueError):
    """The faults file says something that has no meaning; the message says where."""


@dataclass(frozen=True)
class Rule:
    """Requests to fail.

    Args:
        service: name of a service, `kubernetes`, `kubernetes/NAME`, or `*`.
        rate: share of the matching requests, 0 to 1.
        kinds: which of KINDS, chosen evenly; or one of STANDING.
        stall_seconds: how long `stall` keeps the caller waiting.
        retry_after: seconds in the Retry-After header of 429 and 503.
        latency_ms: how much longer `latency` makes every request, ms.
        methods: HTTP methods it is limited to.
        path: regular expression the path has to contain.
        count: stop after this many faults of one service.
    """

    service: str
    rate: float = 1.0
    kinds: tuple[str, ...] = KINDS
    stall_seconds: float = 10.0
    retry_after: float = 1.0
    latency_ms: float = 0.0
    methods: tuple[str, ...] | None = None
    path: str | None = None
    count: int | None = None


@dataclass(frozen=True)
class Mishap:
    """How things of one name are to go wrong; None where they are not.

    What hangs stays under way until the mishap is taken away. A cluster's creation that fails makes no control plane; a
    deletion that fails has taken it away.

    Args:
        delay: seconds by which Magnum writes late about a cluster, if not those of all clusters.
    """

    create: str | None = None
    delete: str | None = None
    detach: str | None = None
    reason: str = "Injected by faults.json"
    delay: float | None = None


UNHARMED = Mishap()


def fate(mishaps: Mapping[str, Mishap], name: str) -> Mishap:
    """What is to befall a thing of this name: the first pattern that matches says; `*` and `?` stand for anything."""
    return next((mishap for pattern, mishap in mishaps.items() if fnmatchcase(name, pattern)), UNHARMED)


@dataclass(frozen=True)
class Faults:
    """The whole file.

    Args:
        delay: seconds after Magnum's answer until its conductor takes up what was asked.
    """

    seed: int = 1
    rules: tuple[Rule, ...] = ()
    clusters: Mapping[str, Mishap] = field(default_factory=dict)
    lag: Mapping[str, float] = field(default_factory=dict)
    delay: float = 0
    load_balancers: Mapping[str, Mishap] = field(default_factory=dict)
    volumes: Mapping[str, Mishap] = field(default_factory=dict)
    no_floating_ips: bool = False
    """The pool of floating IPs is exhausted."""

    def delay_of(self, cluster: str) -> float:
        """By how many seconds Magnum writes late about a cluster."""
        own = fate(self.clusters, cluster).delay
        return self.delay if own is None else own


def parse(document: Any) -> Faults:
    """Check and convert the file's content.

    Raises:
        InvalidFaults: with the place that is wrong.
    """
    if not isinstance(document, dict):
        raise InvalidFaults("The faults file is not a JSON object.")
    try:
        return Faults(
            seed=int(document.get("seed", 1)),
            rules=tuple(_rule(number, rule) for number, rule in enumerate(document.get("rules") or [])),
            lag={name: float(value) for name, value in ((document.get("dns") or {}).get("lag") or {}).items()},
            delay=_seconds("magnum.delay", (document.get("magnum") or {}).get("delay", 0)),
            **{victim: _mishaps(victim, document.get(victim) or {}) for victim in VICTIMS},
            no_floating_ips=document.get("floating_ips") == "none",
        )
    except InvalidFaults:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        raise InvalidFaults(f"The faults file is malformed: {error}") from error


def _rule(number: int, raw: dict[str, Any]) -> Rule:
    where = f"rules[{number}]"
    unknown = sorted(raw.keys() - Rule.__dataclass_fields__.keys())
    if unknown:
        raise InvalidFaults(f"{where} has unknown fields: {', '.join(unknown)}.")
    if "service" not in raw:
        raise InvalidFaults(f"{where} names no service.")
    given = {key: value for key, value in raw.items() if value is not None}
    for key in ("kinds", "methods"):
        if key in given:
            given[key] = tuple(str(item) for item in given[key])
    rule = Rule(**given)
    if not rule.kinds or set(rule.kinds) - {*KINDS, *STANDING}:
        raise InvalidFaults(f"{where}.kinds: only {', '.join((*KINDS, *STANDING))} are known.")
    if set(rule.kinds) & set(STANDING) and (len(rule.kinds), rule.rate, rule.count) != (1, 1, None):
        raise InvalidFaults(f"{where}: {' and '.join(STANDING)} stand alone, without rate and count.")
    if ("latency" in rule.kinds) != (rule.latency_ms > 0):
        raise InvalidFaults(f"{where}: latency and a latency_ms above 0 belong together.")
    if not 0 <= rule.rate <= 1:
        raise InvalidFaults(f"{where}.rate is {rule.rate}, not between 0 and 1.")
    if rule.path is not None:
        try:
            re.compile(rule.path)
        except re.error as error:
            raise InvalidFaults(f"{where}.path is no regular expression: {error}") from error
        if BEYOND_GO.search(rule.path):
            raise InvalidFaults(f"{where}.path looks around or back, which the front proxy cannot.")
    return rule


def _mishaps(victim: str, document: Mapping[str, Mapping[str, Any]]) -> dict[str, Mishap]:
    """Mishaps by pattern of the name."""
    found = {}
    for pattern, raw in document.items():
        where = f"{victim}.{pattern}"
        unknown = sorted(raw.keys() - VICTIMS[victim] - {"reason"})
        if unknown:
            raise InvalidFaults(f"{where} has unknown fields: {', '.join(unknown)}.")
        given = {key: value for key, value in raw.items() if value not in (None, "")}
        for doing, how in given.items():
            if doing == "delay":
                given[doing] = _seconds(f"{where}.delay", how)
            elif doing != "reason" and how not in SCENARIOS:
                raise InvalidFaults(f"{where}.{doing} is {how!r}, not one of {', '.join(SCENARIOS)}.")
        found[pattern] = Mishap(**given)
    return found


def _seconds(where: str, value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds <= LONGEST_DELAY:
        raise InvalidFaults(f"{where} is {seconds:g}, not between 0 and {LONGEST_DELAY:g} seconds.")
    return seconds


class FaultFile:
    """The faults as the file says at this moment; an unreadable one keeps the last good one in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = (0, 0)
        self._faults = Faults()

    def current(self) -> Faults:
        """The faults in force."""
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
            except FileNotFoundError:
                stamp = None
            if stamp != self._stamp:
                self._stamp = stamp
                with suppress(OSError, ValueError):
                    self._faults = parse(json.loads(self._path.read_text())) if stamp else Faults()
            return self._faults
