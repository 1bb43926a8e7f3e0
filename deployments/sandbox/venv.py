"""The virtual environment that holds OpenStack: made from the lock when missing or out of date."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from deployments.sandbox.layout import tail
from deployments.sandbox.settings import LOCK, ROOT
from deployments.sandbox.upstream.build import alone
from infra.clients.errors import Misconfigured

PLUGINS = ROOT / "deployments/sandbox/openstack/plugins"
"""On PYTHONPATH, its .dist-info registers our Magnum driver and Designate backend as entry points."""

MARKER = ".plumbline-lock"

COMPILE = """
import compileall, re, sysconfig
compileall.compile_dir(sysconfig.get_path("purelib"), quiet=2, workers=0, rx=re.compile("/tests?/"))
"""
"""Compiles all but tests on every core: a dozen services that start at once would each compile what they share."""

ENTRY_POINTS = "from stevedore import extension; extension.ExtensionManager('none')"
"""Fills stevedore's cache."""

OPTIONS = ("-P", "-W", "ignore")
"""Of Python: sys.path is the same wherever a service is started."""


def current(venv: Path, lock: Path = LOCK) -> bool:
    """Whether the environment holds exactly what the lock says."""
    marker = venv / MARKER
    return (venv / "bin/python").exists() and marker.exists() and marker.read_text() == _digest(lock)


def ensure(venv: Path, *, log: Path, say: Callable[[str], None], lock: Path = LOCK) -> bool:
    """Make the environment what the lock says; returns whether there was something to do.

    Args:
        log: where pip's output goes.
        say: told what takes long.

    Raises:
        Misconfigured: pip could not install it; the end of its output is the detail.
    """
    if current(venv, lock):
        return False
    venv.parent.mkdir(parents=True, exist_ok=True)
    with alone(venv.with_name(f"{venv.name}.lock")):
        if current(venv, lock):
            return False
        say(f"Installing OpenStack into {venv} (once; a minute or two) …")
        with log.open("ab") as output:
            if not (venv / "bin/python").exists():
                run([sys.executable, "-m", "venv", str(venv)], output, log)
            pip = [str(venv / "bin/python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
            # The lock is complete: there is nothing to resolve. Pip would compile on one core, and tests, too.
            run([*pip, "--no-deps", "--no-compile", "--requirement", str(lock)], output, log)
            run([str(venv / "bin/python"), "-c", COMPILE], output, log)
            run([str(venv / "bin/python"), *OPTIONS, "-c", ENTRY_POINTS], output, log, environment(venv))
        (venv / MARKER).write_text(_digest(lock))
    return True


def environment(venv: Path) -> dict[str, str]:
    """The environment of a process that runs in it: nothing of ours leaks into oslo.config."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "HOME")
    return {key: os.environ[key] for key in kept if key in os.environ} | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGINS}",
        "PYTHONUNBUFFERED": "1",
        # stevedore caches there, by sys.path, which entry points there are: a second's work for each service otherwise.
        "XDG_CACHE_HOME": str(venv / "cache"),
        "NO_PROXY": "*",
    }


def run(argv: list[str], output: IO[bytes], log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run one step of the installation.

    Raises:
        Misconfigured: it failed; the end of its output is the detail.
    """
    done = subprocess.run(argv, env=env, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Misconfigured(
            "OpenStack could not be installed.",
            detail=tail(log),
            hint=f"The whole output is in {log}; can pip reach its index?",
        )


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()
