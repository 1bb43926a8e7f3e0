"""One Kubernetes object against what is declared of it: gone, changed, or with something added (pure)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infra.catalog.models import Ignore
from infra.drift.compare import subset_differences
from infra.drift.findings import Changed, Finding, PlaneName, Severity
from infra.drift.ownership import changed_by, extras, last_stranger

HIDDEN = "(not shown)"
SECURITY_KINDS = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount", "Secret", "NetworkPolicy"}
    | {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "APIService"}
)
"""Kinds that say who may do what, and what is let in."""
SECURITY_FIELDS = re.compile(
    r"\.(securityContext|hostNetwork|hostPID|hostIPC|hostPath|privileged|capabilities|serviceAccountName|serviceAccount"
    r"|automountServiceAccountToken|tls|caBundle|imagePullSecrets)\b"
)
COSMETIC = re.compile(r"^\.metadata\.(labels|annotations)\b")


def address(manifest: Mapping[str, Any]) -> str:
    """`Kind/namespace/name`, or `Kind/name` for what has no namespace."""
    metadata = manifest["metadata"]
    return "/".join(part for part in (manifest["kind"], metadata.get("namespace"), metadata["name"]) if part)


def compare_object(
    plane: PlaneName, declared: Mapping[str, Any], live: Mapping[str, Any] | None, ignores: Iterable[Ignore] = ()
) -> list[Finding]:
    """Say what of an object is not as declared; one on its way out counts as missing.

    Args:
        ignores: fields that others write by design.
    """
    where = address(declared)
    if live is None:
        return [_gone(plane, where, "is not there")]
    if live.get("metadata", {}).get("deletionTimestamp"):
        return [_gone(plane, where, "is being deleted")]
    mine = [rule for rule in ignores if rule.kind == declared["kind"] and rule.name in (None, live["metadata"]["name"])]
    ignored = [_pattern(pointer) for rule in mine for pointer in rule.paths]
    found = _findings(plane, where, _as_stored(declared), live)
    return [finding for finding in found if not any(pattern.match(finding.path) for pattern in ignored)]


def _findings(plane: PlaneName, where: str, declared: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[Finding]:
    differences = list(subset_differences(dict(declared), dict(live)))
    stranger = last_stranger(live) if differences else None
    changed = changed_by(stranger) if stranger is not None else None
    for difference in differences:
        sentence = f"{where}{difference.path} is not as declared."
        yield _finding(plane, where, difference.path, difference.declared, difference.observed, sentence, changed)
    for extra in extras(declared, live):
        sentence = f"{where}{extra} was added, and nobody declares it."
        yield _finding(plane, where, str(extra), None, extra.observed, sentence, extra.changed)


def _finding(  # noqa: PLR0917 - a finding's fields, in their order
    plane: PlaneName, where: str, path: str, declared: Any, observed: Any, sentence: str, changed: Changed | None
) -> Finding:
    if where.startswith("Secret/") and path.startswith(".data"):
        # That they differ is said, what they hold is not.
        declared, observed = declared and HIDDEN, observed and HIDDEN
    return Finding(
        plane=plane,
        address=where,
        path=path,
        declared=declared,
        observed=observed,
        sentence=sentence,
        severity=severity(where.partition("/")[0], path),
        changed=changed,
    )


def severity(kind: str, path: str) -> Severity:
    """How much a difference in a field matters."""
    if COSMETIC.match(path):
        return Severity.COSMETIC
    return Severity.SECURITY if kind in SECURITY_KINDS or SECURITY_FIELDS.search(path) else Severity.CONFIG


def _gone(plane: PlaneName, where: str, how: str) -> Finding:
    return Finding(plane=plane, address=where, sentence=f"{where} {how}.", severity=Severity.DESTRUCTIVE)


def _as_stored(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Secret's `stringData` is written only: what is stored of it is `data`."""
    if declared["kind"] != "Secret" or not declared.get("stringData"):
        return declared
    plain = {key: base64.b64encode(str(value).encode()).decode() for key, value in declared["stringData"].items()}
    rest = {key: value for key, value in declared.items() if key != "stringData"}
    return {**rest, "data": {**(declared.get("data") or {}), **plain}}


def _pattern(pointer: str) -> re.Pattern[str]:
    """A JSON pointer of the catalogue as a pattern of paths; `*` stands for every list item or key."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    steps = [
        r"(\[[^\]]*\]|\.[^.\[]+)" if part == "*" else rf"(\.{re.escape(part)}|\[{re.escape(part)}\])" for part in parts
    ]
    return re.compile("^" + "".join(steps) + r"($|[.\[])")
