"""Builds a Go module's programs into the user's cache, once for each version of the module.

Needs the standard library alone: make starts it before anything is installed.

`ensure` makes them, `program` says where one is. A module's version is everything that decides what comes out: its
go.mod, go.sum and sources, the flags, and the machine's kind.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.sandbox.layout import tail
from infra.clients.errors import Misconfigured

Say = Callable[[str], None]

_NAMED = {f"helm.sh/helm/v{major}": f"helm.sh/helm/v{major}/internal/version.version" for major in (3, 4)}
"""Modules whose programs say their version by this variable, and without it a shortened one."""


@dataclass(frozen=True)
class Module:
    """A folder with a go.mod.

    Args:
        folder: where it is.
        label: what it brings, for people.
        minutes: how long it takes from nothing on two cores, roughly.
        main: the file its own main package becomes; none where it only has tools.
        names: the names under which that file is called.
    """

    folder: Path
    label: str
    minutes: float
    main: str | None = None
    names: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its go.mod."""
        return (self.folder / "go.mod").read_text()

    @property
    def tools(self) -> tuple[str, ...]:
        """The packages of its `tool` directives."""
        block = re.search(r"^tool \((.*?)^\)", self.text, re.MULTILINE | re.DOTALL)
        if block:
            return tuple(block[1].split())
        return tuple(re.findall(r"^tool (\S+)$", self.text, re.MULTILINE))

    @property
    def needed_go(self) -> str:
        """The Go version that go.mod names."""
        found = re.search(r"^go (\S+)$", self.text, re.MULTILINE)
        return found[1] if found else "1"

    def version(self, path: str) -> str:
        """The pinned version of a module it requires; KeyError where it requires none of that name."""
        found = re.search(rf"^(?:require )?\s*{re.escape(path)} (v\S+)", self.text, re.MULTILINE)
        if found is None:
            raise KeyError(path)
        return found[1]


UPSTREAM = Module(
    Path(__file__).parent,
    "Kubernetes, etcd, cert-manager, kwok, Helm, the Terraform provider and pebble",
    minutes=6,
    main="upstream",
    names=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "cert-manager"),
)


WEBHOOK = Module(
    Path(__file__).parent / "webhook",
    "cert-manager's webhook",
    minutes=2,
    main="cert-manager-webhook",
    names=("cert-manager-webhook",),
)
"""A module by itself: its name lets it import what is internal to cert-manager, and Kubernetes' would not do."""

FRONT_PROXY = Module(
    Path(__file__).parent.parent / "frontproxy",
    "the sandbox's front proxy",
    minutes=0.5,
    main="front-proxy",
    names=("front-proxy",),
)
"""A module by itself: it needs the standard library alone, so that a change of it builds nothing else anew."""

MODULES = (UPSTREAM, WEBHOOK, FRONT_PROXY)


def cache() -> Path:
    """The user's cache folder for what is built here (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(named) if named and Path(named).is_absolute() else Path.home() / ".cache"
    return base / "plumbline"


def folder(module: Module = UPSTREAM) -> Path:
    """Where the module's programs are, once built."""
    digest = hashlib.sha256()
    for part in (platform.system(), platform.machine(), *_flags(module)):
        digest.update(part.encode() + b"\0")
    for path in _sources(module):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return cache() / "programs" / digest.hexdigest()[:16]


def program(name: str, module: Module = UPSTREAM) -> Path:
    """The path of a built program.

    Raises:
        Misconfigured: it has not been built.
    """
    path = folder(module) / name
    if not path.exists():
        raise Misconfigured(
            f"{name} has not been built for this version of the sandbox.",
            hint="`make up` builds it, and so does `python -m deployments.sandbox.upstream build`.",
        )
    return path


def ensure(module: Module = UPSTREAM, *, say: Say = lambda _: None) -> Path:
    """Have the module's programs; returns their folder.

    Args:
        say: told what is built, how long that usually takes, and when it is done.

    Raises:
        Misconfigured: there is no Go, it is too old, or a build failed; the end of its output is the detail.
    """
    target = folder(module)
    if target.exists():
        return target
    go = find_go(module)
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"Building {module.label} (once for each version; about {module.minutes:g} minutes on two cores) …")
    begun = time.monotonic()
    with alone(target.with_suffix(".lock")):
        if target.exists():
            say("Built by another process meanwhile.")
            return target
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _build(go, module, partial, log=target.with_suffix(".log"))
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        say(f"Built {module.label} in {time.monotonic() - begun:.0f} s; kept in {target}.")
    return target


def ensure_all(*, say: Say = lambda _: None) -> list[Path]:
    """Have every module's programs, one after the other, since they share packages; errors as of `ensure`."""
    return [ensure(module, say=say) for module in MODULES]


def source(path: str, module: Module = UPSTREAM) -> Path:
    """The folder with the sources of a module that `module` requires, fetched when it is not there.

    Raises:
        Misconfigured: there is no Go, or it cannot be fetched.
    """
    argv = [find_go(module), "mod", "download", "-json", path]
    environment = os.environ | {"GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    done = subprocess.run(
        argv, cwd=module.folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    found = json.loads(done.stdout) if done.stdout else {}
    if done.returncode or "Dir" not in found:
        raise Misconfigured(
            f"The module {path} cannot be had.",
            detail=found.get("Error") or done.stderr,
            hint="Can go reach its module proxy (`go env GOPROXY`)?",
        )
    return Path(found["Dir"])


def find_go(module: Module = UPSTREAM) -> str:
    """The Go to build with; one that is older than go.mod says tells so itself, or fetches what it needs.

    Raises:
        Misconfigured: there is none.
    """
    go = shutil.which("go")
    if go is None:
        hint = f"Install Go {module.needed_go} or later (https://go.dev/doc/install) and put it on PATH."
        raise Misconfigured("There is no go on PATH.", hint=hint)
    return go


def _sources(module: Module) -> list[Path]:
    return sorted([*module.folder.glob("go.*"), *module.folder.glob("*.go")])


def _build(go: str, module: Module, target: Path, *, log: Path) -> None:
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOBIN": str(target),
        "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath",
        "GOWORK": "off",
    }
    flags = [f"-ldflags={' '.join(_flags(module))}"]
    steps = []
    if module.tools:
        steps.append([go, "install", *flags, "tool"])
    if module.main is not None:
        steps.append([go, "build", *flags, "-o", str(target / module.main), "."])
    with tempfile.TemporaryDirectory() as sources, log.open("wb") as output:
        # A copy: whoever edits a file meanwhile gets a version of its own.
        for path in _sources(module):
            shutil.copy(path, sources)
        for argv in steps:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            if subprocess.run(argv, cwd=sources, env=environment, check=False, **streams).returncode:
                raise Misconfigured(
                    f"{module.label} could not be built.",
                    detail=tail(log),
                    hint=f"The whole output is in {log}; can go reach its module proxy (`go env GOPROXY`)?",
                )
    for name in module.names:
        if name != module.main:
            (target / name).symlink_to(str(module.main))


def _flags(module: Module) -> list[str]:
    """The linker's flags: no symbol table, and the versions that the projects' own release scripts would set."""
    flags = ["-s", "-w"]
    values: dict[str, object] = {}
    for path, variable in _NAMED.items():
        with suppress(KeyError):
            values[variable] = module.version(path)
    with suppress(KeyError):
        version = module.version("k8s.io/kubernetes")
        major, minor = re.findall(r"\d+", version)[:2]
        parts = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
        values |= {f"k8s.io/component-base/version.{name}": value for name, value in parts.items()}
    return flags + [f"-X={variable}={value}" for variable, value in values.items()]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Only one process at a time does what follows; the others wait."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def tell(text: str) -> None:
    """Say something to whoever runs us as a command."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
