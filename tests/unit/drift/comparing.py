"""What the tests of object comparison share: the corpus as a cluster, and short ways to compare and to make objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from infra.catalog import Catalog
from infra.catalog.models import Ignore
from infra.drift.findings import Finding, PlaneName
from infra.drift.objects import Key, compare_objects, key_of
from tests.corpora.corpus import Recorded, pairs

Object = dict[str, Any]
BORN, LATER = "2031-01-01T00:00:00Z", "2031-02-02T02:02:02Z"


@cache
def ignores() -> tuple[Ignore, ...]:
    """What the catalogue tells us to leave alone."""
    return tuple(rule for addon in Catalog.load().values() for rule in addon.ignore)


@cache
def autoscalers() -> dict[Key, Object]:
    """The recorded HorizontalPodAutoscalers."""
    return {key_of(row.live): row.live for row in pairs() if row.live["kind"] == "HorizontalPodAutoscaler"}


def compare(
    declared: Object, live: Object | None, answer: Object | None = None, rules: Iterable[Ignore] = ()
) -> list[Finding]:
    """The findings about one object, in a cluster with the recorded autoscalers."""
    key = key_of(declared)
    there = {each: item for each, item in autoscalers().items() if each != key}
    if live is not None:
        there[key] = live
    return compare_objects([declared], there, plane=PlaneName.ADDONS, ignores=rules, answers={key: answer})


def compare_recorded(row: Recorded, live: Object | None, answer: Object | None = None) -> list[Finding]:
    """The findings about a recorded object that became `live`."""
    return compare(row.declared, live, answer, ignores())


def without_books(item: Object) -> Object:
    """An object as a server has it that kept no managed fields when it was written."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {**item, "metadata": metadata}


def paths(findings: Iterable[Finding]) -> list[str]:
    """Their paths."""
    return [finding.path for finding in findings]


def book(manager: str, fields: Mapping[str, Any], *, time: str = LATER, **more: str) -> Object:
    """One entry of managedFields."""
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields, **more}


def written(item: Object, *entries: Object) -> Object:
    """An object as the API server has it, with these managedFields after helm's."""
    metadata = {"creationTimestamp": BORN, "uid": "u", "resourceVersion": "1", **item["metadata"]}
    helm = book("helm", {"f:metadata": {"f:labels": {"f:app": {}}}}, time=BORN)
    return {**item, "metadata": {**metadata, "managedFields": [helm, *entries]}}
