"""Table output (`kubectl get`): the built-in kinds' columns, and custom ones' additionalPrinterColumns."""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes import jsonpath
from deployments.sandbox.kubernetes.age import age
from deployments.sandbox.kubernetes.cells import CREATED, Column
from deployments.sandbox.kubernetes.columns import COLUMNS
from deployments.sandbox.kubernetes.resources import Resource

Object = dict[str, Any]
NAME = Column("Name", "metadata.name", "string", "name", 0)


def _definition(column: Column) -> Object:
    return {"name": column.name, "type": column.type, "format": column.format, "description": column.description,
            "priority": column.priority}  # fmt: skip


def columns(resource: Resource) -> list[Column]:
    """The columns of a kind; Name and Age where it declares none."""
    if resource.custom is None:
        return COLUMNS.get(resource.storage) or [NAME, CREATED]
    declared = resource.custom.get("columns")
    if not declared:
        return [NAME, Column("Age", ".metadata.creationTimestamp", "date", "", 0)]
    listed = [NAME]
    for column in declared:
        name, kind = column["name"], column.get("type", "string")
        listed.append(Column(name, column["jsonPath"], kind, column.get("format", ""), column.get("priority", 0),
                             column.get("description", "")))  # fmt: skip
    return listed


def _cell(column: Column, item: Object) -> Any:
    if column.cell is not None:
        return column.cell(item)
    found = jsonpath.find(column.path, item)
    if not found:
        return "<unknown>" if column.type == "date" else None
    value = found[0]
    if column.type == "date":
        return age(value)
    if column.type in ("integer", "number", "boolean"):
        return value
    if isinstance(value, dict | list):
        return jsonpath_text(value)
    return str(value) if not isinstance(value, bool) else str(value).lower()


def jsonpath_text(value: Any) -> str:
    from deployments.sandbox.kubernetes.wire import dumps  # noqa: PLC0415  only odd columns need it

    return dumps(value).decode()


def render(
    resource: Resource,
    items: list[Object],
    *,
    include: str = "Metadata",
    metadata: Object | None = None,
    headers: bool = True,
) -> Object:
    """The Table object of `items`.

    Args:
        include: what each row's `object` is: `Metadata`, `Object` or `None`.
        headers: leave the column definitions out of a watch's later events.
    """
    listed = columns(resource)
    rows = []
    for item in items:
        cells = [_cell(column, item) for column in listed]
        row: Object = {"cells": cells}
        if include == "Object":
            row["object"] = {"kind": resource.kind, "apiVersion": resource.api_version, **item}
        elif include == "Metadata":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": item["metadata"],
            }
        else:
            row["object"] = None
        rows.append(row)
    version = items[0]["metadata"].get("resourceVersion", "") if len(items) == 1 else ""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata or {"resourceVersion": version},
        "columnDefinitions": [_definition(column) for column in listed] if headers else None,
        "rows": rows,
    }
