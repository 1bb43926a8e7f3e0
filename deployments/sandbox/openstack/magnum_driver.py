"""Magnum driver `sandbox_k8s`: clusters whose control plane the sandbox's supervisor runs.

The truth is in Magnum's database. Each look at an operation under way sends the supervisor the whole cluster as it is
to be, so nothing is lost when either side restarts: the next look goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from keystoneauth1.exceptions import ClientException
from keystoneauth1.exceptions import ConnectionError as NoAnswer
from magnum.common import context as magnum_context
from magnum.common import exception, octavia
from magnum.conductor.handlers.common import cert_manager
from magnum.drivers.common import driver, k8s_monitor
from magnum.objects import Cluster
from magnum.objects.fields import ClusterStatus
from oslo_utils import uuidutils

from deployments.sandbox.openstack import magnum_certificates, magnum_credentials, magnum_nodes
from deployments.sandbox.openstack.control import Control, ControlError
from deployments.sandbox.openstack.faults import FaultFile, Mishap, fate
from deployments.sandbox.openstack.magnum_network import NetworkError, Networks
from deployments.sandbox.openstack.magnum_nodes import Group

LOG = logging.getLogger(__name__)

_WATCHING = threading.Lock()

SETTLING = 5.0
"""Seconds for the periodic job to remove a deleted cluster's rows; no other job looks at the cluster meanwhile."""

DEFAULT_VERSION = "v1.33.4"
"""Kubernetes where neither cluster nor template has the label kube_tag."""


class SandboxDriver(driver.Driver):  # type: ignore[misc]
    """What Magnum asks of a driver."""

    home: ClassVar[Path]
    """The sandbox's state folder; set by the service that loads us."""
    networks: ClassVar[Networks] = Networks()
    _watched: ClassVar[set[str]] = set()
    """Clusters that are being looked at."""
    _deleted: ClassVar[dict[str, float]] = {}
    """Clusters whose deletion has just ended, and when."""

    def __init__(self) -> None:
        super().__init__()
        self._control = Control(self.home)
        self._faults = FaultFile(self.home / "faults.json")

    @property
    def provides(self) -> list[dict[str, str]]:
        systems = ("fedora-coreos", "ubuntu", "flatcar")
        return [{"server_type": "vm", "os": system, "coe": "kubernetes"} for system in systems]

    def create_cluster(self, context: Any, cluster: Any, cluster_create_timeout: int) -> None:
        cluster.stack_id = uuidutils.generate_uuid()
        clouds = magnum_credentials.make(context, cluster)
        if self._fate(cluster).create is None:
            self._apply(context, cluster, clouds)

    def update_cluster(self, context: Any, cluster: Any, scale_manager: Any = None, rollback: bool = False) -> None:
        self._apply(context, cluster)

    def resize_cluster(  # noqa: PLR0917 - Magnum's signature
        self,
        context: Any,
        cluster: Any,
        resize_manager: Any,
        node_count: int,
        nodes_to_remove: list[str],
        nodegroup: Any = None,
    ) -> None:
        if nodegroup is not None and nodes_to_remove:
            nodegroup.node_addresses = list(magnum_nodes.without(cluster.name, _group(nodegroup), nodes_to_remove))
            nodegroup.save()

    def upgrade_cluster(  # noqa: PLR0917 - Magnum's signature
        self,
        context: Any,
        cluster: Any,
        cluster_template: Any,
        max_batch_size: int,
        nodegroup: Any,
        scale_manager: Any = None,
        rollback: bool = False,
    ) -> None:
        wanted = cluster_template.labels.get("kube_tag", DEFAULT_VERSION)
        if magnum_nodes.version_key(wanted) < magnum_nodes.version_key(_version(cluster)):
            reason = f"Kubernetes cannot go back from {_version(cluster)} to {wanted}."
            raise exception.InvalidClusterTemplateForUpgrade(reason=reason)
        cluster.cluster_template_id = cluster_template.uuid
        cluster.labels = {**cluster.labels, "kube_tag": wanted}

    def delete_cluster(self, context: Any, cluster: Any) -> None:
        """Nothing yet: the next look deletes, again after a restart."""

    def create_nodegroup(self, context: Any, cluster: Any, nodegroup: Any) -> None:
        nodegroup.stack_id = uuidutils.generate_uuid()

    def update_nodegroup(self, context: Any, cluster: Any, nodegroup: Any) -> None:
        """Nothing yet: the next look carries it out."""

    def delete_nodegroup(self, context: Any, cluster: Any, nodegroup: Any) -> None:
        # The conductor does not save the status it has set; Heat's driver did it, too.
        nodegroup.save()

    def rotate_ca_certificate(self, context: Any, cluster: Any) -> None:
        cert_manager.delete_client_files(cluster, context=context)

    def validate_master_resize(self, node_count: int) -> None:
        self.validate_master_size(node_count)

    def get_monitor(self, context: Any, cluster: Any) -> Any:
        return k8s_monitor.K8sMonitor(context, cluster)

    def create_federation(self, context: Any, federation: Any) -> None:
        raise NotImplementedError

    update_federation = delete_federation = create_federation

    def update_cluster_status(self, context: Any, cluster: Any, use_admin_ctx: bool = False) -> None:
        """Look at an operation under way, and end it when the supervisor says it is done.

        Magnum asks again and again, each time in a thread of its own, whether the look before has ended or not: one at
        a time is enough, and what was read before the end of an operation is out of date.
        """
        if not self._begin(cluster.uuid):
            return
        try:
            if _is_current(context, cluster):
                self._watch(context, cluster)
        finally:
            self._end(cluster)

    def _begin(self, uuid: str) -> bool:
        """Whether nobody looks at a cluster, who now is us."""
        with _WATCHING:
            if uuid in self._watched or time.monotonic() - self._deleted.get(uuid, -SETTLING) < SETTLING:
                return False
            self._watched.add(uuid)
            return True

    def _end(self, cluster: Any) -> None:
        now = time.monotonic()
        with _WATCHING:
            self._watched.discard(cluster.uuid)
            if cluster.status == ClusterStatus.DELETE_COMPLETE:
                for uuid in [uuid for uuid, then in self._deleted.items() if now - then >= SETTLING]:
                    del self._deleted[uuid]
                self._deleted[cluster.uuid] = now

    def _watch(self, context: Any, cluster: Any) -> None:
        how = self._fate(cluster)
        if cluster.status == ClusterStatus.DELETE_IN_PROGRESS:
            if how.delete != "hang":
                self._delete(context, cluster, how)
        elif cluster.status.endswith("_IN_PROGRESS"):
            if cluster.status == ClusterStatus.CREATE_IN_PROGRESS and how.create is not None:
                if how.create == "fail":
                    _finish(cluster, ClusterStatus.CREATE_FAILED, how.reason)
            elif cluster.ca_cert_ref is not None and self._applied(context, cluster):
                _finish(cluster, cluster.status.replace("_IN_PROGRESS", "_COMPLETE"), None)

    def _applied(self, context: Any, cluster: Any) -> bool:
        try:
            return self._apply(context, cluster)
        except (ControlError, ClientException) as error:
            # The supervisor or Neutron may be starting; the operation stays under way.
            LOG.warning("%s", error)
            return False

    def _apply(self, context: Any, cluster: Any, clouds: str | None = None) -> bool:
        """Have the cluster as the database says; returns whether it is there.

        Args:
            clouds: how the cluster signs in to the cloud; known while it is made, and handed over at once.
        """
        rows = [row for row in cluster.nodegroups if row.status != ClusterStatus.DELETE_IN_PROGRESS]
        groups = [_group(row) for row in rows]
        addresses = magnum_nodes.allocate(cluster.uuid, groups)
        body: dict[str, Any] = {
            "name": cluster.name,
            "version": _version(cluster),
            "ca_pem": magnum_certificates.authority(context, cluster),
            "nodes": magnum_nodes.nodes(cluster.name, groups, addresses),
            "network": self.networks.ensure(cluster),
        } | ({"clouds": clouds} if clouds else {})
        known = self._control.get(cluster.uuid)
        if known is None or known["ca_pem"] != body["ca_pem"]:
            masters = [node["address"] for node in body["nodes"] if node["role"] == "master"]
            body |= magnum_certificates.issue(context, cluster, masters)
        answer = self._control.put(cluster.uuid, body)
        for row in rows:
            if tuple(row.node_addresses or ()) != addresses[row.name]:
                row.node_addresses = list(addresses[row.name])
                row.save()
        cluster.api_address = answer["api_address"]
        cluster.coe_version = body["version"]
        return bool(answer["ready"])

    def _fate(self, cluster: Any) -> Mishap:
        """How the cluster is to go wrong."""
        return fate(self._faults.current().clusters, cluster.name)

    def _delete(self, context: Any, cluster: Any, how: Mishap) -> None:
        try:
            self._control.delete(cluster.uuid)
        except ControlError as error:
            LOG.warning("%s", error)
            return
        if how.delete == "fail":
            _finish(cluster, ClusterStatus.DELETE_FAILED, how.reason)
            return
        try:
            # As Magnum's own drivers do first (pre_delete_cluster). This thread waits for them, no other cluster does.
            octavia.delete_loadbalancers(context, cluster)
        except exception.PreDeletionFailed as error:
            if _unreachable(error):
                LOG.warning("%s", error)
            else:
                _finish(cluster, ClusterStatus.DELETE_FAILED, str(error))
            return
        magnum_credentials.remove(cluster)
        try:
            self.networks.remove(cluster)
        except ClientException as error:
            LOG.warning("%s", error)
            return
        except NetworkError as error:
            _finish(cluster, ClusterStatus.DELETE_FAILED, str(error))
            return
        cert_manager.delete_client_files(cluster, context=context)
        # The periodic task that asked destroys the rows.
        cluster.status = ClusterStatus.DELETE_COMPLETE


def _is_current(context: Any, cluster: Any) -> bool:
    """Whether the row is there, and the operation that was read from it still under way."""
    try:
        return bool(Cluster.get_by_uuid(context, cluster.uuid).status == cluster.status)
    except exception.ClusterNotFound:
        return False


def _unreachable(error: BaseException | None) -> bool:
    """Whether an error comes of a service that cannot be asked, such as one that is starting."""
    while error is not None:
        # Magnum says AuthorizationFailure of every client that it cannot make.
        if isinstance(error, (NoAnswer, exception.AuthorizationFailure)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _finish(cluster: Any, status: str, reason: str | None) -> None:
    failed = status.endswith("_FAILED")
    for row in cluster.nodegroups:
        if row.status == ClusterStatus.DELETE_IN_PROGRESS:
            row.destroy()
        elif row.status and row.status.endswith("_IN_PROGRESS"):
            row.status = row.status.replace("_IN_PROGRESS", "_FAILED" if failed else "_COMPLETE")
            row.status_reason = reason
            row.save()
    cluster.status, cluster.status_reason = status, reason
    cluster.save()


def _group(row: Any) -> Group:
    return Group(
        row.name, row.role, row.flavor_id or "", row.node_count, bool(row.is_default), tuple(row.node_addresses or ())
    )


def _version(cluster: Any) -> str:
    return str(cluster.labels.get("kube_tag") or DEFAULT_VERSION)


def resume() -> None:
    """Take up creations that a restart cut off before the cluster had its certificates.

    A row without node groups is one whose counts are lost; as with a lost message, there is no such cluster.
    """
    context = magnum_context.make_admin_context(all_tenants=True)
    for cluster in Cluster.list(context, filters={"status": [ClusterStatus.CREATE_IN_PROGRESS]}):
        if {group.role for group in cluster.nodegroups} < {"master", "worker"}:
            for group in cluster.nodegroups:
                group.destroy()
            cluster.destroy()
        elif cluster.ca_cert_ref is None:
            cert_manager.generate_certificates_to_cluster(cluster, context=context)
            cluster.save()
