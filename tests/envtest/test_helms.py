"""Helm 4 and Helm 3 on a real kube-apiserver: who owns a release's fields, what is set back, and what stays in step.

The plane's own code runs on the real clients: it looks, repairs and installs as in a flow.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.sandbox.controllers.kube.client import Client
from deployments.sandbox.controlplane.plane import ControlPlane
from infra.catalog import Catalog
from infra.clients.errors import InvalidInput
from infra.clients.helm import Ensured, HelmClient
from infra.clients.helm_chart import read_chart
from infra.clients.kubernetes import KubernetesClient, Object
from infra.drift.findings import Finding, PlaneName
from infra.planes import releases
from infra.planes.live import LiveObjects
from infra.settings import Settings
from tests.envtest.packing import packed
from tests.helms import helm_of, on_both
from tests.unit.planes.fakes import FakeJournal

pytestmark = pytest.mark.envtest

TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: demo}}
data:
  level: {{ .Values.level | quote }}
  {{- if .Values.extra }}
  extra: "1"
  {{- end }}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: demo}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo}}
    spec:
      containers:
      - name: web
        image: web:1
        env:
        - {name: LEVEL, value: {{ .Values.level | quote }}}
        {{- if .Values.extra }}
        - {name: EXTRA, value: "1"}
        {{- end }}
"""
MERGE = "application/merge-patch+json"


@dataclass
class World:
    """One release as the add-ons plane sees it, and a person who edits its objects."""

    kubernetes: KubernetesClient
    helm: HelmClient
    person: Client
    place: str
    chart: Path

    @property
    def live(self) -> LiveObjects:
        return LiveObjects(self.kubernetes, self.helm)

    async def install(self, level: str = "a", *, extra: bool = False, by: HelmClient | None = None) -> Ensured:
        return await (by or self.helm).ensure("demo", self.place, self.chart, {"level": level, "extra": extra})

    async def look(self) -> list[Finding]:
        release = await self.helm.release("demo", self.place)
        assert release is not None
        looked = await self.live.look(PlaneName.ADDONS, release.objects(), namespace=self.place)
        assert looked.blind_spots == ()
        return list(looked.findings)

    async def found(self) -> dict[str, str | None]:
        """What is found, and who did it."""
        return {one.path: one.changed.who if one.changed else None for one in await self.look()}

    async def heal(self) -> list[str]:
        """What the plane writes to close what a look finds."""
        findings, deployed = await self.look(), await self.helm.release("demo", self.place)
        catalog = Catalog.load()
        some = catalog.addon("argo-cd").spec.releases[0]
        wanted: Any = SimpleNamespace(
            addon="argo-cd", name="demo", namespace=self.place, values={}, crds=some.crds, requires=()
        )
        clients: Any = SimpleNamespace(
            kubernetes=self.kubernetes, helm=self.helm, live=self.live, journal=FakeJournal(), catalog=catalog
        )
        observed = releases.Observed(wanted, read_chart(self.chart), deployed, tuple(findings))
        return await releases.converge(PlaneName.ADDONS, [observed], findings, clients)

    async def edit(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        """A merge patch by hand."""
        resource = await self.kubernetes.resource(*VERSIONS[kind])
        assert resource is not None
        path, params = resource.path(name, self.place), {"fieldManager": "kubectl-edit"}
        await self.person.request("PATCH", path, body=dict(change), params=params, content_type=MERGE)

    async def get(self, kind: str, name: str) -> Object | None:
        return await self.kubernetes.get(*VERSIONS[kind], name, self.place)


OBJECTS = (("ConfigMap", "settings"), ("Service", "web"), ("Deployment", "web"))
VERSIONS = {
    "ConfigMap": ("v1", "ConfigMap"),
    "Service": ("v1", "Service"),
    "Deployment": ("apps/v1", "Deployment"),
}


@pytest.fixture
async def world(
    plane: ControlPlane, kubernetes: KubernetesClient, helm: HelmClient, major: int, request: Any, tmp_path: Path
) -> AsyncIterator[World]:
    chart = packed(tmp_path, **{"values.yaml": "level: x\nextra: false\n", "templates/all.yaml": TEMPLATE})
    place = f"{request.node.originalname.removeprefix('test_').replace('_', '-')[:40].strip('-')}-{major}"
    async with Client.from_kubeconfig(plane.kubeconfig) as person:
        yield World(kubernetes, helm, person, place, chart)


@pytest.fixture
async def other_helm(kubernetes: KubernetesClient, settings: Settings, major: int) -> AsyncIterator[HelmClient]:
    """The Helm that the test does not run."""
    other = settings.model_copy(update={"helm_binary": str(helm_of(7 - major)), "state_dir": settings.state_dir / "o"})
    async with HelmClient(kubernetes.kubeconfig, other, kubernetes=kubernetes) as client:
        yield client


@on_both
async def test_a_release_is_in_step_from_install_to_uninstall(world: World) -> None:
    assert (await world.install()).release.server_side is (await version_of(world) >= 4)
    assert await world.found() == {}
    await world.install("b", extra=True)
    assert await world.found() == {}
    back = await world.helm.rollback("demo", world.place, 1)
    assert (back.revision, back.values) == (3, {"level": "a", "extra": False})
    assert await world.found() == {}
    assert await world.helm.uninstall("demo", world.place)
    assert [await world.get(kind, name) for kind, name in OBJECTS] == [None, None, None]


@on_both
async def test_a_release_made_by_one_helm_and_upgraded_by_the_other_is_in_step(
    world: World, other_helm: HelmClient
) -> None:
    await world.install("a", extra=True)
    for number, by in enumerate((other_helm, world.helm, other_helm), start=2):
        done = await world.install(f"level-{number}", extra=bool(number % 2), by=by)
        assert (done.action, done.release.revision) == ("upgraded", number)
        assert await world.found() == {}
        settings = await world.get("ConfigMap", "settings")
        assert settings is not None
        assert settings["data"] == {"level": f"level-{number}", **({"extra": "1"} if number % 2 else {})}
        assert {entry["manager"] for entry in settings["metadata"]["managedFields"]} == {"helm"}
    assert await other_helm.uninstall("demo", world.place)
    assert await world.get("ConfigMap", "settings") is None


@on_both
async def test_edits_are_told_with_who_made_them_and_set_back(world: World) -> None:
    await world.install()
    await world.edit("ConfigMap", "settings", {"data": {"level": "z", "by-hand": "1"}})
    await world.edit("Deployment", "web", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}})
    await world.edit("Service", "web", {"metadata": {"annotations": {"meta.helm.sh/release-name": None}}})
    assert await world.found() == {
        ".data.level": "kubectl-edit",
        ".data.by-hand": "kubectl-edit",
        '.metadata.labels["app.kubernetes.io/managed-by"]': "kubectl-edit",
        # Who takes something away leaves no trace.
        '.metadata.annotations["meta.helm.sh/release-name"]': None,
    }
    assert len(await world.heal()) == 3
    assert await world.found() == {}
    assert await world.heal() == []


@on_both
async def test_what_was_set_back_leaves_with_the_chart_that_has_it_no_more(world: World) -> None:
    await world.install(extra=True)
    env = [{"name": "LEVEL", "value": "a"}, {"name": "EXTRA", "value": "2"}]
    container = {"name": "web", "image": "web:1", "env": env}
    await world.edit("ConfigMap", "settings", {"data": {"extra": "2"}})
    await world.edit("Deployment", "web", {"spec": {"template": {"spec": {"containers": [container]}}}})
    assert set((await world.found()).values()) == {"kubectl-edit"}
    await world.heal()
    assert await world.found() == {}
    await world.install(extra=False)
    settings, web = await world.get("ConfigMap", "settings"), await world.get("Deployment", "web")
    assert settings is not None and settings["data"] == {"level": "a"}
    assert web is not None
    assert web["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "LEVEL", "value": "a"}]
    assert await world.found() == {}


@on_both
async def test_an_upgrade_goes_over_what_somebody_has_edited(world: World) -> None:
    await world.install()
    await world.edit("ConfigMap", "settings", {"data": {"level": "z"}})
    await world.edit("Service", "web", {"spec": {"selector": {"app": "another"}}})
    assert (await world.install("b")).action == "upgraded"
    assert await world.found() == {}


@on_both
async def test_an_object_made_anew_goes_with_its_release(world: World) -> None:
    await world.install()
    for kind, name in OBJECTS:
        await world.kubernetes.delete(*VERSIONS[kind], name, world.place)
    assert len(await world.look()) == len(OBJECTS)
    assert len(await world.heal()) == len(OBJECTS)
    assert await world.found() == {}
    assert await world.helm.uninstall("demo", world.place)
    assert [await world.get(kind, name) for kind, name in OBJECTS] == [None, None, None]


async def version_of(world: World) -> int:
    return int((await world.helm.version()).partition(".")[0])


# -- schemas ----------------------------------------------------------------------------------------------------------


class Outside:
    """A web server that has a schema, and keeps count of who asks for it."""

    def __init__(self) -> None:
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = json.dumps({"definitions": {"level": {"type": "string"}}}).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/schema.json"


@pytest.fixture
def outside() -> Iterator[Outside]:
    found = Outside()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def pointing(folder: Path, address: str) -> Path:
    """A chart whose schema says something itself, and points to somewhere for the rest."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"level": {"$ref": f"{address}#/definitions/level"}, "size": {"type": "integer", "maximum": 9}},
    }
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {size: {{ .Values.size | quote }}}\n"
    files = {"values.yaml": "size: 1\n", "values.schema.json": json.dumps(schema), "templates/a.yaml": template}
    return packed(folder, **files)


@on_both
async def test_a_schema_that_points_outside_is_asked_of_nobody(world: World, outside: Outside, tmp_path: Path) -> None:
    chart = pointing(tmp_path, outside.url)
    done = await world.helm.ensure("demo", world.place, chart, {"level": "a"})
    assert (done.action, done.unchecked) == ("installed", (outside.url,))
    done = await world.helm.ensure("demo", world.place, chart, {"level": "b", "size": 9})
    assert (done.action, done.unchecked) == ("upgraded", (outside.url,))
    assert await world.found() == {}
    assert outside.asked == []


@on_both
@pytest.mark.parametrize("address", ["http://nowhere.invalid/a.json", "https://192.0.2.1/a.json", "other.json"])
async def test_a_schema_that_points_nowhere_one_can_go_still_refuses_what_it_says_itself(
    world: World, tmp_path: Path, address: str
) -> None:
    chart = pointing(tmp_path, address)
    place = f"{world.place}-{len(address)}"
    with pytest.raises(InvalidInput, match=f"chart of {place}/demo does not take its values") as refused:
        await world.helm.ensure("demo", place, chart, {"size": 10})
    assert "size" in (refused.value.detail or "")
    assert await world.kubernetes.get("v1", "Namespace", place) is None
    assert await world.helm.release("demo", place) is None
    assert (await world.helm.ensure("demo", place, chart, {"size": 9})).action == "installed"


@on_both
async def test_without_our_care_helm_would_ask(
    world: World, outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: the same chart, and a copy that nobody has cut."""
    monkeypatch.setattr("infra.clients.helm.schemas_alone", lambda _chart: ((), b""))
    await world.helm.ensure("demo", world.place, pointing(tmp_path, outside.url), {"level": "a"})
    assert outside.asked == ["/schema.json"]
