"""One environment's cluster plane on the sandbox's cloud, without flows: made, changed, looked at and destroyed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.catalog import Catalog
from infra.drift.findings import PlaneName
from infra.planes import cluster
from infra.planes.applying import Applying
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients, open_clients
from infra.planes.cloud.check import check
from infra.planes.looking import Looked
from infra.settings import Settings
from infra.spec.models import Environment
from infra.terraform.looking import PlanReader
from infra.terraform.plans import Plan
from infra.terraform.runner import Terraform
from infra.terraform.variables import Variables
from tests.platform import Platform
from tests.unit.planes.fakes import FakeJournal, declared

BUILD = {"name": "build", "count": 1, "flavor": "m1.xlarge", "min": 1, "max": 5}


async def agreeing(environment: Environment, clients: Clients) -> list[str]:
    """Bring a cluster into step where somebody has agreed to lose whatever that takes."""
    wanted = cluster.desired(environment)

    async def fit(plan: Plan) -> Plan:
        return await cluster.taken_back(wanted, plan, clients)

    async def agreed(plan: Plan) -> Collection[str]:
        return {change.address for change in plan.changes}

    applying = Applying(
        cluster=wanted.cluster,
        wanted=wanted.variables,
        clients=clients,
        action="terraform apply",
        replan=clients.terraform.plan,
        prepare=fit,
        allow=agreed,
    )
    return await applying.carry_out(await clients.terraform.plan())


@contextmanager
def with_credential(platform: Platform, folder: Path, *, restricted: bool) -> Iterator[None]:
    """Everything is done with an application credential of the project's user meanwhile."""
    document = yaml.safe_load((platform.home / "clouds.yaml").read_text())
    secret, name = secrets.token_urlsafe(24), f"ci-{secrets.token_hex(3)}"
    with platform.connection() as cloud, pytest.MonkeyPatch.context() as patch:
        user = cloud.current_user_id
        made = cloud.identity.create_application_credential(user, name, secret=secret, unrestricted=not restricted)
        auth = document["clouds"]["sandbox"]["auth"]
        document["clouds"]["sandbox"] |= {
            "auth_type": "v3applicationcredential",
            "auth": {
                "auth_url": auth["auth_url"],
                "application_credential_id": made.id,
                "application_credential_secret": secret,
            },
        }
        used = folder / "clouds.yaml"
        used.touch(mode=0o600)
        used.write_text(yaml.safe_dump(document))
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(used))
        patch.setenv("TF_CLI_CONFIG_FILE", str(platform.home / "terraformrc"))
        yield
        cloud.identity.delete_application_credential(user, made)


class Site:
    """One environment whose cluster the tests make, change and destroy."""

    def __init__(self, folder: Path) -> None:
        self.name = f"t{secrets.token_hex(3)}"
        self.settings = Settings(state_dir=folder, terraform_providers="mirror")
        self.journals: list[FakeJournal] = []

    def environment(
        self, version: str = "v1.33.4", nodes: int = 1, *groups: dict[str, Any], **cluster: Any
    ) -> Environment:
        document = declared().document()
        document["metadata"]["name"] = self.name
        document["spec"]["cluster"] |= {
            "kubernetes": version,
            "nodes": {"count": nodes, "flavor": "m1.large"},
            "nodeGroups": list(groups),
            **cluster,
        }
        return Environment.model_validate(document)

    def terraform(self, environment: Environment, **more: Any) -> Terraform:
        """Terraform for the environment, as a person would run it."""
        return Terraform(Variables.of(environment), settings=self.settings, **more)

    def reader(self, environment: Environment) -> PlanReader:
        return PlanReader(Variables.of(environment), settings=self.settings)

    @asynccontextmanager
    async def clients(self, environment: Environment, *, read_only: bool = False) -> AsyncIterator[Clients]:
        journal = FakeJournal()
        self.journals.append(journal)
        opened = open_clients(
            environment, settings=self.settings, catalog=Catalog.load(), journal=journal, read_only=read_only
        )
        async with opened as clients:
            yield clients

    async def bring(self, environment: Environment) -> tuple[str, ...]:
        """One run; its addresses."""
        async with self.clients(environment) as clients:
            wanted = cluster.desired(environment)
            return (await bring_into_step(cluster, wanted, clients, name=PlaneName.CLUSTER, step="cluster")).made

    async def agree(self, environment: Environment) -> list[str]:
        """One run that may lose what is not declared any more; its addresses."""
        async with self.clients(environment) as clients:
            return await agreeing(environment, clients)

    async def remove(self, environment: Environment) -> list[str]:
        async with self.clients(environment) as clients:
            return await cluster.remove(environment, clients)

    async def check(self, environment: Environment) -> Looked:
        async with self.clients(environment, read_only=True) as clients:
            return await check(environment, clients)

    async def shown(self, environment: Environment) -> tuple[str | None, str | None, dict[str, int]] | None:
        """Status, version and counts as Magnum shows them."""
        async with self.clients(environment, read_only=True) as clients:
            magnum = clients.openstack.magnum
            found = await magnum.cluster(self.name)
            if found is None:
                return None
            groups = {group.name: group.node_count for group in await magnum.node_groups(found.uuid)}
            return found.status, found.coe_version, groups
