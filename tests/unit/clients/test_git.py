"""Revisions of real repositories, and remotes that say no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dulwich.porcelain import branch_create, commit, init, tag_create
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from infra.clients.errors import Denied, InvalidInput, NotFound, Unavailable
from infra.clients.git import GitClient, shown


@pytest.fixture
def repository(tmp_path: Path) -> tuple[str, str]:
    folder = tmp_path / "repo"
    repo = init(folder)
    sha = commit(repo, b"first", author=b"a <a@example.org>", committer=b"a <a@example.org>").decode()
    branch_create(repo, "dev")
    tag_create(repo, "v1", author=b"a <a@example.org>", message=b"one", annotated=True)
    repo.close()
    return str(folder), sha


async def test_branches_tags_head_and_commits(repository: tuple[str, str], settings: Any) -> None:
    url, sha = repository
    client = GitClient(settings)
    assert [await client.head(url, name) for name in ("dev", "HEAD", "refs/heads/dev")] == [sha] * 3
    assert await client.head("https://nobody.example/x.git", "a" * 40) == "a" * 40
    with pytest.raises(NotFound, match="Branches: dev"):
        await client.head(url, "nope")
    client.close()


async def test_remotes_that_say_no(httpserver: HTTPServer, settings: Any, clock: Any, tmp_path: Path) -> None:
    client = GitClient(settings, username="u", password=SecretStr("s3cr3t"), clock=clock)
    for status, kind in ((401, Denied), (403, Denied), (404, NotFound), (503, Unavailable)):
        httpserver.expect_request(f"/{status}.git/info/refs").respond_with_data("no", status=status)
        with pytest.raises(kind) as caught:
            await client.head(httpserver.url_for(f"/{status}.git"), "main")
        assert "s3cr3t" not in str(caught.value)
    with pytest.raises(NotFound, match="no git repository"):
        await client.head(str(tmp_path / "nothing"), "main")
    with pytest.raises(InvalidInput):
        await client.head("nonsense://x/y", "main")
    with pytest.raises(Unavailable):
        await client.head("http://127.0.0.1:9/x.git", "main")
    client.close()


def test_urls_are_shown_without_credentials() -> None:
    assert shown("https://u:p@git.example.org/x.git") == "https://git.example.org/x.git"
    assert shown("git@git.example.org:x.git") == "git@git.example.org:x.git"


def test_ssh_has_the_key_that_was_given_and_no_other(settings: Any) -> None:
    client = GitClient(settings, private_key=SecretStr("-----KEY-----"))
    with client._ssh() as command:
        assert "IdentitiesOnly=yes" in command
        key = Path(command.split(" -i ")[1])
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.read_text() == "-----KEY-----\n", "a key without its final newline is none to ssh"
    assert not key.exists()
    client.close()
