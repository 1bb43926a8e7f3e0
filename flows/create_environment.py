"""Create an environment, or bring it into step with git: the same graph does both.

python -m flows.create_environment dev
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from flows.graph import Graph
from flows.parameters import Commit, EnvironmentName
from flows.run import Run, open_run
from infra.catalog import Catalog
from infra.drift.findings import PlaneName
from infra.planes import addons, certificates
from infra.planes.report import RunReport, StepReport
from infra.spec.models import Environment
from tasks.addons import install_addon, probe_addon
from tasks.certificates import (
    converge_canary,
    converge_certificate,
    probe_certificate_issued,
    probe_certificate_served,
    probe_pages,
)
from tasks.cluster import check_prerequisites, converge_access, converge_cluster, count_nodes
from tasks.delivery import converge_delivery, probe_delivery
from tasks.dns import converge_dns, probe_dns
from tasks.runners import install_runners, probe_runners
from tasks.storage import converge_storage, probe_storage

INGRESS_READY = f"{addons.INGRESS} ready"


@flow(name="create-environment", flow_run_name="create {name}")
async def create_environment(name: EnvironmentName, commit: Commit = None) -> RunReport:
    """Create an environment, or bring it into step with what git declares.

    Every step looks first and writes only what is missing, so that running this again is safe at any time.

    Args:
        name: Name of the environment: the file environments/NAME.yaml in the repository of environments.
        commit: The exact commit to read, 7 to 40 hexadecimal digits; when empty, the newest of the branch.
    """
    async with open_run("create-environment", name, commit) as run:
        return await run.conclude(await converge(run))


async def converge(run: Run) -> tuple[StepReport, ...]:
    """Bring every plane into step, each as soon as those it needs are."""
    # Asked before the first step starts: it refuses add-ons that lack what they need.
    order = addons.order(run.environment, run.clients.catalog)
    graph = Graph(run.environment, run.clients)
    graph.step(PlaneName.CLUSTER, "prerequisites", check_prerequisites)
    graph.step(PlaneName.CLUSTER, "cluster", converge_cluster, needs=["prerequisites"])
    graph.step(PlaneName.CLUSTER, "nodes", count_nodes, needs=["cluster"])
    graph.step(PlaneName.CLUSTER, "access", converge_access, needs=["nodes"])
    graph.step(PlaneName.STORAGE, "storage", converge_storage, needs=["nodes"])
    graph.step(PlaneName.STORAGE, "storage ready", probe_storage, needs=["storage"])
    _addons(graph, run.environment, run.clients.catalog, order)
    _names_and_certificates(graph, run.environment, order)
    _workloads(graph, run.environment)
    return await graph.finish()


def _addons(graph: Graph, environment: Environment, catalog: Catalog, order: Sequence[str]) -> None:
    """Add-ons that do not need each other are installed side by side."""
    for name in order:
        needs = ["storage", *(f"{need} ready" for need in catalog[name].needs)]
        if name == addons.INGRESS and certificates.before_ingress(environment):
            _certificate(graph, needs=["cert-manager ready"])
            needs.append("certificate issued")
        graph.step(PlaneName.ADDONS, name, install_addon, needs=needs, addon=name)
        graph.step(PlaneName.ADDONS, f"{name} ready", probe_addon, needs=[name], addon=name)


def _names_and_certificates(graph: Graph, environment: Environment, order: Sequence[str]) -> None:
    if environment.spec.dns is None:
        return
    graph.step(PlaneName.DNS, "dns", converge_dns, needs=[INGRESS_READY])
    graph.step(PlaneName.DNS, "dns ready", probe_dns, needs=["dns"])
    if environment.spec.certificates is None:
        return
    graph.step(PlaneName.CERTIFICATES, "canary host", converge_canary, needs=[INGRESS_READY])
    if "certificate" not in graph:
        # HTTP-01 is answered through the canary's Ingress, which has to be there.
        _certificate(graph, needs=["cert-manager ready", "dns ready", "canary host"])
    served = ["canary host", "certificate issued", "dns ready"]
    graph.step(PlaneName.CERTIFICATES, "certificate served", probe_certificate_served, needs=served)
    # Which add-ons have a page, the cluster says once they are there.
    ready = [f"{name} ready" for name in order]
    graph.step(PlaneName.CERTIFICATES, "pages served", probe_pages, needs=["certificate served", *ready])


def _certificate(graph: Graph, *, needs: list[str]) -> None:
    graph.step(PlaneName.CERTIFICATES, "certificate", converge_certificate, needs=needs)
    graph.step(PlaneName.CERTIFICATES, "certificate issued", probe_certificate_issued, needs=["certificate"])


def _workloads(graph: Graph, environment: Environment) -> None:
    if environment.spec.delivery is not None:
        ready = ["delivery", *([INGRESS_READY] if INGRESS_READY in graph else [])]
        graph.step(PlaneName.DELIVERY, "delivery", converge_delivery, needs=["argo-cd ready"])
        graph.step(PlaneName.DELIVERY, "delivery ready", probe_delivery, needs=ready)
    for runner in environment.spec.runners:
        step, controller = f"runners {runner.name}", "actions-runner-controller ready"
        graph.step(PlaneName.RUNNERS, step, install_runners, needs=[controller], runner=runner)
        graph.step(PlaneName.RUNNERS, f"{step} ready", probe_runners, needs=[step], runner=runner)


if __name__ == "__main__":
    from flows.command import main

    main(create_environment)
