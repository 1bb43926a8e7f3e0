"""Reading environments from git: where they are, at which commit, and what is said when they are not there."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from dulwich.object_store import tree_lookup_path
from dulwich.objects import Commit, ObjectID, Tag
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import BackendRepo, DictBackend
from dulwich.web import make_wsgi_chain

from infra.clients.errors import Denied, InvalidInput, Misconfigured, NotFound, PlumblineError, Unavailable
from infra.settings import Settings
from infra.spec import repository
from infra.spec.problems import InvalidDeclaration
from infra.spec.repository import check_commit, check_name, list_names, load, load_async, snapshot

Write = Callable[..., str]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", request_timeout=5)


@pytest.fixture
def bare(tmp_path: Path, commit: Write, document: dict[str, Any], yaml_of: Callable[..., bytes]) -> Path:
    """A repository with dev and staging on main, and only dev on the branch `old`."""
    path = tmp_path / "environments.git"
    dev = yaml_of(document)
    staging = dev.replace(b"name: dev\n", b"name: staging\n")
    commit(path, {"environments/dev.yaml": dev}, branch="old")
    commit(path, {"environments/dev.yaml": dev, "environments/staging.yaml": staging, "README.md": b"hello"})
    return path


def head(path: Path, branch: str = "main") -> str:
    with Repo(str(path)) as repo:
        return repo.refs[Ref(b"refs/heads/" + branch.encode())].decode()


def declared(path: Path, name: str) -> bytes:
    """The content of a declaration at the head."""
    with Repo(str(path)) as repo:
        commit = repo[repo.head()]
        assert isinstance(commit, Commit)
        _, sha = tree_lookup_path(repo.__getitem__, commit.tree, f"environments/{name}.yaml".encode())
        return repo[sha].as_raw_string()


def test_reads_an_environment_at_a_branch_and_says_the_commit(bare: Path, settings: Settings) -> None:
    for where in (str(bare), f"file://{bare}"):
        loaded = load(where, "dev", "main", settings=settings)
        assert (loaded.environment.name, loaded.path) == ("dev", "environments/dev.yaml")
        assert loaded.commit == head(bare)
    assert list_names(str(bare), "main", settings=settings) == ["dev", "staging"]
    assert list_names(str(bare), "old", settings=settings) == ["dev"]


async def test_reads_in_a_thread(bare: Path, settings: Settings) -> None:
    assert (await load_async(str(bare), "dev", "main", settings=settings)).commit == head(bare)
    assert await repository.list_names_async(str(bare), "main", settings=settings) == ["dev", "staging"]
    assert (await repository.snapshot_async(str(bare), "old", settings=settings)).names == ["dev"]


def test_a_commit_stays_what_it_was(bare: Path, settings: Settings, commit: Write) -> None:
    before = head(bare)
    commit(bare, {"environments/other.yaml": b"x"})
    assert head(bare) != before
    assert load(str(bare), "dev", before, settings=settings).commit == before
    assert load(str(bare), "dev", before[:9], settings=settings).commit == before
    with pytest.raises(NotFound):
        load(str(bare), "dev", "main", settings=settings)


def test_head_full_refs_and_annotated_tags(bare: Path, settings: Settings) -> None:
    with Repo(str(bare)) as repo:
        tag = Tag()
        tag.name, tag.object, tag.tagger = b"v1", (type(repo[repo.head()]), repo.head()), b"Ops <o@example.org>"
        tag.message, tag.tag_time, tag.tag_timezone = b"one", 1_700_000_000, 0
        repo.object_store.add_object(tag)
        repo.refs[Ref(b"refs/tags/v1")] = tag.id
    for revision in ("HEAD", "refs/heads/main", "v1", "refs/tags/v1"):
        assert load(str(bare), "dev", revision, settings=settings).commit == head(bare)


def test_a_work_tree_is_read_at_its_commit_not_at_its_files(tmp_path: Path, settings: Settings, bare: Path) -> None:
    with Repo(str(bare)) as source:
        source.clone(str(tmp_path / "tree"), mkdir=True, checkout=True).close()
    (tmp_path / "tree/environments/dev.yaml").write_text("broken: [")
    assert load(str(tmp_path / "tree"), "dev", "main", settings=settings).environment.name == "dev"


@pytest.mark.parametrize(
    ("name", "revision", "kind", "words"),
    [
        ("stagin", "main", NotFound, "Did you mean staging?"),
        ("prod", "main", NotFound, "Declared: dev, staging."),
        ("dev", "mian", NotFound, "did you mean main?"),
        ("dev", "0" * 40, NotFound, "The environments repository has no commit 000000000000. Name a commit"),
        ("dev", "0" * 7, NotFound, "has no commit 0000000."),
        ("Dev", "main", InvalidInput, "lower-case letters"),
        ("../dev", "main", InvalidInput, "lower-case letters"),
        ("dev", "a..b", InvalidInput, "not a git revision"),
        ("dev", "--upload-pack=x", InvalidInput, "not a git revision"),
        ("dev", "", InvalidInput, "is empty"),
    ],
)
def test_says_what_is_not_there(
    bare: Path, settings: Settings, name: str, revision: str, kind: type[PlumblineError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        load(str(bare), name, revision, settings=settings)
    assert words in str(caught.value)


def test_says_what_is_no_repository(tmp_path: Path, settings: Settings, commit: Write) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        load(str(tmp_path / "nowhere.git"), "dev", "main", settings=settings)
    with pytest.raises(Misconfigured, match="not a git repository"):
        load(str(tmp_path), "dev", "main", settings=settings)
    Repo.init_bare(str(tmp_path / "empty.git"), mkdir=True).close()
    with pytest.raises(NotFound, match="is empty"):
        load(str(tmp_path / "empty.git"), "dev", "main", settings=settings)
    commit(tmp_path / "plain.git", {"environments": b"a file"})
    with pytest.raises(NotFound, match="No environment is declared"):
        load(str(tmp_path / "plain.git"), "dev", "main", settings=settings)
    commit(tmp_path / "yml.git", {"environments/dev.yml": b"x"})
    with pytest.raises(NotFound, match=r"rename it to dev\.yaml"):
        load(str(tmp_path / "yml.git"), "dev", "main", settings=settings)


def test_one_bad_file_does_not_hide_the_others(bare: Path, tmp_path: Path, settings: Settings, commit: Write) -> None:
    dev = declared(bare, "dev")
    path = tmp_path / "mixed.git"
    commit(
        path, {"environments/dev.yaml": dev, "environments/bad.yaml": b"a: [", "environments/big.yaml": b"#" * 300_000}
    )
    shot = snapshot(str(path), "main", settings=settings)
    assert shot.names == ["bad", "big", "dev"]
    assert shot.load("dev").environment.name == "dev"
    for name in ("bad", "big"):
        with pytest.raises(InvalidDeclaration, match=f"environments/{name}.yaml at commit {shot.commit[:12]}"):
            shot.load(name)


def test_a_link_is_not_followed(tmp_path: Path, settings: Settings, commit: Write) -> None:
    commit(tmp_path / "link.git", {"environments/dev.yaml": b"/etc/passwd"}, mode=0o120000)
    with pytest.raises(InvalidDeclaration, match="not a plain file"):
        load(str(tmp_path / "link.git"), "dev", "main", settings=settings)


def test_a_file_under_another_name_is_refused(bare: Path, settings: Settings, commit: Write, tmp_path: Path) -> None:
    commit(tmp_path / "named.git", {"environments/prod.yaml": declared(bare, "dev")})
    with pytest.raises(InvalidDeclaration) as caught:
        load(str(tmp_path / "named.git"), "prod", "main", settings=settings)
    assert [p.path for p in caught.value.problems] == ["metadata.name"]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Web:
    def __init__(self, bare: Path) -> None:
        self.requests = 0
        self.status: str | None = None
        self._repo = Repo(str(bare))
        repositories: dict[str, BackendRepo] = {"/environments.git": self._repo}
        app = make_wsgi_chain(DictBackend(repositories))

        def counted(environ: dict[str, Any], start_response: Any) -> Any:
            self.requests += 1
            if self.status:
                start_response(self.status, [("Content-Type", "text/plain")])
                return [b"no"]
            return app(environ, start_response)

        self._server = make_server("127.0.0.1", 0, counted, handler_class=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}/environments.git"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._repo.close()


@pytest.fixture
def web(bare: Path) -> Iterator[_Web]:
    """The repository over smart HTTP."""
    server = _Web(bare)
    yield server
    server.close()


def test_reads_over_http_through_a_private_mirror(web: _Web, bare: Path, settings: Settings, commit: Write) -> None:
    first = load(web.url, "dev", "main", settings=settings)
    assert first.commit == head(bare)
    mirrors = settings.state_dir / "git"
    assert stat.S_IMODE(mirrors.stat().st_mode) == 0o700
    packs = [*mirrors.rglob("objects/pack/*")]
    assert packs and {stat.S_IMODE(pack.stat().st_mode) for pack in packs} == {0o400}
    second = commit(bare, {"environments/staging.yaml": declared(bare, "staging")})
    assert snapshot(web.url, "main", settings=settings).commit == second, "a branch is fetched anew"
    assert load(web.url, "dev", first.commit, settings=settings).commit == first.commit


def test_a_commit_that_was_fetched_before_is_read_while_the_remote_is_away(
    web: _Web, bare: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    known = load(web.url, "dev", "main", settings=settings).commit
    web.status = "503 Service Unavailable"
    assert load(web.url, "dev", known, settings=settings).commit == known
    assert f"Commit {known[:12]} was fetched before, and is read from the mirror." in caplog.text
    for revision in ("main", known[:12], "0" * 40):
        with pytest.raises(Unavailable):
            load(web.url, "dev", revision, settings=settings)
    web.status = "403 Forbidden"
    with pytest.raises(Denied):
        load(web.url, "dev", known, settings=settings)


def moved_back(bare: Path) -> str:
    """Let main forget its newest commit; returns that."""
    lost = head(bare)
    with Repo(str(bare)) as repo:
        repo.refs[Ref(b"refs/heads/main")] = repo.refs[Ref(b"refs/heads/old")]
    return lost


def test_a_commit_that_no_branch_holds_any_more_is_refused(web: _Web, bare: Path, settings: Settings) -> None:
    list_names(web.url, "main", settings=settings)
    lost = moved_back(bare)
    for where in (str(bare), web.url):
        for revision in (lost, lost[:9]):
            with pytest.raises(NotFound) as caught:
                load(where, "staging", revision, settings=settings)
            said = f"No branch or tag of the environments repository holds commit {lost[:12]} any more"
            assert caught.value.summary == f"{said}: its history was rewritten."
            assert caught.value.hint is not None and caught.value.hint.startswith("Name a commit that a branch")
    with Repo(str(bare)) as repo:
        repo.refs[Ref(b"refs/tags/kept")] = ObjectID(lost.encode())
    for where in (str(bare), web.url):
        assert load(where, "staging", lost, settings=settings).commit == lost


def test_an_older_commit_of_a_branch_is_held_by_it(bare: Path, settings: Settings, commit: Write) -> None:
    first = head(bare)
    for number in range(3):
        commit(bare, {"environments/other.yaml": str(number).encode()})
    with Repo(str(bare)) as repo:
        repo.refs[Ref(b"refs/heads/broken")] = ObjectID(b"1" * 40)
    assert load(str(bare), "dev", first, settings=settings).commit == first


def test_a_branch_deleted_or_moved_back_at_the_remote_is_so_in_the_mirror(
    web: _Web, bare: Path, settings: Settings
) -> None:
    assert list_names(web.url, "old", settings=settings) == ["dev"]
    with Repo(str(bare)) as repo:
        repo.refs[Ref(b"refs/heads/main")] = repo.refs[Ref(b"refs/heads/old")]
        del repo.refs[Ref(b"refs/heads/old")]
    assert list_names(web.url, "main", settings=settings) == ["dev"]
    with pytest.raises(NotFound, match="no revision"):
        list_names(web.url, "old", settings=settings)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("404 Not Found", NotFound),
        ("401 Unauthorized", Denied),
        ("403 Forbidden", Denied),
        ("503 Service Unavailable", Unavailable),
        ("500 Oh", Unavailable),
    ],
)
def test_tells_the_answers_of_a_server_apart(
    web: _Web, settings: Settings, status: str, kind: type[PlumblineError]
) -> None:
    web.status = status
    with pytest.raises(kind):
        load(web.url, "dev", "main", settings=settings)


def test_a_network_that_is_down_or_silent_is_temporary(settings: Settings) -> None:
    with socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Unavailable, match="Could not fetch"):
            load(f"http://127.0.0.1:{port}/e.git", "dev", "main", settings=settings)
        unused.listen()
        quick = settings.model_copy(update={"request_timeout": 0.5})
        start = time.monotonic()
        with pytest.raises(Unavailable):
            load(f"http://127.0.0.1:{port}/e.git", "dev", "main", settings=quick)
        assert time.monotonic() - start < 4


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program named ssh before the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def script(body: str) -> None:
        (folder / "ssh").write_text(f"#!/bin/sh\n{body}\n")
        (folder / "ssh").chmod(0o755)

    return script


def test_reads_over_ssh(ssh: Callable[[str], None], bare: Path, settings: Settings, tmp_path: Path) -> None:
    serve = Path(sys.executable).with_name("dul-upload-pack")
    ssh(f'echo "$@" > {tmp_path}/args; exec {serve} {bare}')
    loaded = load(f"ssh://git@git.example.org:2222{bare}", "dev", "main", settings=settings)
    assert loaded.commit == head(bare)
    arguments = (tmp_path / "args").read_text()
    assert "BatchMode=yes" in arguments and "-p 2222" in arguments and "git@git.example.org" in arguments


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("git@git.example.org: Permission denied (publickey).", Denied),
        ("Host key verification failed.", Misconfigured),
        ("ssh: connect to host git.example.org port 22: Connection refused", Unavailable),
        ("fatal: '/e.git' does not appear to be a git repository", NotFound),
    ],
)
def test_understands_what_ssh_says(
    ssh: Callable[[str], None], settings: Settings, words: str, kind: type[PlumblineError]
) -> None:
    ssh(f'echo "{words}" >&2; exit 255')
    with pytest.raises(kind):
        load("ssh://git@git.example.org/e.git", "dev", "main", settings=settings)


def test_ends_an_ssh_that_hangs(ssh: Callable[[str], None], settings: Settings, tmp_path: Path) -> None:
    ssh(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    quick = settings.model_copy(update={"request_timeout": 0.5})
    start = time.monotonic()
    with pytest.raises(Unavailable, match=r"longer than 0\.5 s"):
        load("ssh://git.example.org/e.git", "dev", "main", settings=quick)
    assert time.monotonic() - start < 4
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example.org/e.git",
        "git://git.example.org/e.git",
        "https://user:hunter2secret@git.example.org/e.git",
        "https://ghp_0123456789abcdefghijklmnopqrstuvwxyz@github.com/a/b.git",
        "git@github.com:example/environments.git",
    ],
)
def test_refuses_urls_that_are_not_safe_and_never_quotes_a_secret(settings: Settings, url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(url, "dev", "main", settings=settings)
    assert "hunter2" not in str(caught.value) and "ghp_" not in str(caught.value)


def test_two_readers_of_one_new_mirror_take_turns(web: _Web, settings: Settings) -> None:
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(load(web.url, "dev", "main", settings=settings).commit))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and len(set(results)) == 1


def test_checks_parameters_in_sentences() -> None:
    assert check_name("dev-2") is None and check_commit("0123abc") is None and check_commit("a" * 40) is None
    assert check_name("2dev") and "beginning with a letter" in str(check_name("2dev"))
    assert "at most 30" in str(check_name("a" * 31))
    for bad in ("main", "0123ab", "A" * 40, "a" * 41, "", "0123abc\n"):
        assert "hexadecimal" in str(check_commit(bad))
