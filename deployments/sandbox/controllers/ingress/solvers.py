"""What cert-manager's solver pods would answer: no pod has a process here, and its arguments say all it would know."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.sandbox.controllers.kube.objects import labels
from deployments.sandbox.controllers.kube.resources import Obj

SOLVER = "acme.cert-manager.io/http01-solver"
"""The label of the pods and Services that answer HTTP-01 challenges."""
PATH = "/.well-known/acme-challenge/"


def is_solver(service: Obj) -> bool:
    """Whether a Service leads to a solver of cert-manager's."""
    return labels(service).get(SOLVER) == "true"


def answer(pods: Iterable[Obj], host: str, path: str) -> str | None:
    """The key authorization that a solver among `pods` gives for a request; None where none does (pure)."""
    for pod in pods:
        if labels(pod).get(SOLVER) != "true":
            continue
        for container in pod["spec"]["containers"]:
            asked = _arguments(container.get("args") or [])
            if path == PATH + asked.get("token", "") and host.lower() == asked.get("domain", "").lower():
                return asked.get("key")
    return None


def _arguments(words: Iterable[str]) -> dict[str, str]:
    """`--name=value` arguments by name."""
    found = (word.removeprefix("--").partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in found}
