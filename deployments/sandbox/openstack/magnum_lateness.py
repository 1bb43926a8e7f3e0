"""A conductor that takes up what the API has accepted only after a while, as a busy one does.

Magnum answers a POST, PATCH or DELETE before its conductor has written anything; only an upgrade is waited for. So for
as long as the delay takes, a new cluster is not there (404), and one that was changed or deleted shows the end of the
operation before. A cluster's row is written before those of its node groups: in between, Magnum answers 400 to a read.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from deployments.sandbox.openstack.faults import FaultFile

TAKEN_UP = (
    *("cluster_create", "cluster_update", "cluster_delete", "cluster_resize", "cluster_upgrade"),
    *("nodegroup_create", "nodegroup_update", "nodegroup_delete"),
)
"""The conductor's methods that carry out what somebody has asked the API for."""

NameOf = Callable[[Any, str], str]
"""From a request's context and a cluster's UUID to the cluster's name."""


def delay(handlers: Sequence[Any], utils: Any, faults: FaultFile, name_of: NameOf) -> None:
    """Have a conductor's handlers wait before they write.

    Args:
        handlers: magnum's own, for clusters and node groups.
        utils: magnum.conductor.utils, with which `cluster_create` makes the rows of node groups.
        faults: says how long, for every cluster or for one.
        name_of: for requests that name a cluster by its UUID alone.
    """

    def wait(name: str) -> None:
        time.sleep(faults.current().delay_of(name))

    def late(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def later(context: Any, **arguments: Any) -> Any:
            cluster = arguments.get("cluster")
            wait(cluster.name if cluster is not None else name_of(context, arguments["uuid"]))
            return method(context, **arguments)

        return later

    for handler in handlers:
        for name in TAKEN_UP:
            if hasattr(handler, name):
                setattr(handler, name, late(getattr(handler, name)))
    make_row = utils._get_nodegroup_object

    def late_row(context: Any, cluster: Any, node_count: int, is_master: bool = False) -> Any:
        if is_master:  # the first of the two
            wait(cluster.name)
        return make_row(context, cluster, node_count, is_master=is_master)

    utils._get_nodegroup_object = late_row
