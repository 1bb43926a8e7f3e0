"""The kinds the controllers work with, and where the API serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]
"""A Kubernetes object as JSON."""

Key = tuple[str, str]
"""Namespace (empty for cluster-wide kinds) and name."""


@dataclass(frozen=True)
class Resource:
    """One kind at one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    custom: bool = False
    """Defined by a CustomResourceDefinition, so it may not exist yet, or stop to exist."""

    @property
    def api_version(self) -> str:
        """As objects spell it: `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def crd(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)


def _custom(group: str, version: str, plural: str, kind: str, *, namespaced: bool = True) -> Resource:
    return Resource(group, version, plural, kind, namespaced, custom=True)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False)
NODES = Resource("", "v1", "nodes", "Node", False)
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
SERVICEACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("", "v1", "events", "Event")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", False)
STORAGECLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False)
CSIDRIVERS = Resource("storage.k8s.io", "v1", "csidrivers", "CSIDriver", False)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
STATEFULSETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
DAEMONSETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
JOBS = Resource("batch", "v1", "jobs", "Job")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
INGRESSCLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False)
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)

CERTIFICATES = _custom("cert-manager.io", "v1", "certificates", "Certificate")
CLUSTERISSUERS = _custom("cert-manager.io", "v1", "clusterissuers", "ClusterIssuer", namespaced=False)

APPLICATIONS = _custom("argoproj.io", "v1alpha1", "applications", "Application")
APPPROJECTS = _custom("argoproj.io", "v1alpha1", "appprojects", "AppProject")

RUNNERSETS = _custom("actions.github.com", "v1alpha1", "autoscalingrunnersets", "AutoscalingRunnerSet")
LISTENERS = _custom("actions.github.com", "v1alpha1", "autoscalinglisteners", "AutoscalingListener")
EPHEMERALSETS = _custom("actions.github.com", "v1alpha1", "ephemeralrunnersets", "EphemeralRunnerSet")
EPHEMERALRUNNERS = _custom("actions.github.com", "v1alpha1", "ephemeralrunners", "EphemeralRunner")

CEPHCLUSTERS = _custom("ceph.rook.io", "v1", "cephclusters", "CephCluster")
