"""What counts as available, and reading a field by its path."""

from __future__ import annotations

from typing import Any

import pytest

from infra.planes.probes import field, not_available


def workload(kind: str = "Deployment", *, generation: int = 2, spec: Any = None, **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": generation}, "spec": spec or {"replicas": 2}, "status": status}


@pytest.mark.parametrize(
    ("live", "why"),
    [
        (workload(observedGeneration=2, updatedReplicas=2, availableReplicas=2), None),
        (workload(observedGeneration=1, updatedReplicas=2, availableReplicas=2), "has not been looked at"),
        (workload(observedGeneration=2, updatedReplicas=1, availableReplicas=2), "1 of 2 replicas are updated"),
        (workload(observedGeneration=2, updatedReplicas=2, availableReplicas=1), "1 of 2 replicas are available"),
        (workload(observedGeneration=2), "0 of 2 replicas are updated"),
        (workload(spec={"replicas": 0}, observedGeneration=2), None),
        (workload("StatefulSet", observedGeneration=2, updatedReplicas=2, readyReplicas=2), None),
        (workload("StatefulSet", observedGeneration=2, updatedReplicas=2, readyReplicas=1), "1 of 2"),
        (
            workload(
                "DaemonSet", observedGeneration=2, desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=3
            ),
            None,
        ),
        (
            workload(
                "DaemonSet", observedGeneration=2, desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=2
            ),
            "2 of 3",
        ),
    ],
)
def test_a_workload_is_available_only_at_the_generation_that_was_declared(live: Any, why: str | None) -> None:
    said = not_available(live)
    assert (said is None) if why is None else (said is not None and why in said)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status.phase", "Ready"),
        ("status.conditions[type=Ready].status", "True"),
        ("status.conditions[type=Other].status", None),
        ("status.nothing.there", None),
        ("status.phase.deeper", None),
    ],
)
def test_a_path_reads_mappings_and_picks_list_items_by_type(path: str, value: Any) -> None:
    live = {"status": {"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert field(live, path) == value
