"""What faults.json may say, and the command that edits it; test_front_proxy.py has what becomes of it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox import faults as command
from deployments.sandbox.openstack.faults import UNHARMED, FaultFile, Faults, InvalidFaults, Mishap, Rule, fate, parse
from infra.clients.errors import InvalidInput


def write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))
    # Two writes within one tick of the file system's clock would look alike.
    os.utime(path, ns=(0, write.__dict__.setdefault("tick", 0)))
    write.__dict__["tick"] += 1


def test_a_broken_file_keeps_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    file = FaultFile(path)
    assert file.current() == Faults()
    write(path, {"dns": {"lag": {"ns2": 3}}})
    assert file.current().lag == {"ns2": 3}
    path.write_text("{")
    assert file.current().lag == {"ns2": 3}
    path.unlink()
    assert file.current() == Faults()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a JSON object"),
        ({"rules": [{"rate": 1}]}, r"rules\[0\] names no service"),
        ({"rules": [{"service": "*", "speed": 1}]}, "unknown fields: speed"),
        ({"rules": [{"service": "*", "kinds": ["418"]}]}, "only 500, 503"),
        ({"rules": [{"service": "*", "rate": 2}]}, "not between 0 and 1"),
        ({"rules": [{"service": "*", "path": "("}]}, "no regular expression"),
        ({"rules": [{"service": "*", "path": "(?!a)b"}]}, "looks around or back"),
        ({"rules": [{"service": "*", "kinds": ["latency"]}]}, "latency_ms above 0"),
        ({"rules": [{"service": "*", "latency_ms": 5}]}, "latency_ms above 0"),
        ({"rules": [{"service": "*", "kinds": ["partition", "500"]}]}, "stand alone"),
        ({"rules": [{"service": "*", "kinds": ["partition"], "rate": 0.5}]}, "stand alone"),
        ({"rules": [{"service": "*", "kinds": ["partition"], "count": 1}]}, "stand alone"),
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
    assert parse(document).clusters["dev"] == Mishap(create="fail", reason="No host")
    run(path, "set", "--cluster", "dev", "--delete", "hang")
    known = parse(json.loads(run(path, "show"))).clusters["dev"]
    assert known == Mishap(delete="hang")
    run(path, "set", "--service", "kubernetes/dev", "--kind", "latency", "--latency-ms", "20")
    assert parse(json.loads(run(path, "show"))).rules[1] == Rule("kubernetes/dev", kinds=("latency",), latency_ms=20)
    run(path, "set", "--magnum-delay", "1.5")
    run(path, "set", "--cluster", "slow", "--magnum-delay", "10")
    delays = parse(json.loads(run(path, "show")))
    assert [delays.delay_of(name) for name in ("dev", "slow", "other")] == [1.5, 10, 1.5]
    run(path, "set", "--load-balancer", "kube_service_*_web_one", "--create", "fail", "--floating-ips", "none")
    run(path, "set", "--volume", "pvc-?", "--detach", "hang", "--reason", "Busy.")
    now = parse(json.loads(run(path, "show")))
    assert fate(now.load_balancers, "kube_service_5d9f9a2c_web_one") == Mishap(create="fail")
    assert fate(now.load_balancers, "kube_service_5d9f9a2c_web_two") == UNHARMED
    assert (fate(now.volumes, "pvc-1"), now.no_floating_ips) == (Mishap(detach="hang", reason="Busy."), True)
    run(path, "clear")
    assert not path.exists()
    assert parse(json.loads(run(path, "show"))) == parse({})


@pytest.mark.parametrize(
    "argv",
    [
        *(["set"], ["set", "--cluster", "dev"], ["set", "--lag", "ns2"], ["set", "--service", "*", "--rate", "7"]),
        *(["set", "--create", "fail"], ["set", "--magnum-delay", "100"]),
        ["set", "--cluster", "dev", "--volume", "one", "--delete", "fail"],
        ["set", "--cluster", "dev", "--detach", "fail"],
        ["set", "--delete", "fail", "--seed", "1"],
        ["set", "--service", "*", "--kind", "latency"],
    ],
)
def test_the_command_refuses_nonsense_and_leaves_the_file(tmp_path: Path, argv: list[str]) -> None:
    path = tmp_path / "faults.json"
    with pytest.raises(InvalidInput):
        run(path, *argv)
    assert not path.exists()
