"""What a git remote holds at a revision. The blocking parts run in threads."""

from __future__ import annotations

import asyncio
import hashlib
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import urllib3.exceptions
from dulwich.client import HTTPUnauthorized, LocalGitClient, get_transport_and_path
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, NotTreeError
from dulwich.object_store import iter_tree_contents, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.repo import Repo

T = TypeVar("T")
COMMIT = re.compile(r"[0-9a-f]{40}")
TIMEOUT = 10.0
ERRORS = (
    GitProtocolError,
    HangupException,
    HTTPUnauthorized,
    NotGitRepository,
    urllib3.exceptions.HTTPError,
    OSError,
    KeyError,
    ValueError,
)


class GitError(Exception):
    """The repository did not give what was asked for; the text says why, without credentials."""


@dataclass(frozen=True)
class Credentials:
    """For a repository that wants some."""

    username: str | None = None
    password: str | None = None


class Git:
    """Bare copies of remotes in a folder, fetched when a revision moves.

    Args:
        folder: of the copies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, asyncio.Lock] = {}

    async def resolve(self, url: str, revision: str, credentials: Credentials) -> str:
        """The commit a branch, tag or HEAD stands for now.

        Raises:
            GitError: no answer, no access, no such revision.
        """
        if COMMIT.fullmatch(revision):
            return revision
        return await self._run(url, lambda: _resolve(url, revision, credentials))

    async def files(self, url: str, commit: str, path: str, credentials: Credentials) -> dict[str, bytes]:
        """The files under `path` at a commit, by their path below it.

        Raises:
            GitError: no such commit or no such path.
        """
        copy = self._folder / hashlib.sha256(url.encode()).hexdigest()[:16]
        return await self._run(url, lambda: _files(copy, url, commit, path, credentials))

    async def _run(self, url: str, work: Callable[[], T]) -> T:
        async with self._locks.setdefault(url, asyncio.Lock()):
            try:
                async with asyncio.timeout(TIMEOUT * 3):
                    return await asyncio.to_thread(work)
            except TimeoutError as error:
                raise GitError(f"{url} does not answer") from error
            except ERRORS as error:
                raise GitError(f"{url}: {error}") from error


def _resolve(url: str, revision: str, credentials: Credentials) -> str:
    client, path = _transport(url, credentials)
    refs = client.get_refs(path.encode()).refs
    wanted = revision or "HEAD"
    for name in (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}^{{}}", f"refs/tags/{wanted}"):
        found = refs.get(name.encode())
        if found is not None:
            return str(found.decode())
    raise GitError(f"unable to resolve '{revision}' to a commit SHA")


def _files(copy: Path, url: str, commit: str, path: str, credentials: Credentials) -> dict[str, bytes]:
    copy.mkdir(parents=True, exist_ok=True)
    with Repo(str(copy)) if (copy / "objects").is_dir() else Repo.init_bare(str(copy)) as repository:
        sha = ObjectID(commit.encode())
        if sha not in repository.object_store:
            client, remote = _transport(url, credentials)
            client.fetch(remote.encode(), repository, determine_wants=lambda refs, depth=None: _wants(refs, sha))
        if sha not in repository.object_store:
            raise GitError(f"commit {commit} is not in {url}")
        found = repository[sha]
        if not isinstance(found, Commit):
            raise GitError(f"{commit} is no commit")
        entries = iter_tree_contents(repository.object_store, _descend(repository, found.tree, path))
        blobs = {entry.path.decode(): repository[entry.sha] for entry in entries if stat.S_ISREG(entry.mode)}
        return {name: blob.data for name, blob in blobs.items() if isinstance(blob, Blob)}


def _wants(refs: dict[bytes, bytes], commit: bytes) -> list[bytes]:
    """All branch and tag tips: the commit is an ancestor of one, and servers refuse bare commits."""
    tips = [
        sha
        for name, sha in refs.items()
        if name.startswith((b"refs/heads/", b"refs/tags/")) and not name.endswith(b"^{}")
    ]
    return [commit] if commit in tips else list(dict.fromkeys(tips))


def _descend(repository: Repo, root: ObjectID, path: str) -> ObjectID:
    parts = PurePosixPath(path or ".").parts
    if ".." in parts:
        raise GitError(f"{path}: app path is outside the repository")
    try:
        tree = tree_lookup_path(repository.get_object, root, "/".join(parts).encode())[1] if parts else root
    except (KeyError, NotTreeError) as error:
        raise GitError(f"{path}: app path does not exist") from error
    if not isinstance(repository[tree], Tree):
        raise GitError(f"{path}: app path is not a directory")
    return tree


def _transport(url: str, credentials: Credentials) -> tuple[Any, str]:
    pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False, headers={"User-Agent": "plumbline-sandbox/controllers"})
    client, path = (
        get_transport_and_path(url, username=credentials.username, password=credentials.password, pool_manager=pool)
        if url.startswith("http")
        else get_transport_and_path(url)
    )
    if isinstance(client, LocalGitClient) and not Path(path).is_dir():
        raise GitError(f"{url} is no repository")
    return client, path
