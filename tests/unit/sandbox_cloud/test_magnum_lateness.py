"""A conductor that takes up late what the API has accepted: each request once, a creation twice."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.sandbox.openstack import magnum_lateness
from deployments.sandbox.openstack.faults import FaultFile


class Clusters:
    """A handler as Magnum's: what it is asked is a keyword, and rows come from the utilities."""

    def __init__(self, utils: Any, done: list[str]) -> None:
        self._utils, self._done = utils, done

    def cluster_create(self, context: Any, cluster: Any, node_count: int) -> str:
        self._done.append("cluster")
        for master in (True, False):
            self._done.append(self._utils._get_nodegroup_object(context, cluster, node_count, is_master=master))
        return f"{cluster.name} with {node_count}"

    def cluster_delete(self, context: Any, uuid: str) -> None:
        self._done.append(f"deletion of {uuid}")

    def ping(self, context: Any) -> None:
        self._done.append("ping")


def test_what_was_accepted_is_taken_up_late_and_rows_of_node_groups_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps({"magnum": {"delay": 2}, "clusters": {"dev": {"delay": 7}}}))
    done: list[str] = []
    monkeypatch.setattr(magnum_lateness.time, "sleep", lambda seconds: done.append(f"{seconds:g} s"))

    def row(context: Any, cluster: Any, node_count: int, is_master: bool = False) -> str:
        return "masters" if is_master else "workers"

    utils = SimpleNamespace(_get_nodegroup_object=row)
    handler = Clusters(utils, done)
    magnum_lateness.delay([handler], utils, FaultFile(path, "magnum-conductor"), lambda _, uuid: f"name of {uuid}")
    assert handler.cluster_create(None, cluster=SimpleNamespace(name="dev"), node_count=3) == "dev with 3"
    handler.cluster_delete(None, uuid="u1")
    handler.ping(None)
    assert done == ["7 s", "cluster", "7 s", "masters", "workers", "2 s", "deletion of u1", "ping"]
