"""openstack_dns_zone_v2 (resource and data source) and openstack_dns_recordset_v2."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from deployments.sandbox.provider.cloud import Cloud, CloudError
from deployments.sandbox.provider.resource import Created, DataSource, Resource, absent_is_none, changed, given
from deployments.sandbox.provider.tables import State, table
from deployments.sandbox.provider.waits import Goal, WaitFailed, wait_for

SERVICE = "dns"
ZONE = "openstack_dns_zone_v2"
RECORDSET = "openstack_dns_recordset_v2"
MINUTES_10 = {"create": 600.0, "update": 600.0, "delete": 600.0}


def wait_active(cloud: Cloud, look: Callable[[], Any], what: str, timeout: float) -> None:
    """Wait until Designate's name servers answer with the change."""
    wait_for(cloud, look, Goal(what, "ACTIVE", ("ERROR",)), timeout)


def wait_gone(cloud: Cloud, look: Callable[[], Any], what: str, timeout: float) -> None:
    """Wait until the object is gone."""
    wait_for(cloud, look, Goal(what, "DELETED", ("ERROR",), gone=True), timeout)


class Zone(Resource):
    """A Designate zone."""

    name = "dns_zone_v2"
    table = table(
        """
        region               string optional+computed new
        project_id           string optional+computed new
        name                 string required          new
        email                string optional
        type                 string optional+computed new
        attributes           map    optional          new
        ttl                  number optional+computed
        description          string optional
        masters              set    optional
        value_specs          map    optional          new
        disable_status_check bool   optional          default=false
        """,
        timeouts=MINUTES_10,
    )

    def validate(self, config: State) -> list[str]:
        kind = config.get("type")
        if isinstance(kind, str) and kind not in ("PRIMARY", "SECONDARY"):
            return [f'expected type to be one of ["PRIMARY" "SECONDARY"], got {kind}']
        return []

    def create(self, wanted: State, created: Created) -> State:
        names = ("name", "email", "type", "attributes", "ttl", "description", "masters")
        body = given(**{name: wanted[name] for name in names}) | (wanted["value_specs"] or {})
        identifier = str(self.cloud.request(SERVICE, "POST", "/v2/zones", body)["id"])
        created(identifier)
        self._wait_active(identifier, wanted, "create")
        return self.read_again({**wanted, "id": identifier})

    def read(self, state: State) -> State | None:
        # Imported as <id>:<project id>, where an administrator works for another project.
        identifier = str(state["id"]).partition(":")[0]
        found = absent_is_none(lambda: self._get(identifier))
        if found is None:
            return None
        names = ("name", "email", "type", "attributes", "ttl", "description", "masters", "project_id")
        return {"id": identifier, "region": self.cloud.region, **{name: found.get(name) for name in names}}

    def update(self, prior: State, wanted: State) -> State:
        names = changed(prior, wanted, "email", "ttl", "masters", "description")
        if names:
            self.cloud.request(SERVICE, "PATCH", f"/v2/zones/{prior['id']}", {name: wanted[name] for name in names})
            self._wait_active(prior["id"], wanted, "update")
        return self.read_again({**wanted, "id": prior["id"]})

    def delete(self, prior: State) -> None:
        identifier = prior["id"]
        absent_is_none(lambda: self.cloud.request(SERVICE, "DELETE", f"/v2/zones/{identifier}"))
        if not prior.get("disable_status_check"):
            wait_gone(self.cloud, lambda: self._get(identifier), ZONE, self.timeouts["delete"])

    def _get(self, identifier: str) -> Any:
        return self.cloud.get(SERVICE, f"/v2/zones/{identifier}")

    def _wait_active(self, identifier: str, wanted: State, step: str) -> None:
        if not wanted["disable_status_check"]:
            wait_active(self.cloud, lambda: self._get(identifier), ZONE, self.timeouts[step])


class Recordset(Resource):
    """A Designate recordset."""

    name = "dns_recordset_v2"
    table = table(
        """
        region               string optional+computed new
        zone_id              string required          new
        name                 string required          new
        description          string optional
        records              set    required
        ttl                  number optional+computed
        type                 string optional+computed new
        value_specs          map    optional          new
        disable_status_check bool   optional          default=false
        project_id           string optional+computed new
        """,
        timeouts=MINUTES_10,
    )

    def create(self, wanted: State, created: Created) -> State:
        zone = wanted["zone_id"]
        body = given(name=wanted["name"], description=wanted["description"], ttl=wanted["ttl"], type=wanted["type"]) | {
            "records": _plain(wanted["records"])
        }
        body |= wanted["value_specs"] or {}
        identifier = str(self.cloud.request(SERVICE, "POST", f"/v2/zones/{zone}/recordsets", body)["id"])
        # Upstream records the id only after a successful wait, and so leaves a recordset behind outside the state
        # when that fails. Ours is recorded at once: the sandbox shall not lose what it made.
        created(f"{zone}/{identifier}")
        self._wait_active(zone, identifier, wanted, "create")
        return self.read_again({**wanted, "id": f"{zone}/{identifier}"})

    def read(self, state: State) -> State | None:
        zone, identifier = split(state["id"])
        found = absent_is_none(lambda: self._get(zone, identifier))
        if found is None:
            return None
        records, known = found.get("records") or [], state.get("records")
        names = ("name", "description", "ttl", "type", "project_id")
        return {
            "id": f"{zone}/{identifier}",
            "region": self.cloud.region,
            "zone_id": zone,
            "records": known if isinstance(known, list) and sorted(_plain(known)) == sorted(records) else records,
            **{name: found.get(name) for name in names},
        }

    def update(self, prior: State, wanted: State) -> State:
        zone, identifier = split(prior["id"])
        names = changed(prior, wanted, "ttl", "records", "description")
        if names:
            body = {name: _plain(wanted[name]) if name == "records" else wanted[name] for name in names}
            self.cloud.request(SERVICE, "PUT", f"/v2/zones/{zone}/recordsets/{identifier}", body)
            self._wait_active(zone, identifier, wanted, "update")
        return self.read_again({**wanted, "id": prior["id"]})

    def delete(self, prior: State) -> None:
        zone, identifier = split(prior["id"])
        absent_is_none(lambda: self.cloud.request(SERVICE, "DELETE", f"/v2/zones/{zone}/recordsets/{identifier}"))
        if not prior.get("disable_status_check"):
            wait_gone(self.cloud, lambda: self._get(zone, identifier), RECORDSET, self.timeouts["delete"])

    def _get(self, zone: str, identifier: str) -> Any:
        return self.cloud.get(SERVICE, f"/v2/zones/{zone}/recordsets/{identifier}")

    def _wait_active(self, zone: str, identifier: str, wanted: State, step: str) -> None:
        if wanted["disable_status_check"]:
            return
        try:
            wait_active(self.cloud, lambda: self._get(zone, identifier), RECORDSET, self.timeouts[step])
        except WaitFailed as error:
            raise WaitFailed(f"Error waiting for {RECORDSET} {zone}/{identifier} to become active: {error}") from error


class FindZone(DataSource):
    """The one zone that a name, or other fields, describe."""

    name = "dns_zone_v2"
    table = table(
        """
        region         string optional+computed
        all_projects   string optional
        name           string optional
        pool_id        string optional+computed
        project_id     string optional+computed
        email          string optional
        description    string optional
        status         string optional
        type           string optional
        ttl            number optional
        version        number optional+computed
        serial         number optional+computed
        created_at     string optional+computed
        updated_at     string optional+computed
        transferred_at string optional+computed
        attributes     map    optional+computed
        masters        set    optional+computed
        """
    )

    def read(self, config: State) -> State:
        query = "&".join(
            f"{name}={quote(str(config[name]))}"
            for name in ("name", "email", "description", "status", "type", "ttl")
            if config.get(name) is not None
        )
        zones = self.cloud.get(SERVICE, f"/v2/zones?{query}")["zones"]
        if not zones:
            raise CloudError(f"Your query for openstack_{self.name} returned no results", 404)
        if len(zones) > 1:
            raise CloudError(f"Your query for openstack_{self.name} returned {len(zones)} results", 400)
        zone = zones[0]
        found = {name: zone.get(name, config.get(name)) for name in self.table.names()}
        return {**found, "region": self.cloud.region, "all_projects": config.get("all_projects")}


def split(identifier: str) -> tuple[str, str]:
    """Zone and recordset of `<zone>/<recordset>` or `<project>/<zone>/<recordset>`."""
    parts = identifier.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise CloudError(f"Unable to determine DNS record set ID from raw ID: {identifier}", 400)
    return parts[-2], parts[-1]


def _plain(records: list[str] | None) -> list[str]:
    """Records as Designate wants them: IPv6 addresses without the brackets Terraform users write."""
    return [re.sub(r"[][]", "", record) for record in records or []]
