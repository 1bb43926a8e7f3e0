"""Git remotes: which commit a revision stands for now.

Argo CD shows a commit only after it has polled the repository, so whoever waits for a delivery has to know first
which commit is the right one.
"""

from __future__ import annotations

import re
import shlex
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import urllib3
from dulwich.client import (
    HTTPProxyUnauthorized,
    HTTPUnauthorized,
    StrangeHostname,
    default_urllib3_manager,
    get_transport_and_path,
)
from dulwich.config import ConfigFile, StackedConfig
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.refs import SYMREF
from pydantic import SecretStr

from infra.clients.calling import Caller, error_for
from infra.clients.errors import Denied, InvalidInput, Misconfigured, NotFound, PlumblineError, Unavailable
from infra.clients.waiting import Clock
from infra.settings import Settings, get_settings

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SCHEMES = frozenset({"", "http", "https", "ssh", "git", "git+ssh", "file"})
_STATUS = re.compile(r"unexpected http resp (\d{3})")


class _Pool(urllib3.PoolManager):
    """Closes what dulwich leaves open: it drops an error's response with its connection unread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answers: list[urllib3.BaseHTTPResponse] = []

    def urlopen(self, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        answer = super().urlopen(*arguments, **options)
        self._answers.append(answer)
        return answer

    def clear(self) -> None:
        for answer in self._answers:
            answer.close()
        self._answers.clear()
        super().clear()


class GitClient:
    """Questions to git remotes over https, ssh, or in a folder.

    Args:
        settings: `request_timeout` bounds every request.
        username, password: for https remotes that want them; tokens go into `password`.
        private_key: for ssh remotes, instead of this machine's own keys.
        clock: replaced in tests.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        username: str | None = None,
        password: SecretStr | None = None,
        private_key: SecretStr | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._timeout = (settings or get_settings()).request_timeout
        self._username = username
        self._password = password
        self._private_key = private_key
        self._caller = Caller("git", workers=4, clock=clock)

    async def head(self, url: str, revision: str = "HEAD") -> str:
        """The commit a branch, tag or `HEAD` of a remote stands for now; a full commit id stands for itself.

        Raises:
            NotFound: no such repository, or no such revision in it.
            Denied: the remote wants other credentials.
            Unavailable: it does not answer.
        """
        if COMMIT.fullmatch(revision):
            return revision
        refs = await self.refs(url)
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}^{{}}", f"refs/tags/{revision}", revision):
            if name in refs:
                return refs[name]
        branches = ", ".join(
            sorted(name.removeprefix("refs/heads/") for name in refs if name.startswith("refs/heads/"))
        )
        raise NotFound(
            f"The repository {shown(url)} has no revision {revision!r}.", hint=f"Branches: {branches or 'none'}."
        )

    async def refs(self, url: str) -> Mapping[str, str]:
        """Every ref of a remote (tags also peeled, as `…^{}`), and `HEAD`."""
        return await self._caller.read(lambda: self._refs(url))

    def close(self) -> None:
        """Let the threads end."""
        self._caller.close()

    @contextmanager
    def _ssh(self) -> Iterator[str]:
        """How ssh is called: it asks nobody anything, and where a key was given, it has that one and no other."""
        command = f"ssh -o BatchMode=yes -o ConnectTimeout={int(self._timeout)}"
        if self._private_key is None:
            yield command
            return
        # Made with mode 0600, as ssh insists on. A key without its final newline is none to ssh.
        with tempfile.NamedTemporaryFile("w", prefix="plumbline-key-") as file:
            file.write(self._private_key.get_secret_value().rstrip("\n") + "\n")
            file.flush()
            yield f"{command} -o IdentitiesOnly=yes -i {shlex.quote(file.name)}"

    def _refs(self, url: str) -> Mapping[str, str]:
        scheme = urlsplit(url).scheme if "://" in url else ""
        if scheme not in SCHEMES:
            raise InvalidInput(f"{shown(url)} is no address of a git repository.", hint="Use https or ssh, or a path.")
        web = scheme in ("http", "https")
        # An empty configuration: nobody's ~/.gitconfig rewrites what the environment declares.
        config = StackedConfig([ConfigFile()])
        pool: Any = None
        if web:
            pool = default_urllib3_manager(config, pool_manager_cls=_Pool, base_url=url, timeout=self._timeout)
        try:
            with self._ssh() as ssh_command:
                client, path = get_transport_and_path(
                    url,
                    config=config,
                    pool_manager=pool,
                    username=self._username if web else None,
                    password=self._password.get_secret_value() if self._password and web else None,
                    ssh_command=ssh_command,
                    quiet=True,
                )
                result = client.get_refs(path.encode())
        except Exception as error:
            known = translate(error, url)
            if known is None:
                raise
            raise known from error
        finally:
            if pool is not None:
                pool.clear()
        found = {name.decode(): sha.decode() for name, sha in result.refs.items() if sha and not sha.startswith(SYMREF)}
        for name, target in result.symrefs.items():
            if target.decode() in found:
                found.setdefault(name.decode(), found[target.decode()])
        return found


# The first row whose exceptions match.
_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], type[PlumblineError], str], ...] = (
    ((HTTPUnauthorized, HTTPProxyUnauthorized), Denied, "The repository {} wants other credentials."),
    ((NotGitRepository,), NotFound, "There is no git repository at {}."),
    ((StrangeHostname, ValueError), InvalidInput, "{} is no address of a git repository."),
    (
        (GitProtocolError, HangupException, urllib3.exceptions.HTTPError, OSError),
        Unavailable,
        "The repository {} does not answer.",
    ),
)


def translate(error: Exception, url: str) -> PlumblineError | None:
    """The error an exception of dulwich or urllib3 stands for; None for what is not theirs."""
    where, detail = shown(url), f"{type(error).__name__}: {error}"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Misconfigured(f"The TLS certificate of {where} is not trusted.", detail=detail)
    answered = _STATUS.search(str(error))
    if isinstance(error, GitProtocolError) and answered:
        return error_for(int(answered.group(1)), f"The repository {where} cannot be read.", detail=detail)
    for kinds, kind, summary in _TRANSLATIONS:
        if isinstance(error, kinds):
            return kind(summary.format(where), detail=detail)
    return None


def shown(url: str) -> str:
    """A URL without credentials."""
    parts = urlsplit(url)
    if parts.scheme and "@" in parts.netloc:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url
