"""Two looks at one cluster, Terraform's and Magnum's, brought together. Pure.

What both see is one finding. What only one of them sees although both have looked is a finding that says so, once a
second look has shown the same: the two do not look at the same instant. What Terraform alone sees of an object that
Magnum is changing, or that could not be read, is not believed: the blind spot says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infra.clients.errors import Conflict
from infra.clients.openstack_models import Cluster, ClusterTemplate, Keypair
from infra.drift.findings import BlindSpot, Finding, Severity
from infra.planes.cloud.compare import compare_cloud
from infra.planes.cloud.findings import (
    PLANE,
    cluster_at,
    field,
    group_at,
    keypair_at,
    providers_at,
    state_at,
    template_at,
)
from infra.planes.cloud.groups import autoscaled
from infra.planes.cloud.seen import Seen
from infra.planes.cloud.terraform import CLUSTER, KEYPAIR, NODE_GROUP, PATHS, TEMPLATE, address_of, terraform_findings
from infra.planes.looking import Looked, NotLooked
from infra.spec.names import MARK
from infra.terraform.looking import Look
from infra.terraform.plans import Change, Plan
from infra.terraform.providers import ProviderChanged
from infra.terraform.template import template_name
from infra.terraform.variables import Variables

Places = frozenset[tuple[str, str]]

_KINDS = {"cluster": CLUSTER, "nodegroup": NODE_GROUP, "template": TEMPLATE, "keypair": KEYPAIR}


@dataclass(frozen=True)
class Judged:
    """What the two looks add up to.

    Attributes:
        doubted: places that one look found different and the other did not.
        gone: places of declared objects that were not there.
    """

    looked: Looked
    doubted: Places = frozenset()
    gone: Places = frozenset()


def judge(wanted: Variables, seen: Seen, look: Look | NotLooked, *, doubted: Places = frozenset()) -> Judged:
    """Bring the two looks together.

    Args:
        wanted: what git declares.
        seen: what Magnum and Nova say.
        look: what Terraform says.
        doubted: what an earlier pair of looks did not agree about; only what is doubted twice is called so.
    """
    cloud = compare_cloud(wanted, seen)
    gone = frozenset(one.place for one in cloud.findings if not one.path and one.observed is None)
    if isinstance(look, NotLooked) and look.category == ProviderChanged.category:
        other = field(providers_at(wanted.environment), "", None, None, look.why, Severity.SECURITY)
        return Judged(Looked((*cloud.findings, other), cloud.blind_spots, cloud.notes), gone=gone)
    if isinstance(look, NotLooked):
        spot = look.spot(PLANE, "what Terraform sees")
        return Judged(Looked(cloud.findings, (*cloud.blind_spots, spot), cloud.notes), gone=gone)
    terra = _believed(wanted, seen, look.plan)
    merged, doubts = _merged(wanted, seen, cloud.findings, terra, doubted)
    merged = [_never_made(one, look, gone) for one in merged]
    merged.extend(_forgotten(wanted, seen, look.plan))
    spots = list(cloud.blind_spots)
    if look.holder is not None:
        confirmed = {one.place for one in cloud.findings}
        half_done = [one for one in merged if one.place not in confirmed]
        merged = [one for one in merged if one.place in confirmed]
        if half_done:
            why = f"{look.holder.sentence(wanted.environment)} What Terraform would change is half done."
            spots.append(BlindSpot(plane=PLANE, what="what Terraform sees", why=why, category=Conflict.category))
        doubts = frozenset()
    findings = tuple(sorted(merged, key=lambda one: one.place))
    return Judged(Looked(findings, tuple(spots), (*cloud.notes, *_notes(wanted, look))), doubts, gone)


def _notes(wanted: Variables, look: Look) -> Iterator[str]:
    if look.holder is not None:
        yield look.holder.sentence(wanted.environment)
    if look.unwritten:
        yield (
            f"The newest Terraform state of {wanted.environment} is in a file, for its backend did not take it; "
            "the next run writes it."
        )


def _merged(
    wanted: Variables, seen: Seen, cloud: tuple[Finding, ...], terra: list[Finding], doubted: Places
) -> tuple[list[Finding], Places]:
    theirs, merged, doubts = {one.place: one for one in terra}, list[Finding](), set[tuple[str, str]]()
    for one in cloud:
        other = theirs.pop(one.place, None)
        if other is not None:
            severity = max(one.severity, other.severity, key=lambda severity: severity.rank)
            merged.append(one.model_copy(update={"severity": severity}))
        elif _judged_by_both(one) and not any(item.address == one.address and not item.path for item in terra):
            doubts.add(one.place)
            words = f"{one.sentence.rstrip('.')}, says {_teller(one)}; Terraform sees no difference here."
            merged.append(one.model_copy(update={"sentence": words}) if one.place in doubted else one)
        else:
            merged.append(one)
    for one in theirs.values():
        if _judged_by_both(one) and _compared(wanted, seen, one):
            doubts.add(one.place)
            words = f"{one.sentence.rstrip('.')}; {_teller(one)} says that it is as declared."
            merged.append(one.model_copy(update={"sentence": words}) if one.place in doubted else one)
        else:
            merged.append(one)
    return merged, frozenset(doubts)


def _teller(finding: Finding) -> str:
    return "Nova" if finding.address.startswith("keypair/") else "Magnum"


def _judged_by_both(finding: Finding) -> bool:
    """Whether both looks judge such a field, so that one that is silent says "as declared"."""
    kind, path = _KINDS.get(finding.address.split("/")[0], ""), finding.path.split(".")[0]
    if not path:
        # Terraform does not look for what nobody declared; what it doubts or would remove, Magnum knows nothing of.
        return finding.observed is None and finding.declared is not None
    if finding.path.startswith("labels.") and kind != TEMPLATE:
        return False  # a cluster's labels are Magnum's to compute, for Terraform
    return path in PATHS.get(kind, {}).values()


def _compared(wanted: Variables, seen: Seen, finding: Finding) -> bool:
    """Whether the look at Magnum has compared the object of a finding."""
    if finding.address == keypair_at(wanted.environment):
        return not isinstance(seen.keypair, NotLooked)
    if finding.address.startswith("template/"):
        here = isinstance(seen.template, ClusterTemplate) and finding.address == template_at(seen.template.name)
        return here and finding.address == template_at(template_name(wanted))
    return seen.settled(wanted.environment) and not isinstance(seen.groups, NotLooked)


def _believed(wanted: Variables, seen: Seen, plan: Plan) -> list[Finding]:
    """Terraform's findings without those that the other look explains, or could not look at."""
    found = []
    forgotten = {address_of(change, plan.environment) for change in _known_to_cloud(wanted, seen, plan)}
    in_use = seen.template.name if isinstance(seen.template, ClusterTemplate) else None
    for one in terraform_findings(plan):
        kind = one.address.split("/")[0]
        if one.address in forgotten and not one.path:
            continue
        # Gone with its groups, somebody else's, being changed, or not to be read: said once, by the other look.
        unsettled = kind in ("cluster", "nodegroup") and not seen.settled(wanted.environment)
        if unsettled and (seen.cluster is not None or kind == "nodegroup"):
            continue
        if kind == "keypair" and isinstance(seen.keypair, NotLooked):
            continue
        if one.address == template_at(in_use or "") and one.declared is None and not one.path:
            continue  # it goes when the cluster has left it, which is the finding
        if autoscaled(wanted, one):
            continue
        found.append(_trustworthy(one, seen, plan))
    return found


def _trustworthy(finding: Finding, seen: Seen, plan: Plan) -> Finding:
    """Lower what Terraform doubts although Magnum has finished it: a run trusts it again, and replaces nothing."""
    doubted = any(change.tainted and address_of(change, plan.environment) == finding.address for change in plan.changes)
    if finding.path or not doubted or not isinstance(seen.cluster, Cluster):
        return finding
    groups = () if isinstance(seen.groups, NotLooked) else seen.groups
    at = {group_at(seen.cluster.name, group.name): group.status for group in groups}
    status = at.get(finding.address, seen.cluster.status) or ""
    if not status.endswith("_COMPLETE"):
        return finding
    sentence = (
        f"Terraform doubts {finding.address}, since its provider gave up before Magnum was done; Magnum shows it "
        f"complete ({status}): create-environment trusts it again."
    )
    return finding.model_copy(update={"sentence": sentence, "severity": Severity.CONFIG})


def _known_to_cloud(wanted: Variables, seen: Seen, plan: Plan) -> Iterator[Change]:
    """What Terraform would make although it is there."""
    there = {keypair_at(wanted.environment)} if isinstance(seen.keypair, Keypair) else set()
    if not isinstance(seen.templates, NotLooked):
        there |= {template_at(one.name) for one in seen.templates if one.labels.get(MARK) == wanted.environment}
    if seen.settled(wanted.environment):
        there.add(cluster_at(wanted.environment))
        groups = () if isinstance(seen.groups, NotLooked) else seen.groups
        there |= {group_at(wanted.environment, group.name) for group in groups}
    for change in plan.changes:
        if change.actions == ("create",) and address_of(change, plan.environment) in there:
            yield change


def _forgotten(wanted: Variables, seen: Seen, plan: Plan) -> Iterator[Finding]:
    """One finding for everything that is there and that Terraform's state does not know."""
    names = [address_of(change, plan.environment) for change in _known_to_cloud(wanted, seen, plan)]
    if names:
        what = ", ".join(sorted(names, key=lambda name: (name != cluster_at(wanted.environment), name)))
        sentence = f"Terraform's state does not know {what}: run create-environment, which adopts it."
        yield field(state_at(wanted.environment), "", ", ".join(sorted(names)), None, sentence, Severity.CONFIG)


def _never_made(finding: Finding, look: Look, gone: Places) -> Finding:
    """Lower what is not there because it was never made: nothing was lost that a state once knew.

    An empty state knows nothing of that, unless a run is at work that has yet to write it. What is tainted was never
    seen whole: Terraform asked for it, and did not see it come to stand.
    """
    lost = look.state_empty and look.holder is None
    if finding.place not in gone or lost or finding.severity is not Severity.DESTRUCTIVE:
        return finding
    known = {
        address_of(change, look.plan.environment)
        for change in look.plan.drift
        if change.destroys and change.address not in look.tainted
    }
    made = any(
        address_of(change, look.plan.environment) == finding.address and change.actions == ("create",)
        for change in look.plan.changes
    )
    if finding.address in known or not made:
        return finding
    sentence = f"{finding.sentence.rstrip('.')}: it has not been made yet."
    return finding.model_copy(update={"sentence": sentence, "severity": Severity.CONFIG})
