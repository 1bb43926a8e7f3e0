"""`python -m infra.catalog`."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.sandbox.charts import build
from infra.catalog import Catalog, Lock
from infra.catalog.__main__ import main
from infra.catalog.lock import SANDBOX
from infra.settings import Settings


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    folder = tmp_path / "repo"
    build(folder, folder.as_uri())
    return folder.as_uri()


@pytest.fixture(autouse=True)
def _no_shell(settings: Settings) -> None:
    """The environment's own mirror and helm stay out."""


def test_list_names_every_addon_and_chart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    catalog = Catalog.load()
    assert all(name in printed for name in catalog)
    assert all(str(chart) in printed for chart in catalog.charts())


def test_lock_records_what_was_downloaded(tmp_path: Path, mirror: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock.yaml"
    Lock({(SANDBOX, "thing", "0.0.1"): "0" * 64}).save(path)
    assert main(["lock", "--mirror", mirror, "--lock-file", str(path)]) == 0
    lock = Lock.load(path)
    assert {key[1:] for key in lock.digests} == {(one.name, one.version) for one in Catalog.load().charts()}
    assert all(key[0] == SANDBOX for key in lock.digests)
    assert capsys.readouterr().out.count("locked: ") == len(lock.digests)
    before = path.read_text(encoding="utf-8")
    assert main(["lock", "--mirror", mirror, "--lock-file", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == before


def test_lock_does_not_swallow_a_changed_chart(tmp_path: Path, mirror: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock.yaml"
    assert main(["lock", "--mirror", mirror, "--lock-file", str(path)]) == 0
    good = Lock.load(path)
    package = tmp_path / "repo/cert-manager-v1.21.2.tgz"
    package.write_bytes(package.read_bytes() + b"\0")
    assert main(["lock", "--mirror", mirror, "--lock-file", str(path)]) == 1
    assert "cert-manager-v1.21.2.tgz has another content" in capsys.readouterr().err
    assert Lock.load(path) == good
    assert main(["lock", "--mirror", mirror, "--lock-file", str(path), "--replace"]) == 0
    assert Lock.load(path) != good


def test_lock_says_what_could_not_be_fetched_and_invents_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUMBLINE_HELM_BINARY", str(tmp_path / "no-helm"))
    path = tmp_path / "lock.yaml"
    assert main(["lock", "--lock-file", str(path)]) == 1
    said = capsys.readouterr().err
    charts = Catalog.load().charts()
    assert said.count("not fetched: ") == len(charts)
    assert f"{len(charts)} of {len(charts)} charts could not be locked" in said
    assert Lock.load(path) == Lock()


def test_a_broken_lock_ends_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock.yaml"
    path.write_text("nonsense", encoding="utf-8")
    assert main(["lock", "--lock-file", str(path)]) == 1
    assert "cannot be read" in capsys.readouterr().err
