"""openstack_compute_keypair_v2."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from deployments.sandbox.provider.resource import Created, Resource, absent_is_none, given
from deployments.sandbox.provider.tables import State, table

SERVICE = "compute"
OF_A_USER = "2.10"
"""Microversion from which a keypair of another user can be named."""


class Keypair(Resource):
    """A Nova keypair. Nothing of it changes in place."""

    name = "compute_keypair_v2"
    table = table(
        """
        region      string optional+computed new
        name        string required          new
        public_key  string optional+computed new
        value_specs map    optional          new
        private_key string computed          sensitive
        fingerprint string computed
        user_id     string optional+computed new
        """
    )

    def create(self, wanted: State, created: Created) -> State:
        body = given(name=wanted["name"], public_key=wanted["public_key"], user_id=wanted["user_id"])
        body.update(wanted["value_specs"] or {})
        microversion = OF_A_USER if "user_id" in body else None
        answer = self.cloud.request(SERVICE, "POST", "/os-keypairs", {"keypair": body}, microversion=microversion)
        made: dict[str, Any] = answer["keypair"]
        created(made["name"])
        # The only moment at which Nova says a generated private key.
        state = {**wanted, "id": made["name"], "private_key": made.get("private_key") or ""}
        return self.read_again(state)

    def read(self, state: State) -> State | None:
        path = f"/os-keypairs/{quote(state['id'], safe='')}"
        answer = absent_is_none(lambda: self.cloud.get(SERVICE, path))
        if answer is None:
            return None
        found = answer["keypair"]
        observed = {name: found.get(name) for name in ("name", "fingerprint", "user_id")}
        # Nova keeps a newline that a file had; the configuration usually does not.
        public = found.get("public_key") or ""
        known = state.get("public_key")
        observed["public_key"] = known if isinstance(known, str) and known.strip() == public.strip() else public
        secret = state.get("private_key")
        observed["private_key"] = secret if isinstance(secret, str) else ""
        return {"id": found["name"], "region": self.cloud.region, **observed}

    def delete(self, prior: State) -> None:
        path = f"/os-keypairs/{quote(prior['id'], safe='')}"
        absent_is_none(lambda: self.cloud.request(SERVICE, "DELETE", path))
