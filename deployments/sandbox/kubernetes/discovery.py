"""Discovery documents: versions, groups, resources, aggregated discovery."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from deployments.sandbox.kubernetes.errors import no_such_path
from deployments.sandbox.kubernetes.resources import CREATE_ONLY, Registry, Resource

Object = dict[str, Any]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_FOREIGN = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "binding": ("", "v1", "Binding"),
}
_SUB_VERBS = {
    "status": ["get", "patch", "update"], "scale": ["get", "patch", "update"], "approval": ["get", "patch", "update"],
    "eviction": ["create"], "token": ["create"], "binding": ["create"], "log": ["get"], "finalize": ["update"],
}  # fmt: skip


def version_info(git_version: str) -> Object:
    """`/version` for a cluster of that version (`v1.33.4`)."""
    major, minor = git_version.lstrip("v").split(".")[:2]
    return {
        "major": major, "minor": minor, "gitVersion": git_version, "gitCommit": "embedded", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.24.0", "compiler": "gc", "platform": "linux/amd64",
    }  # fmt: skip


def api_versions(address: str) -> Object:
    """`/api`."""
    return {"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]}  # fmt: skip


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(registry: Registry) -> Object:
    """`/apis`."""
    groups = [_group(name, versions) for name, versions in registry.groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Object:
    """`/apis/<group>`.

    Raises:
        StatusError: 404, no such group.
    """
    versions = registry.groups().get(name)
    if versions is None:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _hash(resource: Resource) -> str:
    digest = hashlib.sha256(f"{resource.group}/{resource.version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _main(resource: Resource) -> Object:
    out: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        out["shortNames"] = list(resource.short_names)
    if resource.categories:
        out["categories"] = list(resource.categories)
    out["storageVersionHash"] = _hash(resource)
    return out


def _sub(resource: Resource, name: str) -> Object:
    out: Object = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced,
                   "kind": resource.kind, "verbs": _SUB_VERBS[name]}  # fmt: skip
    foreign = _FOREIGN.get(name)
    if foreign is not None:
        out["kind"] = foreign[2]
        if name != "binding":
            out["group"], out["version"] = foreign[0], foreign[1]
    return out


def resource_list(registry: Registry, group_name: str, version: str) -> Object:
    """`/api/v1`, `/apis/<group>/<version>`.

    Raises:
        StatusError: 404, no such version.
    """
    api_version = f"{group_name}/{version}" if group_name else version
    listed: list[Object] = []
    for resource in sorted(registry.all(), key=lambda item: item.plural):
        if (resource.group, resource.version) == (group_name, version):
            listed.append(_main(resource))
            listed += [_sub(resource, name) for name in sorted(resource.subresources)]
    for kind, plural, namespaced in CREATE_ONLY.get(api_version, ()):
        listed.append({"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind,
                       "verbs": ["create"]})  # fmt: skip
    if not listed:
        raise no_such_path()
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}


def aggregated(registry: Registry, *, core: bool) -> Object:
    """Every resource of the core group, or of all named groups, in one document (apidiscovery.k8s.io/v2)."""
    groups = {"": ["v1"]} if core else registry.groups()
    items = []
    for name, versions in groups.items():
        listed = [
            {"version": version, "resources": _aggregate(resource_list(registry, name, version), name, version),
             "freshness": "Current"}
            for version in versions
        ]  # fmt: skip
        metadata: Object = {"creationTimestamp": None} | ({"name": name} if name else {})
        items.append({"metadata": metadata, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregate(listing: Object, group_name: str, version: str) -> list[Object]:
    out: dict[str, Object] = {}
    for entry in listing["resources"]:
        name, _, sub = entry["name"].partition("/")
        kind = {
            "group": entry.get("group", group_name),
            "version": entry.get("version", version),
            "kind": entry["kind"],
        }
        if sub:
            held = out.setdefault(name, {"resource": name})
            held.setdefault("subresources", []).append(
                {"subresource": sub, "responseKind": kind, "verbs": entry["verbs"]}
            )
            continue
        shown: Object = {"resource": name, "responseKind": kind,
            "scope": "Namespaced" if entry["namespaced"] else "Cluster",
                         "singularResource": entry["singularName"], "verbs": entry["verbs"]}  # fmt: skip
        for key in ("shortNames", "categories"):
            if key in entry:
                shown[key] = entry[key]
        out[name] = shown
    return list(out.values())
