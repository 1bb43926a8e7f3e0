"""Steps of the storage plane."""

from __future__ import annotations

from infra.drift.findings import PlaneName
from infra.planes import leftovers, storage, teardown
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tasks.step import After, step


@step("storage", timeout=300)
async def converge_storage(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bring the default StorageClass into step: one Cinder class, and it alone the default."""
    return await bring_into_step(
        storage, storage.desired(environment), clients, name=PlaneName.STORAGE, step="storage class"
    )


@step("storage ready", timeout=900)
async def probe_storage(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Bind and delete a 1 GiB claim of the default class, unless that class has been proved before."""
    sentence = await storage.probe(storage.desired(environment), clients)
    return Outcome(plane=PlaneName.STORAGE, name="storage class", sentence=sentence)


@step("cloud resources", timeout=1800)
async def release_cloud_resources(environment: Environment, clients: Clients, after: After = ()) -> Outcome:
    """Give back what the cluster holds in the cloud: load balancers first, then volumes.

    Of a cluster that does not answer, the volumes are left for the sweep at the end: they keep nothing from going.
    """
    if not clients.connected:
        found = await leftovers.clear_the_way(environment, clients)
        return Outcome.removed(PlaneName.STORAGE, "cloud resources", found)
    removed = await teardown.release_load_balancers(clients) + await teardown.release_volumes(clients)
    return Outcome.removed(PlaneName.STORAGE, "cloud resources", removed)
