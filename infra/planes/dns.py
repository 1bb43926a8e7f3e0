"""The DNS plane: the wildcard name and the declared host names, as recordsets in Designate that point at the ingress.

A recordset is ours when its description says so; a stranger's record of the same name is never touched.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from infra.clients.dns import Answer
from infra.clients.errors import InvalidInput, NotYet, PlumblineError, Refused
from infra.clients.openstack_models import Recordset, Zone, moment
from infra.drift.findings import BlindSpot, Changed, Finding, PlaneName, Severity
from infra.planes import addons
from infra.planes.clients import Clients
from infra.planes.looking import Looked, blind_spot, look_at
from infra.spec.models import Environment
from infra.spec.names import record_names

PLANE = PlaneName.DNS
_finding = partial(Finding.at, PLANE)
UNHEARD = frozenset({"silent", "servfail", "refused", "lame"})
"""Outcomes that say nothing about a name."""
CANARY_LABEL = "plumbline-drift-canary"
"""The first label of the recordset that is made different on purpose (infra.planes.canary)."""
PROBED_LABEL = "plumbline-probe"
"""A label under the wildcard that nobody declares: asking for it proves the wildcard itself."""


@dataclass(frozen=True)
class Wanted:
    """The records of one environment."""

    environment: str
    zone: str
    names: tuple[str, ...]
    """Absolute, the wildcard first."""
    ttl: int
    """Seconds."""
    address: str
    """Of the ingress's LoadBalancer."""

    @property
    def type(self) -> str:
        """A or AAAA, after the address."""
        return "A" if ipaddress.ip_address(self.address).version == 4 else "AAAA"

    @property
    def mark(self) -> str:
        """The description by which a recordset is known as ours."""
        return mark(self.environment)


@dataclass(frozen=True)
class Observed:
    """The zone and its recordsets of the wanted names."""

    zone: Zone
    recordsets: dict[str, Recordset]
    undeclared: tuple[Recordset, ...] = ()
    """Those of other names that carry the environment's mark."""


def mark(environment: str) -> str:
    """The description every recordset of an environment carries."""
    return f"Managed by Plumbline for environment {environment}."


def desired(environment: Environment, address: str) -> Wanted | None:
    """The declared names, all at the ingress's address (pure); `None` where no names are declared."""
    dns = environment.spec.dns
    if dns is None:
        return None
    return Wanted(
        environment=environment.name, zone=dns.zone, names=record_names(environment), ttl=dns.ttl, address=address
    )


async def observe(wanted: Wanted, clients: Clients) -> Observed:
    """Read the zone and those of its recordsets that have one of our names."""
    zone = await clients.openstack.designate.zone(wanted.zone)
    if zone is None:
        raise InvalidInput(
            f"spec.dns.zone: there is no zone {wanted.zone} in the project.", hint="Create it, or declare another."
        )
    found = await clients.openstack.designate.recordsets(zone.id)
    named = {item.name: item for item in found if item.name in wanted.names and item.type == wanted.type}
    ours = [item for item in _ours(found, wanted.environment) if not item.name.startswith(f"{CANARY_LABEL}.")]
    return Observed(zone, named, tuple(item for item in ours if item.name not in wanted.names))


def compare(wanted: Wanted, observed: Observed) -> list[Finding]:
    """Each name: there, ours, at the address, with the TTL, and ACTIVE; and none of ours that is not declared."""
    findings = []
    for name in wanted.names:
        where = f"recordset/{name}"
        there = observed.recordsets.get(name)
        if there is None:
            gone = _finding(where, "", wanted.address, None, f"There is no record for {name}.", Severity.DESTRUCTIVE)
            findings.append(gone)
            continue
        if there.description != wanted.mark:
            sentence = f"The record {name} is not ours: it is described as {there.description!r}."
            findings.append(_changed(there, "description", wanted.mark, there.description, sentence))
        if sorted(there.records) != [wanted.address]:
            sentence = f"{name} points at {', '.join(there.records)} instead of {wanted.address}."
            pointed = ", ".join(there.records)
            findings.append(_changed(there, "records", wanted.address, pointed, sentence, Severity.SECURITY))
        if there.ttl != wanted.ttl:
            sentence = f"{name} has a TTL of {there.ttl} s instead of {wanted.ttl} s."
            findings.append(_changed(there, "ttl", wanted.ttl, there.ttl, sentence, Severity.COSMETIC))
        if there.status != "ACTIVE":
            findings.append(_finding(where, "status", "ACTIVE", there.status, f"{name} is {there.status}."))
    return findings + [_undeclared(item) for item in observed.undeclared]


def _changed(  # noqa: PLR0917 - a finding's fields, in their order
    there: Recordset,
    path: str,
    declared: str | int,
    observed: str | int | None,
    sentence: str,
    severity: Severity = Severity.CONFIG,
) -> Finding:
    """A field that somebody has changed: Designate says when, and keeps no author."""
    when = moment(there.updated_at)
    by = Changed(who="unknown (Designate records no author)", when=when, how="updated_at") if when else None
    return _finding(f"recordset/{there.name}", path, declared, observed, sentence, severity, by)


def _undeclared(item: Recordset) -> Finding:
    where, pointed = f"recordset/{item.name}", ", ".join(item.records)
    sentence = f"{item.name} carries our mark, and nobody declares it."
    return _finding(where, "", None, pointed, sentence, Severity.SECURITY)


async def look(environment: Environment, clients: Clients) -> Looked:
    """Each recordset as declared, and the same from every authoritative name server; no resolver is asked."""
    if environment.spec.dns is None:
        return Looked()
    try:
        wanted = desired(environment, await addons.ingress_address(environment, clients))
        assert wanted is not None  # noqa: S101 - names are declared
        observed = await observe(wanted, clients)
    except InvalidInput as error:
        where = f"zone/{environment.spec.dns.zone}"
        missing = Finding(plane=PLANE, address=where, sentence=error.summary, severity=Severity.DESTRUCTIVE)
        return Looked((missing,))
    except PlumblineError as error:
        return Looked(blind_spots=(blind_spot(PLANE, "recordsets and name servers", error),))
    answers = await look_at(PLANE, f"name servers of {wanted.zone}", _answers(wanted, observed, clients))
    return Looked.together([Looked(tuple(compare(wanted, observed))), answers])


async def _answers(wanted: Wanted, observed: Observed, clients: Clients) -> Looked:
    """What each name server says otherwise than Designate; a silent one is a blind spot."""
    servers = [server.hostname for server in await clients.openstack.designate.name_servers(observed.zone.id)]
    findings: list[Finding] = []
    silent: list[BlindSpot] = []
    for name in wanted.names:
        there = observed.recordsets.get(name)
        known = frozenset(there.records if there else ())
        for answer in await clients.dns.ask_all(servers, asked_for(name), wanted.type):
            if answer.outcome in UNHEARD:
                why = (
                    f"{answer.server} ({answer.address}) does not answer for {name}: {answer.outcome}. {answer.detail}"
                )
                where = f"recordset/{name}"
                silent.append(BlindSpot(plane=PLANE, what=f"{where}@{answer.server}", why=why.strip(), hides=(where,)))
            elif frozenset(answer.records) != known:
                findings.append(_answered(name, wanted.address, answer))
    return Looked(tuple(findings), tuple(silent))


def _answered(name: str, address: str, answer: Answer) -> Finding:
    said = ", ".join(answer.records) or answer.outcome
    sentence = f"{answer.server} answers {said} for {name}, otherwise than Designate."
    return _finding(f"recordset/{name}", f"@{answer.server}", address, said, sentence)


async def converge(wanted: Wanted, observed: Observed, findings: list[Finding], clients: Clients) -> list[str]:
    """Create or update each recordset that a finding names, and wait until Designate calls it ACTIVE.

    What carries the environment's mark under a name that is not declared any more is deleted.

    Raises:
        Refused: a record of that name is there and is not ours.
    """
    for finding in findings:
        if finding.path == "description":
            raise Refused(finding.sentence, hint="Remove that record, or declare another domain.")
    made = [await _delete(observed.zone, item, clients) for item in observed.undeclared]
    for where in dict.fromkeys(finding.address for finding in findings):
        name = where.removeprefix("recordset/")
        if name not in wanted.names:
            continue
        there = observed.recordsets.get(name)
        if there is None or any(finding.address == where and finding.path != "status" for finding in findings):
            async with clients.journal.write(PLANE, "update" if there else "create", where):
                there, _ = await clients.openstack.designate.ensure_recordset(
                    observed.zone.id, name, wanted.type, [wanted.address], ttl=wanted.ttl, description=wanted.mark
                )
            made.append(where)
        await clients.openstack.designate.wait_active(
            observed.zone.id, there.id, timeout=clients.settings.probe_timeout
        )
    return made


async def probe(wanted: Wanted, clients: Clients) -> str:
    """Wait until every authoritative server answers each name, and only then ask a resolver.

    A resolver that is asked too early keeps its "no such name" for the zone's negative TTL, up to an hour.
    """
    zone = (await observe(wanted, clients)).zone
    servers = [server.hostname for server in await clients.openstack.designate.name_servers(zone.id)]
    asked = [asked_for(name) for name in wanted.names]

    async def everywhere() -> None:
        for name in asked:
            await clients.dns.propagated(name, wanted.type, {wanted.address}, servers)

    async def resolved() -> None:
        for answer in await clients.dns.resolve(asked[0], wanted.type):
            if wanted.address not in answer.records:
                raise NotYet(f"The resolver does not answer {wanted.address} for {asked[0]}.", detail=str(answer))

    await clients.until(everywhere, describe=f"every name server of {wanted.zone} to answer {', '.join(asked)}")
    await clients.until(resolved, describe=f"the resolver to answer {asked[0]}")
    return f"{len(servers)} name servers and the resolver answer {wanted.address}"


def asked_for(name: str) -> str:
    """The name to ask for: for a wildcard, one that only the wildcard answers."""
    return name.replace("*", PROBED_LABEL, 1)


async def remove(environment: Environment, clients: Clients) -> list[str]:
    """Delete every recordset of the zone that carries our mark; a zone that is gone is fine."""
    dns = environment.spec.dns
    zone = await clients.openstack.designate.zone(dns.zone) if dns else None
    if zone is None:
        return []
    removed = []
    for recordset in _ours(await clients.openstack.designate.recordsets(zone.id), environment.name):
        removed.append(await _delete(zone, recordset, clients))
    return removed


async def _delete(zone: Zone, recordset: Recordset, clients: Clients) -> str:
    where = f"recordset/{recordset.name}"
    timeout = clients.settings.probe_timeout
    async with clients.journal.write(PLANE, "delete", where):
        await clients.openstack.designate.delete_recordset(zone.id, recordset.id)
        await clients.openstack.designate.wait_deleted(zone.id, recordset.id, timeout=timeout)
    return where


def _ours(recordsets: Iterable[Recordset], environment: str) -> list[Recordset]:
    return [recordset for recordset in recordsets if recordset.description == mark(environment)]
