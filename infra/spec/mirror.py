"""Getting at a git repository: a local one is read where it is, a remote one through a mirror of its own.

A fetch is bounded in time on every way in: connecting and each read have a limit, the whole has a deadline, and the ssh
program is ended when that passes. A lock file makes writers of one mirror take turns.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from dulwich.client import (
    FetchPackResult,
    GitClient,
    HTTPUnauthorized,
    SSHGitClient,
    SubprocessSSHVendor,
    SubprocessWrapper,
    Urllib3HttpGitClient,
    default_urllib3_manager,
)
from dulwich.config import StackedConfig
from dulwich.errors import HangupException, NotGitRepository
from dulwich.objects import ObjectID
from dulwich.protocol import Protocol
from dulwich.refs import Ref
from dulwich.repo import Repo
from urllib3.util import Retry

from infra.clients.errors import Denied, Misconfigured, NotFound, PlumblineError, Unavailable
from infra.spec.problems import show
from infra.spec.urls import repository_problem

KEPT = (b"refs/heads/", b"refs/tags/")
"""What a mirror keeps."""


def local_path(repository: str) -> Path | None:
    """The folder a repository setting names, or None when it is remote."""
    if repository.startswith("file://"):
        return Path(unquote(urlsplit(repository).path))
    remote = "://" in repository or re.fullmatch(r"[^/\s]+@[^/\s]+:.*", repository)
    return None if remote else Path(repository).expanduser()


def open_local(path: Path) -> Repo:
    """Open a repository on this machine, bare or not.

    Raises:
        NotFound: nothing is there.
        Misconfigured: what is there is no git repository.
    """
    if not path.exists():
        raise NotFound(
            f"The environments repository {show(str(path))} does not exist.",
            hint="Set PLUMBLINE_ENVIRONMENTS_REPOSITORY to a git repository.",
        )
    try:
        return Repo(str(path))
    except (NotGitRepository, NotADirectoryError, PermissionError) as error:
        raise Misconfigured(
            f"{show(str(path))} is not a git repository that can be read.",
            hint="Set PLUMBLINE_ENVIRONMENTS_REPOSITORY to a git repository.",
        ) from error


class Mirror:
    """A bare copy of a remote repository's branches and tags.

    Args:
        url: https://, ssh://, or http:// on this machine; never with credentials inside.
        home: folder that holds all mirrors; made with mode 0700.
        timeout: seconds a fetch may take.
    """

    def __init__(self, url: str, home: Path, timeout: float) -> None:
        if problem := repository_problem(url):
            raise Misconfigured(f"The environments repository's URL {problem[0]}.", hint=f"{problem[1]}.")
        self.url = url
        self.timeout = timeout
        self.home = home
        self.path = home / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.git"

    def open(self) -> Repo:
        """Open the mirror as it is, making an empty one the first time."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if not (self.path / "HEAD").exists():
                self.path.mkdir(mode=0o700, exist_ok=True)
                return Repo.init_bare(str(self.path))
        return Repo(str(self.path))

    def fetch(self, repo: Repo) -> None:
        """Bring the mirror in step with the remote: new refs come, moved ones move, deleted ones go.

        Raises:
            Unavailable: the remote did not answer in time, or not as git.
            NotFound: the remote has no such repository.
            Denied: the remote refuses us.
        """
        deadline = time.monotonic() + self.timeout
        with self._locked():
            client, path = self._client(max(1.0, deadline - time.monotonic()))

            def progress(_message: bytes) -> None:
                if time.monotonic() > deadline:
                    raise TimeoutError

            try:
                result = client.fetch(path, repo, determine_wants=_wants(repo), progress=progress)
            except Exception as error:
                expired = isinstance(client, _BoundedSsh) and client.expired
                raise _translated(error, self.url, self.timeout, expired=expired) from error
            finally:
                if isinstance(client, _BoundedSsh):
                    client.end()
            _set_refs(repo, result)
            # Packs come readable for everybody.
            for file in (self.path / "objects/pack").iterdir():
                file.chmod(0o400)

    def _client(self, timeout: float) -> tuple[GitClient, str]:
        parts = urlsplit(self.url)
        if parts.scheme == "ssh":
            ssh = _BoundedSsh(parts.hostname or "", port=parts.port, username=parts.username, timeout=timeout)
            return ssh, unquote(parts.path)
        manager = default_urllib3_manager(StackedConfig.default(), base_url=self.url, timeout=min(timeout, 30.0))
        manager.connection_pool_kw["retries"] = Retry(total=3, connect=0, read=0, redirect=3)
        base = f"{parts.scheme}://{parts.netloc}"
        return Urllib3HttpGitClient(base, pool_manager=manager, quiet=True), parts.path

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the mirror's lock; its holders are bounded themselves, so that waiting is, too."""
        deadline = time.monotonic() + 2 * self.timeout + 5
        fd = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Unavailable(f"Another process holds the mirror of {show(self.url)}.") from None
                    time.sleep(0.02)  # flock cannot wait with a deadline
            yield
        finally:
            os.close(fd)


class _BoundedSsh(SSHGitClient):
    """Git over the ssh program, which is asked for no password, and ended at a deadline."""

    def __init__(self, host: str, *, port: int | None, username: str | None, timeout: float) -> None:
        super().__init__(host, port, username, ssh_command=_ssh_command(timeout), vendor=_Vendor(self))
        self.timeout = timeout
        self.expired = False
        self._process: subprocess.Popen[bytes] | None = None
        self._protocol: Protocol | None = None
        self._timer: threading.Timer | None = None

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        """Remember the connection: dulwich leaves it open when the other side refuses."""
        connection = super()._connect(cmd, path, protocol_version)
        self._protocol = connection[0]
        return connection

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """End `process` when the time is over."""
        self._process = process
        self._timer = threading.Timer(self.timeout, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        self.expired = True
        if self._process:
            self._process.kill()

    def end(self) -> None:
        """End ssh if it still runs, and collect it."""
        if self._timer:
            self._timer.cancel()
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._protocol:
            self._protocol.close()


class _Vendor(SubprocessSSHVendor):
    """Starts ssh, and has it watched."""

    def __init__(self, owner: _BoundedSsh) -> None:
        self._owner = owner

    def run_command(self, *args: Any, **kwargs: Any) -> SubprocessWrapper:
        """Start ssh for one git command."""
        wrapper = super().run_command(*args, **kwargs)
        self._owner.watch(wrapper.proc)
        return wrapper


def _ssh_command(timeout: float) -> str:
    """The ssh command line; dulwich splits it as a shell would."""
    return f"ssh -o BatchMode=yes -o ConnectTimeout={max(1, int(min(timeout, 30)))}"


def _kept(refs: Mapping[Ref, ObjectID | None]) -> dict[Ref, ObjectID]:
    """The branches and tags among what a remote advertises, without the `^{}` lines of annotated tags."""
    return {ref: sha for ref, sha in refs.items() if sha and ref.startswith(KEPT) and not ref.endswith(b"^{}")}


class _wants:  # noqa: N801 - reads as the function it is passed as
    """Ask for what the mirror lacks."""

    def __init__(self, repo: Repo) -> None:
        self._store = repo.object_store

    def __call__(self, refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        return [sha for sha in dict.fromkeys(_kept(refs).values()) if sha not in self._store]


def _set_refs(repo: Repo, result: FetchPackResult) -> None:
    """Make the mirror's refs those of the remote."""
    remote = _kept(result.refs)
    for ref in [ref for ref in repo.refs.allkeys() if ref.startswith(KEPT) and ref not in remote]:
        repo.refs.remove_if_equals(ref, None)
    for ref, sha in remote.items():
        repo.refs.set_if_equals(ref, None, sha)
    head = result.symrefs.get(Ref(b"HEAD")) if result.symrefs else None
    if head and head in remote:
        repo.refs.set_symbolic_ref(Ref(b"HEAD"), head)


_MEANINGS: tuple[tuple[str, type[PlumblineError], str, str | None], ...] = (
    (
        r"(?i)\b40[13]\b|unauthorized|permission denied|authentication",
        Denied,
        "We may not read {where}.",
        "Give this machine's key or address access to it.",
    ),
    (r"(?i)host key verification", Misconfigured, "The host key of {where} is not known.", "Add it to known_hosts."),
    (
        r"(?i)not found|does not exist|not appear to be a git repo",
        NotFound,
        "There is no git repository at {url}.",
        None,
    ),
)
"""What the words of ssh and of git servers mean, the first that matches."""


def _translated(error: Exception, url: str, timeout: float, *, expired: bool) -> PlumblineError:
    """Say what a failed fetch means."""
    where = f"the environments repository {show(url)}"
    if isinstance(error, TimeoutError) or expired:
        return Unavailable(f"Fetching {where} took longer than {timeout:g} s.")
    if isinstance(error, NotGitRepository):
        return NotFound(f"There is no git repository at {show(url)}.", hint="Check PLUMBLINE_ENVIRONMENTS_REPOSITORY.")
    text = "unauthorized" if isinstance(error, HTTPUnauthorized) else _text(error)
    for pattern, kind, summary, hint in _MEANINGS:
        if re.search(pattern, text):
            return kind(summary.format(where=where, url=show(url)), detail=text, hint=hint)
    return Unavailable(f"Could not fetch {where}.", detail=text)


def _text(error: Exception) -> str:
    """The message of a git error; ssh's own words come as lines of bytes."""
    if isinstance(error, HangupException) and error.stderr_lines:
        return b" ".join(error.stderr_lines).decode("utf-8", "replace")
    return str(error) or type(error).__name__
