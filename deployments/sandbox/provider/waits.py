"""Waiting for a status, with upstream's error sentences and Magnum's and Designate's genuine oddities.

Upstream sleeps a minute before its first look, which hides what a fast poll meets: an object that is 404 or 400
for a moment after it was accepted, and the old status after a change was accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from deployments.sandbox.provider.cloud import Cloud, CloudError

POLL = 0.3
"""Seconds between two looks; upstream's are 10 and 20."""

SETTLE = 20.0
"""Seconds for which a new object may be absent, or an old status may still show."""

PASSING_ERRORS = 20
"""Failed looks in a row (server errors, no answer) after which a wait gives up."""


class WaitFailed(Exception):
    """The object reached an error status, or did not get there in time."""


@dataclass(frozen=True)
class Goal:
    """What is waited for.

    Args:
        what: the resource's type, for sentences.
        target: the status wanted; for a deletion, the name of being gone.
        failed: statuses that end the wait.
        gone: absence is the target.
        fresh: whether an object in the target status shows it because of this change, not an earlier one.
    """

    what: str
    target: str
    failed: tuple[str, ...]
    gone: bool = False
    fresh: Callable[[dict[str, Any]], bool] | None = None


def wait_for(
    cloud: Cloud, look: Callable[[], dict[str, Any]], goal: Goal, timeout: float, *, poll: float = POLL
) -> dict[str, Any]:
    """Look until the goal is reached, and return the last document seen (empty once it is gone).

    Raises:
        WaitFailed: an error status (its reason is in the sentence), or the timeout.
        Stopped: terraform asked for an end.
    """
    started = monotonic()
    status, errors = "", 0
    while True:
        young = monotonic() - started < SETTLE
        document: dict[str, Any] | None = None
        try:
            document, errors = look(), 0
        except CloudError as error:
            if goal.gone and error.status == 404:
                return {}
            errors += 1
            odd = young and error.status in (400, 404)
            if not odd and not (error.passing and errors < PASSING_ERRORS):
                raise
        if document is not None:
            status = str(document.get("status") or "")
            if status in goal.failed and (not young or _is_fresh(goal, document)):
                reason = document.get("status_reason") or "no reason given"
                raise WaitFailed(f"{goal.what} is in an error state: {status}: {reason}")
            if status == goal.target and (goal.gone or not young or _is_fresh(goal, document)):
                return {} if goal.gone else document
        if monotonic() - started > timeout:
            raise WaitFailed(
                f"timeout while waiting for state to become '{goal.target}' "
                f"(last state: '{status}', timeout: {timeout:g}s)"
            )
        cloud.pause(poll)


def _is_fresh(goal: Goal, document: dict[str, Any]) -> bool:
    return goal.fresh is None or goal.fresh(document)
