"""What the cluster itself may have put into an object, in the name of whoever created it or in nobody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.drift.ownership import Owners
from infra.drift.paths import Item, Path
from infra.drift.severity import DANGEROUS
from infra.drift.tables import ALLOTTED, ASSIGNED, BOOKS, CONTROLLER_DATA, CONTROLLER_KEYS, FREE_FORM

TELLING: Final = DANGEROUS - {"serviceAccount"}
"""What is told whoever wrote it, if anybody knows; `serviceAccount` is an alias that the API server fills in."""


_SOLVERS, _SOLVER, _CHALLENGE = "cert-manager-challenges", "cm-acme-http-solver-", "/.well-known/acme-challenge/"


class Allotting:
    """What is allotted to one object.

    Args:
        defaults_known: what the API server fills into objects of this kind is known, so that the rest was written.
    """

    def __init__(self, declared: Mapping[str, Any], owners: Owners, *, defaults_known: bool) -> None:
        self._owners, self._defaults_known = owners, defaults_known
        self._on_host = bool(_pod(declared).get("hostNetwork"))
        self._is_pod = declared.get("kind") == "Pod"
        self._data = CONTROLLER_DATA.get(declared.get("type", ""), frozenset())

    def assigned(self, key: str, there: Any, path: Path) -> bool:
        """Whether the API server or a controller may have put the extra key `key`, at `path`, there."""
        if key == "hostPort" and self._on_host:
            return isinstance(path[-2], Item) and ("containerPort", there) in path[-2].keys
        parent = path[-2] if len(path) > 1 else ""
        if parent in ASSIGNED or (parent in BOOKS and key in CONTROLLER_KEYS):
            return True
        return path[0] == "data" and key in self._data

    def at_birth(self, key: str, there: Any, path: Path) -> bool:
        """Whether the cluster may have put it there at birth, in the name of who created the object.

        Into a custom resource whose definition is not at hand, that may be anything.
        """
        if not self._owners.founded(path):
            return False
        if key in ALLOTTED or self.assigned(key, there, path):
            return True
        return not self._defaults_known and key not in TELLING and FREE_FORM.isdisjoint(path[-2:-1])

    def limited(self, key: str, there: Any) -> bool:
        """Whether a LimitRange may give a container of a pod these resources; it gives none to a template.

        Admission fills them in when the books are made: whoever created the pod owns an empty map in them.
        """
        return self._is_pod and key == "resources" and isinstance(there, Mapping) and there.keys() <= ASSIGNED

    def challenged(self, item: Any, path: Path) -> bool:
        """Whether cert-manager answers a challenge by this rule, or path of one, while it is at work on an Ingress."""
        if path[:2] != ("spec", "rules") or not isinstance(item, Mapping):
            return False
        answers = item["http"].get("paths") or () if isinstance(item.get("http"), Mapping) else [item]
        return bool(answers) and all(map(_answers, answers)) and self._owners.written_by(_SOLVERS, path)


def _answers(item: Mapping[str, Any]) -> bool:
    """Whether a path of an Ingress leads to a solver of cert-manager's."""
    service = (item.get("backend") or {}).get("service") or {}
    return str(item.get("path", "")).startswith(_CHALLENGE) and str(service.get("name", "")).startswith(_SOLVER)


def _pod(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec of an object's pods, or of a pod; of anything else, whatever it has there."""
    spec = declared.get("spec")
    while isinstance(spec, Mapping):
        inner = spec.get("jobTemplate") or spec.get("template")
        if not isinstance(inner, Mapping):
            return spec
        spec = inner.get("spec")
    return {}
