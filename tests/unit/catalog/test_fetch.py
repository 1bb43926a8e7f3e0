"""Fetching charts: over real HTTP from a mirror, and with a program that stands in for helm."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pytest_httpserver import HTTPServer
from tenacity import AsyncRetrying, RetryCallState
from werkzeug import Request, Response

from infra.catalog import Catalog, Chart, Lock, crds_of, fetch, resolve
from infra.catalog.fetching import _patience
from infra.catalog.lock import SANDBOX
from infra.clients.errors import Denied, Failed, NotFound, PlumblineError, Refused, Throttled, Unavailable
from infra.settings import Settings
from infra.spec.models import Environment

HTTPS = Chart(repository="https://charts.example.org", name="thing", version="1.2.3")
OCI = Chart(repository="oci://registry.example.org/charts", name="thing", version="1.2.3")
CONTENT = b"packed chart"
SHA = hashlib.sha256(CONTENT).hexdigest()
SANDBOX_LOCK = Lock({(SANDBOX, "thing", "1.2.3"): SHA})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def index(url: str = "thing-1.2.3.tgz", version: str = "1.2.3") -> str:
    return yaml.safe_dump({"apiVersion": "v1", "entries": {"thing": [{"version": version, "urls": [url]}]}})


@pytest.fixture
def mirrored(httpserver: HTTPServer, settings: Settings) -> Settings:
    return settings.model_copy(update={"chart_mirror": httpserver.url_for("/charts/")})


def serve(httpserver: HTTPServer, content: bytes = CONTENT, text: str | None = None) -> None:
    httpserver.expect_request("/charts/index.yaml").respond_with_data(text or index())
    httpserver.expect_request("/charts/thing-1.2.3.tgz").respond_with_data(content)


async def test_a_chart_is_fetched_once_and_checked(httpserver: HTTPServer, mirrored: Settings, tmp_path: Path) -> None:
    serve(httpserver)
    first = await fetch(HTTPS, tmp_path / "cache", settings=mirrored, lock=SANDBOX_LOCK)
    assert first.read_bytes() == CONTENT
    requests = len(httpserver.log)
    assert await fetch(HTTPS, tmp_path / "cache", settings=mirrored, lock=SANDBOX_LOCK) == first
    assert len(httpserver.log) == requests
    assert names(tmp_path / "cache") == [first.name]


async def test_a_cached_file_that_was_changed_is_fetched_again(
    httpserver: HTTPServer, mirrored: Settings, tmp_path: Path
) -> None:
    serve(httpserver)
    path = await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK)
    path.write_bytes(b"changed by somebody")
    await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK)
    assert path.read_bytes() == CONTENT


async def test_an_absolute_address_in_the_index_is_followed(
    httpserver: HTTPServer, mirrored: Settings, tmp_path: Path
) -> None:
    httpserver.expect_request("/charts/index.yaml").respond_with_data(index(httpserver.url_for("/elsewhere.tgz")))
    httpserver.expect_request("/elsewhere.tgz").respond_with_data(CONTENT)
    path = await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK)
    assert path.read_bytes() == CONTENT


async def test_other_bytes_are_refused_and_leave_nothing(
    httpserver: HTTPServer, mirrored: Settings, tmp_path: Path
) -> None:
    serve(httpserver, b"tampered")
    with pytest.raises(Refused, match="not the one that was locked"):
        await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK)
    assert names(tmp_path) == []


async def test_what_is_not_locked_is_never_asked_for(
    httpserver: HTTPServer, mirrored: Settings, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="not in the chart lock"):
        await fetch(HTTPS, tmp_path, settings=mirrored, lock=Lock())
    assert httpserver.log == []


async def test_a_passing_failure_is_tried_again(httpserver: HTTPServer, mirrored: Settings, tmp_path: Path) -> None:
    httpserver.expect_ordered_request("/charts/index.yaml").respond_with_data("busy", status=503)
    httpserver.expect_ordered_request("/charts/index.yaml").respond_with_data("slow", status=429)
    httpserver.expect_ordered_request("/charts/index.yaml").respond_with_data(index())
    httpserver.expect_ordered_request("/charts/thing-1.2.3.tgz").respond_with_data(CONTENT)
    path = await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK, pause=0.001)
    assert path.read_bytes() == CONTENT
    httpserver.check()


@pytest.mark.parametrize(
    ("status", "error", "tries"),
    [
        (500, Unavailable, 2),
        (429, Throttled, 2),
        (404, NotFound, 1),
        (401, Denied, 1),
        (403, Denied, 1),
        (400, Failed, 1),
    ],
)
async def test_each_status_has_its_error(
    httpserver: HTTPServer,
    mirrored: Settings,
    tmp_path: Path,
    status: int,
    error: type[PlumblineError],
    tries: int,
) -> None:
    httpserver.expect_request("/charts/index.yaml").respond_with_data("x", status=status)
    with pytest.raises(error) as caught:
        await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK, attempts=2, pause=0.001)
    assert len(httpserver.log) == tries
    assert httpserver.url_for("/charts/index.yaml") in str(caught.value)


async def test_what_the_server_asks_for_is_heeded(httpserver: HTTPServer, mirrored: Settings, tmp_path: Path) -> None:
    busy = httpserver.expect_request("/charts/index.yaml")
    busy.respond_with_data("x", status=429, headers={"Retry-After": "3"})
    with pytest.raises(Throttled) as caught:
        await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK, attempts=1)
    assert caught.value.retry_after == 3


@pytest.mark.parametrize(("asked", "least", "most"), [(None, 1, 2), (5.0, 5, 5), (900.0, 60, 60)])
def test_the_pause_is_bounded(asked: float | None, least: float, most: float) -> None:
    state = RetryCallState(retry_object=AsyncRetrying(), fn=None, args=(), kwargs={})
    state.set_exception((Throttled, Throttled("x", retry_after=asked), None))
    assert least <= _patience(1.0)(state) <= most


async def test_a_mirror_that_is_not_there_is_unavailable(settings: Settings, tmp_path: Path) -> None:
    gone = settings.model_copy(update={"chart_mirror": "http://127.0.0.1:1/charts"})
    with pytest.raises(Unavailable):
        await fetch(HTTPS, tmp_path, settings=gone, lock=SANDBOX_LOCK, attempts=1)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (index(version="1.2.4"), NotFound),
        ("apiVersion: v1\nentries: {}\n", NotFound),
        ("nothing", Failed),
        ("entries: {thing: [{version: 1.2.3, urls: []}]}", Failed),
        ("a: [", Failed),
    ],
)
async def test_an_index_without_the_chart_is_told_from_a_broken_one(
    httpserver: HTTPServer, mirrored: Settings, tmp_path: Path, text: str, error: type[PlumblineError]
) -> None:
    serve(httpserver, text=text)
    with pytest.raises(error):
        await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK)


async def test_an_endless_answer_is_cut_off(
    httpserver: HTTPServer, mirrored: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.catalog.fetching.CHART_LIMIT", 1000)

    def endless(_: Request) -> Response:
        return Response((b"x" * 500 for _ in range(100)), 200)

    httpserver.expect_request("/charts/index.yaml").respond_with_handler(endless)
    with pytest.raises(Failed, match="larger than a chart can be"):
        await fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK)


async def test_a_folder_is_a_mirror_too(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/index.yaml").write_text(index(), encoding="utf-8")
    folder = settings.model_copy(update={"chart_mirror": (tmp_path / "repo").as_uri()})
    with pytest.raises(NotFound):
        await fetch(HTTPS, tmp_path / "cache", settings=folder, lock=SANDBOX_LOCK)
    (tmp_path / "repo/thing-1.2.3.tgz").write_bytes(CONTENT)
    path = await fetch(HTTPS, tmp_path / "cache", settings=folder, lock=SANDBOX_LOCK)
    assert path.read_bytes() == CONTENT


# helm pull ---------------------------------------------------------------------------------------------------------

FAKE_HELM = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
time.sleep({stall})
note = pathlib.Path({note!r})
note.write_text(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ)}}))
code = {code}
if code:
    print({stderr!r}, file=sys.stderr)
else:
    folder = pathlib.Path(sys.argv[sys.argv.index("--destination") + 1])
    for number in range({packages}):
        (folder / f"thing-{{number}}.tgz").write_bytes({content!r})
sys.exit(code)
"""

MakeHelm = Callable[..., tuple[Settings, Path]]


@pytest.fixture
def helm(tmp_path: Path, settings: Settings) -> MakeHelm:
    def _helm(*, code: int = 0, stderr: str = "", packages: int = 1, stall: int = 0) -> tuple[Settings, Path]:
        note, program = tmp_path / "note.json", tmp_path / "helm"
        program.write_text(
            FAKE_HELM.format(note=str(note), code=code, stderr=stderr, packages=packages, stall=stall, content=CONTENT),
            encoding="utf-8",
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return settings.model_copy(update={"helm_binary": str(program), "helm_timeout": 20.0}), note

    return _helm


@pytest.mark.parametrize(
    ("chart", "where"),
    [
        (OCI, ["oci://registry.example.org/charts/thing"]),
        (HTTPS, ["thing", "--repo", "https://charts.example.org"]),
    ],
)
async def test_upstream_is_pulled_by_helm_with_homes_of_its_own(
    helm: MakeHelm, tmp_path: Path, chart: Chart, where: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELM_REPOSITORY_CONFIG", "/home/somebody/repositories.yaml")
    monkeypatch.setenv("OS_PASSWORD", "hunter2")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    settings, note = helm()
    lock = Lock({(chart.repository, "thing", "1.2.3"): SHA})
    path = await fetch(chart, tmp_path / "cache", settings=settings, lock=lock)
    assert path.read_bytes() == CONTENT
    seen = json.loads(note.read_text(encoding="utf-8"))
    assert seen["argv"][:-1] == ["pull", *where, "--version", "1.2.3", "--destination"]
    assert seen["env"]["HELM_CACHE_HOME"].startswith(str(tmp_path / "cache"))
    assert seen["env"]["HTTPS_PROXY"] == "http://proxy.example.org:3128"
    assert "HELM_REPOSITORY_CONFIG" not in seen["env"]
    assert "OS_PASSWORD" not in seen["env"]


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        ('Error: chart "thing" version "1.2.3" not found in https://charts.example.org repository', NotFound),
        ("Error: failed to fetch https://x/thing.tgz : 404 Not Found", NotFound),
        ("Error: unexpected status from HEAD request: 403 Forbidden", Denied),
        ("Error: dial tcp: lookup charts.example.org: no such host", Unavailable),
    ],
)
async def test_what_helm_says_becomes_an_error_of_ours(
    helm: MakeHelm, tmp_path: Path, stderr: str, error: type[PlumblineError]
) -> None:
    settings, _ = helm(code=1, stderr=stderr)
    lock = Lock({(HTTPS.repository, "thing", "1.2.3"): SHA})
    with pytest.raises(error, match="could not be fetched"):
        await fetch(HTTPS, tmp_path / "cache", settings=settings, lock=lock, attempts=1)


async def test_a_stalled_pull_is_ended_and_may_be_tried_again(helm: MakeHelm, tmp_path: Path) -> None:
    settings, _ = helm(stall=60)
    lock = Lock({(HTTPS.repository, "thing", "1.2.3"): SHA})
    impatient = settings.model_copy(update={"request_timeout": 0.02})
    with pytest.raises(Unavailable, match="could not be fetched in time"):
        await fetch(HTTPS, tmp_path / "cache", settings=impatient, lock=lock, attempts=1)


async def test_helm_that_leaves_no_package_failed(helm: MakeHelm, tmp_path: Path) -> None:
    settings, _ = helm(packages=0)
    lock = Lock({(HTTPS.repository, "thing", "1.2.3"): SHA})
    with pytest.raises(Failed, match="left 0 packed charts"):
        await fetch(HTTPS, tmp_path / "cache", settings=settings, lock=lock)


async def test_two_at_once_end_with_the_same_file(httpserver: HTTPServer, mirrored: Settings, tmp_path: Path) -> None:
    serve(httpserver)
    paths = await asyncio.gather(*(fetch(HTTPS, tmp_path, settings=mirrored, lock=SANDBOX_LOCK) for _ in range(4)))
    assert len(set(paths)) == 1
    assert names(tmp_path) == [paths[0].name]


# pure --------------------------------------------------------------------------------------------------------------


def test_a_reference_says_where_from(catalog: Catalog, make: Callable[..., Environment]) -> None:
    assert str(resolve(HTTPS, None)) == "https://charts.example.org/thing-1.2.3.tgz"
    assert str(resolve(OCI, None)) == "oci://registry.example.org/charts/thing:1.2.3"
    assert resolve(OCI, None).is_oci
    reference = resolve(OCI, "http://127.0.0.1:15008/")
    assert str(reference) == "http://127.0.0.1:15008/thing-1.2.3.tgz"
    assert not reference.is_oci
    release = catalog.releases(make())[0]
    assert resolve(release, None).chart == release.chart


def packed(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_the_crds_of_a_chart_are_read_from_its_own_folder_only(tmp_path: Path) -> None:
    crd = "kind: CustomResourceDefinition\nmetadata: {name: NAME}\n"
    path = packed(
        tmp_path / "thing.tgz",
        {
            "thing/crds/b.yaml": crd.replace("NAME", "b") + "---\n" + crd.replace("NAME", "c"),
            "thing/crds/a.yml": crd.replace("NAME", "a"),
            "thing/crds/README.md": "kind: x",
            "thing/crds/other.yaml": "kind: ConfigMap\n",
            "thing/charts/sub/crds/d.yaml": crd.replace("NAME", "d"),
            "thing/templates/e.yaml": "{{ broken",
        },
    )
    assert [one["metadata"]["name"] for one in crds_of(path)] == ["a", "b", "c"]


def test_no_chart_has_no_crds(tmp_path: Path) -> None:
    path = tmp_path / "thing.tgz"
    path.write_bytes(b"not a chart")
    with pytest.raises(Failed, match=r"thing\.tgz is not a packed chart"):
        crds_of(path)
