"""What controllers ask of objects: names, owners, labels, conditions. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from deployments.sandbox.controllers.kube.resources import Key, Obj, Resource

SUFFIXES = {"": Decimal(1), "m": Decimal("0.001")}
SUFFIXES |= {letter: Decimal(1000**power) for power, letter in enumerate("kMGT", 1)}
SUFFIXES |= {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGT", 1)}


def now() -> str:
    """This moment as Kubernetes writes it: whole seconds, UTC."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quantity(text: str) -> Decimal:
    """A resource quantity (`500m`, `1Gi`) as a number; ValueError where it is none."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    if match is None or match[2] not in SUFFIXES:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(match[1]) * SUFFIXES[match[2]]


def key_of(obj: Mapping[str, Any]) -> Key:
    """Namespace and name."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's labels."""
    return obj["metadata"].get("labels") or {}


def annotated(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's annotations."""
    return obj["metadata"].get("annotations") or {}


def deleting(obj: Mapping[str, Any]) -> bool:
    """Whether the object is on its way out."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def owner(obj: Mapping[str, Any]) -> Obj | None:
    """The owner reference of the controller in charge."""
    return next((ref for ref in obj["metadata"].get("ownerReferences") or [] if ref.get("controller")), None)


def owned_by(obj: Mapping[str, Any], uid: str) -> bool:
    """Whether the object with this uid is the controller in charge."""
    reference = owner(obj)
    return reference is not None and reference["uid"] == uid


def parent_key(obj: Mapping[str, Any], kind: str) -> list[Key]:
    """The key of the owner in charge, where it is of this kind: a mapper for `Controller.on`."""
    reference = owner(obj)
    if reference is None or reference["kind"] != kind:
        return []
    return [(key_of(obj)[0], reference["name"])]


def phase(obj: Mapping[str, Any]) -> str:
    """The phase that a status says; Pending where it says none."""
    return str((obj.get("status") or {}).get("phase", "Pending"))


def child_metadata(parent: Mapping[str, Any], resource: Resource, found: Mapping[str, str], **name: str) -> Obj:
    """The metadata of an object that `parent` owns, with these labels, beside it and under this (generated) name."""
    reference = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": parent["metadata"]["name"],
        "uid": parent["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {**name, "namespace": key_of(parent)[0], "labels": found, "ownerReferences": [reference]}


def condition(obj: Mapping[str, Any], kind: str) -> Obj | None:
    """The status condition of this type."""
    found = (obj.get("status") or {}).get("conditions") or []
    return next((each for each in found if each.get("type") == kind), None)


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether the status condition of this type says True."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def short_hash(*parts: Any, length: int = 10) -> str:
    """A stable short name part for any JSON values, in the letters Kubernetes uses (no vowels)."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    number = int.from_bytes(digest[:16], "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(alphabet))
        letters.append(alphabet[index])
    return "".join(letters)


def available(workload: Mapping[str, Any]) -> bool:
    """Whether a Deployment, StatefulSet or DaemonSet serves at the generation that was asked for."""
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    if workload.get("kind") == "DaemonSet" or "desiredNumberScheduled" in status:
        return bool(status.get("numberReady", 0) >= status.get("desiredNumberScheduled", 0))
    wanted = (workload.get("spec") or {}).get("replicas", 1)
    ready = status.get("availableReplicas", status.get("readyReplicas", 0))
    return bool(wanted > 0 and ready >= 1)


def contains(found: object, wanted: object) -> bool:
    """Whether a merge patch with `wanted` would leave `found` as it is, what the server adds to list items apart."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return False
        return all(
            found.get(key) is None if value is None else key in found and contains(found[key], value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return False
        return all(contains(each, want) for each, want in zip(found, wanted, strict=True))
    return found == wanted
