"""What carries our mark in a project although git declares no such environment: it costs, and nobody looks after it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator

from infra.clients.openstack import OpenStackClient
from infra.clients.openstack_magnum import Magnum
from infra.clients.openstack_models import Cluster, ClusterTemplate, Keypair, Recordset
from infra.clients.openstack_session import ServiceAbsent
from infra.drift.findings import Changed, Finding, PlaneName, Severity
from infra.planes import dns
from infra.planes.cloud.compare import owner
from infra.planes.cloud.findings import PLANE, cluster_at, keypair_at, made, template_at
from infra.planes.cloud.seen import ask
from infra.planes.looking import Looked, NotLooked
from infra.spec.names import MARK, keypair_name

_NAME = r"([a-z][a-z0-9-]*)"
_KEYPAIR = re.compile(re.escape(keypair_name("")) + _NAME)
_RECORDSET = re.compile(_NAME.join(map(re.escape, dns.mark("\0").split("\0"))))

Marked = Cluster | ClusterTemplate | Keypair | Recordset


async def strays(declared: Collection[str], openstack: OpenStackClient) -> Looked:
    """Find clusters, templates, keypairs and recordsets of environments that git does not declare.

    What an environment that *is* declared has too much, `check.check` says.

    Args:
        declared: names of all environments that any desired state declares for this project.
        openstack: the project's client; it is only asked to read. Of keypairs it sees its own account's.
    """
    answers = await asyncio.gather(
        ask(_whole(declared, openstack.magnum)),
        ask(openstack.magnum.templates()),
        ask(openstack.compute.keypairs()),
        ask(openstack.designate.all_recordsets()),
    )
    kinds = ((PLANE, "clusters"), (PLANE, "templates"), (PLANE, "keypairs"), (PlaneName.DNS, "recordsets"))
    findings, spots = list[Finding](), []
    for (plane, what), answer in zip(kinds, answers, strict=True):
        if isinstance(answer, NotLooked) and answer.category == ServiceAbsent.category:
            continue  # a cloud without the service has nothing of its kind
        if isinstance(answer, NotLooked):
            spots.append(answer.spot(plane, f"{what} of environments nobody declared"))
        else:
            findings.extend(found for item in answer for found in _stray(declared, item))
    return Looked(tuple(sorted(findings, key=lambda finding: finding.place)), tuple(spots))


async def _whole(declared: Collection[str], magnum: Magnum) -> tuple[Cluster, ...]:
    """The project's clusters; a stray with all its fields, since LIST does not say who made one and when."""
    found = []
    for listed in await magnum.clusters():
        stray = MARK in listed.labels and listed.labels[MARK] not in declared
        detail = await ask(magnum.cluster(listed.uuid)) if stray else None
        found.append(detail if isinstance(detail, Cluster) else listed)
    return tuple(found)


def environment_of(item: Marked) -> str | None:
    """The environment whose mark an object carries (pure); None for what is not ours."""
    if isinstance(item, Keypair):
        found = _KEYPAIR.fullmatch(item.name)
    elif isinstance(item, Recordset):
        found = _RECORDSET.fullmatch(item.description or "")
    else:
        return item.labels.get(MARK)
    return found[1] if found else None


def _stray(declared: Collection[str], item: Marked) -> Iterator[Finding]:
    environment = environment_of(item)
    if environment is None or environment in declared:
        return
    where, severity, who = _about(item, environment)
    sentence = f"{where} carries the mark of environment {environment}, which git does not declare."
    plane = PlaneName.DNS if isinstance(item, Recordset) else PLANE
    yield Finding.at(plane, where, "", None, item.name, sentence, severity, who)


def _about(item: Marked, environment: str) -> tuple[str, Severity, Changed | None]:
    if isinstance(item, Cluster):
        return cluster_at(item.name), Severity.SECURITY, made(item)
    if isinstance(item, ClusterTemplate):
        return template_at(item.name), Severity.COSMETIC, made(item)
    if isinstance(item, Keypair):
        return keypair_at(environment), Severity.SECURITY, owner(item)
    return f"recordset/{item.name}", Severity.SECURITY, None
