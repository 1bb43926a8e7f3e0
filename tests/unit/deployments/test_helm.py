"""Which helm runs: the first on PATH that will do, else the pinned one, and a sentence for each that will not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deployments import helm
from deployments.sandbox.upstream import build
from infra.clients.errors import Misconfigured


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a helm into a folder on an otherwise empty PATH, the first first."""
    folders: list[str] = []
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))

    def _put(name: str, script: str) -> Path:
        program = tmp_path / name / "helm"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        folders.append(str(program.parent))
        monkeypatch.setenv("PATH", ":".join(folders))
        return program

    return _put


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a build has put its programs."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "helm").touch(mode=0o755)
    monkeypatch.setattr(build, "ensure", lambda *, say: folder)
    return folder / "helm"


@pytest.mark.parametrize("said", ["v3.16.0", "v3.22.0+g1234567", "v4.0.0", "v4.3", "v4.4.0-rc.1"])
def test_the_one_on_path_is_used(put: Callable[[str, str], Path], tmp_path: Path, said: str) -> None:
    own = put("own", f"echo {said}")
    assert helm.ensure_helm(tmp_path / "tools", say=pytest.fail) == own
    assert not (tmp_path / "tools").exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo v3.15.4", "is 3.15.4"),
        ("echo v3.10.1+g9f88ccb", "is 3.10.1"),
        ("echo v2.17.0", "is 2.17.0"),
        ("echo v5.0.0", "is 5.0.0"),
        ("echo v5.0.0-alpha.1", "is 5.0.0a1"),
        ("echo not a version", "does not say its version"),
        ("exit 1", "does not say its version"),
    ],
)
def test_one_that_will_not_do_is_passed_over_with_a_sentence(
    put: Callable[[str, str], Path], pinned: Path, tmp_path: Path, script: str, why: str
) -> None:
    old = put("old", script)
    said: list[str] = []
    found = helm.ensure_helm(tmp_path / "tools", say=said.append)
    assert found.resolve() == pinned
    assert said == [f"{old} {why}, and helm 3.16 or newer, below 5 is needed: it is passed over."]


def test_a_newer_one_further_on_is_found(put: Callable[[str, str], Path], tmp_path: Path) -> None:
    put("old", "echo v3.10.1")
    new = put("new", "echo v4.3.2")
    said: list[str] = []
    assert helm.ensure_helm(tmp_path / "tools", say=said.append) == new
    assert len(said) == 1


def test_the_pinned_one_lies_alone_in_its_folder_and_follows_its_pin(
    put: Callable[[str, str], Path], pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    link = helm.ensure_helm(tools, say=pytest.fail)
    assert [item.name for item in link.parent.iterdir()] == ["helm"]
    assert helm.ensure_helm(tools, say=pytest.fail).resolve() == pinned
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "helm").write_text("#!/bin/sh\necho v4.4.0\n")
    (newer / "helm").chmod(0o755)
    monkeypatch.setattr(build, "ensure", lambda *, say: newer)
    # What is on PATH through our own link counts for nothing.
    monkeypatch.setenv("PATH", str(link.parent))
    assert helm.ensure_helm(tools, say=pytest.fail).resolve() == newer / "helm"


def test_without_helm_and_without_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(Misconfigured, match="There is no go on PATH"):
        helm.ensure_helm(tmp_path / "tools", say=pytest.fail)


# -- what no registry carries -----------------------------------------------------------------------------------------
