"""The scan itself: what was planted is found, in every form and every place; and nothing else is."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.leaks import Leak, Scanner, Secret, fernet_tokens, forms, open_to_others, pieces, private_keys, unpacked

VALUE = 'pa"ss/wörd+1%\\2'
PLANTED = Secret("planted", VALUE)


def key_pem() -> str:
    key = ec.generate_private_key(ec.SECP521R1())
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def helm_record(text: str) -> bytes:
    return base64.b64encode(base64.b64encode(gzip.compress(text.encode())))


@pytest.mark.parametrize(
    "write",
    [
        str.encode,
        lambda text: json.dumps({"a": [text]}).encode(),
        lambda text: json.dumps({"a": json.dumps({"b": text})}).encode(),
        lambda text: json.dumps({"a": text}, ensure_ascii=False).encode(),
        lambda text: b"https://example.org/?q=" + quote(text, safe="").encode(),
        lambda text: base64.b64encode(b"admin:" + text.encode()),
        lambda text: base64.b64encode(b"user:" + text.encode() + b" and more"),
        lambda text: base64.urlsafe_b64encode(b"u:" + text.encode()),
        lambda text: base64.encodebytes(b"x" * 50 + text.encode() + b"x" * 50),
        lambda text: text.encode().hex().encode(),
        lambda text: gzip.compress(b"xx" + text.encode()),
        lambda text: zlib.compress(b"xx" + text.encode()),
        lambda text: json.dumps({"data": {"release": helm_record("values: " + text).decode()}}).encode(),
    ],
)
def test_a_value_is_found_however_it_was_written(write: Callable[[str], bytes]) -> None:
    scanner = Scanner([PLANTED])
    assert {
        leak.secret for leak in scanner.look(b"before " + write(VALUE), "x") or scanner.look(write(VALUE), "x")
    } == {"planted"}
    assert scanner.look(write("something else"), "x") == set()


@given(
    st.binary(max_size=40),
    st.text(min_size=8, max_size=30).filter(lambda text: len(text.strip()) >= 8),
    st.binary(max_size=9),
)
def test_base64_is_found_at_any_offset(before: bytes, value: str, after: bytes) -> None:
    value = value.strip()
    encoded = base64.b64encode(before + value.encode() + after)
    assert any(data in encoded for name, data in forms(value).items() if name.startswith("base64,"))


@pytest.mark.parametrize(
    "write",
    [
        lambda pem: pem,
        json.dumps,
        lambda pem: "\n".join(f"  | {line}" for line in pem.splitlines()),
        lambda pem: base64.b64encode(pem.encode()).decode(),
        lambda pem: pem.splitlines()[2],
    ],
)
def test_a_key_is_found_by_any_of_its_own_lines(write: Callable[[str], str]) -> None:
    pem, other = key_pem(), key_pem()
    scanner = Scanner([Secret("the key", pem)])
    assert {leak.secret for leak in scanner.look(write(pem).encode(), "x")} == {"the key"}
    assert scanner.look(write(other).encode(), "x") == set()


def test_what_is_too_short_is_not_looked_for() -> None:
    assert pieces("123456\n") == []
    assert Scanner([Secret("short", "123456")]).names == frozenset()


def test_a_private_key_nobody_named_is_recognised_unless_it_is_at_home() -> None:
    scanner = Scanner([], [(private_keys, ("secrets/*",))])
    data = json.dumps({"key": key_pem()}).encode()
    assert scanner.look(data, "x", "log/x") == {Leak("a private key", "x", "by its form")}
    assert scanner.look(data, "x", "secrets/x") == set()
    assert scanner.look(b"-----BEGIN PUBLIC KEY-----\nMFkw", "x") == set()


def test_a_token_is_known_by_the_key_that_made_it() -> None:
    ours, theirs = Fernet.generate_key(), Fernet.generate_key()
    scanner = Scanner([], [(fernet_tokens([theirs, ours], "a token"), ())])
    token = Fernet(ours).encrypt(b"who and until when").rstrip(b"=")
    assert {leak.secret for leak in scanner.look(b'{"X-Auth-Token": "' + token + b'"}', "x")} == {"a token"}
    assert scanner.look(Fernet(Fernet.generate_key()).encrypt(b"another program's"), "x") == set()


def test_damaged_archives_are_looked_at_as_they_are() -> None:
    for data in (b"\x1f\x8b damaged", b"\x78\x9c damaged", b"H4sI" + b"A" * 21):
        assert next(unpacked(data)) == data
        assert Scanner([PLANTED]).look(data, "x") == set()


def test_files_databases_and_their_logs_are_searched_except_a_secrets_own_home(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").write_text(VALUE)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "old.gz").write_bytes(gzip.compress(VALUE.encode()))
    database = sqlite3.connect(tmp_path / "a.sqlite")
    database.execute("CREATE TABLE t (a TEXT, b BLOB, c INTEGER)")
    database.execute("INSERT INTO t VALUES ('fine', ?, 1)", (zlib.compress(VALUE.encode()),))
    database.commit()
    found = Scanner([Secret("planted", VALUE, ("clouds.yaml",))]).files(tmp_path)
    assert {leak.where for leak in found} == {"log/old.gz", "a.sqlite: t"}
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("INSERT INTO t VALUES (?, NULL, 2)", (VALUE,))
    database.commit()
    found = Scanner([Secret("planted", VALUE, ("clouds.yaml",))]).files(tmp_path)
    database.close()
    assert "a.sqlite-wal" in {leak.where for leak in found}
    assert VALUE not in "".join(map(str, found))


def test_modes_that_let_others_in_are_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private" / "key").touch(0o600)
    (tmp_path / "chart.tgz").touch(0o644)
    assert open_to_others(tmp_path, ["*.tgz"]) == []
    (tmp_path / "private" / "key").chmod(0o640)
    (tmp_path / "private").chmod(0o711)
    assert open_to_others(tmp_path, ["*.tgz"]) == ["0711 private", "0640 private/key"]
