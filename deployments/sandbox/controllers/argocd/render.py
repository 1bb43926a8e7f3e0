"""Manifests from the files of an Application's path. Pure."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from pathlib import PurePosixPath

import yaml

from deployments.sandbox.controllers.kube.objects import annotated
from deployments.sandbox.controllers.kube.resources import Obj

KUSTOMIZE = {"kustomization.yaml", "kustomization.yml", "Kustomization"}
WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"
KIND_ORDER = (
    *("Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "ServiceAccount", "Secret"),
    *("ConfigMap", "StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition"),
    *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service", "DaemonSet", "Pod", "ReplicaSet"),
    *("Deployment", "StatefulSet", "Job", "CronJob", "IngressClass", "Ingress", "APIService"),
)
"""gitops-engine's order of kinds within a wave."""


class RenderError(Exception):
    """The source cannot be rendered here; the sentence becomes the ComparisonError."""


def render(files: Mapping[str, bytes], source: Obj) -> list[Obj]:
    """The manifests in a directory's files, in the order they are applied.

    Raises:
        RenderError: it is no plain directory, or a file is no manifest.
    """
    if source.get("chart") or source.get("helm") or "Chart.yaml" in files:
        raise RenderError("Helm sources are not rendered in the sandbox; it renders plain directories only")
    if source.get("kustomize") or KUSTOMIZE & set(files):
        raise RenderError("Kustomize sources are not rendered in the sandbox; it renders plain directories only")
    if source.get("plugin"):
        raise RenderError("Config management plugins do not exist in the sandbox")
    directory = source.get("directory") or {}
    manifests: list[Obj] = []
    for name in sorted(files):
        if _wanted(name, directory):
            manifests += _documents(name, files[name])
    return sorted(manifests, key=order)


def order(manifest: Obj) -> tuple[int, int, str, str]:
    """Where a manifest comes: by wave, kind and name."""
    kind = manifest["kind"]
    rank = KIND_ORDER.index(kind) if kind in KIND_ORDER else len(KIND_ORDER)
    return wave(manifest), rank, kind, manifest["metadata"]["name"]


def wave(manifest: Obj) -> int:
    """The sync wave; 0 where none or none readable is given."""
    text = annotated(manifest).get(WAVE, "0")
    return int(text) if text.lstrip("-").isdigit() else 0


def _wanted(name: str, directory: Obj) -> bool:
    path = PurePosixPath(name)
    if path.suffix not in {".yaml", ".yml", ".json"}:
        return False
    if len(path.parts) > 1 and not directory.get("recurse"):
        return False
    if directory.get("exclude") and _matches(name, directory["exclude"]):
        return False
    return not directory.get("include") or _matches(name, directory["include"])


def _matches(name: str, pattern: str) -> bool:
    choices = pattern[1:-1].split(",") if pattern.startswith("{") and pattern.endswith("}") else [pattern]
    return any(fnmatch.fnmatch(name, choice.strip()) for choice in choices)


def _documents(name: str, content: bytes) -> list[Obj]:
    try:
        text = content.decode()
        found = [json.loads(text)] if name.endswith(".json") else list(yaml.load_all(text, Loader=_Loader))
    except (ValueError, yaml.YAMLError) as error:
        raise RenderError(f"Failed to unmarshal {name!r}: {error}") from error
    manifests: list[Obj] = []
    for each in found:
        if each is None:
            continue
        if not isinstance(each, dict) or not each.get("kind") or not each.get("apiVersion"):
            raise RenderError(f"Failed to unmarshal {name!r}: an object has no apiVersion or no kind")
        items = each["items"] if each["kind"] == "List" else [each]
        manifests += items
    for each in manifests:
        if not (each.get("metadata") or {}).get("name"):
            raise RenderError(f"Failed to unmarshal {name!r}: an object of kind {each.get('kind')} has no name")
    return manifests


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a date stays text."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
