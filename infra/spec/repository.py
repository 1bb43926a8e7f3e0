"""The repository of environments, read at an exact commit: `environments/<name>.yaml`.

What git says at one commit cannot change, so that a whole look at a fleet uses one `Snapshot`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dulwich.errors import NotTreeError
from dulwich.object_store import tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from infra.clients.errors import InvalidInput, NotFound, Unavailable
from infra.settings import Settings, get_settings
from infra.spec.check import parse_text
from infra.spec.context import Rules
from infra.spec.document import SIZE_MAX
from infra.spec.fields import ENVIRONMENT_NAME_MAX, name_problem
from infra.spec.mirror import Mirror, local_path, open_local
from infra.spec.models import Environment
from infra.spec.problems import InvalidDeclaration, Problem, show, suggest
from infra.spec.urls import revision_problem

FOLDER = "environments"
SUFFIX = ".yaml"
_NAME_ANOTHER = "Name a commit that a branch or tag holds; or none, and the newest of the branch is read."

log = logging.getLogger(__name__)


def check_name(name: str) -> str | None:
    """Say in a sentence why `name` cannot be an environment's name; None when it can."""
    problem = name_problem(name, ENVIRONMENT_NAME_MAX, starts_with_letter=True)
    return f"The environment's name {problem[0]}; {problem[1]}." if problem else None


def check_commit(commit: str) -> str | None:
    """Say in a sentence why `commit` cannot be a commit's id; None when it can (all 40 digits, or 7 and more)."""
    if re.fullmatch(r"[0-9a-f]{7,40}", commit):
        return None
    return f"The commit {show(commit)} is not a commit's id; write 7 to 40 of its hexadecimal digits, in lower case."


class Undeclared(NotFound):
    """There is no such environment at the commit that was read."""


@dataclass(frozen=True, slots=True)
class LoadedEnvironment:
    """An environment, and where exactly it was declared."""

    environment: Environment
    commit: str
    """All 40 digits."""
    path: str
    """The file's path in the repository."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The repository of environments at one commit."""

    repository: str
    commit: str
    files: dict[str, bytes | Problem]
    """Content by environment name, or why it cannot be read."""
    rules: Rules
    others: tuple[str, ...] = ()
    """What else lies in the folder."""

    @property
    def names(self) -> list[str]:
        """The names of all declared environments, whether their files are valid or not."""
        return sorted(self.files)

    def load(self, name: str) -> LoadedEnvironment:
        """Read one environment.

        Raises:
            InvalidInput: the name cannot be one, or the file is not valid (`InvalidDeclaration`, with every problem).
            Undeclared: no such file at this commit.
        """
        if sentence := check_name(name):
            raise InvalidInput(sentence)
        path = f"{FOLDER}/{name}{SUFFIX}"
        if name not in self.files:
            raise Undeclared(f"There is no {path} at commit {self.commit[:12]}.", hint=self._hint(name))
        content, what = self.files[name], f"{path} at commit {self.commit[:12]}"
        if isinstance(content, Problem):
            raise InvalidDeclaration(what, [content])
        environment = parse_text(content, what=what, rules=self.rules, name=name)
        return LoadedEnvironment(environment, self.commit, path)

    def _hint(self, name: str) -> str:
        if f"{name}.yml" in self.others:
            return f"There is {FOLDER}/{name}.yml: rename it to {name}{SUFFIX}."
        if not self.files:
            return f"No environment is declared there: {FOLDER}/ has no {SUFFIX} file."
        text = suggest(name, self.names, "declared")
        return text[0].upper() + text[1:] + ("" if text.endswith("?") else ".")


def snapshot(
    repository: str, revision: str, *, rules: Rules | None = None, settings: Settings | None = None
) -> Snapshot:
    """Read all declarations at a revision.

    Args:
        repository: a path, file://, https:// or ssh:// (http:// on this machine only).
        revision: a branch, a tag, or a commit (40 digits, or 7 and more).
        rules: what declarations are checked against; the site's bounds, without the catalogue, when left out.
        settings: where mirrors are kept, and how long a fetch may take (request_timeout).

    Raises:
        InvalidInput: the revision cannot be one.
        NotFound, Misconfigured, Denied: the repository or the revision is not there for us.
        Unavailable: the network is down or slow; try again.
    """
    settings = settings or get_settings()
    if problem := revision_problem(revision):
        raise InvalidInput(f"The revision {problem[0]}; {problem[1]}.")
    with _opened(repository, revision, settings) as repo:
        commit = _resolve(repo, revision)
        files, others = _files(repo, commit)
        return Snapshot(repository, commit.id.decode(), files, rules or Rules.of(settings), others)


def load(
    repository: str, name: str, revision: str, *, rules: Rules | None = None, settings: Settings | None = None
) -> LoadedEnvironment:
    """Read one environment at a revision; arguments and errors as for `snapshot` and `Snapshot.load`."""
    if sentence := check_name(name):
        raise InvalidInput(sentence)
    return snapshot(repository, revision, rules=rules, settings=settings).load(name)


def list_names(repository: str, revision: str, *, settings: Settings | None = None) -> list[str]:
    """The names of all environments declared at a revision, sorted; errors as for `snapshot`."""
    return snapshot(repository, revision, settings=settings).names


async def load_async(
    repository: str, name: str, revision: str, *, rules: Rules | None = None, settings: Settings | None = None
) -> LoadedEnvironment:
    """`load` in a thread."""
    return await asyncio.to_thread(load, repository, name, revision, rules=rules, settings=settings)


async def snapshot_async(
    repository: str, revision: str, *, rules: Rules | None = None, settings: Settings | None = None
) -> Snapshot:
    """`snapshot` in a thread."""
    return await asyncio.to_thread(snapshot, repository, revision, rules=rules, settings=settings)


async def list_names_async(repository: str, revision: str, *, settings: Settings | None = None) -> list[str]:
    """`list_names` in a thread."""
    return await asyncio.to_thread(list_names, repository, revision, settings=settings)


@contextmanager
def _opened(repository: str, revision: str, settings: Settings) -> Iterator[Repo]:
    """Open the repository; a remote one through its mirror."""
    path = local_path(repository)
    repo = open_local(path) if path is not None else _mirrored(repository, revision, settings)
    try:
        yield repo
    finally:
        repo.close()


def _mirrored(repository: str, revision: str, settings: Settings) -> Repo:
    """The mirror of a remote repository, fetched also for a commit: whether a branch still holds it is asked there.

    What a commit says cannot change, so one that was fetched before is read where the remote does not answer.
    """
    mirror = Mirror(repository, settings.state_dir / "git", settings.request_timeout)
    repo = mirror.open()
    try:
        mirror.fetch(repo)
    except BaseException as error:
        kept = re.fullmatch(r"[0-9a-f]{40}", revision) and ObjectID(revision.encode()) in repo.object_store
        if not (kept and isinstance(error, Unavailable)):
            repo.close()
            raise
        log.warning("%s Commit %s was fetched before, and is read from the mirror.", error, revision[:12])
    return repo


def _resolve(repo: Repo, revision: str) -> Commit:
    """Find the commit a revision names: a full id, a branch, a tag, HEAD, or an id's beginning."""
    name = revision.encode()
    refs = repo.get_refs()
    for ref in (name, b"refs/heads/" + name, b"refs/tags/" + name):
        if (ref == b"HEAD" or ref.startswith(b"refs/")) and Ref(ref) in refs:
            return _commit(repo, refs[Ref(ref)], revision)
    if check_commit(revision) is None:
        return _held(repo, _identified(repo, revision))
    known = {ref.removeprefix(b"refs/heads/").removeprefix(b"refs/tags/").decode("utf-8", "replace") for ref in refs}
    names = known - {"HEAD"}
    hint = suggest(revision, names, "there is") if names else "The repository is empty."
    raise NotFound(f"The environments repository has no revision {show(revision)}.", hint=hint)


def _identified(repo: Repo, revision: str) -> Commit:
    """Find a commit by its id, or by the beginning of it."""
    matches = set(repo.object_store.iter_prefix(revision.encode()))
    commits = [found for found in map(repo.__getitem__, matches) if isinstance(found, Commit)]
    if len(commits) > 1:
        raise InvalidInput(f"The commit {revision} could be any of {len(commits)}; write more of its digits.")
    if not commits:
        raise NotFound(f"The environments repository has no commit {revision[:12]}.", hint=_NAME_ANOTHER)
    return commits[0]


def _held(repo: Repo, commit: Commit) -> Commit:
    """Refuse a commit that is only still stored: once history is rewritten, nobody declares what it says."""
    stored = [sha for sha in repo.get_refs().values() if sha in repo.object_store]
    peeled = [repo.object_store.peel(sha)[1] for sha in stored]
    tips = [found.id for found in peeled if isinstance(found, Commit)]
    if any(entry.commit.id == commit.id for entry in repo.get_walker(tips)):
        return commit
    digits = commit.id.decode()[:12]
    raise NotFound(
        f"No branch or tag of the environments repository holds commit {digits} any more: its history was rewritten.",
        hint=_NAME_ANOTHER,
    )


def _commit(repo: Repo, sha: ObjectID, revision: str) -> Commit:
    """Follow annotated tags to their commit."""
    found = repo[sha]
    for _ in range(10):
        if not isinstance(found, Tag):
            break
        found = repo[found.object[1]]
    if not isinstance(found, Commit):
        raise InvalidInput(f"The revision {show(revision)} is not a commit.")
    return found


def _files(repo: Repo, commit: Commit) -> tuple[dict[str, bytes | Problem], tuple[str, ...]]:
    """The contents of `environments/*.yaml`, and the names of what else lies there."""
    try:
        _, sha = tree_lookup_path(repo.__getitem__, commit.tree, FOLDER.encode())
        folder = repo[sha]
    except (KeyError, NotTreeError):
        return {}, ()
    files: dict[str, bytes | Problem] = {}
    others = []
    for entry in folder.items() if isinstance(folder, Tree) else ():
        name = entry.path.decode("utf-8", "replace")
        if name.endswith(SUFFIX):
            files[name.removesuffix(SUFFIX)] = _content(repo, entry.sha, entry.mode)
        else:
            others.append(name)
    return files, tuple(others)


def _content(repo: Repo, sha: ObjectID, mode: int) -> bytes | Problem:
    """Read one file; a link, a folder or a submodule is not followed, and a huge one not read."""
    blob = repo[sha] if stat.S_ISREG(mode) else None
    if not isinstance(blob, Blob):
        return Problem("(document)", "is not a plain file", "declare the environment in the file itself")
    if blob.raw_length() > SIZE_MAX:
        return Problem("(document)", f"has {blob.raw_length()} bytes", f"keep it under {SIZE_MAX} bytes")
    return blob.data
