"""Node objects for the cluster's servers, as cluster.json lists them."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from pathlib import Path

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import key_of, labels
from deployments.sandbox.controllers.kube.resources import NODES, PODS, Key, Obj

ZONE = "nova"
"""The only availability zone there is."""

FLAVORS = {"m1.small": (1, 2), "m1.medium": (2, 4), "m1.large": (4, 8), "m1.xlarge": (8, 16)}
"""CPUs and GiB of memory by flavor; what is not listed counts as m1.large."""

LOOK = 0.5
"""Seconds between two looks at the file's time stamp."""

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
OURS = "magnum.openstack.org/nodegroup"
log = logging.getLogger(__name__)


class Inventory:
    """The servers in cluster.json, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self.document: Obj = {}
        self.refresh()

    def refresh(self) -> bool:
        """Read the file if it changed; returns whether it did. A half-written or absent file changes nothing."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._seen:
                return False
            self.document = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return False
        self._seen = stamp
        return True

    def servers(self) -> dict[str, Obj]:
        """The servers by node name."""
        return {server["name"]: server for server in self.document.get("nodes", [])}

    @property
    def version(self) -> str:
        """The Kubernetes version the nodes run."""
        return str(self.document.get("version") or "v1.33.4")


class Nodes:
    """Keeps the Node objects and the list of servers alike, as each server's kubelet and the cloud manager would."""

    def __init__(self, cluster: Cluster, inventory: Inventory) -> None:
        self._cluster, self._inventory = cluster, inventory
        self._nodes = cluster.informer(NODES)
        self._pods = cluster.informer(PODS)
        self._controller = cluster.add(Controller("nodes", self._nodes, self.reconcile).reading(self._pods))

    async def run(self) -> None:
        """Look at cluster.json until cancelled."""
        await self._nodes.synced.wait()
        while True:
            for name in {*self._inventory.servers(), *(name for _, name in self._nodes.keys())}:  # noqa: SIM118
                self._controller.queue.add(("", name))
            while not self._inventory.refresh():  # noqa: ASYNC110 - files announce nothing
                await asyncio.sleep(LOOK)

    async def reconcile(self, key: Key) -> None:
        """Make one Node be as its server, or go with it."""
        server = self._inventory.servers().get(key[1])
        node = self._nodes.get(*key)
        if server is None:
            if node is not None and OURS in labels(node):
                await self._remove(node)
            return
        wanted = describe(server, self._inventory.version)
        if node is None:
            await self._cluster.create(NODES, wanted)
        else:
            # An upgrade: the kubelet is another one from now on.
            await self._cluster.patch_status(NODES, node, {"nodeInfo": wanted["status"]["nodeInfo"]})

    async def _remove(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        await self._cluster.client.delete(NODES, "", name)
        for pod in self._pods.all():
            if pod["spec"].get("nodeName") == name:
                await self._cluster.client.delete(PODS, *key_of(pod), uid=pod["metadata"]["uid"], grace=0)


def describe(server: Obj, version: str) -> Obj:
    """The Node a server's kubelet registers; kwok reports for it from then on."""
    master = server.get("role") == "master"
    found = {
        "kubernetes.io/hostname": server["name"],
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": server.get("flavor", ""),
        "topology.kubernetes.io/zone": ZONE,
        "topology.cinder.csi.openstack.org/zone": ZONE,
        "magnum.openstack.org/role": server.get("role", "worker"),
        OURS: server.get("nodegroup", "default-worker"),
    } | ({CONTROL_PLANE: ""} if master else {})
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, server["name"])
    spec: Obj = {"providerID": f"openstack:///{identity}"}
    if master:
        spec["taints"] = [{"key": CONTROL_PLANE, "effect": "NoSchedule"}]
    cpus, memory = FLAVORS.get(server.get("flavor", ""), FLAVORS["m1.large"])
    capacity = {"cpu": str(cpus), "memory": f"{memory}Gi", "pods": "110", "ephemeral-storage": "40Gi"}
    status = {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [
            {"type": "InternalIP", "address": server.get("address", "")},
            {"type": "Hostname", "address": server["name"]},
        ],
        "nodeInfo": {
            "architecture": "amd64",
            "operatingSystem": "linux",
            "osImage": "Fedora CoreOS (sandbox stand-in)",
            "kernelVersion": "6.12.0-sandbox",
            "containerRuntimeVersion": "containerd://2.1.0",
            "kubeletVersion": version,
            "kubeProxyVersion": "",
            "machineID": identity.hex,
            "systemUUID": str(identity),
            "bootID": str(uuid.uuid5(identity, "boot")),
        },
    }
    return {"metadata": {"name": server["name"], "labels": found}, "spec": spec, "status": status}
