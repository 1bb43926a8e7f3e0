"""CustomResourceDefinitions: their validation, their conditions, and the kinds they add to the registry."""

from __future__ import annotations

import re
from typing import Any

from deployments.sandbox.kubernetes.errors import Cause, field_forbidden, invalid_value, not_supported, required
from deployments.sandbox.kubernetes.resources import Registry, Resource, Scale
from deployments.sandbox.kubernetes.structural import object_type

STORAGE = "customresourcedefinitions.apiextensions.k8s.io"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_VERSION = re.compile(r"^v(\d+)(?:(alpha|beta)(\d+))?$")


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: GA before beta before alpha, newer first, others by name."""
    found = _VERSION.match(version)
    if not found:
        return 9, 0, 0, version
    stage = {None: 0, "beta": 1, "alpha": 2}[found.group(2)]
    return stage, -int(found.group(1)), -int(found.group(3) or 0), version


def default_crd(item: dict[str, Any]) -> None:
    """The defaults of a CRD's spec."""
    spec = item["spec"]
    names = spec.setdefault("names", {})
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
    for version in spec.get("versions") or ():
        for column in version.get("additionalPrinterColumns") or ():
            if column.get("priority") == 0:
                column.pop("priority")


def validate_crd(item: dict[str, Any]) -> list[Cause]:
    """What the real server refuses in a new CRD."""
    spec, causes = item["spec"], []
    names = spec["names"]
    for field in ("plural", "kind"):
        if not names.get(field):
            causes.append(required(f"spec.names.{field}"))
    if not spec.get("group"):
        causes.append(required("spec.group"))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        causes.append(not_supported("spec.scope", spec.get("scope", ""), ["Cluster", "Namespaced"]))
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if item["metadata"].get("name") != wanted:
        text = 'must be spec.names.plural+"."+spec.group'
        causes.append(invalid_value("metadata.name", item["metadata"].get("name", ""), text))
    versions = spec.get("versions") or []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        causes.append(
            invalid_value("spec.versions", versions, "must have exactly one version marked as storage version")
        )
    for position, version in enumerate(versions):
        where = f"spec.versions[{position}]"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            causes.append(required(f"{where}.schema.openAPIV3Schema", "schemas are required"))
        else:
            causes += _structural(schema, f"{where}.schema.openAPIV3Schema", root=True)
    return causes


def _structural(schema: dict[str, Any], path: str, *, root: bool = False) -> list[Cause]:
    """The rules that make a schema structural: every node has a type, no `additionalProperties` beside properties."""
    causes = []
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not schema.get("type") and (root or not free):
        text = "must not be empty at the root" if root else "must not be empty for specified object fields"
        causes.append(required(f"{path}.type", text))
    if schema.get("properties") and schema.get("additionalProperties") not in (None, False):
        causes.append(field_forbidden(f"{path}.additionalProperties",
                                      "additionalProperties and properties are mutual exclusive"))  # fmt: skip
    if schema.get("uniqueItems"):
        causes.append(field_forbidden(f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime "
                                      "complexity becomes quadratic"))  # fmt: skip
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        causes.append(required(f"{path}.items", "must be specified"))
    for name, sub in (schema.get("properties") or {}).items():
        if root and name == "metadata":
            continue
        causes += _structural(sub, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            causes += _structural(schema[name], f"{path}.{name}")
    return causes


def conditions(item: dict[str, Any], now: str, *, terminating: bool = False) -> dict[str, Any]:
    """The status of an accepted CRD: names accepted, established, stored versions remembered."""
    names = item["spec"]["names"]
    status = item.get("status") or {}
    known = {condition["type"]: condition for condition in status.get("conditions") or ()}
    wanted = [
        ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    if terminating:
        wanted.append(("Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"))
    listed = []
    for sort, value, reason, message in wanted:
        held = known.get(sort)
        since = held["lastTransitionTime"] if held and held["status"] == value else now
        entry = {"lastTransitionTime": since, "message": message, "reason": reason, "status": value, "type": sort}
        listed.append(entry)
    stored = list(status.get("storedVersions") or ())
    current = next(version["name"] for version in item["spec"]["versions"] if version.get("storage"))
    if current not in stored:
        stored.append(current)
    accepted = {
        key: names[key]
        for key in ("categories", "kind", "listKind", "plural", "shortNames", "singular")
        if names.get(key)
    }
    return {"acceptedNames": accepted, "conditions": listed, "storedVersions": stored}


def resources(item: dict[str, Any]) -> list[Resource]:
    """The kinds a CRD serves, one per served version."""
    spec = item["spec"]
    names = spec["names"]
    served = sorted((v for v in spec["versions"] if v.get("served")), key=lambda v: version_rank(v["name"]))
    out = []
    for rank, version in enumerate(served):
        sub = version.get("subresources") or {}
        scale = sub.get("scale")
        custom = {
            "schema": (version.get("schema") or {}).get("openAPIV3Schema"),
            "columns": version.get("additionalPrinterColumns"),
            "listKind": names.get("listKind"),
            "rank": rank,
            "preserve": bool(spec.get("preserveUnknownFields")),
            "selectable": frozenset(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
            "deprecated": version.get("deprecationWarning")
            or (
                f"{spec['group']}/{version['name']} {names['kind']} is deprecated" if version.get("deprecated") else ""
            ),
        }
        out.append(
            Resource(
                group=spec["group"],
                version=version["name"],
                kind=names["kind"],
                plural=names["plural"],
                namespaced=spec["scope"] == "Namespaced",
                schema=object_type(custom["schema"]),
                singular=names.get("singular") or names["kind"].lower(),
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                generation=True,
                status="status" in sub,
                scale=Scale(
                    scale["specReplicasPath"].lstrip("."),
                    scale["statusReplicasPath"].lstrip("."),
                    scale.get("labelSelectorPath", "").lstrip("."),
                )
                if scale
                else None,
                custom=custom,
                subresources=tuple(name for name in ("status", "scale") if name in sub),
            )
        )
    return out


def install(registry: Registry, item: dict[str, Any]) -> None:
    """Serve a CRD's kinds, replacing what it served before."""
    registry.remove(item["spec"]["group"], item["spec"]["names"]["plural"])
    for resource in resources(item):
        registry.add(resource)
