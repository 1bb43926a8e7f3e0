"""Names that follow from a declaration, in one place so that every plane derives the same ones."""

from __future__ import annotations

from infra.spec.models import Environment

MARK = "plumbline_environment"
"""The label by which cluster templates, clusters and node groups are known as an environment's."""


def cluster_name(environment: Environment) -> str:
    """The Magnum cluster's name: the environment's own."""
    return environment.metadata.name


def keypair_name(environment: str) -> str:
    """The name of an environment's keypair: keypairs carry no labels, so the name is the mark."""
    return f"plumbline-{environment}"


def record_names(environment: Environment) -> tuple[str, ...]:
    """Every recordset that leads to the ingress, with the trailing dot: the wildcard first, then the declared ones."""
    dns = environment.spec.dns
    return (dns.wildcard, *dns.hostnames) if dns else ()


def probe_host(environment: Environment) -> str | None:
    """The host name (without trailing dot) that Plumbline's own probes of names and certificates ask for."""
    dns = environment.spec.dns
    return dns.own_hostname.removesuffix(".") if dns else None


def certificate_hosts(environment: Environment) -> tuple[str, ...]:
    """The subject alternative names of the environment's certificate, without trailing dots.

    With dns01 the wildcard and the domain itself, and declared names the wildcard does not cover (RFC 6125: one label
    only); with http01, which cannot prove a wildcard, Plumbline's own host name and each declared one.
    """
    dns, certificates = environment.spec.dns, environment.spec.certificates
    if dns is None or certificates is None:
        return ()
    if certificates.challenge == "dns01":
        covered = {dns.domain, dns.wildcard}
        further = [h for h in dns.hostnames if h not in covered and h.split(".", 1)[1] != dns.domain]
        hosts = [dns.wildcard, dns.domain, *further]
    else:
        hosts = [dns.own_hostname, *dns.hostnames]
    return tuple(host.removesuffix(".") for host in hosts)
