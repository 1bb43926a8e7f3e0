"""The detector's canary: objects of our own that are made different on purpose, which a look then has to find.

A detector that finds nothing is either right or blind. So a known difference is made in a ConfigMap and in a recordset,
the same code that looks at everything else looks at them, and they are set back. Nobody else uses either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from infra.clients.errors import NotYet
from infra.drift.findings import Finding, PlaneName
from infra.planes import dns, manifests
from infra.planes.clients import Clients
from infra.planes.looking import Looked
from infra.planes.manifests import SYSTEM_NAMESPACE
from infra.spec.models import Environment

PLANE = PlaneName.ADDONS
DECLARED, ELSEWHERE = "192.0.2.1", "192.0.2.2"
"""Addresses that lead nowhere (RFC 5737)."""
CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "drift-canary", "namespace": SYSTEM_NAMESPACE, "labels": dict(manifests.MANAGED_BY)},
    "data": {"song": "as declared"},
}
"""What is declared of the canary in the cluster."""


async def exercise(environment: Environment, clients: Clients) -> list[str]:
    """Make both differences, look, and set them back; a sentence for each that was not found.

    Raises:
        Temporary, Denied: a canary could not be made different, or not be looked at: that says nothing of the look.
    """
    missed = await _missed(_config(clients), lambda: _look_at_config(clients))
    names = _names(environment)
    if names is not None:
        missed += await _missed(_recordset(names, clients), lambda: _look_at_recordset(names, clients))
    return missed


async def _missed(different: AbstractAsyncContextManager[str], look: Callable[[], Awaitable[Looked]]) -> list[str]:
    async with different as where:
        seen = await look()
    if seen.blind_spots:
        raise NotYet(f"The canary {where} could not be looked at.", detail=seen.blind_spots[0].why)
    return [] if seen.findings else [f"{where} was made different, and the look did not find it."]


@asynccontextmanager
async def _config(clients: Clients) -> AsyncIterator[str]:
    where = manifests.address(CONFIG)
    different = {**CONFIG, "data": {"song": "made different on purpose"}}
    async with clients.journal.write(PLANE, "make different on purpose", where):
        await clients.kubernetes.apply(manifests.namespace(SYSTEM_NAMESPACE))
        await clients.kubernetes.apply(different)
    try:
        yield where
    finally:
        async with clients.journal.write(PLANE, "set back", where):
            await clients.kubernetes.apply(CONFIG)


async def _look_at_config(clients: Clients) -> Looked:
    clients.look_again()
    return await clients.live.look(PLANE, [CONFIG])


def _names(environment: Environment) -> dns.Wanted | None:
    """What is declared of the canary in the zone; None where the environment has no names."""
    declared = environment.spec.dns
    if declared is None:
        return None
    name = f"{dns.CANARY_LABEL}.{declared.domain}"
    return dns.Wanted(environment.name, declared.zone, (name,), declared.ttl, DECLARED)


@asynccontextmanager
async def _recordset(wanted: dns.Wanted, clients: Clients) -> AsyncIterator[str]:
    (name,) = wanted.names
    where = f"recordset/{name}"
    zone = (await dns.observe(wanted, clients)).zone

    async def point(address: str, doing: str) -> None:
        async with clients.journal.write(PlaneName.DNS, doing, where):
            there, _ = await clients.openstack.designate.ensure_recordset(
                zone.id, name, wanted.type, [address], ttl=wanted.ttl, description=wanted.mark
            )
            timeout = clients.settings.probe_timeout
            await clients.openstack.designate.wait_active(zone.id, there.id, timeout=timeout)

    await point(ELSEWHERE, "make different on purpose")
    try:
        yield where
    finally:
        await point(DECLARED, "set back")


async def _look_at_recordset(wanted: dns.Wanted, clients: Clients) -> Looked:
    found: list[Finding] = dns.compare(wanted, await dns.observe(wanted, clients))
    # Of this one name alone: every other record of the environment is undeclared here.
    return Looked(tuple(one for one in found if one.address == f"recordset/{wanted.names[0]}"))
