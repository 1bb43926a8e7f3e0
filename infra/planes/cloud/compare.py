"""What git declares of a cluster against what Magnum and Nova say, without Terraform. Pure.

Magnum stores names as they were given, so names are compared as they are. A cluster at which Magnum is at work is no
drift: nothing is said about its fields until that has ended, except that it is so.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import replace

from pydantic import JsonValue

from infra.clients.errors import NotYet
from infra.clients.openstack_models import Cluster, ClusterTemplate, Keypair, moment
from infra.drift.findings import BlindSpot, Changed, Finding, Severity
from infra.planes.cloud.findings import (
    PLANE,
    activity,
    changed,
    cluster_at,
    deletion,
    differs,
    field,
    keypair_at,
    made,
    template_at,
    whole,
)
from infra.planes.cloud.groups import compare_groups, scaled
from infra.planes.cloud.seen import Seen
from infra.planes.looking import Looked, NotLooked
from infra.spec.names import MARK, keypair_name
from infra.terraform.template import VERSION_LABEL, labels, template_name
from infra.terraform.variables import Variables


def compare_cloud(wanted: Variables, seen: Seen) -> Looked:
    """One finding for each field that is not as declared, and a blind spot for each part that was not seen."""
    cluster = seen.cluster
    findings: list[Finding] = []
    if cluster is None:
        sentence = f"There is no cluster {wanted.environment}."
        findings.append(whole(cluster_at(wanted.environment), wanted.environment, None, sentence))
    elif isinstance(cluster, Cluster):
        findings.extend(_cluster(wanted, cluster, seen))
    findings.extend(_keypair(wanted, seen.keypair))
    findings.extend(_not_made(wanted, seen))
    findings.extend(_more(wanted, seen))
    found = Looked(tuple(findings), tuple(_blind(wanted, seen)), _notes(wanted, seen))
    return replace(found, findings=tuple(sorted(found.findings, key=lambda finding: finding.place)))


def _cluster(wanted: Variables, cluster: Cluster, seen: Seen) -> Iterator[Finding]:
    where, name = cluster_at(wanted.environment), wanted.environment
    mark = cluster.labels.get(MARK)
    if mark != name:
        sentence = f"There is a cluster {name} in the project that Plumbline did not make."
        yield field(where, f"labels.{MARK}", name, mark, sentence, Severity.SECURITY, made(cluster))
        return
    yield from _status(where, cluster)
    if cluster.in_progress:
        return
    yield from _cluster_fields(wanted, cluster, seen)
    if not isinstance(seen.groups, NotLooked):
        yield from compare_groups(wanted, cluster, seen.groups)
    template = seen.template
    if isinstance(template, ClusterTemplate) and template.name == template_name(wanted):
        yield from _template(wanted, template)


def _status(where: str, cluster: Cluster) -> Iterator[Finding]:
    status, why = cluster.status, cluster.why or "Magnum gives no cause"
    leaving = deletion(cluster)
    if leaving is not None:
        yield field(where, "status", "there", status, leaving, Severity.DESTRUCTIVE, changed(cluster))
    elif cluster.failed or status == "ROLLBACK_COMPLETE":
        sentence = f"Cluster {cluster.name} is {status}: {why.rstrip('.')}."
        yield field(where, "status", "complete", status, sentence, Severity.CONFIG, changed(cluster))


def _cluster_fields(wanted: Variables, cluster: Cluster, seen: Seen) -> Iterator[Finding]:
    name, where = cluster.name, cluster_at(cluster.name)
    if isinstance(seen.template, ClusterTemplate):
        yield from differs(where, f"Cluster {name}", "template", template_name(wanted), seen.template.name, cluster)
    version = cluster.coe_version or cluster.labels.get(VERSION_LABEL)
    if version and version.removeprefix("v") != wanted.kubernetes_version.removeprefix("v"):
        yield from differs(where, f"Cluster {name}", "kubernetes", wanted.kubernetes_version, version, cluster)
    fields: tuple[tuple[str, JsonValue, JsonValue], ...] = (
        ("keypair", keypair_name(wanted.environment), cluster.keypair),
        ("master_count", wanted.masters.count, cluster.master_count),
        ("flavor", wanted.nodes.flavor, cluster.flavor_id),
        ("master_flavor", wanted.masters.flavor, cluster.master_flavor_id),
        ("fixed_network", wanted.fixed_network, cluster.fixed_network),
        ("fixed_subnet", wanted.fixed_subnet, cluster.fixed_subnet),
    )
    for path, declared, observed in fields:
        if declared is not None:
            yield from differs(where, f"Cluster {name}", path, declared, observed, cluster)
    for key, value in sorted(wanted.labels.items()):
        # Magnum shows the labels a cluster was made with; not every driver carries a template's new ones over.
        severity, observed = Severity.COSMETIC, cluster.labels.get(key)
        yield from differs(where, f"Cluster {name}", f"labels.{key}", value, observed, cluster, severity)


def _template(wanted: Variables, template: ClusterTemplate) -> Iterator[Finding]:
    where, what = template_at(template.name), f"Template {template.name}"
    fields: list[tuple[str, JsonValue, JsonValue]] = [
        ("coe", "kubernetes", template.coe),
        ("image", wanted.image, template.image_id),
        ("flavor", wanted.nodes.flavor, template.flavor_id),
        ("master_flavor", wanted.masters.flavor, template.master_flavor_id),
        ("docker_volume_size", wanted.docker_volume_size, template.docker_volume_size),
        ("master_load_balancer", wanted.master_load_balancer, template.master_lb_enabled),
        ("floating_ip", wanted.floating_ip, template.floating_ip_enabled),
    ]
    # Where nothing is declared these are the cloud's to choose.
    chosen: tuple[tuple[str, JsonValue, JsonValue], ...] = (
        ("external_network", wanted.external_network, template.external_network_id),
        ("fixed_network", wanted.fixed_network, template.fixed_network),
        ("fixed_subnet", wanted.fixed_subnet, template.fixed_subnet),
        ("network_driver", wanted.network_driver, template.network_driver),
        ("volume_driver", wanted.volume_driver, template.volume_driver),
    )
    fields += [one for one in chosen if one[1] is not None]
    for path, declared, observed in fields:
        yield from differs(where, what, path, declared, observed, template)
    if template.public:
        yield from differs(where, what, "public", False, True, template, Severity.SECURITY)
    declared_labels = labels(wanted)
    for key in sorted({*declared_labels, *template.labels}):
        yield from differs(where, what, f"labels.{key}", declared_labels.get(key), template.labels.get(key), template)


def _keypair(wanted: Variables, keypair: Keypair | NotLooked | None) -> Iterator[Finding]:
    where, name = keypair_at(wanted.environment), keypair_name(wanted.environment)
    declared = fingerprint(wanted.ssh_public_key)
    if keypair is None:
        yield whole(where, declared, None, f"There is no keypair {name}.")
    elif isinstance(keypair, Keypair):
        there = fingerprint(keypair.public_key) or keypair.fingerprint
        if there != declared:
            sentence = f"Keypair {name} holds another key ({there}) than the declared one ({declared})."
            yield field(where, "public_key", declared, there, sentence, Severity.SECURITY, owner(keypair))


def owner(keypair: Keypair) -> Changed:
    """Whose keypair it is, and since when: Nova never changes one, so that says who made it."""
    who = f"user {keypair.user_id}" if keypair.user_id else "unknown"
    return Changed(who=who, when=moment(keypair.created_at), how="creation")


def fingerprint(public_key: str) -> str:
    """Nova's fingerprint of an OpenSSH key: the MD5 of its blob, colons between the bytes; empty for what is none."""
    parts = public_key.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, binascii.Error):
        return ""
    return hashlib.md5(blob, usedforsecurity=False).digest().hex(":")


def _not_made(wanted: Variables, seen: Seen) -> Iterator[Finding]:
    """The declared template, where the project has none of its name."""
    name = template_name(wanted)
    if isinstance(seen.templates, NotLooked) or any(one.name == name for one in seen.templates):
        return
    sentence = f"There is no template {name}, which is what the declaration means."
    yield field(template_at(name), "", name, None, sentence, Severity.CONFIG)


def _more(wanted: Variables, seen: Seen) -> Iterator[Finding]:
    """What carries the environment's mark beside what is declared."""
    environment = wanted.environment
    ours = seen.cluster.uuid if isinstance(seen.cluster, Cluster) else None
    clusters = () if isinstance(seen.clusters, NotLooked) else seen.clusters
    used = {one.cluster_template_id for one in clusters}
    if ours is not None or seen.cluster is None:
        for one in clusters:
            if one.uuid != ours and one.labels.get(MARK) == environment and one.name != environment:
                sentence = f"Cluster {one.name} carries the mark of {environment}, and nobody declared it."
                yield field(cluster_at(one.name), "", None, one.uuid, sentence, Severity.SECURITY, made(one))
    if isinstance(seen.templates, NotLooked) or isinstance(seen.clusters, NotLooked):
        return
    for template in seen.templates:
        marked = template.labels.get(MARK) == environment and template.name != template_name(wanted)
        if marked and template.uuid not in used:
            sentence = f"Template {template.name} carries the mark of {environment}, and nothing uses it."
            where = template_at(template.name)
            yield field(where, "", None, template.uuid, sentence, Severity.COSMETIC, made(template))


def _blind(wanted: Variables, seen: Seen) -> Iterator[BlindSpot]:
    parts: tuple[tuple[str, object], ...] = (
        (cluster_at(wanted.environment), seen.cluster),
        (f"the template of cluster {wanted.environment}", seen.template),
        (f"the node groups of cluster {wanted.environment}", seen.groups),
        (keypair_at(wanted.environment), seen.keypair),
        ("clusters nobody declared", seen.clusters),
        ("templates nobody declared", seen.templates),
    )
    for what, part in parts:
        if isinstance(part, NotLooked):
            yield part.spot(PLANE, what)
    cluster = seen.cluster
    if isinstance(cluster, Cluster) and cluster.in_progress and deletion(cluster) is None:
        template = seen.template if isinstance(seen.template, ClusterTemplate) else None
        groups = () if isinstance(seen.groups, NotLooked) else seen.groups
        why = f"{activity(cluster, template, groups)}; what it becomes shows when that has ended."
        yield BlindSpot(plane=PLANE, what=cluster_at(cluster.name), why=why, category=NotYet.category)


def _notes(wanted: Variables, seen: Seen) -> tuple[str, ...]:
    notes = list(_health(seen.cluster)) if isinstance(seen.cluster, Cluster) else []
    if not isinstance(seen.groups, NotLooked) and seen.settled(wanted.environment):
        notes += scaled(wanted, seen.groups)
    return tuple(notes)


def _health(cluster: Cluster) -> Iterator[str]:
    """What Magnum's own look says: nobody declares it, and what is behind it the planes in the cluster find."""
    if cluster.health_status == "UNHEALTHY" and not cluster.in_progress:
        reasons = "; ".join(f"{key}: {value}" for key, value in sorted(cluster.health_status_reason.items()))
        yield f"Magnum calls cluster {cluster.name} UNHEALTHY{f' ({reasons})' if reasons else ''}."
