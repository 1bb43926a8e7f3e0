"""Which requests fail, the WSGI middleware that makes them fail, and the command that edits the file."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox import faults as command
from deployments.sandbox.openstack import mishaps
from deployments.sandbox.openstack.faults import FaultFile, InvalidFaults, Scenario, parse
from deployments.sandbox.openstack.middleware import HEALTH, RESET, Middleware, RequestLog
from deployments.sandbox.openstack.mishaps import Mishap
from infra.clients.errors import InvalidInput


def write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))
    # Two writes within one tick of the file system's clock would look alike.
    os.utime(path, ns=(0, write.__dict__.setdefault("tick", 0)))
    write.__dict__["tick"] += 1


def rule(**values: Any) -> dict[str, Any]:
    return {"rules": [{"service": "*", **values}]}


def test_rates_and_seeds(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    write(path, {"seed": 7, **rule(rate=0.1, kinds=["500", "reset"])})

    def run() -> list[str | None]:
        decisions = (FaultFile(path, "nova").decide("GET", "/") for _ in range(1))
        file = FaultFile(path, "nova")
        list(decisions)
        return [fault.kind if (fault := file.decide("GET", "/")) else None for _ in range(2000)]

    first = run()
    counts = Counter(first)
    assert first == run()
    assert 150 < 2000 - counts[None] < 250
    assert min(counts["500"], counts["reset"]) > 60


@pytest.mark.parametrize(
    ("values", "struck"),
    [
        ({"service": "nova"}, True),
        ({"service": "glance"}, False),
        ({"methods": ["POST"]}, False),
        ({"path": r"^/v2\.1/flavors"}, True),
        ({"path": "/images"}, False),
        ({"rate": 0}, False),
    ],
)
def test_a_rule_is_about_some_requests(tmp_path: Path, values: dict[str, Any], struck: bool) -> None:
    path = tmp_path / "faults.json"
    write(path, rule(**values))
    assert (FaultFile(path, "nova").decide("GET", "/v2.1/flavors") is not None) is struck


def test_counts_run_out_and_a_changed_file_counts_anew(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    file = FaultFile(path, "nova")
    assert file.decide("GET", "/") is None
    for _ in range(2):
        write(path, rule(count=2, kinds=["503"]))
        assert [file.decide("GET", "/") is not None for _ in range(3)] == [True, True, False]
    path.unlink()
    assert file.decide("GET", "/") is None


def test_the_sandbox_itself_is_exempt(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    write(path, rule())
    file = FaultFile(path, "nova")
    assert file.decide("GET", "/", HEALTH) is None
    assert file.decide("GET", "/", "openstacksdk/4.22.0") is not None


def test_a_broken_file_keeps_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    write(path, rule(kinds=["429"], retry_after=3))
    file = FaultFile(path, "nova")
    assert file.decide("GET", "/") is not None
    path.write_text("{")
    fault = file.decide("GET", "/")
    assert fault is not None
    assert (fault.kind, fault.retry_after) == ("429", 3)
    assert file.problem


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a JSON object"),
        ({"rules": [{"rate": 1}]}, r"rules\[0\] names no service"),
        ({"rules": [{"service": "*", "speed": 1}]}, "unknown fields: speed"),
        ({"rules": [{"service": "*", "kinds": ["418"]}]}, "only 500, 503"),
        ({"rules": [{"service": "*", "rate": 2}]}, "not between 0 and 1"),
        ({"rules": [{"service": "*", "path": "("}]}, "no regular expression"),
        ({"clusters": {"dev": {"create": "explode"}}}, "clusters.dev.create"),
        ({"clusters": {"dev": {"delete": "explode"}}}, "clusters.dev.delete"),
        ({"load_balancers": {"a": {"delete": "explode"}}}, "load_balancers.a.delete"),
        ({"load_balancers": {"a": {"detach": "fail"}}}, "unknown fields: detach"),
        ({"volumes": {"a": {"burn": "fail"}}}, "volumes.a has unknown fields: burn"),
        ({"rules": [7]}, "malformed"),
        ({"magnum": {"delay": 60}}, "magnum.delay is 60, not between 0 and 50"),
        ({"clusters": {"dev": {"delay": -1}}}, "clusters.dev.delay is -1"),
        ({"magnum": {"delay": "late"}}, "malformed"),
    ],
)
def test_nonsense_is_named(document: Any, message: str) -> None:
    with pytest.raises(InvalidFaults, match=message):
        parse(document)


class Served:
    """A service behind the middleware."""

    def __init__(self, folder: Path) -> None:
        self.slept: list[float] = []
        self.reset = 0
        self.served = 0
        self.status = ""
        self.headers: dict[str, str] = {}
        log = RequestLog(folder / "requests.jsonl", "nova")
        self._folder = folder
        self._middleware = Middleware(self._service, log, FaultFile(folder / "faults.json", "nova"), self.slept.append)

    def _service(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.served += 1
        start_response("204 No Content", [])
        return [b""]

    def call(self, **environ: Any) -> bytes:
        def start_response(status: str, headers: list[tuple[str, str]], *rest: Any) -> None:
            self.status, self.headers = status, dict(headers)

        def reset() -> None:
            self.reset += 1

        base = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1", RESET: reset}
        return b"".join(self._middleware(base | environ, start_response))

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._folder / "requests.jsonl").read_text().splitlines()]


def test_requests_are_logged_and_health_checks_are_not(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.call(HTTP_USER_AGENT="curl", QUERY_STRING="a=b")
    served.call(HTTP_USER_AGENT=HEALTH)
    assert [{key: row[key] for key in row.keys() - {"t"}} for row in served.log()] == [
        {"service": "nova", "method": "GET", "path": "/v1?a=b", "status": 204, "ua": "curl"}
    ]
    assert (tmp_path / "requests.jsonl").stat().st_mode & 0o777 == 0o600


def test_injected_answers(tmp_path: Path) -> None:
    served = Served(tmp_path)
    write(tmp_path / "faults.json", rule(kinds=["429"], retry_after=2.5))
    assert b"faults.json" in served.call()
    assert (served.status, served.headers["Retry-After"]) == ("429 Too Many Requests", "2.5")
    write(tmp_path / "faults.json", rule(kinds=["reset"]))
    served.call()
    assert served.reset == 1
    write(tmp_path / "faults.json", rule(kinds=["stall"], stall_seconds=4))
    served.call()
    assert served.slept == [4]
    assert served.status == "204 No Content"
    assert [row["status"] for row in served.log()] == [429, 0, 204]


def test_an_answer_that_is_lost_after_the_work(tmp_path: Path) -> None:
    served = Served(tmp_path)
    write(tmp_path / "faults.json", rule(kinds=["lost"]))
    assert served.call(REQUEST_METHOD="POST") == b""
    assert (served.served, served.reset) == (1, 1)
    assert served.log()[0]["status"] == 204
    served.call()
    assert (served.served, served.reset) == (1, 2)


def run(path: Path, *argv: str) -> str:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(argv), path)


def test_the_command_adds_shows_and_clears(tmp_path: Path) -> None:
    path = tmp_path / "home/faults.json"
    run(path, "set", "--service", "magnum", "--rate", "0.2", "--kind", "503", "--count", "3", "--seed", "9")
    run(path, "set", "--cluster", "dev", "--create", "fail", "--reason", "No host", "--lag", "ns2=1.5")
    document = json.loads(run(path, "show"))
    assert (document["seed"], document["rules"][0]["kinds"], document["dns"]) == (9, ["503"], {"lag": {"ns2": 1.5}})
    assert parse(document).clusters["dev"] == Scenario(create="fail", delete=None, reason="No host")
    run(path, "set", "--cluster", "dev", "--delete", "hang")
    known = parse(json.loads(run(path, "show"))).clusters["dev"]
    assert known == Scenario(create=None, delete="hang", reason="Injected by faults.json")
    run(path, "set", "--magnum-delay", "1.5")
    run(path, "set", "--cluster", "slow", "--magnum-delay", "10")
    delays = parse(json.loads(run(path, "show")))
    assert [delays.delay_of(name) for name in ("dev", "slow", "other")] == [1.5, 10, 1.5]
    run(path, "set", "--load-balancer", "kube_service_dev_*", "--create", "fail", "--floating-ips", "none")
    run(path, "set", "--volume", "pvc-?", "--detach", "hang", "--reason", "Busy.")
    now = parse(json.loads(run(path, "show")))
    assert mishaps.of(now.load_balancers, "kube_service_dev_web_one") == Mishap(create="fail")
    assert mishaps.of(now.load_balancers, "kube_service_prod_web_one") == mishaps.UNHARMED
    assert (mishaps.of(now.volumes, "pvc-1"), now.no_floating_ips) == (Mishap(detach="hang", reason="Busy."), True)
    run(path, "clear")
    assert not path.exists()
    assert parse(json.loads(run(path, "show"))) == parse({})


@pytest.mark.parametrize(
    "argv",
    [
        *(["set"], ["set", "--cluster", "dev"], ["set", "--lag", "ns2"], ["set", "--service", "*", "--rate", "7"]),
        *(["set", "--create", "fail"], ["set", "--magnum-delay", "100"]),
        ["set"],
        ["set", "--cluster", "dev"],
        ["set", "--lag", "ns2"],
        ["set", "--service", "*", "--rate", "7"],
        ["set", "--cluster", "dev", "--volume", "one", "--delete", "fail"],
        ["set", "--cluster", "dev", "--detach", "fail"],
        ["set", "--delete", "fail", "--seed", "1"],
    ],
)
def test_the_command_refuses_nonsense_and_leaves_the_file(tmp_path: Path, argv: list[str]) -> None:
    path = tmp_path / "faults.json"
    with pytest.raises(InvalidInput):
        run(path, *argv)
    assert not path.exists()
