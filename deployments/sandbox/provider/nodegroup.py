"""openstack_containerinfra_nodegroup_v1."""

from __future__ import annotations

from deployments.sandbox.provider import magnum
from deployments.sandbox.provider.cloud import CloudError
from deployments.sandbox.provider.resource import Created, Resource, absent_is_none, changed, given
from deployments.sandbox.provider.tables import State, table
from deployments.sandbox.provider.waits import Goal, WaitFailed, wait_for

WHAT = "openstack_containerinfra_nodegroup_v1"


class NodeGroup(Resource):
    """A group of nodes beside a cluster's default ones."""

    name = "containerinfra_nodegroup_v1"
    table = table(
        """
        region              string       optional+computed new
        cluster_id          string       required          new
        name                string       required          new
        project_id          string       computed          new
        created_at          string       computed
        updated_at          string       computed
        docker_volume_size  number       optional+computed new
        labels              map          optional+computed new
        merge_labels        bool         optional          new
        role                string       optional+computed new
        node_count          number       optional          default=1
        min_node_count      number       optional+computed
        max_node_count      number       optional
        image_id            string       optional+computed new
        flavor_id           string       optional+computed new
        """,
        timeouts={"create": 3600, "update": 1800, "delete": 1800},
    )

    def validate(self, config: State) -> list[str]:
        count = config.get("node_count")
        if isinstance(count, int) and count < 0:
            return [f"expected node_count to be at least (0), got {count}"]
        return []

    def create(self, wanted: State, created: Created) -> State:
        cluster_id = wanted["cluster_id"]
        magnum.wait_idle(self.cloud, cluster_id, self.timeouts["create"])
        body = given(
            name=wanted["name"],
            docker_volume_size=wanted["docker_volume_size"],
            labels=wanted["labels"],
            merge_labels=wanted["merge_labels"],
            role=wanted["role"],
            min_node_count=wanted["min_node_count"],
            max_node_count=wanted["max_node_count"],
            image_id=wanted["image_id"],
            flavor_id=wanted["flavor_id"],
        )
        body["node_count"] = wanted["node_count"]
        microversion = magnum.ZERO_NODES if wanted["node_count"] == 0 else magnum.NODE_GROUPS
        path = f"/clusters/{cluster_id}/nodegroups"
        answer = self.cloud.request(magnum.SERVICE, "POST", path, body, microversion=microversion)
        identifier = str(answer["uuid"])
        created(f"{cluster_id}/{identifier}")
        self._wait(f"{cluster_id}/{identifier}", "CREATE_COMPLETE", "ready", "create")
        return self.read_again({**wanted, "id": f"{cluster_id}/{identifier}"})

    def read(self, state: State) -> State | None:
        cluster_id, identifier = split(state["id"])
        found = absent_is_none(lambda: magnum.node_group(self.cloud, cluster_id, identifier))
        if found is None or found.get("status") == "DELETE_COMPLETE":
            return None
        return {
            "id": state["id"],
            "region": self.cloud.region,
            "cluster_id": cluster_id,
            **{name: found[name] for name in self.table.names() if name in found and name != "id"},
            "labels": magnum.read_labels(found, merge=state.get("merge_labels") is True),
        }

    def update(self, prior: State, wanted: State) -> State:
        cluster_id, identifier = split(prior["id"])
        before, after = prior.get("node_count"), wanted["node_count"]
        # Magnum refuses limits the present number of nodes does not keep to, so the limit that stands in the way of
        # a resize is moved first, and the other one last. (Upstream moves both first, and fails when a group grows
        # and its minimum with it.)
        limits = changed(prior, wanted, "min_node_count", "max_node_count")
        ahead = "max_node_count" if (after or 0) > (before or 0) else "min_node_count"
        self._limit(cluster_id, identifier, [name for name in limits if name == ahead], wanted)
        if before != after:
            body = {"node_count": after, "nodegroup": identifier}
            self._change(cluster_id, identifier, "POST", f"/clusters/{cluster_id}/actions/resize", body)
        self._limit(cluster_id, identifier, [name for name in limits if name != ahead], wanted)
        return self.read_again({**wanted, "id": prior["id"]})

    def _limit(self, cluster_id: str, identifier: str, names: list[str], wanted: State) -> None:
        if names:
            steps = [_step(name, wanted.get(name)) for name in names]
            self._change(cluster_id, identifier, "PATCH", f"/clusters/{cluster_id}/nodegroups/{identifier}", steps)

    def _change(self, cluster_id: str, identifier: str, method: str, path: str, body: object) -> None:
        magnum.wait_idle(self.cloud, cluster_id, self.timeouts["update"])
        before = magnum.node_group(self.cloud, cluster_id, identifier)
        self.cloud.request(magnum.SERVICE, method, path, body, microversion=magnum.ZERO_NODES)
        self._wait(f"{cluster_id}/{identifier}", "UPDATE_COMPLETE", "updated", "update", before)

    def delete(self, prior: State) -> None:
        cluster_id, identifier = split(prior["id"])
        path = f"/clusters/{cluster_id}/nodegroups/{identifier}"
        before = absent_is_none(lambda: magnum.node_group(self.cloud, cluster_id, identifier))
        if before is None:
            return
        magnum.wait_idle(self.cloud, cluster_id, self.timeouts["delete"])
        absent_is_none(lambda: self.cloud.request(magnum.SERVICE, "DELETE", path, microversion=magnum.NODE_GROUPS))
        self._wait(f"{cluster_id}/{identifier}", "DELETE_COMPLETE", "deleted", "delete", before)

    def _wait(self, identifier: str, target: str, become: str, step: str, before: State | None = None) -> None:
        deleting = step == "delete"
        goal = Goal(
            WHAT,
            target,
            ("DELETE_FAILED",) if deleting else magnum.FAILED,
            gone=deleting,
            fresh=None if before is None else magnum.since(before),
        )
        try:
            wait_for(self.cloud, lambda: magnum.node_group(self.cloud, *split(identifier)), goal, self.timeouts[step])
        except WaitFailed as error:
            raise WaitFailed(f"Error waiting for {WHAT} {identifier} to become {become}: {error}") from error


def split(identifier: str) -> tuple[str, str]:
    """Cluster and node group of `<cluster>/<node group>`."""
    cluster_id, slash, rest = identifier.partition("/")
    if not slash or not cluster_id or not rest:
        raise CloudError(f"Unable to determine nodegroup ID {identifier}", 400)
    return cluster_id, rest


def _step(name: str, value: int | None) -> dict[str, object]:
    return (
        {"op": "remove", "path": f"/{name}"} if value is None else {"op": "replace", "path": f"/{name}", "value": value}
    )
