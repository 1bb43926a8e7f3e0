"""What must hold between the parts of a declaration: pure, and also used on the valid parts of an invalid one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.spec.certificates import Certificates
from infra.spec.problems import At
from infra.spec.services import Addon, Delivery, Dns, Runner

CERT_MANAGER = "cert-manager"
INGRESS = "nginx-ingress"
ARGO_CD = "argo-cd"
RUNNER_CONTROLLER = "actions-runner-controller"


def across(
    dns: Dns | None,
    certificates: Certificates | None,
    addons: Mapping[str, Addon],
    delivery: Delivery | None,
    runners: Sequence[Runner],
    *,
    dns_declared: bool | None = None,
) -> list[At]:
    """Find what the parts need of each other and do not have; locations are relative to `spec`.

    Args:
        dns_declared: whether `spec.dns` is there at all, for when it is, but is not valid by itself.
    """
    found = []
    for part, present, addon, why in (
        ("dns", dns is not None, INGRESS, "names lead to the ingress"),
        ("certificates", certificates is not None, CERT_MANAGER, "cert-manager asks for the certificates"),
        ("delivery", delivery is not None, ARGO_CD, "Argo CD delivers"),
        ("runners", bool(runners), RUNNER_CONTROLLER, "the controller starts the runners"),
    ):
        if present and not _enabled(addons, addon):
            found.append(At((part,), f"needs the add-on {addon}: {why}", _remedy(addons, addon, part)))
    if certificates is not None and dns is None and not dns_declared:
        found.append(At(("certificates",), "needs spec.dns, whose names it certifies", "declare spec.dns as well"))
    if certificates is not None and dns is not None:
        found += _challenge(certificates, dns)
    return found


def _challenge(certificates: Certificates, dns: Dns) -> list[At]:
    """Refuse wildcards that HTTP-01 cannot prove (RFC 8555, 7.1.3); an authority's own key asks for no proof."""
    if certificates.challenge == "dns01" or certificates.issuer == "ca":
        return []
    right = "set spec.certificates.challenge to dns01, or write the names one by one"
    reason = "is a wildcard, which the challenge http01 cannot prove"
    return [
        At(("dns", "hostnames", index), reason, right)
        for index, host in enumerate(dns.hostnames)
        if host.startswith("*.")
    ]


def _enabled(addons: Mapping[str, Addon], name: str) -> bool:
    return name in addons and addons[name].enabled


def _remedy(addons: Mapping[str, Addon], addon: str, part: str) -> str:
    if addon in addons:
        return f"set spec.addons.{addon}.enabled to true, or leave out spec.{part}"
    return f"add {addon}: {{}} to spec.addons, or leave out spec.{part}"
