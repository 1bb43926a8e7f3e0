"""Keypairs, zones and recordsets."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.sandbox.provider.cloud import CloudError
from deployments.sandbox.provider.dns import FindZone, Recordset, Zone, split
from deployments.sandbox.provider.keypair import Keypair
from deployments.sandbox.provider.tables import State
from deployments.sandbox.provider.waits import WaitFailed


def state(kind: Any, **values: Any) -> State:
    return {**dict.fromkeys(kind.table.names()), **values}


def test_a_keypair_keeps_the_private_key_nova_says_once(cloud: Any) -> None:
    made: list[str] = []
    cloud.expect("POST /os-keypairs", 201, {"keypair": {"name": "a b", "private_key": "SECRET"}})
    found = {"name": "a b", "fingerprint": "f", "public_key": "ssh-rsa A\n", "user_id": "u"}
    cloud.expect("GET /os-keypairs/a%20b", 200, {"keypair": found})
    seen = Keypair(cloud).create(state(Keypair, name="a b"), made.append)
    assert made == ["a b"]
    assert (seen["private_key"], seen["fingerprint"], seen["public_key"]) == ("SECRET", "f", "ssh-rsa A\n")


def test_a_trailing_newline_in_a_public_key_is_no_drift(cloud: Any) -> None:
    cloud.expect("GET /os-keypairs/k", 200, {"keypair": {"name": "k", "public_key": "ssh-rsa A\n"}})
    seen = Keypair(cloud).read(state(Keypair, id="k", public_key="ssh-rsa A"))
    assert seen is not None
    assert seen["public_key"] == "ssh-rsa A" and seen["private_key"] == ""
    cloud.expect("GET /os-keypairs/k", 200, {"keypair": {"name": "k", "public_key": "ssh-rsa B"}})
    other = Keypair(cloud).read(state(Keypair, id="k", public_key="ssh-rsa A"))
    assert other is not None and other["public_key"] == "ssh-rsa B"


def test_a_keypair_of_another_user_needs_a_newer_microversion(cloud: Any) -> None:
    cloud.expect("POST /os-keypairs", 409)
    with pytest.raises(CloudError):
        Keypair(cloud).create(state(Keypair, name="k", user_id="u", value_specs={"x": "y"}), list[str]().append)
    assert cloud.versions == ["compute 2.10"]
    assert cloud.bodies == [{"keypair": {"name": "k", "user_id": "u", "x": "y"}}]


def test_a_keypair_may_be_gone(cloud: Any) -> None:
    cloud.expect("GET /os-keypairs/k", 404)
    assert Keypair(cloud).read({"id": "k"}) is None
    cloud.expect("DELETE /os-keypairs/k", 404)
    Keypair(cloud).delete({"id": "k"})


ZONE = {"id": "z", "name": "a.example.", "status": "ACTIVE", "ttl": 300, "email": "x@example.org"}
RECORD = {"id": "r", "name": "www.a.example.", "type": "AAAA", "ttl": 60, "records": ["::1"], "status": "ACTIVE"}
RECORD_PATH = "/v2/zones/z/recordsets/r"


def test_a_zone_lives(cloud: Any) -> None:
    made: list[str] = []
    cloud.expect("POST /v2/zones", 202, {**ZONE, "status": "PENDING"})
    cloud.expect("GET /v2/zones/z", 200, {**ZONE, "status": "PENDING"})
    cloud.expect("GET /v2/zones/z", 200, ZONE)
    cloud.expect("GET /v2/zones/z", 200, ZONE)
    want = state(Zone, name="a.example.", email="x@example.org", disable_status_check=False)
    seen = Zone(cloud).create(want, made.append)
    assert made == ["z"] and seen["ttl"] == 300
    cloud.expect("PATCH /v2/zones/z", 202, ZONE)
    cloud.expect("GET /v2/zones/z", 200, ZONE)
    cloud.expect("GET /v2/zones/z", 200, {**ZONE, "ttl": 60})
    assert Zone(cloud).update({**want, "id": "z", "ttl": 300}, {**want, "ttl": 60})["ttl"] == 60
    assert {"ttl": 60} in cloud.bodies
    cloud.expect("GET /v2/zones/z", 200, ZONE)
    Zone(cloud).update({**want, "id": "z"}, want)
    cloud.expect("DELETE /v2/zones/z", 202)
    cloud.expect("GET /v2/zones/z", 404)
    Zone(cloud).delete({"id": "z", "disable_status_check": False})


def test_a_zone_of_another_project_is_imported_by_its_first_half(cloud: Any) -> None:
    cloud.expect("GET /v2/zones/z", 200, ZONE)
    seen = Zone(cloud).read({"id": "z:p"})
    assert seen is not None and seen["id"] == "z"
    cloud.expect("GET /v2/zones/z", 404)
    assert Zone(cloud).read({"id": "z"}) is None


def test_a_zone_has_one_of_two_types(cloud: Any) -> None:
    assert Zone(cloud).validate({"type": "PRIMARY"}) == []
    assert "PRIMARY" in Zone(cloud).validate({"type": "OTHER"})[0]


def test_a_recordset_lives_and_takes_brackets_off_addresses(cloud: Any) -> None:
    made: list[str] = []
    cloud.expect("POST /v2/zones/z/recordsets", 202, {**RECORD, "status": "PENDING"})
    cloud.expect(f"GET {RECORD_PATH}", 200, RECORD)
    cloud.expect(f"GET {RECORD_PATH}", 200, RECORD)
    want = state(
        Recordset,
        zone_id="z",
        name="www.a.example.",
        type="AAAA",
        ttl=60,
        records=["[::1]"],
        disable_status_check=False,
        value_specs={"x": "y"},
    )
    seen = Recordset(cloud).create(want, made.append)
    assert made == ["z/r"]
    assert cloud.bodies[0] == {"name": "www.a.example.", "ttl": 60, "type": "AAAA", "records": ["::1"], "x": "y"}
    assert seen["records"] == ["[::1]"]
    cloud.expect(f"PUT {RECORD_PATH}", 202, RECORD)
    cloud.expect(f"GET {RECORD_PATH}", 200, RECORD)
    cloud.expect(f"GET {RECORD_PATH}", 200, {**RECORD, "records": ["::2"]})
    after = Recordset(cloud).update({**want, "id": "z/r"}, {**want, "records": ["::2"]})
    assert after["records"] == ["::2"] and {"records": ["::2"]} in cloud.bodies
    cloud.expect(f"DELETE {RECORD_PATH}", 202)
    cloud.expect(f"GET {RECORD_PATH}", 200, {**RECORD, "status": "PENDING"})
    cloud.expect(f"GET {RECORD_PATH}", 404)
    Recordset(cloud).delete({"id": "z/r", "disable_status_check": False})


def test_a_recordset_in_error_was_begun(cloud: Any) -> None:
    made: list[str] = []
    cloud.expect("POST /v2/zones/z/recordsets", 202, RECORD)
    cloud.expect(f"GET {RECORD_PATH}", 200, {**RECORD, "status": "ERROR"})
    want = state(Recordset, zone_id="z", name="n", records=["::1"], disable_status_check=False)
    with pytest.raises(WaitFailed, match="Error waiting for openstack_dns_recordset_v2 z/r to become active"):
        Recordset(cloud).create(want, made.append)
    assert made == ["z/r"]


def test_a_recordset_that_need_not_be_waited_for(cloud: Any) -> None:
    want = state(Recordset, zone_id="z", name="n", records=["::1"], disable_status_check=True, id="p/z/r")
    cloud.expect("POST /v2/zones/z/recordsets", 202, RECORD)
    cloud.expect(f"GET {RECORD_PATH}", 200, RECORD)
    Recordset(cloud).create(want, list[str]().append)
    cloud.expect(f"DELETE {RECORD_PATH}", 404)
    Recordset(cloud).delete(want)
    cloud.expect(f"GET {RECORD_PATH}", 404)
    assert Recordset(cloud).read(want) is None


@pytest.mark.parametrize("text", ["", "z", "z/", "a/b/c/d"])
def test_a_recordset_is_named_by_zone_and_id(text: str) -> None:
    with pytest.raises(CloudError, match="record set ID"):
        split(text)


def test_a_zone_is_found_by_name(cloud: Any) -> None:
    cloud.expect("GET /v2/zones?name=a.example.", 200, {"zones": [ZONE]})
    found = FindZone(cloud).read(state(FindZone, name="a.example."))
    assert (found["id"], found["region"], found["ttl"]) == ("z", "RegionOne", 300)
    for zones, words in (([], "no results"), ([ZONE, ZONE], "2 results")):
        cloud.expect("GET /v2/zones?name=a.example.", 200, {"zones": zones})
        with pytest.raises(CloudError, match=words):
            FindZone(cloud).read(state(FindZone, name="a.example."))
