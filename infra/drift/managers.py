"""Whom the names of field managers stand for: us, the cluster's controllers, and people at their tools."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True)
class Managers:
    """Whom to trust, by the name of the field manager.

    Args:
        ours: install and apply what is declared.
        controllers: may write what is not declared, and what `MAY_OVERRIDE` names.
    """

    ours: frozenset[str] = frozenset({"helm", "Helm", "plumbline"})
    controllers: frozenset[str] = frozenset(
        {
            "cainjector",
            "cert-manager-cainjector",
            "cert-manager-challenges",
            "cloud-controller-manager",
            "cluster-autoscaler",
            "clusterrole-aggregation-controller",
            "csi-attacher",
            "csi-provisioner",
            "csi-resizer",
            "horizontal-pod-autoscaler",
            "keda",
            "keda-operator",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "openstack-cloud-controller-manager",
            "vpa-admission-controller",
            "vpa-updater",
        }
    )

    def also(self, controllers: Iterable[str]) -> Managers:
        """The same, and these controllers."""
        return replace(self, controllers=self.controllers | set(controllers))


MANAGERS: Final = Managers()

MAY_OVERRIDE: Final[dict[str, frozenset[str]]] = {
    "replicas": frozenset({"kube-controller-manager", "horizontal-pod-autoscaler", "cluster-autoscaler"}),
    "caBundle": frozenset({"cainjector", "cert-manager-cainjector", "kube-controller-manager"}),
    "volumeName": frozenset({"kube-controller-manager", "kube-scheduler"}),
}
"""Declared fields, by their name, that these controllers exist to write."""

_TOOLS: Final = frozenset({"k9s", "kubectl", "lens", "mozilla", "oc"})


def at_keyboard(manager: str) -> bool:
    """Whether a manager is a tool that people type into or click at: `kubectl-edit`, a browser's dashboard."""
    return manager.partition("-")[0].lower() in _TOOLS


def of_status(manager: str, subresource: str) -> bool:
    """Whether a program reports what it sees; with it come annotations, which a person may send that way as well."""
    return subresource == "status" and not at_keyboard(manager)
