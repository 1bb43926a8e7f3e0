"""What the real server refuses: 422 Invalid with one cause per field.

Not every rule of Kubernetes is here; those that platform code meets are: names, labels, required and immutable fields,
selectors, pods, services, volumes, roles, webhooks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.sandbox.kubernetes.crds import STORAGE as CRD_STORAGE
from deployments.sandbox.kubernetes.crds import validate_crd
from deployments.sandbox.kubernetes.errors import Cause
from deployments.sandbox.kubernetes.validation import cluster, metadata, updates, workloads

Object = dict[str, Any]
_CREATE: dict[str, Callable[[Object], list[Cause]]] = {
    "pods": workloads.pod,
    "deployments.apps": workloads.deployment,
    "replicasets.apps": workloads.replica_set,
    "statefulsets.apps": workloads.stateful_set,
    "daemonsets.apps": workloads.daemon_set,
    "jobs.batch": workloads.job,
    "cronjobs.batch": workloads.cron_job,
    "horizontalpodautoscalers.autoscaling": workloads.autoscaler,
    "poddisruptionbudgets.policy": workloads.disruption_budget,
    "services": cluster.service,
    "ingresses.networking.k8s.io": cluster.ingress,
    "secrets": cluster.secret,
    "configmaps": cluster.config_map,
    "events": cluster.event,
    "persistentvolumeclaims": cluster.claim,
    "storageclasses.storage.k8s.io": cluster.storage_class,
    "roles.rbac.authorization.k8s.io": cluster.role,
    "clusterroles.rbac.authorization.k8s.io": cluster.role,
    "rolebindings.rbac.authorization.k8s.io": cluster.role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": cluster.role_binding,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": cluster.webhooks,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": cluster.webhooks,
    CRD_STORAGE: validate_crd,
}


def on_create(storage: str, item: Object, *, namespaced: bool) -> list[Cause]:
    """Everything wrong with a new object."""
    check = _CREATE.get(storage)
    return metadata.validate(storage, item["metadata"], namespaced=namespaced) + (check(item) if check else [])


def on_update(storage: str, old: Object, new: Object, *, namespaced: bool) -> list[Cause]:
    """Everything wrong with replacing `old` by `new`."""
    causes = metadata.validate(storage, new["metadata"], namespaced=namespaced)
    causes += metadata.validate_update(old["metadata"], new["metadata"])
    check = _CREATE.get(storage)
    if check is not None:
        causes += check(new)
    immutable = updates.BY_KIND.get(storage)
    return causes + (immutable(old, new) if immutable else [])
