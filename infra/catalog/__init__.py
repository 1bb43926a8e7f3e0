"""The add-ons Plumbline can install: coordinates, values, what each needs first, and how to know it works."""

from __future__ import annotations

from infra.catalog.catalog import CLUSTER_RESOURCES, WILDCARD_SECRET, Addon, Catalog, Release, wildcard
from infra.catalog.fetching import Reference, crds_of, fetch, resolve
from infra.catalog.lock import Lock, digest, verify
from infra.catalog.models import Chart, Crds, Ignore, Probe, Protects, RequiredSecret

__all__ = [
    "CLUSTER_RESOURCES",
    "WILDCARD_SECRET",
    "Addon",
    "Catalog",
    "Chart",
    "Crds",
    "Ignore",
    "Lock",
    "Probe",
    "Protects",
    "Reference",
    "Release",
    "RequiredSecret",
    "crds_of",
    "digest",
    "fetch",
    "resolve",
    "verify",
    "wildcard",
]
