"""What kube-controller-manager does on a real cluster, for the embedded API server, which runs no controllers."""

from __future__ import annotations

from infra.sandbox.controllers.kube.cluster import Cluster
from infra.sandbox.controllers.workloads.cronjobs import CronJobs
from infra.sandbox.controllers.workloads.daemonsets import DaemonSets
from infra.sandbox.controllers.workloads.deployments import Deployments
from infra.sandbox.controllers.workloads.endpoints import Endpoints
from infra.sandbox.controllers.workloads.jobs import Jobs
from infra.sandbox.controllers.workloads.replicasets import ReplicaSets
from infra.sandbox.controllers.workloads.statefulsets import StatefulSets


def add_all(cluster: Cluster) -> None:
    """Have all workload controllers run with the cluster."""
    for controllers in (Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, Endpoints):
        controllers(cluster)
