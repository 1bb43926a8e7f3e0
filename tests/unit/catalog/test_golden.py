"""The values of every release, as a person reviews them: golden files, one per kind of environment.

After a change that is meant, `PLUMBLINE_WRITE_GOLDEN=1 pytest tests/unit/catalog/test_golden.py` writes them anew;
the difference is then looked at in the commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.catalog import Catalog
from infra.spec.models import Environment

Make = Callable[..., Environment]

GOLDEN = Path(__file__).parent / "golden"

KINDS: dict[str, dict[str, Any]] = {
    "http01": {},
    "wildcard": {"certificates": {"email": "ops@example.org", "issuer": "letsencrypt", "challenge": "dns01"}},
    "smallest": {
        "cluster": {"nodes": {"count": 1, "flavor": "m1.large"}},
        "dns": None,
        "certificates": None,
        "runners": None,
        "addons": {"argo-cd": {}, "cert-manager": {}, "nginx-ingress": {}, "rook-ceph": {}},
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_the_golden_ones(kind: str, catalog: Catalog, make: Make) -> None:
    environment = make(**KINDS[kind])
    releases = catalog.releases(environment) + catalog.runner_releases(environment)
    actual = {f"{release.namespace}/{release.name}": dict(release.values) for release in releases}
    path = GOLDEN / f"{kind}.yaml"
    if os.environ.get("PLUMBLINE_WRITE_GOLDEN"):
        path.write_text(yaml.safe_dump(actual, sort_keys=True, width=120), encoding="utf-8")
    assert actual == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_rendering_twice_gives_the_same(catalog: Catalog, make: Make) -> None:
    assert catalog.releases(make()) == catalog.releases(make())
