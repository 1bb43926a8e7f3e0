"""What people have switched on or off at a Prefect server stays so, whatever is deployed.

Prefect takes a deployment that is deployed again for switched on, and makes its schedules anew as prefect.yaml has
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

TAG = "plumbline"
"""Every deployment of prefect.yaml carries it."""


def deployments(api: httpx.Client) -> list[dict[str, Any]]:
    """Our deployments, as the API tells them.

    Args:
        api: a client whose base URL is the Prefect API.
    """
    found = api.post("deployments/filter", json={"deployments": {"tags": {"all_": [TAG]}}})
    found.raise_for_status()
    return list(found.json())


@contextmanager
def kept(api: httpx.Client) -> Iterator[None]:
    """Set back, at the block's end, which deployments and schedules are on; those that are new are as declared."""
    before = {one["name"]: one for one in deployments(api)}
    try:
        yield
    finally:
        for deployment in deployments(api):
            if deployment["name"] in before:
                _set_back(api, deployment, before[deployment["name"]])


def _set_back(api: httpx.Client, deployment: dict[str, Any], before: dict[str, Any]) -> None:
    where = f"deployments/{deployment['id']}"
    if deployment["paused"] is not before["paused"]:
        api.patch(where, json={"paused": before["paused"]}).raise_for_status()
    active = {one["slug"]: one["active"] for one in before["schedules"] if one["slug"]}
    for schedule in deployment["schedules"]:
        if schedule["active"] is not active.get(schedule["slug"], schedule["active"]):
            # With its parameters: Prefect takes what is left out for cleared.
            change = {"active": not schedule["active"], "parameters": schedule["parameters"]}
            api.patch(f"{where}/schedules/{schedule['id']}", json=change).raise_for_status()
