"""What other systems quote back at us does not come out again: every client masks the secrets it signs in with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from infra.clients.errors import InvalidInput, PlumblineError, Unavailable, Unforeseen, explained
from infra.clients.git import GitClient
from infra.clients.helm_command import failure
from infra.clients.openstack import OpenStackClient
from infra.ledger.store import ledger_url
from infra.settings import Settings
from infra.terraform.failures import error_of
from tests.unit.clients.conftest import FakeCloud

PASSWORD = "p4ssw0rd"  # of the FakeCloud


async def test_a_cloud_that_quotes_the_password_is_not_quoted(cloud: FakeCloud, settings: Any) -> None:
    cloud.server.expect_request("/magnum/v1/clusters/dev").respond_with_json(
        {"errors": [{"detail": f"cannot sign in as u with {PASSWORD} or tok3n-as-it-is"}]}, status=400
    )
    cloud.server.expect_request("/dns/v2/zones").respond_with_data(
        f"upstream http://u:{PASSWORD}@db is away", status=404
    )
    async with OpenStackClient("sandbox", settings, config_file=cloud.clouds) as client:
        for service, path in (("container_infrastructure_management", "/clusters/dev"), ("dns", "/zones")):
            with pytest.raises(PlumblineError) as caught:
                await client.session.send(service, "GET", path)
            assert "***" in str(caught.value)
            assert PASSWORD not in str(caught.value)


async def test_a_third_partys_exception_with_the_password_in_it_is_wrapped_and_masked(
    cloud: FakeCloud, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with OpenStackClient("sandbox", settings, config_file=cloud.clouds) as client:
        await client.authorize()

        def broken(*_: Any, **__: Any) -> None:
            raise ConnectionError(f"POST {{'user': 'u', 'pw': '{PASSWORD}'}} failed, X-Auth-Token tok3n")

        monkeypatch.setattr(client.session, "_proxy", broken)
        with pytest.raises(Unavailable) as caught:
            await client.session.send("dns", "POST", "/v2/zones", json={})
    assert PASSWORD not in str(caught.value)


async def test_a_git_url_with_a_password_comes_back_without_it(settings: Any) -> None:
    client = GitClient(settings)
    for url in ("https://me:gitpa55word@127.0.0.1:9/apps.git", "gopher://me:gitpa55word@example.org/apps.git"):
        with pytest.raises((Unavailable, InvalidInput)) as caught:
            client._refs(url)
        assert "gitpa55word" not in str(caught.value)
    client.close()


def test_a_database_that_quotes_the_ledgers_password_is_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://ledger:l3dgerpassword@db.example.org/plumbline")
    ledger_url(Settings(ledger_url_file=file))
    with pytest.raises(Unforeseen) as caught, explained():
        raise OperationalError("SELECT 1", {}, Exception("no route to ledger l3dgerpassword db.example.org"))
    assert "l3dgerpassword" not in str(caught.value)


def test_programs_that_print_credentials_are_not_quoted() -> None:
    said = "Error: Get https://user:r3gistry@charts.example.org/index.yaml: password=r3gistry-too"
    errors = [failure("upgrade", "argocd", said), error_of([], doing="planning", environment="dev")]
    assert "r3gistry" not in " ".join(map(str, errors))
