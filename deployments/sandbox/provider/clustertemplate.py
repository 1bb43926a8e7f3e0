"""openstack_containerinfra_clustertemplate_v1."""

from __future__ import annotations

from typing import Any

from deployments.sandbox.provider import magnum
from deployments.sandbox.provider.resource import Created, Resource, absent_is_none, changed, given
from deployments.sandbox.provider.tables import State, table

ROWS = """
    name                  string required
    project_id            string computed          new
    user_id               string computed          new
    created_at            string computed
    updated_at            string computed
    apiserver_port        number optional
    coe                   string required
    cluster_distro        string optional+computed
    dns_nameserver        string optional
    docker_storage_driver string optional
    docker_volume_size    number optional
    external_network_id   string optional
    fixed_network         string optional
    fixed_subnet          string optional
    flavor                string optional          env=OS_MAGNUM_FLAVOR
    master_flavor         string optional          env=OS_MAGNUM_MASTER_FLAVOR
    floating_ip_enabled   bool   optional
    http_proxy            string optional
    https_proxy           string optional
    image                 string required          env=OS_MAGNUM_IMAGE
    insecure_registry     string optional
    keypair_id            string optional
    labels                map    optional
    master_lb_enabled     bool   optional
    network_driver        string optional+computed
    no_proxy              string optional
    public                bool   optional
    registry_enabled      bool   optional
    server_type           string optional+computed
    tls_disabled          bool   optional
    volume_driver         string optional
    hidden                bool   optional
"""
_RENAMED = {"flavor": "flavor_id", "master_flavor": "master_flavor_id", "image": "image_id"}
_BOOLEANS = ("floating_ip_enabled", "master_lb_enabled", "public", "registry_enabled", "tls_disabled", "hidden")
_READ_ONLY = ("id", "region", "project_id", "user_id", "created_at", "updated_at")


class ClusterTemplate(Resource):
    """A Magnum cluster template. Magnum changes it in place, also while clusters use it, which they never see."""

    name = "containerinfra_clustertemplate_v1"
    table = table("region string optional+computed new\n" + ROWS, timeouts={"create": 600, "delete": 600})

    def validate(self, config: State) -> list[str]:
        port = config.get("apiserver_port")
        if isinstance(port, int) and not 1024 <= port <= 65535:
            return [f"expected apiserver_port to be in the range (1024 - 65535), got {port}"]
        return []

    def create(self, wanted: State, created: Created) -> State:
        settable = [name for name in self.table.names() if name not in (*_READ_ONLY, *_BOOLEANS)]
        body = given(**{_RENAMED.get(name, name): wanted[name] for name in settable})
        body.update({name: wanted[name] is True for name in _BOOLEANS})
        answer = self.cloud.request(magnum.SERVICE, "POST", "/clustertemplates", body)
        created(str(answer["uuid"]))
        return self.read_again({**wanted, "id": str(answer["uuid"])})

    def read(self, state: State) -> State | None:
        path = f"/clustertemplates/{state['id']}"
        found = absent_is_none(lambda: self.cloud.get(magnum.SERVICE, path))
        return None if found is None else self.observed(found)

    def observed(self, found: dict[str, Any]) -> State:
        """A template as Magnum gives it, by our names."""
        names = [name for name in self.table.names() if name not in ("id", "region")]
        values = {name: found.get(_RENAMED.get(name, name)) for name in names}
        values["labels"] = magnum.read_labels(found, merge=False)
        return {"id": found["uuid"], "region": self.cloud.region, **values}

    def update(self, prior: State, wanted: State) -> State:
        settable = [name for name in self.table.names() if name not in _READ_ONLY]
        steps = [
            magnum.patch(f"/{_RENAMED.get(name, name)}", bool(wanted[name]) if name in _BOOLEANS else wanted[name])
            for name in changed(prior, wanted, *settable)
        ]
        if steps:
            self.cloud.request(magnum.SERVICE, "PATCH", f"/clustertemplates/{prior['id']}", steps)
        return self.read_again({**wanted, "id": prior["id"]})

    def delete(self, prior: State) -> None:
        path = f"/clustertemplates/{prior['id']}"
        absent_is_none(lambda: self.cloud.request(magnum.SERVICE, "DELETE", path))
