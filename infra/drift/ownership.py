"""What strangers have added to an object: fields that nobody declares, told from defaults by who owns them. Pure.

An API server notes for each field which manager set it last (metadata.managedFields; Kubernetes, "Server-Side Apply").
A field that is not declared is a default, a controller's business, or somebody's edit: the owner tells which. What
helm, Plumbline or a controller owns is left alone; what anybody else owns and nobody declares was added by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.drift.findings import Changed

Step = tuple[str, Any]
"""One step of a path: `f` a field, `k` the list item with these keys, `v` the list item of this value, `i` an index."""
Path = tuple[Step, ...]

OURS = frozenset({"helm", "plumbline", "Helm"})
CONTROLLERS = re.compile(
    r"^(kube-(controller-manager|scheduler|apiserver)|kubelet|cloud-controller-manager|openstack-cloud-controller-manager"
    r"|cainjector|cert-manager.*|.*-?controller(-manager)?|controller|manager|webhook|argocd.*|nginx-ingress.*"
    r"|.*-operator|rook.*|ceph.*|external-dns.*|actions-runner-controller|autoscaler|.*-autoscaler|plumbline-sandbox.*)$"
)
"""Managers that write as a matter of course: what they own is never somebody's edit."""
NOISE = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "kubectl.kubernetes.io/restartedAt",
        "deployment.kubernetes.io/revision",
    }
)
"""Annotations by which clients and controllers keep notes; taking a restart's note away would restart again."""
NEVER = (
    (("f", "status"),),
    (("f", "metadata"), ("f", "finalizers")),
    (("f", "metadata"), ("f", "ownerReferences")),
)
"""Where controllers write by design."""


@dataclass(frozen=True)
class Extra:
    """Something that is there and that nobody declares."""

    path: Path
    observed: Any
    changed: Changed

    def __str__(self) -> str:
        return rendered(self.path)


def extras(declared: Mapping[str, Any], live: Mapping[str, Any]) -> list[Extra]:
    """What strangers own in a live object and `declared` does not have: single fields, and list items as a whole."""
    found: dict[Path, Extra] = {}
    for entry in live.get("metadata", {}).get("managedFields") or ():
        if not _a_stranger(entry):
            continue
        for path in _leaves(entry.get("fieldsV1") or {}):
            added = None if _noise(path) else _undeclared(declared, live, path)
            if added is not None:
                found.setdefault(added, Extra(added, _at(live, added), changed_by(entry)))
    return [found[path] for path in sorted(found, key=rendered)]


def removals(declared: Mapping[str, Any], live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """JSON Patch operations (RFC 6902) that take away what strangers have added, unless it has changed meanwhile."""
    pointers = [pointer for extra in extras(declared, live) if (pointer := _pointer(live, extra.path)) is not None]
    if not pointers:
        return []
    unchanged = {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
    # The last items of a list first: removing one moves those behind it.
    last_first = sorted(pointers, key=lambda pointer: [(isinstance(one, int), one) for one in pointer], reverse=True)
    return [unchanged, *({"op": "remove", "path": _text(pointer)} for pointer in last_first)]


def last_stranger(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The newest managedFields entry of somebody who is neither helm, Plumbline nor a controller."""
    entries = [entry for entry in live.get("metadata", {}).get("managedFields") or () if _a_stranger(entry)]
    return max(entries, key=lambda entry: entry.get("time") or "", default=None)


def changed_by(entry: Mapping[str, Any]) -> Changed:
    """A managedFields entry as who, when and how."""
    when = entry.get("time")
    how = " ".join(part for part in (entry.get("operation"), entry.get("subresource")) if part)
    moment = datetime.fromisoformat(when.replace("Z", "+00:00")) if when else None
    return Changed(who=str(entry.get("manager") or "unknown"), when=moment, how=how or None)


def rendered(path: Path) -> str:
    """A path as reports have it: `.spec.containers[name=web].env[name=DEBUG]`."""
    return "".join(_shown(step) for step in path)


def _shown(step: Step) -> str:
    kind, value = step
    if kind == "f":
        return f".{value}"
    if kind == "k":
        return f"[{','.join(f'{key}={value[key]}' for key in sorted(value))}]"
    return f"[{value}]" if kind == "i" else f"[={value}]"


def _a_stranger(entry: Mapping[str, Any]) -> bool:
    manager = str(entry.get("manager") or "")
    return not entry.get("subresource") and manager not in OURS and not CONTROLLERS.match(manager)


def _leaves(fields: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    """The innermost paths of a fieldsV1 document; `.` stands for an item itself."""
    for key, below in fields.items():
        if key == ".":
            continue
        kind, _, text = key.partition(":")
        value = text if kind == "f" else json.loads(text)
        path = (*above, (kind, _hashable(value)))
        inner = [name for name in below if name != "."] if isinstance(below, Mapping) else []
        if inner:
            yield from _leaves(below, path)
        else:
            yield path


class _Keys(dict[str, Any]):
    """The keys of a list item, usable in a path."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


def _hashable(value: Any) -> Any:
    return _Keys(value) if isinstance(value, dict) else value


def _noise(path: Path) -> bool:
    return path[-1][1] in NOISE or any(path[: len(never)] == never for never in NEVER)


def _undeclared(declared: Any, live: Any, path: Path) -> Path | None:
    """What of a path is live and not declared; None where all of it is declared, or gone.

    A list item that is not declared is one addition, with all that is in it. Of a map that is not declared only the
    field itself is: others may hold defaults, or what helm has put beside it.
    """
    if _at(live, path) is _NOTHING:
        return None
    for depth, step in enumerate(path):
        declared = _below(declared, step)
        if declared is _NOTHING:
            item = next((end for end in range(depth, len(path)) if path[end][0] in "kvi"), len(path) - 1)
            return path[: item + 1]
    return None


_NOTHING = object()


def _below(value: Any, step: Step) -> Any:
    kind, key = step
    if kind == "f":
        return value.get(key, _NOTHING) if isinstance(value, Mapping) else _NOTHING
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _NOTHING
    if kind == "i":
        return value[key] if key < len(value) else _NOTHING
    return next((item for item in value if _is(item, step)), _NOTHING)


def _is(item: Any, step: Step) -> bool:
    kind, key = step
    if kind == "v":
        return bool(item == key)
    # A key that a declaration leaves out is the default that the server has filled in, such as protocol TCP.
    return isinstance(item, Mapping) and all(item.get(name, value) == value for name, value in key.items())


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = _below(value, step)
    return value


def _pointer(live: Any, path: Path) -> tuple[str | int, ...] | None:
    found: list[str | int] = []
    for step in path:
        kind, key = step
        below = _below(live, step)
        if below is _NOTHING:
            return None
        found.append(
            key if kind == "f" else key if kind == "i" else next(n for n, i in enumerate(live) if _is(i, step))
        )
        live = below
    return tuple(found)


def _text(pointer: tuple[str | int, ...]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)
