"""The way into a cluster for those who only look; where there is none, why, in plain words."""

from __future__ import annotations

from infra.clients.errors import Denied, PlumblineError
from infra.clients.kubeconfig import READERS
from infra.clients.openstack_models import Cluster
from infra.planes.clients import Clients
from infra.planes.cloud.findings import deletion
from infra.planes.cloud.seen import ask
from infra.spec.models import Environment
from infra.spec.names import cluster_name


async def reach(environment: Environment, clients: Clients) -> str | None:
    """Connect to the cluster's API; says why where it cannot, since a look goes on without."""
    name = cluster_name(environment)
    try:
        await clients.connect(name)
        await clients.kubernetes.list("v1", "Namespace")
    except Denied as error:
        # Granted by the flow that makes the environment, so that one from before has it after the next run.
        return f"{error.summary} Run create-environment, which lets {READERS} read."
    except PlumblineError as error:
        said = str(error)
        leaving = await _leaving(name, clients)
        return said if leaving in (None, said) else f"{leaving} {said}"
    return None


async def _leaving(name: str, clients: Clients) -> str | None:
    """What Magnum says of a deletion: a connection that fails does not tell that the cluster is half gone."""
    cluster = await ask(clients.openstack.magnum.cluster(name))
    return deletion(cluster) if isinstance(cluster, Cluster) else None
