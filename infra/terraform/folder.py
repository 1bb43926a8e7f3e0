"""The working folder of one environment: module, backend, plans, and a lock between our own processes.

<state_dir>/terraform/<environment>/     0700
    *.tf, backend_override.tf.json       copied and rendered; a module change shows as another fingerprint
    .terraform/                          terraform's own (TF_DATA_DIR)
    .terraform.lock.hcl                  the module's lock on providers where it has one and they come from a registry,
                                         else the environment's own
    .initialised                         the fingerprint of the last successful init
    .lock                                shared while terraform runs, exclusive while the files above change
    terraform.tfstate                    the state, with the local backend
    runs/<random>/                       variables and saved plan of one run
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.clients.errors import Conflict
from infra.clients.private import write_private
from infra.terraform import providers
from infra.terraform.providers import LOCK, Other

MODULE = Path(__file__).parent / "environment"
"""The HCL module."""

LEFTOVER_AGE = 86400.0
"""Seconds after which what a killed run left behind is removed."""

_LOCK_POLL = 0.1

_PASSED = (
    "PATH", "HOME", "TMPDIR", "USER", "LANG", "TZ", "OS_CLIENT_CONFIG_FILE", "TF_CLI_CONFIG_FILE",
    "TF_REATTACH_PROVIDERS", "TF_LOG", "TF_LOG_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY",
    "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_PASSED_PREFIXES = ("PG", "AWS_", "TF_HTTP_")
"""Variables of the backends, which hold their credentials."""


class Folder:
    """One environment's working folder.

    Args:
        base: `<state_dir>/terraform`.
        environment: the environment's name.
        backend: content of the backend override.
        module: folder of the HCL module.
        mirrored: providers come from a mirror, whose packages no lock in the module knows.
    """

    def __init__(
        self,
        base: Path,
        environment: str,
        backend: Mapping[str, Any],
        module: Path = MODULE,
        *,
        mirrored: bool = False,
    ) -> None:
        self.base = base
        self.path = base / environment
        self.environment = environment
        self._backend = json.dumps(backend, indent=2, sort_keys=True) + "\n"
        self._module = module
        self.mirrored = mirrored

    @property
    def plugin_cache(self) -> Path:
        """Providers, shared by all environments."""
        return self.base / "plugins"

    @property
    def data(self) -> Path:
        """Terraform's data folder, with the providers."""
        return self.path / ".terraform"

    @property
    def lock_file(self) -> Path:
        """Terraform's lock on providers."""
        return self.path / LOCK

    @property
    def local_state(self) -> Path | None:
        """The state's file, with the local backend."""
        local = json.loads(self._backend)["terraform"]["backend"].get("local")
        return None if local is None else Path(local["path"])

    @property
    def errored_state(self) -> Path:
        """Where terraform leaves a state that its backend did not take."""
        return self.path / "errored.tfstate"

    def variables(self, parent: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of a terraform process, from that of ours."""
        passed = {name: value for name, value in parent.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}
        return passed | {
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "TF_DATA_DIR": str(self.data),
            "TF_PLUGIN_CACHE_DIR": str(self.plugin_cache),
        }

    def fingerprint(self, *more: str) -> str:
        """A hash of all that an init depends on."""
        digest = hashlib.sha256()
        for name, text in sorted(self._files().items()):
            digest.update(f"{name}\0{text}\0".encode())
        for text in more:
            digest.update(f"{text}\0".encode())
        return digest.hexdigest()

    def initialised(self, fingerprint: str) -> bool:
        """Whether terraform was initialised with exactly this."""
        marker = self.path / ".initialised"
        return marker.is_file() and marker.read_text() == fingerprint and self.data.is_dir()

    def other_providers(self) -> tuple[Other, ...]:
        """Providers of which the folder holds another package than its lock names."""
        return providers.others(self.lock_file, self.data)

    def mark_initialised(self, fingerprint: str) -> None:
        """Remember a successful init."""
        write_private(self.path / ".initialised", fingerprint)

    def forget_providers(self, source: str) -> None:
        """Drop the providers' lock file when they now come from elsewhere; the caller holds the exclusive lock.

        Args:
            source: terraform's CLI configuration, which says where providers come from.
        """
        marker, now = self.path / ".providers-from", hashlib.sha256(source.encode()).hexdigest()
        if marker.is_file() and marker.read_text() != now:
            self.lock_file.unlink(missing_ok=True)
        write_private(marker, now)

    def make(self) -> None:
        """Make the folders, all of them ours alone."""
        for path in (self.base, self.path, self.path / "runs", self.plugin_cache):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.chmod(0o700)

    def write_module(self) -> None:
        """Bring module and backend up to date; the caller holds the exclusive lock."""
        (self.path / ".initialised").unlink(missing_ok=True)
        wanted = self._files()
        for path in self.path.glob("*.tf*"):
            if (
                path.suffix != ".tfstate"
                and path.suffixes[-2:] in ([".tf"], [".tf", ".json"])
                and path.name not in wanted
            ):
                path.unlink()
        for name, text in wanted.items():
            write_private(self.path / name, text)

    def _files(self) -> dict[str, str]:
        files = sorted(self._module.glob("*.tf"))
        if not self.mirrored and (self._module / LOCK).is_file():
            files.append(self._module / LOCK)
        return {path.name: path.read_text() for path in files} | {"backend_override.tf.json": self._backend}

    def forget_backup(self, *, destroyed: bool) -> None:
        """After everything is gone, drop the local backend's backup: it holds the kubeconfig of a dead cluster."""
        state = self.local_state
        if destroyed and state is not None:
            state.with_name(state.name + ".backup").unlink(missing_ok=True)

    def new_run(self) -> Path:
        """A folder for the files of one run, and an end for those of runs that were killed long ago."""
        runs = self.path / "runs"
        for old in runs.iterdir():
            if time.time() - old.stat().st_mtime > LEFTOVER_AGE:
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=runs))

    @contextlib.asynccontextmanager
    async def lock(self, *, exclusive: bool, timeout: float) -> AsyncIterator[None]:
        """Hold the folder's lock; a killed process holds nothing.

        Raises:
            Conflict: another of our processes did not let go within `timeout` seconds.
        """
        with _open_lock(self.path / ".lock") as file:
            await _acquire(file, exclusive=exclusive, timeout=timeout, environment=self.environment)
            yield

    @contextlib.asynccontextmanager
    async def plugin_lock(self, *, timeout: float) -> AsyncIterator[None]:
        """One init at a time: terraform's plugin cache does not stand two."""
        with _open_lock(self.base / ".plugins.lock") as file:
            await _acquire(file, exclusive=True, timeout=timeout, environment=self.environment)
            yield


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield file
    finally:
        os.close(file)


async def _acquire(file: int, *, exclusive: bool, timeout: float, environment: str) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Conflict(
                    f"The Terraform folder of {environment} is in use by another run.", retry_after=30
                ) from None
            await asyncio.sleep(_LOCK_POLL)
        else:
            return
