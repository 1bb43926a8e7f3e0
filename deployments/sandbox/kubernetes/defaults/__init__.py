"""Defaults of the built-in kinds, as the real server writes them into what it stores.

Every function changes a decoded object in place and is idempotent.
Source: pkg/apis/*/v1/defaults.go of Kubernetes 1.33.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.sandbox.kubernetes.crds import default_crd
from deployments.sandbox.kubernetes.defaults import cluster, network, workloads

_BY_KIND: dict[str, Callable[[dict[str, Any]], None]] = {
    "pods": workloads.pod,
    "podtemplates": workloads.pod_template_object,
    "replicationcontrollers": workloads.replication_controller,
    "deployments.apps": workloads.deployment,
    "replicasets.apps": workloads.replica_set,
    "statefulsets.apps": workloads.stateful_set,
    "daemonsets.apps": workloads.daemon_set,
    "jobs.batch": workloads.job,
    "cronjobs.batch": workloads.cron_job,
    "horizontalpodautoscalers.autoscaling": workloads.autoscaler,
    "services": network.service,
    "endpoints": network.endpoints,
    "endpointslices.discovery.k8s.io": network.endpoint_slice,
    "ingressclasses.networking.k8s.io": network.ingress_class,
    "networkpolicies.networking.k8s.io": network.network_policy,
    "namespaces": cluster.namespace,
    "nodes": cluster.node,
    "persistentvolumeclaims": cluster.claim,
    "persistentvolumes": cluster.volume,
    "storageclasses.storage.k8s.io": cluster.storage_class,
    "csidrivers.storage.k8s.io": cluster.csi_driver,
    "secrets": cluster.secret,
    "rolebindings.rbac.authorization.k8s.io": cluster.role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": cluster.role_binding,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": cluster.webhooks,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": cluster.webhooks,
    "customresourcedefinitions.apiextensions.k8s.io": default_crd,
    "apiservices.apiregistration.k8s.io": cluster.api_service,
    "priorityclasses.scheduling.k8s.io": cluster.priority_class,
}


def apply(storage: str, item: dict[str, Any]) -> None:
    """Fill in the defaults of a built-in object kept under `storage` (`deployments.apps`)."""
    function = _BY_KIND.get(storage)
    if function is not None:
        function(item)
