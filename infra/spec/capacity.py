"""Whether the project's quota leaves room for what is declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from infra.spec.facts import CloudFacts, Flavor
from infra.spec.models import Environment
from infra.spec.problems import Problem

UNITS = {"ram": " MiB", "gigabytes": " GiB"}
WORDS = {
    "cores": "vCPUs",
    "ram": "memory",
    "gigabytes": "volume space",
    "floating_ips": "floating IPs",
    "load_balancers": "load balancers",
}


def capacity_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    """Compare what has to be added with what the quota leaves, in numbers."""
    if facts.quotas is None:
        return
    needed = needs(environment, facts)
    for name, amount in needed.items():
        quota = facts.quotas.get(name)
        if quota is None or quota.limit < 0 or amount <= 0:
            continue
        free = max(0, quota.limit - quota.used)
        if amount > free:
            unit, word = UNITS.get(name, ""), WORDS.get(name, name)
            reason = f"needs {amount}{unit} more {word}, and the quota leaves {free} of {quota.limit}{unit}"
            right = f"declare less, remove what is not needed, or ask for {quota.used + amount}{unit}"
            yield Problem("spec.cluster", reason, right)


def needs(environment: Environment, facts: CloudFacts) -> dict[str, int]:
    """What has to be added for a declaration, over what its cluster already has; by the quotas' names."""
    spec = environment.spec
    declared = Counter({spec.cluster.masters.flavor: spec.cluster.masters.count})
    declared[spec.cluster.nodes.flavor] += spec.cluster.nodes.count
    for group in spec.cluster.node_groups:
        declared[group.flavor] += group.count
    there: Counter[str] = Counter()
    for nodes in facts.cluster.nodes if facts.cluster else ():
        there[nodes.flavor] += nodes.count
    flavors = {key: flavor for flavor in facts.flavors or () for key in (flavor.name, flavor.id) if key}
    added = declared.total() - there.total()
    result = {
        "instances": added,
        "cores": _sum(declared, flavors, "vcpus") - _sum(there, flavors, "vcpus"),
        "ram": _sum(declared, flavors, "ram") - _sum(there, flavors, "ram"),
    }
    if spec.cluster.docker_volume_size:
        result |= {"volumes": added, "gigabytes": added * spec.cluster.docker_volume_size}
    if facts.cluster is None:
        # The masters' load balancer and address, and those of the ingress that the names lead to.
        result["load_balancers"] = int(spec.cluster.master_load_balancer) + int(spec.dns is not None)
        result["floating_ips"] = int(spec.cluster.floating_ip) * (1 + int(spec.dns is not None))
    return result


def _sum(nodes: Counter[str], flavors: dict[str, Flavor], what: str) -> int:
    """Add up one measure; a flavor that is not known counts nothing: that it is missing is said elsewhere."""
    return sum(int(getattr(flavors[name], what)) * count for name, count in nodes.items() if name in flavors)
