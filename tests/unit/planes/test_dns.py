"""The DNS plane's pure verbs."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.openstack_models import Recordset, Zone
from infra.planes import dns

ADDRESS = "203.0.113.7"
WANTED = dns.Wanted("dev", "example.", ("*.dev.example.", "www.dev.example."), 300, ADDRESS)
ZONE = Zone(id="z", name="example.", status="ACTIVE", ttl=3600, serial=1)


def recordset(name: str, **changes: Any) -> Recordset:
    fields: dict[str, Any] = {
        "id": name,
        "zone_id": "z",
        "name": name,
        "type": "A",
        "records": [ADDRESS],
        "ttl": 300,
        "status": "ACTIVE",
        "description": WANTED.mark,
    }
    return Recordset.model_validate(fields | changes)


def observed(**changes: Any) -> dns.Observed:
    wildcard = recordset("*.dev.example.", **changes)
    return dns.Observed(ZONE, {wildcard.name: wildcard, "www.dev.example.": recordset("www.dev.example.")})


def test_records_as_declared_are_no_finding() -> None:
    assert dns.compare(WANTED, observed()) == []


@pytest.mark.parametrize(
    ("changes", "path", "sentence"),
    [
        ({"records": ["203.0.113.8"]}, "records", "points at 203.0.113.8 instead of 203.0.113.7"),
        ({"records": [ADDRESS, "203.0.113.8"]}, "records", "203.0.113.7, 203.0.113.8"),
        ({"ttl": 60}, "ttl", "a TTL of 60 s instead of 300 s"),
        ({"ttl": None}, "ttl", "a TTL of None s"),
        ({"status": "PENDING"}, "status", "is PENDING"),
        ({"description": "by hand"}, "description", "is not ours"),
    ],
)
def test_each_difference_is_named(changes: dict[str, Any], path: str, sentence: str) -> None:
    (finding,) = dns.compare(WANTED, observed(**changes))
    assert (finding.address, finding.path) == ("recordset/*.dev.example.", path)
    assert sentence in finding.sentence


def test_a_missing_record_is_found() -> None:
    (finding,) = dns.compare(WANTED, dns.Observed(ZONE, {"www.dev.example.": recordset("www.dev.example.")}))
    assert finding.sentence == "There is no record for *.dev.example.."


def test_an_address_of_version_six_gets_an_aaaa_record() -> None:
    assert dns.Wanted("dev", "example.", (), 300, "2001:db8::1").type == "AAAA"
