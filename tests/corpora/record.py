"""Record the corpora on a real control plane: `python -m tests.corpora.record`.

Everything that staging.py installs settles under the controllers, and what the API server then says is kept: of each
object as it is, of changes by hand to it, and of the types that it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from deployments.sandbox.upstream import build
from infra.clients.errors import NotYet, PlumblineError
from infra.clients.helm_records import SECRET_TYPE, release_of
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from tests.corpora import corpus
from tests.corpora.editing import record_edits
from tests.corpora.sanitising import sanitised
from tests.corpora.schemas import record_types
from tests.corpora.staging import (
    GROUPS,
    SERVER_SIDE,
    WAYS,
    cluster,
    furnish,
    install_catalogue,
    install_manifests,
    manifests,
    place,
    say,
)

Object = dict[str, Any]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpora.record", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=corpus.HERE, help="where the corpora go")
    parser.add_argument("--version", help="of Kubernetes, to emulate its minor; the newest by default")
    options = parser.parse_args()
    build.ensure(say=say)
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(record(Path(base), options.folder, options.version))
    return 0


async def record(base: Path, folder: Path, version: str | None) -> None:
    """Set everything up under `base`, record, and write the corpora to `folder`."""
    async with cluster(base, version) as (kubernetes, client):
        corpus.write(folder / corpus.TYPES.name, await record_types(client))
        await furnish(kubernetes)
        definitions = await install_catalogue(base, kubernetes)
        await install_manifests(base, kubernetes, client)
        await settle(kubernetes, definitions)
        rows = [row async for row in recorded(kubernetes, definitions)]
        corpus.write(folder / corpus.PAIRS.name, map(sanitised, rows))
        say(f"{len(rows)} objects of {len({row.live['kind'] for row in rows})} kinds")
        edited = await record_edits(rows, kubernetes, client)
        corpus.write(folder / corpus.EDITS.name, edited)
        say(f"{len(edited)} edits")


async def settle(kubernetes: KubernetesClient, definitions: list[Object], quiet: float = 6.0) -> None:
    """Wait until nothing changes any more, after at least one round of the autoscaler."""
    await asyncio.sleep(20)
    last: dict[str, str] = {}

    async def look() -> None:
        nonlocal last
        now = {row.live["metadata"]["uid"]: row.live["metadata"]["resourceVersion"]
               async for row in recorded(kubernetes, definitions, ask=False)}  # fmt: skip
        changed = sum(last.get(uid) != version for uid, version in now.items())
        last = now
        if changed:
            raise NotYet(f"{changed} objects changed")

    await wait_until(look, describe="quiet", timeout=180, interval=quiet)


async def recorded(
    kubernetes: KubernetesClient, definitions: Iterable[Object], *, ask: bool = True
) -> AsyncIterator[corpus.Recorded]:
    """Every declared object with its living one; `ask` for the dry run, too."""
    for source, item in [each async for each in declared(kubernetes, definitions)]:
        resource = await kubernetes.resource(item["apiVersion"], item["kind"])
        if resource is None:
            say(f"unknown: {item['kind']}")
            continue
        metadata = item["metadata"]
        live = await kubernetes.get_like(item)
        if live is None:
            say(f"gone: {item['kind']} {metadata.get('namespace')}/{metadata['name']}")
            continue
        answer = await dry_run(kubernetes, item) if ask else None
        yield corpus.Recorded(source, item, live, answer)


async def dry_run(kubernetes: KubernetesClient, item: Object) -> Object | None:
    """What our server-side apply would make of an object; None where it is refused."""
    try:
        return await kubernetes.apply(item, dry_run=True)
    except PlumblineError as error:
        say(f"refused: {item['kind']} {item['metadata']['name']}: {str(error)[:200]}")
        return None


async def declared(kubernetes: KubernetesClient, definitions: Iterable[Object]) -> AsyncIterator[tuple[str, Object]]:
    """What the newest record of each release, and our own manifests, declare, with the namespace filled in."""
    newest: dict[tuple[str, str], Any] = {}
    for secret in await kubernetes.list("v1", "Secret", field_selector=f"type={SECRET_TYPE}"):
        release = release_of(secret)
        where = (release.namespace, release.name)
        if where not in newest or newest[where].revision < release.revision:
            newest[where] = release
    groups = [(name, namespace, release.objects()) for (namespace, name), release in sorted(newest.items())]
    groups += [(way, place(way, group), manifests(way, group)) for way in WAYS if way not in SERVER_SIDE
               for group in GROUPS]  # fmt: skip
    groups.append(("crds", "", list(definitions)))
    for source, namespace, items in groups:
        for item in items:
            resource = await kubernetes.resource(item["apiVersion"], item["kind"])
            if resource is not None and resource.namespaced:
                item["metadata"].setdefault("namespace", namespace)
            yield source, item


if __name__ == "__main__":
    sys.exit(main())
