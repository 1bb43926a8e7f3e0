"""The DNS plane: its pure verbs, strangers' records, and who is asked in which order."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.dns import Answer
from infra.clients.errors import DeadlineExceeded, InvalidInput, NotYet, Refused
from infra.clients.openstack_models import Recordset, Zone
from infra.drift.findings import PlaneName, Severity
from infra.planes import dns
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients
from tests.unit.planes.fakes import FakeDesignate, FakeJournal, declared

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


def test_when_a_record_was_changed_is_said_and_not_who() -> None:
    (finding,) = dns.compare(WANTED, observed(ttl=60, updated_at="2026-11-25T19:48:00.000000"))
    assert str(finding.changed) == "unknown (Designate records no author) at 2026-11-25 19:48:00 UTC (updated_at)"
    (never,) = dns.compare(WANTED, observed(ttl=60, updated_at=None))
    assert never.changed is None


def test_a_missing_record_is_found() -> None:
    (finding,) = dns.compare(WANTED, dns.Observed(ZONE, {"www.dev.example.": recordset("www.dev.example.")}))
    assert finding.sentence == "There is no record for *.dev.example.."


def test_an_address_of_version_six_gets_an_aaaa_record() -> None:
    assert dns.Wanted("dev", "example.", (), 300, "2001:db8::1").type == "AAAA"


def test_no_names_are_declared_without_dns() -> None:
    assert dns.desired(declared(dns=None, certificates=None), ADDRESS) is None


def test_the_declared_names_lead_to_the_ingress() -> None:
    wanted = dns.desired(
        declared(
            dns={
                "zone": "sandbox.example.",
                "domain": "dev.sandbox.example.",
                "ttl": 600,
                "hostnames": ["a.b.dev.sandbox.example."],
            }
        ),
        ADDRESS,
    )
    assert wanted == dns.Wanted(
        environment="dev",
        zone="sandbox.example.",
        names=("*.dev.sandbox.example.", "a.b.dev.sandbox.example."),
        ttl=600,
        address=ADDRESS,
    )


class FakeNames:
    """Name servers and a resolver; each question is kept in order."""

    def __init__(self, lag: int = 0, resolver_lag: int = 0) -> None:
        self.lag = lag
        self.resolver_lag = resolver_lag
        self.asked: list[str] = []

    async def propagated(self, name: str, type: str, expected: set[str], servers: list[str]) -> None:
        self.asked.append(f"servers {','.join(servers)} {name} {type} {','.join(expected)}")
        if self.lag:
            self.lag -= 1
            raise NotYet("ns2.example. lags.")

    async def resolve(self, name: str, type: str) -> tuple[Answer, ...]:
        self.asked.append(f"resolver {name} {type}")
        self.resolver_lag -= 1
        records = () if self.resolver_lag >= 0 else (ADDRESS,)
        outcome: Any = "answer" if records else "nxdomain"
        return (Answer(server="127.0.0.1", address="127.0.0.1", outcome=outcome, records=records),)


def zone_of(clients: Clients) -> FakeDesignate:
    found: Any = clients.openstack.designate
    return found  # type: ignore[no-any-return]


WANTED_HERE = dns.Wanted("dev", "sandbox.example.", ("*.dev.sandbox.example.", "www.sandbox.example."), 300, ADDRESS)


async def test_records_are_made_and_the_second_run_changes_nothing(clients: Clients, journal: FakeJournal) -> None:
    first = await bring_into_step(dns, WANTED_HERE, clients, name=PlaneName.DNS, step="names")
    assert first.made == ("recordset/*.dev.sandbox.example.", "recordset/www.sandbox.example.")
    assert zone_of(clients).calls == ["ensure *.dev.sandbox.example. A", "ensure www.sandbox.example. A"]
    assert journal.actions == ["create recordset/*.dev.sandbox.example.", "create recordset/www.sandbox.example."]
    second = await bring_into_step(dns, WANTED_HERE, clients, name=PlaneName.DNS, step="names")
    assert second.made == ()
    assert len(zone_of(clients).calls) == 2


async def test_a_name_that_is_not_declared_any_more_is_found_and_deleted(
    clients: Clients, journal: FakeJournal
) -> None:
    zone = zone_of(clients)
    for name in WANTED_HERE.names:
        zone.put(name, ADDRESS, description=WANTED_HERE.mark)
    zone.put("old.sandbox.example.", ADDRESS, description=WANTED_HERE.mark)
    zone.put(f"{dns.CANARY_LABEL}.dev.sandbox.example.", "192.0.2.1", description=WANTED_HERE.mark)
    zone.put("strange.sandbox.example.", ADDRESS, description="by hand")
    zone.put("other.sandbox.example.", ADDRESS, description=dns.mark("staging"))
    (found,) = dns.compare(WANTED_HERE, await dns.observe(WANTED_HERE, clients))
    assert (found.address, found.severity) == ("recordset/old.sandbox.example.", Severity.SECURITY)
    await bring_into_step(dns, WANTED_HERE, clients, name=PlaneName.DNS, step="names")
    assert journal.actions == ["delete recordset/old.sandbox.example."]


async def test_a_record_that_was_bent_is_put_right_alone(clients: Clients, journal: FakeJournal) -> None:
    zone_of(clients).put("*.dev.sandbox.example.", "203.0.113.99", description=WANTED_HERE.mark)
    zone_of(clients).put("www.sandbox.example.", ADDRESS, description=WANTED_HERE.mark)
    await bring_into_step(dns, WANTED_HERE, clients, name=PlaneName.DNS, step="names")
    assert journal.actions == ["update recordset/*.dev.sandbox.example."]


async def test_a_record_that_is_only_pending_is_waited_for_not_written(clients: Clients) -> None:
    zone_of(clients).put("*.dev.sandbox.example.", ADDRESS, description=WANTED_HERE.mark, status="PENDING")
    zone_of(clients).put("www.sandbox.example.", ADDRESS, description=WANTED_HERE.mark)
    outcome = await bring_into_step(dns, WANTED_HERE, clients, name=PlaneName.DNS, step="names")
    assert (outcome.made, zone_of(clients).calls) == ((), [])


async def test_a_strangers_record_is_refused_before_anything_is_written(clients: Clients) -> None:
    zone_of(clients).put("www.sandbox.example.", "203.0.113.99", description="by hand")
    with pytest.raises(Refused, match=r"www\.sandbox\.example\. is not ours: it is described as 'by hand'"):
        await bring_into_step(dns, WANTED_HERE, clients, name=PlaneName.DNS, step="names")
    assert zone_of(clients).calls == []
    assert zone_of(clients).sets["r-www.sandbox.example.-A"].records == ("203.0.113.99",)


async def test_a_zone_that_is_not_there_is_a_wrong_declaration(clients: Clients) -> None:
    clients.openstack.designate = FakeDesignate(None)  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match="there is no zone"):
        await dns.observe(WANTED_HERE, clients)


async def test_resolvers_are_asked_only_when_every_authoritative_server_answers_every_name(clients: Clients) -> None:
    names = FakeNames(lag=2, resolver_lag=1)
    clients.dns = names  # type: ignore[assignment]
    said = await dns.probe(WANTED_HERE, clients)
    wildcard = "servers ns1.example.,ns2.example. plumbline-probe.dev.sandbox.example. A 203.0.113.7"
    other = "servers ns1.example.,ns2.example. www.sandbox.example. A 203.0.113.7"
    resolver = "resolver plumbline-probe.dev.sandbox.example. A"
    assert names.asked == [wildcard, wildcard, wildcard, other, resolver, resolver]
    assert said == "2 name servers and the resolver answer 203.0.113.7"


async def test_a_server_that_never_agrees_keeps_the_resolver_unasked(clients: Clients) -> None:
    names = FakeNames(lag=10**9)
    clients.dns = names  # type: ignore[assignment]
    with pytest.raises(DeadlineExceeded, match=r"ns2\.example\. lags"):
        await dns.probe(WANTED_HERE, clients)
    assert not any(question.startswith("resolver") for question in names.asked)


async def test_removing_takes_what_carries_our_mark_and_nothing_else(clients: Clients, journal: FakeJournal) -> None:
    zone = zone_of(clients)
    zone.put("*.dev.sandbox.example.", ADDRESS, description=dns.mark("dev"))
    zone.put("old.dev.sandbox.example.", ADDRESS, description=dns.mark("dev"))
    zone.put("*.prod.sandbox.example.", ADDRESS, description=dns.mark("prod"))
    zone.put("www.sandbox.example.", ADDRESS, description="by hand")
    gone = ["recordset/*.dev.sandbox.example.", "recordset/old.dev.sandbox.example."]
    assert await dns.remove(declared(), clients) == gone
    assert journal.actions == [f"delete {where}" for where in gone]
    assert await dns.remove(declared(), clients) == []
    assert sorted(item.name for item in zone.sets.values()) == ["*.prod.sandbox.example.", "www.sandbox.example."]


async def test_removing_from_a_zone_that_is_gone_is_fine(clients: Clients) -> None:
    clients.openstack.designate = FakeDesignate(None)  # type: ignore[assignment]
    assert await dns.remove(declared(), clients) == []
    assert await dns.remove(declared(dns=None, certificates=None), clients) == []
