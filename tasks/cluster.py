"""Steps of the cluster plane, and those about the cloud as a whole."""

from __future__ import annotations

from infra.drift.findings import PlaneName
from infra.planes import access, cluster, leftovers, preflight, tools
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tasks.step import After, step


@step("prerequisites", timeout=300)
async def check_prerequisites(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Look whether cloud, quota, secrets and programs can carry what is declared, before the first write."""
    sentence = await preflight.prove_possible(environment, clients)
    return Outcome(plane=PlaneName.CLUSTER, name="prerequisites", sentence=sentence)


@step("programs", timeout=120)
async def check_programs(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Ask for the programs that take an environment away, before the first write."""
    needed = ("terraform", *(["helm"] if environment.spec.runners else []))
    sentence = await tools.prove_there(clients.settings, needed)
    return Outcome(plane=PlaneName.CLUSTER, name="programs", sentence=sentence)


@step("cluster", timeout=6 * 3600)
async def converge_cluster(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring keypair, template, cluster and node groups into step by Terraform, one after another."""
    return await bring_into_step(cluster, cluster.desired(environment), clients, name=PlaneName.CLUSTER, step="cluster")


@step("nodes", timeout=3 * 3600)
async def count_nodes(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Connect to the cluster's API, and wait until every node that Magnum counts is Ready."""
    return Outcome(plane=PlaneName.CLUSTER, name="nodes", sentence=await cluster.probe(environment, clients))


@step("access", timeout=300)
async def converge_access(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring the role of those who only look into step."""
    return await bring_into_step(access, access.desired(), clients, name=PlaneName.CLUSTER, step="access")


@step("reach the cluster", timeout=300)
async def reach_cluster(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Connect to the cluster's API, if there is a cluster that answers."""
    return Outcome(plane=PlaneName.CLUSTER, name="reach", sentence=await leftovers.reach(environment, clients))


@step("remove cluster", timeout=6 * 3600)
async def destroy_cluster(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Destroy cluster, node groups, template and keypair by Terraform."""
    return Outcome.removed(PlaneName.CLUSTER, "cluster", await cluster.remove(environment, clients))


@step("nothing is left", timeout=1800)
async def prove_nothing_left(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Sweep the project for whatever still carries the environment's names, remove it, and look again."""
    return await leftovers.sweep(environment, clients)
