"""Prefect automations of Plumbline: made where they are missing, and left alone where they are not.

They come switched off. Whoever switches one on, or edits it, owns it from then on: deploying again changes nothing.
"""

from __future__ import annotations

import httpx

from infra.clients.errors import Failed

RECONCILE_ON_DRIFT = "plumbline: reconcile on drift"
FOUND = "plumbline.drift.found"
ENVIRONMENTS = "plumbline.environment.*"
CHECKS = ("check-drift", "check-fleet")
"""Flows whose findings start it. Not those of a reconciliation itself: one that breaks something new each time it mends
something would start itself for ever."""


def add_missing(api: httpx.Client) -> None:
    """Make the automation that reconciles an environment in which drift was found, switched off, if there is none.

    Args:
        api: a client whose base URL is the Prefect API.

    Raises:
        Failed: Prefect refused it, with its words.
    """
    wanted = {"automations": {"name": {"any_": [RECONCILE_ON_DRIFT]}}}
    found = api.post("automations/filter", json=wanted)
    found.raise_for_status()
    if found.json():
        return
    deployment = api.get("deployments/name/reconcile/reconcile")
    deployment.raise_for_status()
    made = api.post("automations/", json=reconcile_on_drift(deployment.json()["id"]))
    if made.status_code != httpx.codes.CREATED:
        raise Failed(f"Prefect refused the automation {RECONCILE_ON_DRIFT!r}.", detail=made.text)


def reconcile_on_drift(deployment: str) -> dict[str, object]:
    """The automation, as the API takes it (pure).

    Args:
        deployment: id of the deployment `reconcile/reconcile`.
    """
    name = {"__prefect_kind": "jinja", "template": "{{ event.resource['prefect.resource.name'] }}"}
    return {
        "name": RECONCILE_ON_DRIFT,
        "description": "Brings an environment back into step as soon as a check has found drift in it.",
        "enabled": False,
        "tags": ["plumbline"],
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": [FOUND],
            "match": {"prefect.resource.id": ENVIRONMENTS},
            "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": [*CHECKS]},
            "for_each": ["prefect.resource.id"],
            "threshold": 1,
            "within": 0,
        },
        "actions": [
            {"type": "run-deployment", "source": "selected", "deployment_id": deployment, "parameters": {"name": name}}
        ],
    }
