"""Types of API objects: what every field is, how lists merge, what the wire form of an empty value is.

Built-in kinds come from `data/types.json` (see maketypes.py) and the few facts OpenAPI does not say, which are in
`data/wire.json`: which optional scalars are Go pointers (their zero value is kept) and which struct fields are always
written. Custom resources get theirs from their structural schema (structural.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from deployments.sandbox.kubernetes.wire import loads

DATA = Path(__file__).parent / "data"
SCALARS = frozenset({"string", "integer", "number", "boolean", "quantity", "time", "microtime", "bytes"})


@dataclass(slots=True, eq=False)
class Type:
    """One node of a type.

    Attributes:
        kind: `struct`, `map`, `list`, `any`, `int-or-string`, or a scalar's name.
        name: the definition's short name, `core.v1.PodSpec`, where it has one.
        fields: a struct's fields.
        elem: what a list or map holds.
        list_type: `atomic`, `set` or `map`.
        keys: the fields that identify an item of a `map` list.
        merge_key: the strategic merge key of a list; "" merges scalars, None replaces the list.
        atomic: a struct or map that is owned as a whole.
        key_defaults: what an absent key field of an item counts as.
        required: fields a struct always writes.
        pointers: optional scalars whose zero value is written.
        always: struct fields (or null lists) written even when absent, with that value.
        open: a struct that keeps fields it does not know (x-kubernetes-preserve-unknown-fields).
        schema: a custom resource's own schema node.
    """

    kind: str
    name: str = ""
    fields: dict[str, Type] = field(default_factory=dict)
    elem: Type | None = None
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    merge_key: str | None = None
    atomic: bool = False
    key_defaults: dict[str, Any] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    pointers: frozenset[str] = frozenset()
    always: dict[str, Any] = field(default_factory=dict)
    open: bool = False
    schema: dict[str, Any] | None = None

    @property
    def container(self) -> bool:
        return self.kind in ("struct", "map", "list", "any")

    def child(self, name: str) -> Type | None:
        """The type of a member called `name`, None where there is no such member."""
        if self.kind == "struct":
            found = self.fields.get(name)
            return found if found is not None or not self.open else ANY
        if self.kind == "map":
            return self.elem
        return ANY if self.kind == "any" else None


ANY = Type("any")
OPAQUE = Type("any", atomic=True)
"""Free-form JSON inside built-in kinds (RawExtension): owned as a whole."""

_SCALAR_TYPES = {name: Type(name) for name in SCALARS | {"int-or-string"}}
_KEY_DEFAULTS = {"core.v1.ContainerPort": {"protocol": "TCP"}, "core.v1.ServicePort": {"protocol": "TCP"}}


class Library:
    """The built-in types, built on first use and shared."""

    def __init__(self, definitions: dict[str, Any], wire: dict[str, Any]) -> None:
        self._definitions = definitions
        self._wire = wire
        self._named: dict[str, Type] = {}
        self._atomic: dict[str, Type] = {}

    def get(self, name: str) -> Type:
        """The type called `name`, for example `apps.v1.Deployment`."""
        found = self._named.get(name)
        if found is None:
            found = self._named[name] = Type("struct", name=name)
            self._fill(found, self._definitions[name])
        return found

    def names(self) -> list[str]:
        return list(self._definitions)

    def _fill(self, target: Type, node: Any) -> None:
        if not isinstance(node, dict) or "fields" not in node:
            built = self._build(node)
            target.kind, target.elem = built.kind, built.elem
            return
        wire = self._wire.get(target.name, {})
        target.atomic = node.get("atomic", False)
        target.required = frozenset(node.get("required", ()))
        target.pointers = frozenset(wire.get("pointers", ()))
        target.always = wire.get("always", {})
        for name, child in node["fields"].items():
            target.fields[name] = self._build(child)

    def _build(self, node: Any) -> Type:
        if isinstance(node, str):
            return _SCALAR_TYPES.get(node, OPAQUE)
        if "ref" in node:
            return self._reference(node)
        if "map" in node:
            return Type("map", elem=self._build(node["map"]), atomic=node.get("atomic", False))
        if "list" in node:
            elem = self._build(node["list"])
            return Type(
                "list",
                elem=elem,
                list_type=node.get("type", "atomic"),
                keys=tuple(node.get("keys", ())),
                merge_key=node.get("merge"),
                key_defaults=_KEY_DEFAULTS.get(elem.name, {}),
            )
        built = Type("struct")
        self._fill(built, node)
        return built

    def _reference(self, node: dict[str, Any]) -> Type:
        base = self.get(node["ref"])
        if base.atomic or not node.get("atomic"):
            return base
        # The same struct under another rule: share the fields' dictionary, which may still be filling.
        return Type(
            base.kind,
            name=base.name,
            fields=base.fields,
            required=base.required,
            pointers=base.pointers,
            always=base.always,
            atomic=True,
        )


@cache
def library() -> Library:
    """The built-in types of Kubernetes v1.33."""
    return Library(loads((DATA / "types.json").read_bytes()), loads((DATA / "wire.json").read_bytes()))
