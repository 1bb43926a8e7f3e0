"""The name that the module gives a cluster template, computed without terraform. Pure.

Environment, version and a hash of the content: `environment/main.tf` says so, and a test holds the two together. It is
how an independent look at the cloud knows which template a declaration means.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Any

from infra.spec.names import MARK
from infra.terraform.variables import Variables

VERSION_LABEL = "kube_tag"

_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""What terraform's jsonencode escapes beside what JSON itself does."""


def labels(variables: Variables) -> dict[str, str]:
    """The template's labels: the declared ones, the version, and our mark."""
    return {**variables.labels, VERSION_LABEL: variables.kubernetes_version, MARK: variables.environment}


def content(variables: Variables) -> dict[str, Any]:
    """`local.template` of the module."""
    return {
        "image": variables.image,
        "flavor": variables.nodes.flavor,
        "master_flavor": variables.masters.flavor,
        "external_network": variables.external_network,
        "fixed_network": variables.fixed_network,
        "fixed_subnet": variables.fixed_subnet,
        "network_driver": variables.network_driver,
        "volume_driver": variables.volume_driver,
        "docker_volume_size": variables.docker_volume_size,
        "master_load_balancer": variables.master_load_balancer,
        "floating_ip": variables.floating_ip,
        "labels": labels(variables),
    }


def template_name(variables: Variables) -> str:
    """The template's name, such as dev-v1.33.4-0a1b2c3d."""
    text = json.dumps(content(variables), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    encoded = unicodedata.normalize("NFC", text).translate(_ESCAPED).encode()
    return f"{variables.environment}-{variables.kubernetes_version}-{hashlib.sha256(encoded).hexdigest()[:8]}"
