"""A restricted application credential: looks work with it, and what makes a cluster is refused before it is begun.

That an unrestricted one makes clusters, `test_magnum_lateness.py` shows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.clients.errors import Failed
from infra.planes.preflight import gather_facts, prove_possible
from infra.spec.problems import InvalidDeclaration
from tests.platform import Platform
from tests.sandbox.clusters import Site, with_credential

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(400),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


async def test_a_restricted_one_looks_and_makes_no_cluster(platform: Platform, tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    environment = site.environment()
    with with_credential(platform, tmp_path, restricted=True):
        async with site.clients(environment) as clients:
            with pytest.raises(InvalidDeclaration, match="which is restricted"):
                await prove_possible(environment, clients)
        looked = await site.check(environment)
        assert [spot for spot in looked.blind_spots if spot.plane == "cluster"] == []
        assert "There is no cluster" in looked.findings[0].sentence
        # Without the preflight, it is Keystone that says so, and the cluster that fails.
        with pytest.raises(Failed, match=r"is CREATE_FAILED: .*application_credential"):
            await site.bring(environment)
        await site.remove(environment)


async def test_an_unrestricted_one_is_not_refused(platform: Platform, tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    environment = site.environment()
    with with_credential(platform, tmp_path, restricted=False):
        async with site.clients(environment) as clients:
            assert (await gather_facts(environment, clients)).restricted_credential is None
