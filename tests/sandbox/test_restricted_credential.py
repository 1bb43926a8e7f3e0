"""A restricted application credential: looks work with it, and what makes a cluster is refused before it is begun."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.clients.errors import Failed
from infra.planes.preflight import gather_facts, prove_possible
from infra.spec.problems import InvalidDeclaration
from tests.platform import Platform
from tests.sandbox.clusters import Site

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(400),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


@pytest.fixture
def site(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """Everything is done with an application credential of the project's user, restricted as the test says."""
    whole = platform.home / "clouds.yaml"
    document = yaml.safe_load(whole.read_text())
    secret, name = secrets.token_urlsafe(24), f"ci-{secrets.token_hex(3)}"
    with platform.connection() as cloud:
        user = cloud.current_user_id
        made = cloud.identity.create_application_credential(user, name, secret=secret, unrestricted=not request.param)
        auth = document["clouds"]["sandbox"]["auth"]
        document["clouds"]["sandbox"] |= {
            "auth_type": "v3applicationcredential",
            "auth": {
                "auth_url": auth["auth_url"],
                "application_credential_id": made.id,
                "application_credential_secret": secret,
            },
        }
        used = tmp_path / "clouds.yaml"
        used.touch(mode=0o600)
        used.write_text(yaml.safe_dump(document))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(used))
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(platform.home / "terraformrc"))
        yield Site(tmp_path / "state")
        cloud.identity.delete_application_credential(user, made)


@pytest.mark.parametrize("site", [True], indirect=True)
async def test_a_restricted_one_looks_and_makes_no_cluster(site: Site) -> None:
    environment = site.environment()
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


@pytest.mark.parametrize("site", [False], indirect=True)
async def test_an_unrestricted_one_makes_a_cluster_that_has_a_credential_of_its_own(
    site: Site, platform: Platform
) -> None:
    environment = site.environment()
    async with site.clients(environment) as clients:
        assert (await gather_facts(environment, clients)).restricted_credential is None
    await site.bring(environment)

    def credentials() -> list[str]:
        with platform.connection() as cloud:
            made = cloud.identity.application_credentials(cloud.current_user_id)
            return [one.description for one in made if f"Magnum cluster {site.name} (" in (one.description or "")]

    assert len(credentials()) == 1
    await site.remove(environment)
    assert credentials() == []
