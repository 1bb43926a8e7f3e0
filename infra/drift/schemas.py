"""The JSON Schemas of the documents about drift: `python -m infra.drift` writes them, and a test compares them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from infra.drift.fleet import FleetVerdict
from infra.drift.report import DriftReport
from infra.drift.verdict import Verdict

PUBLISHED: Mapping[str, type[BaseModel]] = {
    "drift-report.schema.json": DriftReport,
    "verdict.schema.json": Verdict,
    "fleet-verdict.schema.json": FleetVerdict,
}
"""By the name of its file beside this one."""


def schema(name: str) -> str:
    """One of them, as a text."""
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://plumbline.dev/schemas/v1/{name}",
        **PUBLISHED[name].model_json_schema(mode="serialization"),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def path_of(name: str) -> Path:
    """Where it is published."""
    return Path(__file__).with_name(name)


def write() -> list[Path]:
    """Write all of them; where they are."""
    for name in PUBLISHED:
        path_of(name).write_text(schema(name), encoding="utf-8")
    return [path_of(name) for name in PUBLISHED]
