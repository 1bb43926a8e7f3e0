"""Building upstream's programs: which version is which, and what is said where it fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deployments.sandbox.upstream import build, pins
from deployments.sandbox.upstream.build import UPSTREAM, Module
from infra.clients.errors import InvalidInput, Misconfigured

GO_MOD = """module example.org/x

go 1.26.0

require k8s.io/kubernetes v1.36.3

require (
\texample.org/tools v0.2.0
)

tool (
\texample.org/tools/cmd/one
\texample.org/two/v3
)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text(GO_MOD)
    (folder / "main.go").write_text("package main\n")
    return Module(folder, "Everything", minutes=1, main="all", names=("etcd", "kubectl"))


def test_a_module_says_what_it_brings(module: Module) -> None:
    assert module.tools == ("example.org/tools/cmd/one", "example.org/two/v3")
    assert module.needed_go == "1.26.0"
    assert module.version("k8s.io/kubernetes") == "v1.36.3"
    assert module.version("example.org/tools") == "v0.2.0"


def test_another_pin_or_another_source_is_another_version(module: Module) -> None:
    known = {build.folder(module)}
    (module.folder / "go.mod").write_text(GO_MOD.replace("v1.36.3", "v1.36.4"))
    known.add(build.folder(module))
    (module.folder / "main.go").write_text("package main // changed\n")
    known.add(build.folder(module))
    assert len(known) == 3


def test_a_program_that_was_not_built_is_named_with_the_command(module: Module) -> None:
    with pytest.raises(Misconfigured, match="etcd has not been built") as caught:
        build.program("etcd", module)
    assert "make up" in (caught.value.hint or "")


def test_without_go_it_says_which_to_install(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Misconfigured, match="no go on PATH") as caught:
        build.ensure(module)
    assert "1.26.0" in (caught.value.hint or "")


def test_a_build_that_fails_leaves_nothing_and_shows_its_last_words(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "bin/go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho module proxy is away >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(go.parent))
    with pytest.raises(Misconfigured, match="could not be built") as caught:
        build.ensure(module)
    assert "module proxy is away" in (caught.value.detail or "")
    assert not [path for path in build.folder(module).parent.iterdir() if path.is_dir()]


def test_what_is_built_once_is_not_built_again(module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, calls = tmp_path / "bin/go", tmp_path / "calls"
    go.parent.mkdir()
    # `go build FLAGS -o FILE .` makes its file; `go install FLAGS tool` is only counted.
    go.write_text(f'#!/bin/sh\necho "$1" >> {calls}\n[ "$1" = build ] && : > "$4"\nexit 0\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    said: list[str] = []
    first = build.ensure(module, say=said.append)
    assert build.ensure(module, say=said.append) == first
    assert calls.read_text().split() == ["install", "build"]
    assert (first / "etcd").readlink() == Path("all")
    assert len(said) == 2
    assert "about 1 minutes" in said[0]


def test_kubernetes_says_its_own_version() -> None:
    assert "-X=k8s.io/component-base/version.gitVersion=" + UPSTREAM.version("k8s.io/kubernetes") in build._flags(
        UPSTREAM
    )


def test_a_pin_names_a_module_and_a_version(module: Module) -> None:
    if shutil.which("go") is None:
        pytest.fail("the tests need go on PATH")
    with pytest.raises(InvalidInput, match="MODULE@VERSION"):
        pins.pin(module, ["k8s.io/kubernetes"])
