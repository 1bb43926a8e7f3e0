"""How much a difference matters: a table, read from the top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.drift.findings import Severity
from infra.drift.paths import Path

RBAC: Final = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
WEBHOOKS: Final = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
APPS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})

DANGEROUS: Final = frozenset(
    {
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "capabilities",
        "externalIPs",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostPath",
        "hostPort",
        "hostUsers",
        "privileged",
        "runAsNonRoot",
        "runAsUser",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
    }
)
"""What lets a pod out of its box, or others' traffic in, wherever it stands: on the path, or in what was changed."""


@dataclass(frozen=True)
class Rule:
    """One row: the first one that fits says how severe a difference is.

    Args:
        severity: what it is.
        kinds: of these kinds; every kind where empty.
        under: below one of these fields of the object; anywhere where empty.
        parent: a key of a map of this name, such as `labels`; anything where empty.
        prefix: with such a key beginning.
        dangerous: where the path, or what was changed, has one of `DANGEROUS`.
    """

    severity: Severity
    kinds: frozenset[str] = frozenset()
    under: tuple[Path, ...] = ()
    parent: str = ""
    prefix: str = ""
    dangerous: bool = False

    def fits(self, kind: str, path: Path, values: tuple[Any, ...]) -> bool:
        """Whether it is about this difference."""
        if self.kinds and kind not in self.kinds:
            return False
        if self.under and not any(path[: len(each)] == each for each in self.under):
            return False
        if self.parent and not _key_of(path, self.parent, self.prefix):
            return False
        return not self.dangerous or any(step in DANGEROUS for step in path) or any(map(_dangerous, values))


TABLE: Final = (
    # Labels that grant something are not cosmetic: pod security levels, and what aggregated roles collect.
    Rule(Severity.SECURITY, parent="labels", prefix="pod-security.kubernetes.io/"),
    Rule(Severity.SECURITY, parent="labels", prefix="rbac.authorization.k8s.io/"),
    # Pods are selected by their labels: taking one away cuts a Service off.
    Rule(Severity.CONFIG, under=(("spec", "template", "metadata", "labels"),)),
    Rule(Severity.COSMETIC, parent="labels"),
    Rule(Severity.COSMETIC, parent="annotations"),
    Rule(Severity.SECURITY, RBAC | WEBHOOKS | {"ServiceAccount", "NetworkPolicy", "Secret"}),
    Rule(Severity.SECURITY, frozenset({"Ingress"}), under=(("spec", "tls"),)),
    # Where an owner goes, the cluster deletes what it owns.
    Rule(Severity.DESTRUCTIVE, under=(("metadata", "ownerReferences"),)),
    # Fields that the API server lets nobody change: the object was made anew, and would have to be again.
    Rule(Severity.DESTRUCTIVE, APPS, under=(("spec", "selector"),)),
    Rule(Severity.DESTRUCTIVE, frozenset({"StatefulSet"}), under=(("spec", "volumeClaimTemplates"),)),
    Rule(Severity.DESTRUCTIVE, frozenset({"Job"}), under=(("spec", "selector"), ("spec", "template"))),
    Rule(
        Severity.DESTRUCTIVE,
        frozenset({"StorageClass"}),
        under=(("provisioner",), ("parameters",), ("reclaimPolicy",), ("volumeBindingMode",)),
    ),
    Rule(
        Severity.DESTRUCTIVE,
        frozenset({"PersistentVolumeClaim"}),
        under=(("spec", "accessModes"), ("spec", "storageClassName"), ("spec", "volumeName"), ("spec", "volumeMode")),
    ),
    Rule(Severity.DESTRUCTIVE, frozenset({"PriorityClass"}), under=(("value",),)),
    Rule(Severity.SECURITY, dangerous=True),
    Rule(Severity.CONFIG),
)
"""Why each row stands where it does: what follows it is more general."""


def severity(kind: str, path: Path, *values: Any) -> Severity:
    """How severe a difference is.

    Args:
        kind: of the object.
        path: of the field; empty for an object that is gone.
        values: what was declared and what is there, where they are.
    """
    if not path:
        return Severity.DESTRUCTIVE
    return next(rule.severity for rule in TABLE if rule.fits(kind, path, values))


def _key_of(path: Path, parent: str, prefix: str) -> bool:
    """Whether `path` is the metadata's map `parent`, or a key of it that begins with `prefix`."""
    for index, step in enumerate(path):
        if step == parent and index and path[index - 1] == "metadata":
            key = path[index + 1] if index + 1 < len(path) else ""
            return isinstance(key, str) and key.startswith(prefix)
    return False


def _dangerous(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(key in DANGEROUS or _dangerous(each) for key, each in value.items())
    return isinstance(value, list) and any(map(_dangerous, value))
