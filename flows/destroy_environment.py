"""Take an environment away, in the reverse order of its making, and show that nothing of it is left.

python -m flows.destroy_environment dev --confirm dev
"""

from __future__ import annotations

from prefect import flow

from flows import logs
from flows.graph import Graph
from flows.parameters import Confirmation, EnvironmentName
from flows.run import open_run
from infra.clients.errors import Refused
from infra.drift.findings import PlaneName
from infra.planes.report import RunReport
from tasks.certificates import end_challenges
from tasks.cluster import check_programs, destroy_cluster, prove_nothing_left, reach_cluster
from tasks.delivery import remove_delivery
from tasks.dns import remove_dns
from tasks.runners import remove_runners
from tasks.storage import release_cloud_resources


@flow(name="destroy-environment", flow_run_name="destroy {name}")
async def destroy_environment(name: EnvironmentName, confirm: Confirmation) -> RunReport:
    """Delete an environment: runners, workloads, load balancers, volumes, names, cluster, template and keypair.

    Args:
        name: Name of the environment to delete.
        confirm: The environment's name once more: everything in it will be deleted.
    """
    logs.set_up()
    if confirm != name:
        raise Refused(
            f"Nothing was deleted: confirm says {confirm!r}, the environment is {name!r}.",
            hint="Give the environment's name in both parameters.",
        )
    async with open_run("destroy-environment", name, None) as run:
        graph = Graph(run.environment, run.clients)
        graph.step(PlaneName.CLUSTER, "programs", check_programs)
        graph.step(PlaneName.CLUSTER, "reach", reach_cluster, needs=["programs"])
        graph.step(PlaneName.RUNNERS, "runners", remove_runners, needs=["reach"])
        graph.step(PlaneName.DELIVERY, "delivery", remove_delivery, needs=["reach"])
        graph.step(PlaneName.DNS, "dns", remove_dns, needs=["programs"])
        # Only now: as long as Argo CD runs an application, it makes its namespaces, load balancers and claims anew.
        gone = ["runners", "delivery"]
        graph.step(PlaneName.CERTIFICATES, "challenges", end_challenges, needs=gone)
        graph.step(PlaneName.STORAGE, "cloud resources", release_cloud_resources, needs=[*gone, "challenges"])
        graph.step(PlaneName.CLUSTER, "cluster", destroy_cluster, needs=["cloud resources", "dns"])
        graph.step(PlaneName.CLUSTER, "leftovers", prove_nothing_left, needs=["cluster"])
        return await run.conclude(await graph.finish())


if __name__ == "__main__":
    from flows.command import main

    main(destroy_environment)
