"""openstack_containerinfra_cluster_v1."""

from __future__ import annotations

from deployments.sandbox.provider import kubeconfig, magnum
from deployments.sandbox.provider.resource import Created, Resource, absent_is_none, changed, given
from deployments.sandbox.provider.tables import State, table
from deployments.sandbox.provider.waits import Goal, WaitFailed, wait_for

WHAT = "openstack_containerinfra_cluster_v1"
DROPPED_AT_MOST = 3
"""Times that a change is sent: one that meets the end of another is accepted and dropped (a cluster shows the old
`*_COMPLETE` for a moment after it was accepted)."""


class Cluster(Resource):
    """A Magnum cluster; only its template (an upgrade) and its number of nodes change in place."""

    name = "containerinfra_cluster_v1"
    table = table(
        """
        region              string       optional+computed new
        name                string       optional+computed new
        project_id          string       computed          new
        user_id             string       computed          new
        created_at          string       computed
        updated_at          string       computed
        api_address         string       computed
        coe_version         string       computed
        cluster_template_id string       required          env=OS_MAGNUM_CLUSTER_TEMPLATE
        container_version   string       computed
        create_timeout      number       optional+computed new
        discovery_url       string       optional+computed new
        docker_volume_size  number       optional+computed new
        flavor              string       optional+computed new
        master_flavor       string       optional+computed new
        keypair             string       optional+computed new
        labels              map          optional+computed new
        merge_labels        bool         optional          new
        master_count        number       optional+computed new
        master_lb_enabled   bool         optional+computed new
        node_count          number       optional          default=1
        master_addresses    list         computed
        node_addresses      list         computed
        stack_id            string       computed
        fixed_network       string       optional+computed new
        fixed_subnet        string       optional+computed new
        floating_ip_enabled bool         optional+computed new
        kubeconfig          map          computed          sensitive
        """,
        timeouts={"create": 3600, "update": 1800, "delete": 1800},
    )

    def create(self, wanted: State, created: Created) -> State:
        body = given(
            cluster_template_id=wanted["cluster_template_id"],
            name=wanted["name"],
            discovery_url=wanted["discovery_url"],
            docker_volume_size=wanted["docker_volume_size"],
            flavor_id=wanted["flavor"],
            master_flavor_id=wanted["master_flavor"],
            keypair=wanted["keypair"],
            labels=wanted["labels"],
            merge_labels=wanted["merge_labels"],
            master_count=wanted["master_count"],
            create_timeout=wanted["create_timeout"],
            fixed_network=wanted["fixed_network"],
            fixed_subnet=wanted["fixed_subnet"],
        )
        for name in ("floating_ip_enabled", "master_lb_enabled"):
            if isinstance(wanted[name], bool):
                body[name] = wanted[name]
        body["node_count"] = wanted["node_count"]
        microversion = magnum.ZERO_NODES if wanted["node_count"] == 0 else None
        answer = self.cloud.request(magnum.SERVICE, "POST", "/clusters", body, microversion=microversion)
        identifier = str(answer["uuid"])
        created(identifier)
        self._wait(identifier, "CREATE_COMPLETE", "ready", "create")
        return self.read_again({**wanted, "id": identifier})

    def read(self, state: State) -> State | None:
        identifier = state["id"]
        found = absent_is_none(lambda: magnum.cluster(self.cloud, identifier))
        if found is None:
            return None
        workers = magnum.default_workers(self.cloud, identifier)
        address = found.get("api_address")
        return {
            "id": identifier,
            "region": self.cloud.region,
            **{name: found[name] for name in self.table.names() if name in found and name != "id"},
            "flavor": found.get("flavor_id"),
            "master_flavor": found.get("master_flavor_id"),
            "labels": magnum.read_labels(found, merge=state.get("merge_labels") is True),
            "node_count": (workers or found).get("node_count"),
            "kubeconfig": kubeconfig.kept_or_made(
                self.cloud, identifier, str(found.get("name")), address, state.get("kubeconfig")
            ),
        }

    def update(self, prior: State, wanted: State) -> State:
        identifier = prior["id"]
        if changed(prior, wanted, "cluster_template_id"):
            # Upstream leaves max_batch_size out; Magnum 23 then answers 500 ("Cannot convert Unset to primitive").
            body = {"cluster_template": wanted["cluster_template_id"], "max_batch_size": 1}
            self._change(identifier, "POST", f"/clusters/{identifier}/actions/upgrade", body, magnum.UPGRADE)
        if prior.get("node_count") != wanted["node_count"]:
            count = wanted["node_count"]
            steps = [{"op": "replace", "path": "/node_count", "value": count}]
            microversion = magnum.ZERO_NODES if count == 0 else None
            for _ in range(DROPPED_AT_MOST):
                self._change(identifier, "PATCH", f"/clusters/{identifier}", steps, microversion)
                workers = magnum.default_workers(self.cloud, identifier)
                if workers is None or workers["node_count"] == count:
                    break
            else:
                raise WaitFailed(f"Magnum accepted node_count {count} for {WHAT} {identifier} and dropped it")
        return self.read_again({**wanted, "id": identifier})

    def _change(self, identifier: str, method: str, path: str, body: object, microversion: str | None) -> None:
        before = magnum.wait_idle(self.cloud, identifier, self.timeouts["update"])
        self.cloud.request(magnum.SERVICE, method, path, body, microversion=microversion)
        self._wait(identifier, "UPDATE_COMPLETE", "updated", "update", before)

    def delete(self, prior: State) -> None:
        identifier = prior["id"]
        before = absent_is_none(lambda: magnum.cluster(self.cloud, identifier))
        if before is None:
            return
        if before.get("status") != "DELETE_IN_PROGRESS":
            absent_is_none(lambda: self.cloud.request(magnum.SERVICE, "DELETE", f"/clusters/{identifier}"))
        self._wait(identifier, "DELETE_COMPLETE", "deleted", "delete", before)

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
            wait_for(self.cloud, lambda: magnum.cluster(self.cloud, identifier), goal, self.timeouts[step])
        except WaitFailed as error:
            raise WaitFailed(f"Error waiting for {WHAT} {identifier} to become {become}: {error}") from error
