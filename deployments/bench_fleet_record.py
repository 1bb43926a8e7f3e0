"""Record what the outside world answers to one look at an environment, at the HTTP boundary.

    python -m deployments.bench_fleet_record NAME FILE --objects 200

It is run in a sandbox where NAME has been created and is in step. Everything above the connection is the real thing:
the SDKs send, and what they are sent back is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import urllib3
import yaml

from deployments.bench_fleet_stencil import Exchange, Recording
from deployments.bench_objects import NAMESPACE, objects
from infra.catalog import Catalog
from infra.clients.errors import Failed, PlumblineError
from infra.clients.helm_records import SECRET_TYPE, HelmRelease, decode, encode, release_of
from infra.clients.kubernetes import KubernetesClient
from infra.clients.private import write_private
from infra.ledger import ReadOnlyJournal
from infra.planes import addons
from infra.planes.clients import Clients, open_clients
from infra.planes.cloud import strays
from infra.planes.looking import Looked
from infra.settings import Settings, get_settings
from infra.spec.models import Environment, Rules
from infra.spec.names import cluster_name
from infra.spec.repository import snapshot
from infra.terraform import plans
from tasks.drift import LOOKS

KEPT_HEADERS = frozenset({"content-type", "x-subject-token", "openstack-api-version", "location"})
FILLED_UP = "cert-manager"
"""The release that is given more objects."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Record, and write the recording; exit status 1 when that did not work."""
    parser = argparse.ArgumentParser(prog="python -m deployments.bench_fleet_record", description=__doc__)
    parser.add_argument("name", help="the environment")
    parser.add_argument("file", type=Path, help="where the recording goes (0600)")
    parser.add_argument("--objects", type=int, required=True, help="how many its Helm releases are to declare")
    options = parser.parse_args(arguments)
    try:
        recording = asyncio.run(record(options.name, options.objects))
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1
    write_private(options.file, recording.model_dump_json())
    return 0


async def record(name: str, count: int) -> Recording:
    """Give the environment `count` objects, and keep what one look at it is answered.

    Raises:
        Failed: it is not in step.
    """
    settings, catalog = get_settings(), Catalog.load()
    rules = Rules.of(settings, frozenset(catalog))
    declared = snapshot(settings.environments_repository, settings.environments_revision, rules=rules)
    environment = declared.load(name).environment
    async with open_clients(environment, settings=settings, catalog=catalog, journal=ReadOnlyJournal()) as clients:
        await clients.connect(cluster_name(environment))
        objects_there = await fill_up(clients.kubernetes, count)
        ingress = await addons.ingress_address(environment, clients)
        api = urlsplit(clients.kubernetes.server)
    with listening() as heard, kept_plans() as shown:
        await look(environment, settings, catalog)
    declaration = declared.files[name]
    assert isinstance(declaration, bytes)  # noqa: S101 - it was loaded
    return Recording(
        name=name,
        declaration=declaration.decode(),
        exchanges=heard,
        plan=shown[-1],
        state=(settings.state_dir / "terraform" / name / "terraform.tfstate").read_text(),
        api=api.hostname or "",
        api_port=api.port or 443,
        ingress=ingress,
        objects=objects_there,
    )


async def look(environment: Environment, settings: Settings, catalog: Catalog) -> None:
    """Look at every plane as a check does, and at the cloud as a sweep does."""
    given: dict[str, Any] = {"settings": settings, "catalog": catalog, "journal": ReadOnlyJournal(), "read_only": True}
    async with open_clients(environment, **given) as clients:
        await clients.connect(cluster_name(environment))
        await clients.kubernetes.list("v1", "Namespace")
        # Where something differs, what is said of it is searched for the values of Secrets.
        await clients.kubernetes.list("v1", "Secret")
        seen = Looked.together([await one(environment, clients) for one in LOOKS.values()])
        seen = Looked.together([seen, await _strays(environment, clients)])
    wrong = [one.sentence for one in seen.findings] + [f"{one.what}: {one.why}" for one in seen.blind_spots]
    if wrong:
        raise Failed(f"{environment.name} is not in step, and cannot be recorded as if it were.", detail=str(wrong))


async def _strays(environment: Environment, clients: Clients) -> Looked:
    return await strays.strays([environment.name], clients.openstack)


async def fill_up(kubernetes: KubernetesClient, count: int) -> int:
    """Have the releases declare `count` objects, really there and in a release's stored manifest; returns how many."""
    secrets = await kubernetes.list("v1", "Secret", field_selector=f"type={SECRET_TYPE}")
    newest: dict[tuple[str, str], tuple[HelmRelease, Any]] = {}
    for secret in secrets:
        release = release_of(secret)
        place = (release.namespace, release.name)
        if place not in newest or newest[place][0].revision < release.revision:
            newest[place] = (release, secret)
    there = sum(len(release.objects()) for release, _ in newest.values())
    more = list(objects(max(0, count - there)))
    await kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for item in more:
        await kubernetes.apply(item, field_manager="helm")
    secret = next(secret for release, secret in newest.values() if release.name == FILLED_UP)
    written = decode(secret)
    written["manifest"] += "\n---\n" + yaml.dump_all(more, Dumper=yaml.CSafeDumper)
    metadata = secret["metadata"]
    await kubernetes.patch(
        "v1", "Secret", metadata["name"], {"data": {"release": encode(written)}}, metadata["namespace"]
    )
    return there + len(more)


@contextlib.contextmanager
def listening() -> Iterator[list[Exchange]]:
    """Keep every exchange over HTTP; requests, Kubernetes' client and dulwich all speak it by urllib3."""
    heard: list[Exchange] = []
    real = urllib3.HTTPConnectionPool.urlopen

    def urlopen(pool: Any, method: str, url: str, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        answer = real(pool, method, url, *arguments, **options)
        data = answer.data if options.get("preload_content", True) else answer.read(decode_content=True)
        headers = {name: value for name, value in answer.headers.items() if name.lower() in KEPT_HEADERS}
        exchange = Exchange(port=pool.port, method=method, target=url, status=answer.status, headers=headers,
                            body=data.decode())  # fmt: skip
        heard.append(exchange)
        return urllib3.HTTPResponse(
            io.BytesIO(data),
            headers={name: value for name, value in answer.headers.items() if name.lower() != "content-encoding"},
            status=answer.status,
            reason=answer.reason,
            preload_content=options.get("preload_content", True),
            request_method=method,
        )

    with mock.patch.object(urllib3.HTTPConnectionPool, "urlopen", urlopen):
        yield heard


@contextlib.contextmanager
def kept_plans() -> Iterator[list[str]]:
    """Keep what terraform shows of a plan."""
    shown: list[str] = []
    real = plans.parse

    def parse(document: str, **options: Any) -> plans.Plan:
        shown.append(document)
        return real(document, **options)

    with mock.patch.object(plans, "parse", parse):
        yield shown


if __name__ == "__main__":
    sys.exit(main())
