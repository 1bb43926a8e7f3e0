"""The sandbox's git repositories: bare, branch main, seeded once from folders of the checkout."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.objects import Blob, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

AUTHOR = b"Plumbline sandbox <sandbox@sandbox.example>"
MAIN = Ref(b"refs/heads/main")
FILE_MODE = 0o100644


def seed(path: Path, files: Mapping[str, bytes], message: str) -> bool:
    """Make a bare repository with one commit of `files`; one that is there is left alone.

    Args:
        path: folder of the repository.
        files: content by path within it.

    Returns:
        Whether it was made.
    """
    if path.exists():
        return False
    # Whole or not at all: a half-made repository would never be seeded again.
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with Repo.init_bare(str(unfinished), mkdir=True, default_branch=b"main") as repository:
            entries: list[tuple[bytes, ObjectID, int]] = []
            for name, content in sorted(files.items()):
                blob = Blob.from_string(content)
                repository.object_store.add_object(blob)
                entries.append((name.encode(), blob.id, FILE_MODE))
            repository.get_worktree().commit(
                message.encode(),
                committer=AUTHOR,
                author=AUTHOR,
                tree=commit_tree(repository.object_store, entries),
                ref=MAIN,
            )
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def folder_files(folder: Path) -> dict[str, bytes]:
    """All files under a folder, by relative path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }
