"""What kube-controller-manager does on a real cluster, for the embedded API server, which runs no controllers."""

from __future__ import annotations

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.workloads.cronjobs import CronJobs
from deployments.sandbox.controllers.workloads.daemonsets import DaemonSets
from deployments.sandbox.controllers.workloads.deployments import Deployments
from deployments.sandbox.controllers.workloads.endpoints import Endpoints
from deployments.sandbox.controllers.workloads.jobs import Jobs
from deployments.sandbox.controllers.workloads.replicasets import ReplicaSets
from deployments.sandbox.controllers.workloads.statefulsets import StatefulSets


def add_all(cluster: Cluster) -> None:
    """Have all workload controllers run with the cluster."""
    for controllers in (Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, Endpoints):
        controllers(cluster)
