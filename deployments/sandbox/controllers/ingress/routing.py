"""Which Ingress serves which host and path, and with which certificate. Pure.

F5's rule: the oldest Ingress with a host has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from deployments.sandbox.controllers.kube.objects import annotated, deleting, key_of
from deployments.sandbox.controllers.kube.resources import Key, Obj

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
ACME_PATH = "/.well-known/acme-challenge/"


@dataclass(frozen=True)
class Route:
    """One path of a host."""

    path: str
    exact: bool
    service: Key

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
    for ingress in sorted(ingresses, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["uid"])):
        key, spec = key_of(ingress), ingress["spec"]
        for rule in spec.get("rules") or []:
            name = rule.get("host", "")
            host = table.hosts.setdefault(name, Host(owner=key))
            if host.owner != key:
                table.collisions.setdefault(key, []).append(name)
                continue
            block = next((each for each in spec.get("tls") or [] if name in (each.get("hosts") or [])), None)
            if block is not None:
                host.tls = True
                host.secret = (key[0], block["secretName"]) if block.get("secretName") else None
            host.routes += _routes(key[0], rule)
    return table


def _routes(namespace: str, rule: Obj) -> list[Route]:
    return [
        Route(each.get("path") or "/", each.get("pathType") == "Exact", (namespace, each["backend"]["service"]["name"]))
        for each in (rule.get("http") or {}).get("paths") or []
        if each["backend"].get("service")
    ]
