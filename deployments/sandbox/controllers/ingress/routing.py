"""Which Ingress serves which host and path, and with which certificate. Pure.

F5's rules: the oldest Ingress with a host has it; only one marked `nginx.org/mergeable-ingress-type: minion` may add
paths to another's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from deployments.sandbox.controllers.kube.objects import annotated, deleting, key_of
from deployments.sandbox.controllers.kube.resources import Key, Obj

MERGEABLE = "nginx.org/mergeable-ingress-type"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
REDIRECT_NOTES = ("nginx.org/redirect-to-https", "ingress.kubernetes.io/ssl-redirect")
ACME_PATH = "/.well-known/acme-challenge/"


@dataclass(frozen=True)
class Route:
    """One path of a host."""

    path: str
    exact: bool
    service: Key
    ingress: Key

    def takes(self, path: str) -> bool:
        """Whether a request path is this route's: prefixes count by path element."""
        if self.exact:
            return path == self.path
        prefix = self.path.rstrip("/")
        return not prefix or path == prefix or path.startswith(prefix + "/")


@dataclass
class Host:
    """All that is known of one host name."""

    owner: Key
    routes: list[Route] = field(default_factory=list)
    tls: bool = False
    secret: Key | None = None
    """Secret of the certificate; None means the wildcard or default one."""
    redirect: bool = True
    """Plain HTTP is sent on to TLS, where the host has TLS."""

    def route(self, path: str) -> Route | None:
        """The route of a path: exact ones first, then the longest prefix."""
        fitting = [route for route in self.routes if route.takes(path)]
        return max(fitting, key=lambda route: (route.exact, len(route.path)), default=None)


@dataclass
class Table:
    """All hosts, and who was refused one."""

    hosts: dict[str, Host] = field(default_factory=dict)
    collisions: dict[Key, list[str]] = field(default_factory=dict)

    def find(self, name: str) -> Host | None:
        """The host of a server name: itself, or the wildcard of its domain (RFC 6125: one label)."""
        name = name.lower().rstrip(".")
        _, _, parent = name.partition(".")
        return self.hosts.get(name) or self.hosts.get(f"*.{parent}") or self.hosts.get("")


def served(ingress: Obj, class_name: str, *, is_default: bool) -> bool:
    """Whether an Ingress is for this class."""
    asked = ingress["spec"].get("ingressClassName") or annotated(ingress).get(CLASS_ANNOTATION)
    if deleting(ingress):
        return False
    return asked == class_name if asked else is_default


def build(ingresses: Iterable[Obj]) -> Table:
    """The table for these Ingresses."""
    table = Table()
    ordered = sorted(ingresses, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["uid"]))
    minions = [each for each in ordered if annotated(each).get(MERGEABLE) == "minion"]
    for ingress in [each for each in ordered if each not in minions]:
        _claim(table, ingress)
    for ingress in minions:
        _add_paths(table, ingress)
    return table


def _claim(table: Table, ingress: Obj) -> None:
    key = key_of(ingress)
    blocks = ingress["spec"].get("tls") or []
    for rule in _rules(ingress):
        name = rule.get("host", "")
        host = table.hosts.setdefault(name, Host(owner=key))
        if host.owner != key:
            table.collisions.setdefault(key, []).append(name)
            continue
        block = next((each for each in blocks if name in (each.get("hosts") or [])), None)
        if block is not None:
            host.tls = True
            host.secret = (key[0], block["secretName"]) if block.get("secretName") else None
        host.redirect = not any(annotated(ingress).get(note) == "false" for note in REDIRECT_NOTES)
        host.routes += _routes(ingress, rule)


def _add_paths(table: Table, ingress: Obj) -> None:
    for rule in _rules(ingress):
        host = table.hosts.get(rule.get("host", ""))
        if host is None:
            table.collisions.setdefault(key_of(ingress), []).append(rule.get("host", ""))
        else:
            host.routes += _routes(ingress, rule)


def _rules(ingress: Obj) -> list[Obj]:
    rules = ingress["spec"].get("rules") or []
    return rules if rules or not ingress["spec"].get("defaultBackend") else [{"host": ""}]


def _routes(ingress: Obj, rule: Obj) -> list[Route]:
    namespace, _ = key = key_of(ingress)
    paths = (rule.get("http") or {}).get("paths") or []
    routes = [
        Route(each.get("path") or "/", each.get("pathType") == "Exact", (namespace, service), key)
        for each in paths
        if (service := _service(each["backend"])) is not None
    ]
    fallback = _service(ingress["spec"].get("defaultBackend") or {})
    if fallback is not None and not any(route.path == "/" and not route.exact for route in routes):
        routes.append(Route("/", False, (namespace, fallback), key))
    return routes


def _service(backend: Obj) -> str | None:
    name: str | None = (backend.get("service") or {}).get("name")
    return name
