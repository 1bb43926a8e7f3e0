"""Routing by host and path."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.sandbox.controllers.ingress.routing import build, served
from deployments.sandbox.controllers.kube.resources import Obj


def ingress(name: str, *rules: Obj, created: int = 1, notes: dict[str, str] | None = None, **spec: Any) -> Obj:
    moment = f"2026-01-01T00:00:0{created}Z"
    metadata = {"name": name, "namespace": "n", "uid": name, "creationTimestamp": moment, "annotations": notes or {}}
    return {"metadata": metadata, "spec": {"rules": list(rules), **spec}}


def rule(host: str, *paths: tuple[str, str, str]) -> Obj:
    entries = [
        {"path": path, "pathType": kind, "backend": {"service": {"name": service}}} for path, kind, service in paths
    ]
    return {"host": host, "http": {"paths": entries}}


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "root"),
        ("/api", "api"),
        ("/api/v1", "api"),
        ("/apis", "root"),
        ("/api/exact", "exact"),
        ("/api/exact/x", "api"),
    ],
)
def test_the_longest_path_wins_by_element(path: str, service: str) -> None:
    paths = [("/", "Prefix", "root"), ("/api", "Prefix", "api"), ("/api/exact", "Exact", "exact")]
    host = build([ingress("i", rule("a.example", *paths))]).find("A.example.")
    assert host is not None
    route = host.route(path)
    assert route is not None
    assert route.service == ("n", service)


def test_the_oldest_ingress_has_the_host() -> None:
    old = ingress("old", rule("a.example", ("/", "Prefix", "old")), created=1)
    young = ingress("young", rule("a.example", ("/", "Prefix", "young")), created=2)
    table = build([young, old])
    host = table.hosts["a.example"]
    assert host.owner == ("n", "old")
    assert {route.service[1] for route in host.routes} == {"old"}
    assert table.collisions == {("n", "young"): ["a.example"]}


def test_a_name_is_found_itself_before_its_wildcard() -> None:
    table = build([ingress("i", rule("*.example", ("/", "Prefix", "any")), rule("a.example", ("/", "Prefix", "a")))])
    services = {}
    for name in ("a.example", "b.example", "a.b.example"):
        host = table.find(name)
        route = host.route("/") if host else None
        services[name] = route.service[1] if route else None
    assert services == {"a.example": "a", "b.example": "any", "a.b.example": None}


def test_tls_names_its_secret_or_leaves_it_to_the_wildcard() -> None:
    tls = [{"hosts": ["a.example"], "secretName": "a"}, {"hosts": ["b.example"]}]
    hosts = build([ingress("i", rule("a.example"), rule("b.example"), rule("c.example"), tls=tls)]).hosts
    assert [(hosts[name].tls, hosts[name].secret) for name in ("a.example", "b.example", "c.example")] == [
        (True, ("n", "a")),
        (True, None),
        (False, None),
    ]


@pytest.mark.parametrize(
    ("spec", "notes", "is_default", "expected"),
    [
        ({"ingressClassName": "nginx"}, {}, False, True),
        ({"ingressClassName": "other"}, {}, True, False),
        ({}, {"kubernetes.io/ingress.class": "nginx"}, False, True),
        ({}, {}, True, True),
        ({}, {}, False, False),
    ],
)
def test_the_class_decides(spec: Obj, notes: dict[str, str], is_default: bool, expected: bool) -> None:
    assert served(ingress("i", notes=notes, **spec), "nginx", is_default=is_default) is expected
