"""The cluster plane: keypair, template, cluster and node groups, by Terraform; what it lost track of is taken back.

A run that was killed may leave a cluster that Terraform's state does not know. So before anything is made, the cloud is
asked for what carries our names and our mark, and that is taken into the state instead of being made twice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from infra.clients.errors import Failed, InvalidInput, NotYet, Refused
from infra.clients.openstack_models import Cluster
from infra.clients.waiting import wait_until
from infra.drift.findings import Finding, PlaneName
from infra.planes.applying import Applying, quiet, quietly
from infra.planes.clients import Clients
from infra.planes.cloud.findings import deletion
from infra.planes.cloud.groups import autoscaled
from infra.planes.cloud.terraform import CLUSTER, KEYPAIR, NODE_GROUP, TEMPLATE, address_of, terraform_findings
from infra.spec.models import Environment
from infra.spec.names import MARK, cluster_name, keypair_name
from infra.terraform.plans import Change, Plan
from infra.terraform.policy import agreed_by_destroy
from infra.terraform.variables import Variables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """One environment's cluster; what exactly is declared, Terraform's variables say."""

    cluster: str
    variables: Variables

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.variables.environment


@dataclass(frozen=True)
class Observed:
    """What Terraform would do after it has looked at the cloud."""

    plan: Plan


def desired(environment: Environment) -> Wanted:
    """The declared cluster (pure)."""
    return Wanted(cluster=cluster_name(environment), variables=Variables.of(environment))


async def observe(wanted: Wanted, clients: Clients) -> Observed:
    """Let Terraform refresh and plan: it reads every object and writes nothing.

    While Magnum is at work, Terraform sees what was before, or half of what comes: its end is waited for first.

    Raises:
        Failed: Magnum was deleting the cluster, and could not.
        DeadlineExceeded: Magnum is still at work after `cluster_timeout`.
    """
    timeout = clients.settings.cluster_timeout * 60
    return Observed(await quietly(clients.terraform.plan, wanted.cluster, clients, timeout=timeout))


def compare(wanted: Wanted, observed: Observed) -> list[Finding]:
    """What Terraform would change, named as a check names it, but for counts that are an autoscaler's to choose."""
    return [one for one in terraform_findings(observed.plan) if not autoscaled(wanted.variables, one)]


async def converge(wanted: Wanted, observed: Observed, findings: list[Finding], clients: Clients) -> list[str]:
    """Take back what an earlier run made, then apply exactly the plan that was judged; what is waived stays as it is.

    Done is when Magnum shows it: what the provider gives up on, or takes for done too early, is planned and applied
    again.

    Raises:
        Refused: the plan would destroy a cluster or a node group, and nobody agreed to lose it; or what is to be
            changed cannot be without something that is waived.
        Failed: Magnum could not make it, with every cause Magnum gives.
    """
    del findings

    async def fit(plan: Plan) -> Plan:
        return await _without_waived(wanted, await taken_back(wanted, plan, clients), clients)

    async def agreed(plan: Plan) -> frozenset[str]:
        return await _never_lived(wanted, plan, clients)

    applying = Applying(
        cluster=wanted.cluster,
        wanted=wanted.variables,
        clients=clients,
        action="terraform apply",
        replan=clients.terraform.plan,
        prepare=fit,
        allow=agreed,
    )
    return await applying.carry_out(observed.plan)


async def taken_back(wanted: Wanted, plan: Plan, clients: Clients) -> Plan:
    """The plan, after what it would make or doubts although it is there was taken into the state."""
    found = await _made_before(wanted, plan, clients)
    if not found:
        return plan
    await clients.terraform.discard(plan)
    adopted = [address_of(change, wanted.environment) for change in plan.changes if change.address in found]
    async with clients.journal.write(PlaneName.CLUSTER, "adopt", ", ".join(adopted)):
        await clients.terraform.adopt(found)
    return await clients.terraform.plan()


async def _without_waived(wanted: Wanted, plan: Plan, clients: Clients) -> Plan:
    """The plan confined to the objects that are to be changed.

    Raises:
        Refused: Terraform cannot change them without something that is waived: another field of the same object, or
            an object that they need.
    """
    every = compare(wanted, Observed(plan))
    findings = clients.not_waived(every)
    named, waived = {one.address for one in findings}, {one.place for one in every} - {one.place for one in findings}
    targets = [change.address for change in plan.changes if address_of(change, plan.environment) in named]
    if len(targets) < len(plan.changes):
        await clients.terraform.discard(plan)
        if not targets:
            return Plan(environment=plan.environment)
        plan = await clients.terraform.plan(targets=targets)
    touched = [one for one in compare(wanted, Observed(plan)) if one.place in waived]
    if touched:
        await clients.terraform.discard(plan)
        held = " and ".join(f"{one.address}{f' ({one.path})' if one.path else ''}" for one in touched)
        raise Refused(
            f"Terraform cannot change {', '.join(sorted(named))} without {held}, which is waived.",
            hint="Take the waiver out of the declaration, or waive the rest, too.",
        )
    return plan


async def probe(environment: Environment, clients: Clients) -> str:
    """Wait until the API answers and every node that Magnum counts is Ready.

    Magnum says COMPLETE while nodes are missing, and IN_PROGRESS while the API works: so the nodes are counted.

    Raises:
        NotYet, Failed: Magnum is deleting the cluster, or could not: no node is waited for.
    """
    name = cluster_name(environment)
    cluster = await clients.openstack.magnum.cluster(name)
    leaving = deletion(cluster) if cluster else None
    if cluster and leaving:
        kind = NotYet if cluster.in_progress else Failed
        raise kind(leaving, hint="Once it is gone, start the flow again: the cluster is made anew.")
    await clients.connect(name)
    groups = await clients.openstack.magnum.node_groups(name)
    expected = sum(group.node_count for group in groups)

    async def ready() -> str:
        nodes = await clients.kubernetes.nodes()
        count = sum(is_ready(node) for node in nodes)
        if count < expected:
            raise NotYet(f"{count} of {expected} nodes are Ready.")
        return f"{count} nodes are Ready, Kubernetes {await clients.kubernetes.version()}"

    return await wait_until(
        ready,
        describe=f"{expected} nodes of cluster {name}",
        timeout=clients.settings.cluster_timeout * 60,
        interval=clients.settings.probe_interval,
    )


def is_ready(node: dict[str, object]) -> bool:
    """Whether a Node's condition Ready is True (pure)."""
    status = node.get("status")
    conditions = status.get("conditions") or [] if isinstance(status, dict) else []
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


async def remove(environment: Environment, clients: Clients) -> list[str]:
    """Destroy cluster, node groups, template and keypair, also those that Terraform's state has lost."""
    wanted = desired(environment)
    await _take_back_all(wanted, clients)

    async def rest() -> Plan:
        return await clients.terraform.plan(destroy=True)

    async def as_it_is(plan: Plan) -> Plan:
        return plan

    async def agreed(plan: Plan) -> frozenset[str]:
        return agreed_by_destroy(plan)

    applying = Applying(
        cluster=wanted.cluster,
        wanted=wanted.variables,
        clients=clients,
        action="terraform destroy",
        replan=rest,
        prepare=as_it_is,
        allow=agreed,
    )
    return await applying.carry_out(await rest())


async def _take_back_all(wanted: Wanted, clients: Clients) -> None:
    """Adopt what a plan to create would make although it is there."""
    await _ours(wanted, clients)
    timeout = clients.settings.cluster_timeout * 60
    plan = await quietly(clients.terraform.plan, wanted.cluster, clients, timeout=timeout)
    await clients.terraform.discard(plan)
    found = await _found(wanted, plan, clients)
    if found:
        await clients.terraform.adopt(found)


async def _made_before(wanted: Wanted, plan: Plan, clients: Clients) -> dict[str, str]:
    """What the plan would make, or make anew for doubt, although a working one of ours is there."""
    found = await _found(wanted, plan, clients)
    if any(address.startswith(CLUSTER) for address in found):
        # A cluster half made is imported when Magnum is done with it; one that failed, never.
        cluster = await quiet(wanted.cluster, clients, timeout=clients.settings.cluster_timeout * 60)
        if cluster is None or cluster.failed:
            return {address: identifier for address, identifier in found.items() if not _of_cluster(address)}
    return found


async def _found(wanted: Wanted, plan: Plan, clients: Clients) -> dict[str, str]:
    doubted = [change for change in plan.changes if change.verb == "create" or change.tainted]
    found = {}
    for change in doubted:
        identifier = await _identifier(wanted, change, clients)
        if identifier is not None:
            found[change.address] = identifier
    return found


async def _identifier(wanted: Wanted, change: Change, clients: Clients) -> str | None:
    """The cloud's id of the object a change is about, if it is there and ours."""
    if change.type == KEYPAIR:
        name = keypair_name(wanted.environment)
        return name if await clients.openstack.compute.keypair(name) else None
    if change.type == TEMPLATE:
        template = await clients.openstack.magnum.template(str(change.key))
        return template.uuid if template is not None and template.labels.get(MARK) == wanted.environment else None
    cluster = await _ours(wanted, clients) if _of_cluster(change.type) else None
    if cluster is None or change.type == CLUSTER:
        return cluster.uuid if cluster else None
    group = await clients.openstack.magnum.node_group(cluster.uuid, str(change.key))
    return f"{cluster.uuid}/{group.uuid}" if group else None


async def _ours(wanted: Wanted, clients: Clients) -> Cluster | None:
    """The environment's cluster; its UUID is kept, since what it leaves in the cloud is found by that.

    Raises:
        InvalidInput: there is a cluster of that name which is not ours.
    """
    cluster = await clients.openstack.magnum.cluster(wanted.cluster)
    if cluster is not None and cluster.labels.get(MARK) != wanted.environment:
        raise InvalidInput(
            f"There is a cluster {wanted.cluster} in the project that Plumbline did not make.",
            hint="Give the environment another name, or remove that cluster.",
        )
    if cluster is not None:
        await clients.clusters.note_cluster(cluster.uuid)
    return cluster


async def _never_lived(wanted: Wanted, plan: Plan, clients: Clients) -> frozenset[str]:
    """Agree to replacing a cluster whose creation failed: it never ran anything that could be lost."""
    if not any(change.type == CLUSTER and change.destroys for change in plan.changes):
        return frozenset()
    cluster = await clients.openstack.magnum.cluster(wanted.cluster)
    if cluster is not None and cluster.status != "CREATE_FAILED":
        return frozenset()
    return frozenset(change.address for change in plan.changes if _of_cluster(change.address))


def _of_cluster(address: str) -> bool:
    return address.startswith((CLUSTER, NODE_GROUP))
