"""Looking before the first write: what the cloud, the secret store and this machine have, against what is declared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from infra.clients.errors import Denied
from infra.clients.openstack_models import Limits, Usage, Zone
from infra.clients.openstack_session import ServiceAbsent
from infra.planes import tools
from infra.planes.clients import Clients
from infra.spec.facts import CloudFacts, ExistingCluster, Flavor, Image, NodeCount, Quota
from infra.spec.models import Environment
from infra.spec.names import MARK, cluster_name
from infra.spec.preflight import blind_spots, preflight
from infra.spec.problems import InvalidDeclaration

log = logging.getLogger(__name__)

T = TypeVar("T")


async def prove_possible(environment: Environment, clients: Clients) -> str:
    """Compare the declaration with the facts.

    Raises:
        InvalidDeclaration: with every problem at once: path, reason, what would be right.
    """
    facts = await gather_facts(environment, clients)
    problems = preflight(environment, facts)
    if problems:
        raise InvalidDeclaration(f"environment {environment.name}", problems)
    blind = blind_spots(environment, facts)
    if blind:
        log.warning("Could not look at: %s.", ", ".join(blind))
    said = f"possible; not looked at: {', '.join(blind)}" if blind else "everything that is needed is there"
    return f"{said}; {tools.named(facts.tools)}"


async def gather_facts(environment: Environment, clients: Clients) -> CloudFacts:
    """Ask for everything side by side; what we are not allowed to see is unknown, not absent."""
    compute, designate = clients.openstack.compute, clients.openstack.designate
    await clients.openstack.authorize()
    restricted = await clients.openstack.restricted_credential()
    flavors, images, keypairs, zones, places, limits = await asyncio.gather(
        _or_unknown(compute.flavors()),
        _or_unknown(compute.images()),
        _or_unknown(compute.keypairs()),
        _or_unknown(designate.zones()) if environment.spec.dns else _nothing(),
        _or_unknown(compute.availability_zones("block_storage")),
        _or_unknown(compute.limits()),
    )
    networks, kinds = await asyncio.gather(_or_unknown(_networks(clients)), _or_unknown(_volume_types(clients)))
    cluster, secrets, programs = await asyncio.gather(
        _or_unknown(_existing(environment, clients)), _secrets(clients), tools.versions(clients.settings)
    )
    return CloudFacts(
        restricted_credential=restricted,
        flavors=None
        if flavors is None
        else tuple(Flavor(one.name, one.vcpus, one.ram_mb, one.disk_gb, one.id) for one in flavors),
        images=None
        if images is None
        else tuple(
            Image(one.name or "", one.os_distro, one.id) for one in images if one.status in ("active", "queued")
        ),
        keypairs=None if keypairs is None else {one.name: one.public_key for one in keypairs},
        zones=None if zones is None else frozenset(zone.name for zone in zones),
        networks=networks[0] if networks else None,
        subnets=networks[1] if networks else None,
        block_storage=kinds[0] if kinds else None,
        availability_zones=None if places is None else frozenset(places),
        volume_types=kinds[1] if kinds else None,
        quotas=None if limits is None else _quotas(limits),
        cluster=cluster[0] if cluster else None,
        cluster_known=cluster is not None,
        secrets=secrets,
        tools=programs,
        addons=frozenset(clients.catalog),
        addon_secrets={name: addon.store_secrets() for name, addon in clients.catalog.items()},
    )


async def _or_unknown(question: Awaitable[T]) -> T | None:
    try:
        return await question
    except Denied as error:
        log.info("Not allowed to look: %s", error)
        return None


async def _nothing() -> tuple[Zone, ...] | None:
    return None


async def _networks(clients: Clients) -> tuple[frozenset[str], dict[str, frozenset[str]]] | None:
    """External networks, and the subnets of the others; None where the cloud has no Neutron."""
    network = clients.openstack.network
    try:
        networks, subnets = await asyncio.gather(network.networks(), network.subnets())
    except ServiceAbsent:
        return None
    outside = frozenset(name for one in networks if one.external for name in one.names)
    inside = {
        name: frozenset(name for subnet in subnets if subnet.network_id == one.id for name in subnet.names)
        for one in networks
        if not one.external
        for name in one.names
    }
    return outside, inside


async def _volume_types(clients: Clients) -> tuple[bool, frozenset[str] | None]:
    """Whether the cloud has Cinder, and Cinder's volume types."""
    try:
        return True, frozenset(await clients.openstack.compute.volume_types())
    except ServiceAbsent:
        return False, None


async def _existing(environment: Environment, clients: Clients) -> tuple[ExistingCluster | None]:
    """The cluster of the environment's name, in a tuple: "there is none" is an answer, too."""
    cluster = await clients.openstack.magnum.cluster(cluster_name(environment))
    if cluster is None:
        return (None,)
    groups = await clients.openstack.magnum.node_groups(cluster.uuid)
    return (
        ExistingCluster(
            uuid=cluster.uuid,
            ours=cluster.labels.get(MARK) == environment.name,
            kubernetes=cluster.coe_version,
            fixed_network=cluster.fixed_network,
            nodes=tuple(NodeCount(group.flavor_id or "", group.node_count) for group in groups),
        ),
    )


def _quotas(limits: Limits) -> dict[str, Quota]:
    known: dict[str, Usage | None] = {
        "instances": limits.instances,
        "cores": limits.cores,
        "ram": limits.ram_mb,
        "volumes": limits.volumes,
        "gigabytes": limits.volume_gb,
        "floating_ips": limits.floating_ips,
        "load_balancers": limits.load_balancers,
    }
    return {
        name: Quota(-1 if usage.limit is None else usage.limit, usage.used)
        for name, usage in known.items()
        if usage is not None
    }


async def _secrets(clients: Clients) -> dict[str, frozenset[str]]:
    names = await clients.secrets.names()
    return {name: frozenset(await clients.secrets.present(name) or ()) for name in names}
