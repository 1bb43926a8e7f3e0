"""Edits that are chosen one by one: what is a default in another place or kind, and a container by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from infra.drift.paths import Item, Path, follow, render
from tests.corpora.corpus import CHOSEN, Recorded
from tests.corpora.mutations import Mutation, put

SOURCE, SUFFIX = "helm-defaults", "-helm"
"""Whose objects are edited, and what is behind the names of those without a namespace."""

POD = ("spec", "template", "spec")
UPDATE = ("spec", "updateStrategy", "rollingUpdate")
PORT = ("spec", "ports", Item((("port", 80), ("protocol", "TCP"))))
METRICS = Item((("containerPort", 9100), ("protocol", "TCP")))

BY_HAND: list[tuple[str, str, Path, Any]] = [
    ("Service", "s3", (*PORT, "nodePort"), 30999),
    ("Service", "s1", (*PORT, "targetPort"), 8080),
    ("DaemonSet", "ds", (*POD, "priorityClassName"), "high"),
    ("Ingress", "ing", ("spec", "ingressClassName"), "other"),
    ("Deployment", "d-full", ("spec", "strategy", "rollingUpdate", "maxUnavailable"), 1),
    ("DaemonSet", "ds", (*UPDATE, "maxUnavailable"), "25%"),
    ("StatefulSet", "ss", (*UPDATE, "maxUnavailable"), 1),
    ("Job", "j-min", ("metadata", "labels", "app"), "worker"),
    ("Job", "j-lab", ("metadata", "labels", "app"), "other"),
    ("Job", "j-lab", ("metadata", "labels", "owner"), "me"),
    ("Job", "j-min", ("spec", "backoffLimit"), 2147483647),
    ("HorizontalPodAutoscaler", "h-beh", ("spec", "behavior", "scaleDown", "stabilizationWindowSeconds"), 0),
    ("HorizontalPodAutoscaler", "h-min", ("spec", "minReplicas"), 2),
    ("NetworkPolicy", "np", ("spec", "policyTypes"), ["Egress"]),
    ("PriorityLevelConfiguration", "plc", ("spec", "limited", "nominalConcurrencyShares"), 0),
    ("Certificate", "leaf", ("spec", "isCA"), True),
    ("Certificate", "leaf", ("spec", "duration"), "90m1s"),
    ("Certificate", "c19", ("spec", "issuerRef", "kind"), "ClusterIssuer"),
    ("HTTPRoute", "hr", ("spec", "rules", 0, "backendRefs", 0, "weight"), 0),
    ("HTTPRoute", "hr", ("spec", "rules", 0, "backendRefs", 0, "namespace"), "other"),
]
"""Kind, name, field and what a person writes there: none of it declared, all but a default of another place or kind."""

WITH_PODS = ("CronJob", "DaemonSet", "Deployment", "StatefulSet")
CONTAINER = {"name": "shell", "image": "busybox"}


def chosen(rows: Sequence[Recorded]) -> Iterator[tuple[int, Mutation]]:
    """The edits, with the index of the object that each is of."""
    mine = {(row.live["kind"], row.live["metadata"]["name"].removesuffix(SUFFIX)): index
            for index, row in enumerate(rows) if row.source == SOURCE}  # fmt: skip
    for kind, name, path, value in BY_HAND:
        index = mine[kind, name]
        yield index, Mutation(CHOSEN, (render(path),), put(rows[index].live, path, value))
    for index, row in enumerate(rows):
        start = ("spec", "jobTemplate", "spec") if row.live["kind"] == "CronJob" else ("spec",)
        path = (*start, "template", "spec", "containers")
        there = follow(row.live, path)
        if row.live["kind"] in WITH_PODS and isinstance(there, list):
            step = Item((("name", CONTAINER["name"]),))
            yield index, Mutation(CHOSEN, (render((*path, step)),), put(row.live, path, [*there, CONTAINER]))
