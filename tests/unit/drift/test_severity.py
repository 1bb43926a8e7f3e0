"""The table of severities."""

from __future__ import annotations

from typing import Any

import pytest

from infra.drift.findings import Severity
from infra.drift.paths import Item, Path
from infra.drift.severity import severity

POD = ("spec", "template", "spec")
WEB = Item((("name", "web"),))
COSMETIC, CONFIG, SECURITY, DESTRUCTIVE = Severity


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        ("ConfigMap", (), None, DESTRUCTIVE),
        ("ConfigMap", ("data", "a"), "1", CONFIG),
        ("ConfigMap", ("metadata", "labels", "a"), "1", COSMETIC),
        ("ClusterRole", ("metadata", "annotations", "a"), "1", COSMETIC),
        ("ClusterRole", ("metadata", "annotations"), {}, COSMETIC),
        ("ConfigMap", ("metadata", "ownerReferences", WEB), {}, DESTRUCTIVE),
        ("ConfigMap", ("data", "labels"), "1", CONFIG),
        ("Deployment", ("spec", "template", "metadata", "annotations", "a"), "1", COSMETIC),
        ("Deployment", ("spec", "template", "metadata", "labels", "a"), "1", CONFIG),
        ("Deployment", (*POD, "containers", WEB, "image"), "x", CONFIG),
        ("Deployment", (*POD, "containers", WEB, "securityContext", "readOnlyRootFilesystem"), False, SECURITY),
        ("Deployment", (*POD, "hostNetwork"), True, SECURITY),
        ("Deployment", (*POD, "volumes", WEB), {"name": "web", "hostPath": {"path": "/"}}, SECURITY),
        ("Deployment", (*POD, "volumes", WEB), {"name": "web", "emptyDir": {}}, CONFIG),
        ("Deployment", (*POD, "containers", WEB), {"ports": [{"hostPort": 80}]}, SECURITY),
        ("Deployment", (*POD, "serviceAccountName"), "admin", SECURITY),
        ("Deployment", ("spec", "selector", "matchLabels", "app"), "x", DESTRUCTIVE),
        ("StatefulSet", ("spec", "volumeClaimTemplates", 0), {}, DESTRUCTIVE),
        ("Job", ("spec", "template", "spec", "containers", WEB, "image"), "x", DESTRUCTIVE),
        ("StorageClass", ("parameters", "type"), "x", DESTRUCTIVE),
        ("StorageClass", ("allowVolumeExpansion",), True, CONFIG),
        ("PersistentVolumeClaim", ("spec", "storageClassName"), "x", DESTRUCTIVE),
        ("PriorityClass", ("value",), 1, DESTRUCTIVE),
        ("ClusterRole", ("rules", 0), {}, SECURITY),
        ("RoleBinding", ("roleRef", "name"), "x", SECURITY),
        ("ClusterRoleBinding", ("subjects", 0), {}, SECURITY),
        ("ValidatingWebhookConfiguration", ("webhooks", WEB, "failurePolicy"), "Ignore", SECURITY),
        ("ServiceAccount", ("imagePullSecrets",), [], SECURITY),
        ("NetworkPolicy", ("spec", "egress"), [], SECURITY),
        ("Secret", ("data", "a"), None, SECURITY),
        ("Ingress", ("spec", "tls", 0), {}, SECURITY),
        ("Ingress", ("spec", "rules", 0), {}, CONFIG),
        ("Namespace", ("metadata", "labels", "pod-security.kubernetes.io/enforce"), "x", SECURITY),
        ("ClusterRole", ("metadata", "labels", "rbac.authorization.k8s.io/aggregate-to-admin"), "true", SECURITY),
    ],
)
def test_the_first_row_that_fits_decides(kind: str, path: Path, value: Any, expected: Severity) -> None:
    assert severity(kind, path, None, value) == expected
