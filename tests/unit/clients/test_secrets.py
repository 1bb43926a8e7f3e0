"""Secrets in files: names, modes, and that values do not print themselves."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from infra.clients.errors import InvalidInput, Misconfigured, NotFound
from infra.clients.masking import Masker
from infra.clients.secrets import SecretStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secret = tmp_path / "github-app"
    secret.mkdir(mode=0o700)
    for key, value in (("id", "12345\n"), ("key", "-----BEGIN KEY-----\nline-of-the-key\n-----END KEY-----\n")):
        (secret / key).write_text(value)
        (secret / key).chmod(0o600)
    return tmp_path


async def test_values_are_there_and_do_not_print(folder: Path) -> None:
    masker = Masker()
    store = SecretStore(folder, masker=masker)
    secret = await store.read("github-app")
    assert secret["id"].get_secret_value() == "12345"
    assert secret["key"].get_secret_value().endswith("-----END KEY-----")
    assert repr(secret) == "Secret('github-app', keys=['id', 'key'])"
    assert "12345" not in repr(dict(secret))
    assert ("id" in secret, "x" in secret, len(secret)) == (True, False, 2)
    with pytest.raises(NotFound, match="It has: id, key"):
        secret["x"]
    assert masker.mask("id 12345, line-of-the-key") == "id ***, ***"
    assert await store.present("github-app") == ("id", "key")
    assert await store.names() == ("github-app",)


async def test_what_others_can_read_is_refused(folder: Path) -> None:
    (folder / "github-app" / "id").chmod(0o640)
    with pytest.raises(Misconfigured, match=r"0640.*chmod 600"):
        await SecretStore(folder).read("github-app")
    (folder / "github-app").chmod(0o770)
    with pytest.raises(Misconfigured, match="chmod 700"):
        await SecretStore(folder).present("github-app")


async def test_names_that_lead_elsewhere_and_secrets_that_are_not_there(folder: Path) -> None:
    store = SecretStore(folder)
    for name in ("../etc", "a/b", "", ".hidden", "x" * 300):
        with pytest.raises(InvalidInput):
            await store.read(name)
    with pytest.raises(NotFound):
        await store.read("nope")
    assert await store.present("nope") is None
    assert await SecretStore(folder / "nowhere").names() == ()


async def test_values_that_cannot_be_used(folder: Path) -> None:
    (folder / "github-app" / "id").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not text"):
        await SecretStore(folder).read("github-app")
    (folder / "github-app" / "id").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(InvalidInput, match="larger"):
        await SecretStore(folder).read("github-app")


def test_log_records_are_masked_with_their_exception() -> None:
    masker = Masker()
    masker.learn("s3cr3t-value")
    try:
        raise ValueError("it is s3cr3t-value")
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", ("s3cr3t-value",), sys.exc_info())
    assert masker.filter(record) is True
    text = logging.Formatter().format(record)
    assert "s3cr3t-value" not in text
    assert "got ***" in text
