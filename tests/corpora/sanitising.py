"""What a recorded object may hold: no keys or certificates of the day, even of a control plane that is gone."""

from __future__ import annotations

import base64
import copy
from typing import Any

from tests.corpora.corpus import Recorded

DUMMY = "dummy"


def sanitised(row: Recorded) -> Recorded:
    """The same pair with dummies for Secrets' values that differ from what is declared, and for CA bundles."""
    declared, live, answer = (copy.deepcopy(each) for each in (row.declared, row.live, row.dry_run))
    if row.live["kind"] == "Secret":
        for each in (declared, live, answer or {}):
            _replace_data(each)
    for each in (declared, live, answer):
        _replace_bundles(each)
    return Recorded(row.source, declared, live, answer)


def _replace_data(secret: dict[str, Any]) -> None:
    for name, value in (secret.get("data") or {}).items():
        if not value.startswith("ZHVtbXk"):  # the base64 of dummy
            secret["data"][name] = base64.b64encode(f"{DUMMY}-{name}".encode()).decode()


def _replace_bundles(item: Any) -> None:
    if isinstance(item, dict):
        for key, value in item.items():
            if key == "caBundle" and value:
                item[key] = base64.b64encode(b"dummy bundle").decode()
            else:
                _replace_bundles(value)
    elif isinstance(item, list):
        for value in item:
            _replace_bundles(value)
