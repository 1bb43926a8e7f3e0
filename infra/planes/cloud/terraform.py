"""What Terraform would do, as findings under the addresses and paths that the look at Magnum uses. Pure.

Whoever says something about an object of the cluster plane, a check, a run's report or a waiver, names it like this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.drift.findings import Finding, Severity
from infra.planes.cloud.findings import cluster_at, field, group_at, keypair_at, template_at
from infra.terraform.plans import FLUCTUATING, SENSITIVE, UNKNOWN, Change, Difference, Plan
from infra.terraform.policy import PROTECTED

KEYPAIR = "openstack_compute_keypair_v2"
TEMPLATE = "openstack_containerinfra_clustertemplate_v1"
CLUSTER = "openstack_containerinfra_cluster_v1"
NODE_GROUP = "openstack_containerinfra_nodegroup_v1"

PATHS: Mapping[str, Mapping[str, str]] = {
    CLUSTER: {
        "cluster_template_id": "template",
        "keypair": "keypair",
        "master_count": "master_count",
        "node_count": "node_count",
        "flavor": "flavor",
        "master_flavor": "master_flavor",
    },
    NODE_GROUP: {"flavor_id": "flavor", "node_count": "node_count", "min_node_count": "min", "max_node_count": "max"},
    TEMPLATE: {
        "coe": "coe",
        "image": "image",
        "flavor": "flavor",
        "master_flavor": "master_flavor",
        "external_network_id": "external_network",
        "fixed_network": "fixed_network",
        "fixed_subnet": "fixed_subnet",
        "volume_driver": "volume_driver",
        "network_driver": "network_driver",
        "docker_volume_size": "docker_volume_size",
        "master_lb_enabled": "master_load_balancer",
        "floating_ip_enabled": "floating_ip",
        "public": "public",
        "labels": "labels",
    },
    KEYPAIR: {"public_key": "public_key"},
}
"""Terraform's arguments, and what the fields are called in findings: those that both looks judge."""


def terraform_findings(plan: Plan) -> list[Finding]:
    """One finding for each argument that Terraform would change, and for each object it would make or delete."""
    found = [finding for change in plan.changes for finding in _of(change, plan)]
    if not plan.changes and plan.outputs_changed:
        sentence = "Terraform's state does not have all outputs as they are now."
        found.append(field(f"outputs/{plan.environment}", "", None, None, sentence, Severity.COSMETIC))
    return found


def address_of(change: Change, environment: str) -> str:
    """Under which address findings about an object stand."""
    key = change.key or change.name
    known = {
        CLUSTER: cluster_at(environment),
        TEMPLATE: template_at(key),
        NODE_GROUP: group_at(environment, key),
        KEYPAIR: keypair_at(environment),
    }
    return known.get(change.type, change.address)


def path_of(kind: str, argument: str) -> str:
    """What a field is called in findings."""
    return PATHS.get(kind, {}).get(argument, argument)


def _of(change: Change, plan: Plan) -> Iterator[Finding]:
    where = address_of(change, plan.environment)
    if change.replaces:
        yield from _replaced(change, where)
    elif change.verb == "update":
        yield from _updated(change, where)
    elif change.verb == "delete":
        sentence = f"{where} is no longer declared: Terraform would delete it."
        protected = Severity.DESTRUCTIVE if change.type in PROTECTED else Severity.CONFIG
        severity = Severity.COSMETIC if change.type == TEMPLATE else protected
        yield field(where, "", None, change.identifier, sentence, severity)
    else:
        sentence = f"Terraform does not find {where}, and would {change.verb} it."
        severity = Severity.DESTRUCTIVE if change.type in PROTECTED else Severity.CONFIG
        yield field(where, "", change.key or plan.environment, None, sentence, severity)


def _replaced(change: Change, where: str) -> Iterator[Finding]:
    """One finding for each argument that forces it; the other differences only follow from the new object."""
    severity = {True: Severity.DESTRUCTIVE}.get(change.type in PROTECTED, Severity.SECURITY)
    differences = {difference.path: difference for difference in change.differences}
    forcing = [path for path in change.replace_paths if path.split("[")[0].split(".")[0] in differences]
    for path in forcing:
        difference = differences[path.split("[")[0].split(".")[0]]
        name = path_of(change.type, difference.path)
        sentence = f"Terraform would replace {where}, for its {name} cannot change in place{_values(difference)}."
        yield field(where, name, _plain(difference.after), _plain(difference.before), sentence, severity)
    if not forcing:
        because = ", since an earlier operation on it did not finish" if change.tainted else ""
        hint = ": create-environment trusts it again where it works" if change.tainted else ""
        sentence = f"Terraform would replace {where}{because}{hint}."
        yield field(where, "", "trusted" if change.tainted else None, change.reason, sentence, severity)


def _updated(change: Change, where: str) -> Iterator[Finding]:
    told = False
    for difference in change.differences:
        known = difference.path in PATHS.get(change.type, {})
        if difference.path in FLUCTUATING or (difference.after == UNKNOWN and not known):
            continue  # what the cloud computes anew with any change
        for part in _parts(difference):
            told = True
            name = path_of(change.type, part.path)
            sentence = f"Terraform would change {name} of {where}{_values(part)}."
            yield field(where, name, _plain(part.after), _plain(part.before), sentence, Severity.CONFIG)
    if not told:
        yield field(where, "", None, None, f"Terraform would update {where}.", Severity.CONFIG)


def _parts(difference: Difference) -> Iterator[Difference]:
    """A map key by key, so that one label is one finding; anything else as it is."""
    before, after = difference.before, difference.after
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield difference
        return
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield Difference(path=f"{difference.path}.{key}", before=before.get(key), after=after.get(key))


def _values(difference: Difference) -> str:
    if SENSITIVE in (difference.before, difference.after):
        return ""
    after = "a new one" if difference.after == UNKNOWN else _said(difference.after)
    return f" (from {_said(difference.before)} to {after})"


def _said(value: Any) -> Any:
    return "none" if value is None else value


def _plain(value: Any) -> Any:
    return None if value == UNKNOWN else value
