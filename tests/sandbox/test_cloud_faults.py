"""What goes wrong in the sandbox's cloud when it is told to, and how its DNS behaves."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from openstack.connection import Connection

from deployments.sandbox.settings import NAME_SERVERS, SandboxSettings
from tests.platform import told
from tests.sandbox.cloud import (
    ask,
    everywhere,
    get,
    wait,
)

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(600),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


def test_records_are_answered_by_both_name_servers(sandbox: SandboxSettings, demo: Connection) -> None:
    zone = demo.dns.find_zone("sandbox.example.")
    wildcard = demo.dns.create_recordset(
        zone.id, name="*.apps.sandbox.example.", type="A", ttl=300, records=["127.77.0.1", "127.77.0.2"]
    )
    wait("record", lambda: demo.dns.get_recordset(wildcard.id, zone.id).status, "ACTIVE")
    both = ("NOERROR", ("127.77.0.1", "127.77.0.2"))
    wait("answer", lambda: everywhere(sandbox, "a.b.apps.sandbox.example."), {both})
    # The wildcard's parent exists, without records of its own (RFC 4592 section 2.2.2).
    assert everywhere(sandbox, "apps.sandbox.example.") == {("NOERROR", ())}
    assert everywhere(sandbox, "other.sandbox.example.") == {("NXDOMAIN", ())}
    assert everywhere(sandbox, "sandbox.example.", "NS") == {
        ("NOERROR", ("ns1.sandbox.example.", "ns2.sandbox.example."))
    }
    response = dns.query.tcp(
        dns.message.make_query("x.apps.sandbox.example.", "A"), NAME_SERVERS["ns2"], port=sandbox.port("dns"), timeout=5
    )
    assert response.flags & dns.flags.AA
    assert len(response.answer[0]) == 2
    demo.dns.delete_recordset(wildcard.id, zone.id)
    wait("no record", lambda: demo.dns.find_recordset(zone.id, wildcard.id, ignore_missing=True), None)
    wait("no answer", lambda: everywhere(sandbox, "a.b.apps.sandbox.example."), {("NXDOMAIN", ())})


def test_active_does_not_mean_everywhere(sandbox: SandboxSettings, demo: Connection) -> None:
    zone = demo.dns.find_zone("sandbox.example.")
    # Longer than a busy machine takes to see that the first has it.
    told(sandbox, "faults", "set", "--lag", "ns2=12")
    try:
        record = demo.dns.create_recordset(
            zone.id, name="late.sandbox.example.", type="A", ttl=300, records=["127.0.0.9"]
        )
        wait("record", lambda: demo.dns.get_recordset(record.id, zone.id).status, "ACTIVE", 10)
        assert everywhere(sandbox, "late.sandbox.example.") == {("NOERROR", ("127.0.0.9",)), ("NXDOMAIN", ())}
        wait("everywhere", lambda: everywhere(sandbox, "late.sandbox.example."), {("NOERROR", ("127.0.0.9",))}, 40)
    finally:
        told(sandbox, "faults", "clear")


def test_resolver_remembers_that_there_is_none(sandbox: SandboxSettings, demo: Connection) -> None:
    def resolved(name: str) -> tuple[str, list[str]]:
        return ask("127.0.0.1", sandbox.port("resolver"), name)

    zone = demo.dns.find_zone("sandbox.example.")
    assert resolved("early.sandbox.example.") == ("NXDOMAIN", [])
    record = demo.dns.create_recordset(zone.id, name="early.sandbox.example.", type="A", ttl=300, records=["127.0.0.8"])
    wait("record", lambda: demo.dns.get_recordset(record.id, zone.id).status, "ACTIVE")
    wait("everywhere", lambda: everywhere(sandbox, "early.sandbox.example."), {("NOERROR", ("127.0.0.8",))})
    assert resolved("early.sandbox.example.") == ("NXDOMAIN", [])
    assert resolved("ns1.sandbox.example.") == ("NOERROR", [NAME_SERVERS["ns1"]])
    assert resolved("elsewhere.example.") == ("SERVFAIL", [])


def test_many_writers_at_once(sandbox: SandboxSettings, demo: Connection) -> None:
    zone = demo.dns.find_zone("sandbox.example.")

    def one(number: int) -> str:
        name = f"h{number}.many.sandbox.example."
        return str(demo.dns.create_recordset(zone.id, name=name, type="A", ttl=300, records=[f"10.0.0.{number}"]).id)

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(one, range(1, 41)))

    def pending() -> set[str]:
        return {row.id for row in demo.dns.recordsets(zone.id) if row.id in made and row.status != "ACTIVE"}

    print(f"40 records ACTIVE after {wait('40 records', pending, set(), 60):.1f} s")
    names = [f"h{number}.many.sandbox.example." for number in (1, 20, 40)]
    # ACTIVE says that Designate has told its servers, not that each answers already.
    wait("answers", lambda: {answer[0] for name in names for answer in everywhere(sandbox, name)}, {"NOERROR"})


@pytest.mark.parametrize("kind", ["500", "503", "429"])
def test_injected_errors(sandbox: SandboxSettings, kind: str) -> None:
    told(sandbox, "faults", "set", "--service", "nova", "--kind", kind, "--count", "1", "--retry-after", "2")
    try:
        seen: list[tuple[int, str | None]] = []
        for _ in range(2):
            request = urllib.request.Request(sandbox.url("nova", "/?fault=" + kind), headers={"User-Agent": "test/1"})
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    seen.append((response.status, None))
            except urllib.error.HTTPError as error:
                with error:
                    seen.append((error.code, error.headers.get("Retry-After")))
        assert seen == [(int(kind), None if kind == "500" else "2"), (200, None)]
        lines = (sandbox.home / "log/requests.jsonl").read_text().splitlines()
        logged = [json.loads(line) for line in lines if f"fault={kind}" in line]
        assert [(row["service"], row["ua"], row["status"]) for row in logged] == [
            ("nova", "test/1", int(kind)),
            ("nova", "test/1", 200),
        ]
    finally:
        told(sandbox, "faults", "clear")


def test_injected_reset_and_stall(sandbox: SandboxSettings) -> None:
    told(sandbox, "faults", "set", "--service", "glance", "--kind", "reset", "--count", "1")
    told(sandbox, "faults", "set", "--service", "glance", "--kind", "stall", "--stall-seconds", "2", "--count", "1")
    try:
        with pytest.raises(ConnectionResetError):
            get(sandbox)
        begun = time.monotonic()
        assert get(sandbox) == 300
        assert time.monotonic() - begun >= 2
        assert get(sandbox) == 300
    finally:
        told(sandbox, "faults", "clear")
