"""What a plan may do unasked. Pure: a plan in, an answer out.

Terraform has been seen to recreate clusters without a change of code (provider issue 1327): losing a cluster or a
node group always takes somebody's agreement to that very address.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from infra.clients.errors import Refused
from infra.terraform.plans import UNKNOWN, Change, Plan

PROTECTED = {
    "openstack_containerinfra_cluster_v1": "the cluster",
    "openstack_containerinfra_nodegroup_v1": "the node group",
}
"""Resource types that hold what people would miss."""


@dataclass(frozen=True)
class Loss:
    """A protected object a plan would destroy."""

    address: str
    what: str
    verb: str
    because: str

    def sentence(self) -> str:
        """The loss in words."""
        return f"Terraform would {self.verb} {self.what} {self.address}{self.because}."


def losses(plan: Plan) -> tuple[Loss, ...]:
    """The protected objects a plan would destroy or replace."""
    return tuple(
        Loss(change.address, PROTECTED[change.type], change.verb, _because(change))
        for change in plan.changes
        if change.destroys and change.type in PROTECTED
    )


def _because(change: Change) -> str:
    if change.replace_paths:
        values = {difference.path: difference for difference in change.differences}
        forcing = " and ".join(_forcing(path, values.get(path)) for path in change.replace_paths)
        return f", because {forcing} cannot change in place"
    reasons = {
        "replace_because_tainted": ", because an earlier operation on it did not finish",
        "delete_because_no_resource_config": ", because it is no longer declared",
        "delete_because_each_key": ", because it is no longer declared",
        "replace_by_request": ", because that was asked for",
    }
    return reasons.get(change.reason or "", "")


def _forcing(path: str, difference: object) -> str:
    before, after = getattr(difference, "before", None), getattr(difference, "after", None)
    if difference is None or isinstance(before, (dict, list)) or isinstance(after, (dict, list)):
        return path
    return f"{path} (from {before} to {'a new one' if after == UNKNOWN else after})"


def guard(plan: Plan, *, allow: Collection[str] = ()) -> None:
    """Let a plan pass, or refuse it.

    Args:
        allow: addresses whose loss somebody agreed to, exactly as in the plan. There is no "everything".

    Raises:
        Refused: it destroys or replaces a cluster or a node group that is not among them.
    """
    refused = [loss for loss in losses(plan) if loss.address not in allow]
    if refused:
        raise Refused(
            " ".join(loss.sentence() for loss in refused),
            hint="Undo the change in git, or agree to the loss of: "
            + ", ".join(loss.address for loss in refused)
            + ".",
        )


def agreed_by_destroy(plan: Plan) -> frozenset[str]:
    """The addresses whose loss is agreed to by destroying the whole environment.

    Raises:
        Refused: the plan is not one to destroy, or would also make or change something.
    """
    other = [change.address for change in plan.changes if change.actions != ("delete",)]
    if not plan.destroy or other:
        raise Refused(
            f"This plan for {plan.environment} does not only destroy.",
            detail=", ".join(other) or None,
            hint="Plan again with destroy.",
        )
    return frozenset(change.address for change in plan.changes)
