"""What the definition of a custom resource says: which fields the API server keeps, and what it puts where none is.

Structural schemas (apiextensions.k8s.io/v1): what no property names is dropped ("pruned"), and `default` is filled in,
in the items of lists, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from infra.drift.paths import Path, Step
from infra.drift.values import identical

DEFINITION: Final = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
Schema = Mapping[str, Any]

_OPEN: Final[Schema] = {"x-kubernetes-preserve-unknown-fields": True}
_IDENTITY: Final = frozenset({"apiVersion", "kind", "metadata"})


class Structures:
    """The definitions among the objects of a cluster, by group and kind."""

    def __init__(self, live: Iterable[Mapping[str, Any]]) -> None:
        found = [item["spec"] for item in live if item.get("kind") == "CustomResourceDefinition"]
        self._specs = {(spec.get("group"), spec.get("names", {}).get("kind")): spec for spec in found}
        self._known: dict[tuple[str, str], Structure | None] = {}

    def of(self, declared: Mapping[str, Any]) -> Structure | None:
        """The structure of an object; None where its definition, or its version, is not at hand."""
        if not self._specs:
            return None
        key = (declared["apiVersion"], declared["kind"])
        if key not in self._known:
            group, _, version = key[0].rpartition("/")
            spec = self._specs.get((group, key[1]))
            self._known[key] = None if spec is None else _structure(spec, version)
        return self._known[key]


class Structure:
    """The schema of one version of a kind.

    Args:
        schema: its OpenAPI v3 schema.
        prunes: whether unknown fields are dropped.
    """

    def __init__(self, schema: Schema, *, prunes: bool = True) -> None:
        self._schema, self._prunes = schema, prunes

    def keeps(self, path: Path) -> bool:
        """Whether the API server keeps a value at `path`."""
        return not self._prunes or path[0] in _IDENTITY or self._at(path) is not None

    def kept(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        """A declaration without what the API server drops: a create lets that be, server-side apply refuses it."""
        if not self._prunes:
            return dict(declared)
        identity = {key: value for key, value in declared.items() if key in _IDENTITY}
        return {**_kept({key: declared[key] for key in declared.keys() - _IDENTITY}, self._schema), **identity}

    def is_default(self, value: Any, path: Path) -> bool:
        """Whether the API server puts this value at `path` where nothing is declared."""
        node = self._at(path)
        return node is not None and "default" in node and identical(_completed(node["default"], node), value)

    def _at(self, path: Path) -> Schema | None:
        node: Schema | None = self._schema
        for step in path:
            node = None if node is None else _below(node, step)
        return node


def _structure(spec: Mapping[str, Any], version: str) -> Structure | None:
    """The structure of a version; None where it has no schema."""
    for each in spec.get("versions") or ():
        schema = (each.get("schema") or {}).get("openAPIV3Schema")
        if each.get("name") == version and schema:
            return Structure(schema, prunes=not spec.get("preserveUnknownFields"))
    return None


def _below(node: Schema, step: Step) -> Schema | None:
    """The schema one step further down; None where the step is dropped."""
    further: Any = node.get("items")
    if isinstance(step, str):
        further = (node.get("properties") or {}).get(step, node.get("additionalProperties"))
    if isinstance(further, Mapping):
        return further
    embedded = node.get("x-kubernetes-embedded-resource") and step in _IDENTITY
    return _OPEN if further or embedded or node.get("x-kubernetes-preserve-unknown-fields") else None


def _kept(value: Any, node: Schema) -> Any:
    """A value without what is dropped of it."""
    if isinstance(value, list):
        return [_kept(each, _below(node, number) or _OPEN) for number, each in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    below = {key: _below(node, key) for key in value}
    return {key: _kept(value[key], further) for key, further in below.items() if further is not None}


def _completed(value: Any, node: Schema) -> Any:
    """A default with the defaults of what it holds."""
    if isinstance(value, list):
        return [_completed(each, node.get("items") or _OPEN) for each in value]
    if not isinstance(value, dict):
        return value
    named = {name: each["default"] for name, each in (node.get("properties") or {}).items() if "default" in each}
    return {key: _completed(each, _below(node, key) or _OPEN) for key, each in {**named, **value}.items()}
