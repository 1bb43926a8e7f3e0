"""An environment's cluster as Magnum and Nova show it when it is as declared, and ways to change that."""

from __future__ import annotations

from typing import Any

from infra.clients.openstack_models import Cluster, ClusterTemplate, Keypair, NodeGroup
from infra.planes.cloud.compare import fingerprint
from infra.planes.cloud.seen import Seen
from infra.terraform.template import labels, template_name
from infra.terraform.variables import Variables
from tests.unit.planes.fakes import declared

WANTED = Variables.of(declared())
NAME = template_name(WANTED)
LATER = "2026-11-25T10:00:00+00:00"


def cluster(**changes: Any) -> Cluster:
    fields: dict[str, Any] = {
        "uuid": "c1",
        "name": "dev",
        "status": "CREATE_COMPLETE",
        "coe_version": "v1.33.4",
        "cluster_template_id": "t1",
        "keypair": "plumbline-dev",
        "master_count": 1,
        "flavor_id": "m1.large",
        "master_flavor_id": "m1.medium",
        "labels": labels(WANTED),
        "user_id": "u1",
        "updated_at": LATER,
    }
    return Cluster.model_validate({**fields, **changes})


def template(**changes: Any) -> ClusterTemplate:
    fields: dict[str, Any] = {
        "uuid": "t1",
        "name": NAME,
        "image_id": "fedora-coreos",
        "flavor_id": "m1.large",
        "master_flavor_id": "m1.medium",
        "network_driver": "calico",
        "volume_driver": "cinder",
        "floating_ip_enabled": True,
        "master_lb_enabled": True,
        "public": False,
        "labels": labels(WANTED),
    }
    return ClusterTemplate.model_validate({**fields, **changes})


def group(name: str, count: int, **changes: Any) -> NodeGroup:
    fields: dict[str, Any] = {
        "uuid": f"g-{name}",
        "name": name,
        "role": "master" if name == "default-master" else "worker",
        "node_count": count,
        "status": "CREATE_COMPLETE",
    }
    return NodeGroup.model_validate({**fields, **changes})


def build(count: int = 1, **changes: Any) -> NodeGroup:
    return group("build", count, **{"flavor_id": "m1.xlarge", "min_node_count": 1, "max_node_count": 5, **changes})


DEFAULTS = (group("default-master", 1), group("default-worker", 3))


def keypair(**changes: Any) -> Keypair:
    key = WANTED.ssh_public_key
    fields = {"name": "plumbline-dev", "fingerprint": fingerprint(key), "public_key": key, "user_id": "u1"}
    return Keypair.model_validate({**fields, **changes})


def seen(**changes: Any) -> Seen:
    """Everything as declared, but for the changes."""
    parts: dict[str, Any] = {
        "cluster": cluster(),
        "template": template(),
        "groups": (*DEFAULTS, build()),
        "keypair": keypair(),
        "templates": (template(),),
        "account": "u1",
        **changes,
    }
    here = parts["cluster"]
    parts.setdefault("clusters", (here,) if isinstance(here, Cluster) else ())
    return Seen(**parts)
