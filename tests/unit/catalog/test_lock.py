"""The lock of chart digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from infra.catalog import Chart, Lock, digest, verify
from infra.catalog.lock import COMMAND, SANDBOX, is_local, source_keys
from infra.clients.errors import Misconfigured, Refused

CHART = Chart(repository="https://charts.example.org/", name="thing", version="1.2.3")
UPSTREAM = ("https://charts.example.org", "thing", "1.2.3")
LOOPBACK = "http://127.0.0.1:15008"
MIRROR = "https://mirror.example.org/charts/"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / CHART.filename
    path.write_bytes(b"chart")
    return path


def test_the_locked_bytes_pass(packed: Path) -> None:
    lock = Lock({UPSTREAM: sha(b"chart")})
    verify(packed, CHART, lock=lock)
    assert digest(packed) == sha(b"chart")


def test_what_is_not_locked_is_refused_with_the_command(packed: Path) -> None:
    with pytest.raises(Refused, match=r"thing 1\.2\.3 .* is not in the chart lock") as caught:
        verify(packed, CHART, lock=Lock())
    assert COMMAND in str(caught.value)
    with pytest.raises(Refused) as caught:
        verify(packed, CHART, lock=Lock(), mirror=LOOPBACK)
    assert f"{COMMAND} --mirror {LOOPBACK}" in str(caught.value)


def test_other_bytes_are_refused(packed: Path) -> None:
    lock = Lock({UPSTREAM: sha(b"chart")})
    packed.write_bytes(b"other")
    with pytest.raises(Refused, match="is not the one that was locked"):
        verify(packed, CHART, lock=lock)


def test_the_sandboxs_digest_is_no_digest_of_upstreams(packed: Path) -> None:
    lock = Lock({(SANDBOX, "thing", "1.2.3"): sha(b"chart")})
    verify(packed, CHART, lock=lock, mirror=LOOPBACK)
    for mirror in (None, MIRROR):
        with pytest.raises(Refused):
            verify(packed, CHART, lock=lock, mirror=mirror)


def test_a_mirror_may_pass_upstreams_bytes_on(packed: Path) -> None:
    verify(packed, CHART, lock=Lock({UPSTREAM: sha(b"chart")}), mirror=MIRROR)
    assert source_keys(CHART, MIRROR) == ("https://mirror.example.org/charts", "https://charts.example.org")
    with pytest.raises(Refused):
        verify(packed, CHART, lock=Lock({UPSTREAM: sha(b"chart")}), mirror=LOOPBACK)


@pytest.mark.parametrize(
    ("mirror", "local"),
    [
        ("http://127.0.53.1:80", True),
        ("http://[::1]:80/x", True),
        ("http://localhost/x", True),
        ("file:///srv/charts", True),
        ("https://charts.example.org", False),
        ("http://10.0.0.1", False),
        ("https://localhost.example.org", False),
    ],
)
def test_only_this_machine_is_the_sandbox(mirror: str, local: bool) -> None:
    assert is_local(mirror) is local


def test_what_is_saved_is_loaded_and_sorted(tmp_path: Path) -> None:
    path = tmp_path / "lock.yaml"
    lock = Lock().with_digest(("b", "x", "1.0.0"), "0" * 64).with_digest(("a", "x", "1.0.0"), "1" * 64)
    lock.save(path)
    assert Lock.load(path) == lock
    text = path.read_text(encoding="utf-8")
    assert text.index("source: a") < text.index("source: b")
    Lock.load(path).save(path)
    assert path.read_text(encoding="utf-8") == text


def test_no_file_is_an_empty_lock(tmp_path: Path) -> None:
    assert Lock.load(tmp_path / "none.yaml") == Lock()


@pytest.mark.parametrize("text", ["a: [", "version: 2\ncharts: []\n", "version: 1\ncharts: [{source: a}]\n", "x"])
def test_a_broken_lock_is_said_to_be_broken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"lock\.yaml cannot be read"):
        Lock.load(path)
