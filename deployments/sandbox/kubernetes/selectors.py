"""Label and field selectors, from query strings and from LabelSelector objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.sandbox.kubernetes.errors import bad_request

Labels = Mapping[str, str]
_SET = re.compile(r"^\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*$")
_KEY = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: key, operator (`in`, `notin`, `exists`, `absent`) and values."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Labels) -> bool:
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "absent":
            return self.key not in labels
        if self.operator == "in":
            return labels.get(self.key, None) in self.values
        return self.key not in labels or labels[self.key] not in self.values


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements have to hold; none means everything matches."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Labels) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


def _split(text: str) -> list[str]:
    """Split on commas outside parentheses."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current]


def parse_labels(text: str) -> LabelSelector:
    """The selector of `?labelSelector=`.

    Raises:
        StatusError: 400, it cannot be parsed.
    """
    if not text.strip():
        return LabelSelector()
    return LabelSelector(tuple(_requirement(part.strip()) for part in _split(text)))


def _requirement(part: str) -> Requirement:
    found = _SET.match(part)
    if found:
        values = frozenset(value.strip() for value in found.group(3).split(","))
        return _checked(Requirement(found.group(1), found.group(2), values), part)
    for operator, meaning in (("!=", "notin"), ("==", "in"), ("=", "in")):
        if operator in part:
            key, value = part.split(operator, 1)
            return _checked(Requirement(key.strip(), meaning, frozenset({value.strip()})), part)
    if part.startswith("!"):
        return _checked(Requirement(part[1:].strip(), "absent"), part)
    return _checked(Requirement(part, "exists"), part)


def _checked(requirement: Requirement, part: str) -> Requirement:
    if not _KEY.match(requirement.key) or not all(_VALUE.match(value) for value in requirement.values):
        raise bad_request(f'unable to parse requirement: found "{part}", expected a label selector requirement')
    return requirement


def from_object(selector: Mapping[str, Any] | None) -> LabelSelector | None:
    """The selector of a LabelSelector object; None (matches nothing) for null."""
    if selector is None:
        return None
    terms = [Requirement(key, "in", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    for expression in selector.get("matchExpressions") or []:
        values = frozenset(expression.get("values") or [])
        terms.append(Requirement(expression["key"], operators[expression["operator"]], values))
    return LabelSelector(tuple(terms))


def selects(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Whether a LabelSelector object matches `labels`."""
    parsed = from_object(selector)
    return parsed is not None and parsed.matches(labels)


FieldSelector = list[tuple[str, bool, str]]
ALWAYS_SELECTABLE = frozenset({"metadata.name", "metadata.namespace"})
SELECTABLE: dict[str, frozenset[str]] = {
    "pods": frozenset(
        {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
         "status.phase", "status.podIP", "status.nominatedNodeName"}
    ),
    "events": frozenset(
        {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
         "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "type",
         "source", "reportingComponent", "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid"}
    ),
    "secrets": frozenset({"type"}),
    "namespaces": frozenset({"status.phase"}),
    "nodes": frozenset({"spec.unschedulable"}),
    "services": frozenset({"spec.clusterIP", "spec.type"}),
    "replicasets.apps": frozenset({"status.replicas"}),
    "replicationcontrollers": frozenset({"status.replicas"}),
    "jobs.batch": frozenset({"status.successful"}),
    "certificatesigningrequests.certificates.k8s.io": frozenset({"spec.signerName"}),
}  # fmt: skip
SELECTABLE["events.events.k8s.io"] = SELECTABLE["events"]


def parse_fields(text: str, resource: str, extra: frozenset[str] = frozenset()) -> FieldSelector:
    """The selector of `?fieldSelector=` for `resource` (`pods`, `deployments.apps`).

    Raises:
        StatusError: 400, an unsupported field or a malformed term.
    """
    terms: FieldSelector = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        for operator in ("!=", "==", "="):
            if operator in part:
                name, value = part.split(operator, 1)
                break
        else:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if name not in ALWAYS_SELECTABLE and name not in SELECTABLE.get(resource, frozenset()) | extra:
            known = '"metadata.name", "metadata.namespace"'
            raise bad_request(f'"{name}" is not a known field selector: only {known}')  # fmt: skip
        terms.append((name, operator != "!=", value))
    return terms


def field_value(path: str, item: Mapping[str, Any]) -> str:
    """What a field selector compares with: the value as text, "" for absent."""
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path in ("spec.unschedulable", "spec.hostNetwork"):
        return "true" if value else "false"
    if path == "source" and isinstance(value, dict):
        return str(value.get("component", ""))
    if path == "status.successful":
        value = (item.get("status") or {}).get("succeeded", 0)
    return "" if value is None else str(value)


def fields_match(terms: FieldSelector) -> Callable[[Mapping[str, Any]], bool]:
    """A predicate over whole objects."""
    return lambda item: all((field_value(path, item) == value) == wanted for path, wanted, value in terms)
