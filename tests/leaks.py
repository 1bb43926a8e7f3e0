"""Looking for secrets where they must not be: in whatever form they were written down.

Pure, apart from reading the files it is given; the end-to-end scan and its own tests use it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import quote, quote_plus

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

SHORTEST = 8
"""Bytes a value needs to be looked for: a shorter one, such as an app's number, turns up by chance."""
PEM_LINE = 40
"""Characters of a PEM line that belong to no other key."""

Recogniser = Callable[[bytes], Iterator[str]]
"""Finds in some bytes what is secret by its form, and says what it is."""


@dataclass(frozen=True)
class Secret:
    """Something nobody may read.

    Args:
        name: what it is, for findings; they never quote the value.
        homes: globs, relative to the scanned folder, of files that are there to hold it.
    """

    name: str
    value: str
    homes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leak:
    """A secret where it must not be."""

    secret: str
    where: str
    form: str

    def __str__(self) -> str:
        return f"{self.secret} in {self.where} ({self.form})"


def pieces(value: str) -> list[str]:
    """What to look for: a key's own lines (logs and JSON break it up), any other value as a whole."""
    if "-----BEGIN" not in value:
        return [value.strip()] if len(value.strip()) >= SHORTEST else []
    lines = [line for line in value.split() if len(line) >= PEM_LINE and not line.startswith("-----")]
    # The first line of a key is mostly its algorithm's name and the same in many; the next are its own.
    return lines[1:4] or lines


def forms(piece: str) -> dict[str, bytes]:
    """The ways in which text is written down, by name; those that come to the same only once."""
    once = json.dumps(piece)[1:-1]
    found = {
        "as it is": piece,
        "JSON": once,
        "JSON in JSON": json.dumps(once)[1:-1],
        "JSON, not only ASCII": json.dumps(piece, ensure_ascii=False)[1:-1],
        "URL": quote(piece, safe=""),
        "URL path": quote(piece),
        "form": quote_plus(piece),
        "hex": piece.encode().hex(),
        "HEX": piece.encode().hex().upper(),
    }
    encoded = {name: text.encode() for name, text in found.items()} | _base64(piece.encode())
    distinct: dict[bytes, str] = {}
    for name, data in encoded.items():
        distinct.setdefault(data, name)
    return {name: data for data, name in distinct.items()}


def _base64(data: bytes) -> dict[str, bytes]:
    """Base64 of a longer text that has `data` in it, wherever it begins: what does not depend on the neighbours."""
    found = {}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data)
        # Characters that also carry bits of what stands before or after are left out.
        begin = (offset * 8 + 5) // 6
        end = (offset + len(data)) * 8 // 6
        found[f"base64, offset {offset}"] = encoded[begin:end]
        found[f"base64 for URLs, offset {offset}"] = encoded.translate(bytes.maketrans(b"+/", b"-_"))[begin:end]
    return found


_GZIP_IN_BASE64 = re.compile(rb"H4sI[A-Za-z0-9+/=]{16,}|SDRzS[A-Za-z0-9+/=]{16,}")

_ALL_BASE64 = re.compile(rb"\s*(?:[A-Za-z0-9+/]{4,}\s+)*[A-Za-z0-9+/]{2,}={0,2}\s*")


def unpacked(data: bytes, depth: int = 4) -> Iterator[bytes]:
    """`data`, and what is packed in it: gzip, zlib or base64 as a whole, gzip in base64 anywhere (as Helm does)."""
    yield data
    if depth == 0:
        return
    in_base64 = [_decoded(found) for found in _GZIP_IN_BASE64.findall(data)]
    if _ALL_BASE64.fullmatch(data):
        # Prefect keeps exceptions as a pickle in base64, with line breaks in the middle of whatever they say.
        in_base64.append(_decoded(b"".join(data.split())))
    for packed in (_decompressed(data), *in_base64):
        if packed:
            yield from unpacked(packed, depth - 1)


def _decompressed(data: bytes) -> bytes | None:
    try:
        if data[:2] == b"\x1f\x8b":
            return gzip.decompress(data)
        if data[:1] == b"\x78" and data[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
            return zlib.decompressobj().decompress(data)
    except (OSError, EOFError, zlib.error):
        return None
    return None


def _decoded(text: bytes) -> bytes | None:
    whole = text[: len(text) // 4 * 4]
    try:
        return base64.b64decode(whole)
    except ValueError:
        return None


_FERNET = re.compile(rb"gAAAAA[A-Za-z0-9_-]{50,}={0,2}")


def fernet_tokens(keys: Iterable[bytes], what: str) -> Recogniser:
    """Finds tokens that one of the keys made, such as Keystone's; other programs' Fernet tokens are none of these.

    Args:
        what: what they are, for findings.
    """
    ring = MultiFernet([Fernet(key) for key in keys])

    def recognise(data: bytes) -> Iterator[str]:
        for token in set(_FERNET.findall(data)):
            # Keystone hands tokens out without their padding.
            bare = token.rstrip(b"=")
            with contextlib.suppress(InvalidToken):
                ring.decrypt(bare + b"=" * (-len(bare) % 4))
                yield what

    return recognise


_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(\\n|\s)")


def private_keys(data: bytes) -> Iterator[str]:
    """Private keys of any kind, also those nobody told us of."""
    if _PRIVATE_KEY.search(data):
        yield "a private key"


class Scanner:
    """Looks for secrets.

    Args:
        secrets: what to look for.
        recognisers: find what nobody could name in advance; `homes` says where that may be.
    """

    def __init__(
        self, secrets: Iterable[Secret], recognisers: Iterable[tuple[Recogniser, tuple[str, ...]]] = ()
    ) -> None:
        self._needles = [
            (secret, form, data)
            for secret in secrets
            for piece in pieces(secret.value)
            for form, data in forms(piece).items()
        ]
        self._recognisers = list(recognisers)

    @property
    def names(self) -> frozenset[str]:
        """The names of the secrets that are looked for."""
        return frozenset(secret.name for secret, _, _ in self._needles)

    def look(self, data: bytes, where: str, path: str | None = None) -> set[Leak]:
        """Every secret in `data`.

        Args:
            where: for the finding.
            path: of the file in the scanned folder; a secret may be in a home of its own.
        """
        found = set()
        for layer, content in enumerate(unpacked(data)):
            packed = ", packed" if layer else ""
            for secret, form, needle in self._needles:
                if needle in content and not at_home(path, secret.homes):
                    found.add(Leak(secret.name, where, form + packed))
            for recogniser, homes in self._recognisers:
                if not at_home(path, homes):
                    found |= {Leak(name, where, "by its form" + packed) for name in recogniser(content)}
        return found

    def files(self, folder: Path) -> set[Leak]:
        """Every secret in every file of a folder, and in every cell of every SQLite database among them."""
        found: set[Leak] = set()
        for path in sorted(everything(folder)):
            if path.is_symlink() or not path.is_file():
                continue
            relative = str(path.relative_to(folder))
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # gone since
                continue
            if path.suffix in (".wal", ".tmp"):
                # etcd's log is 64 MB of nothing at first, and as much again for the next one.
                data = data.rstrip(b"\0")
            found |= self.look(data, relative, relative)
            if data.startswith(b"SQLite format 3\0"):
                for table, data in tables(path):
                    found |= self.look(data, f"{relative}: {table}", relative)
        return found


def everything(folder: Path) -> Iterator[Path]:
    """Every file and folder below `folder`; what vanishes while we look is left out (Path.rglob stumbles over it)."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def at_home(path: str | None, homes: Sequence[str]) -> bool:
    """Whether a file is one of those that are there to hold a secret."""
    return path is not None and any(fnmatch(path, home) for home in homes)


def tables(path: Path) -> Iterator[tuple[str, bytes]]:
    """The texts and blobs of every table of an SQLite database, with the table's name; what is packed, by itself."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)
    connection.text_factory = bytes
    try:
        names = [name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in names:
            rows = connection.execute(f'SELECT * FROM "{table}"')
            cells = [cell for row in rows for cell in row if isinstance(cell, bytes) and len(cell) >= SHORTEST]
            yield table, b"\0".join(cells)
            yield from ((table, cell) for cell in cells if _decompressed(cell) is not None)
    finally:
        connection.close()


def open_to_others(folder: Path, public: Sequence[str] = ()) -> list[str]:
    """Files and folders that the group or others may read, write or enter, with their modes.

    Args:
        public: globs, relative to the folder, of what holds nothing but public content.
    """
    found = []
    for path in (folder, *sorted(everything(folder))):
        if path.is_symlink():
            continue
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        relative = str(path.relative_to(folder))
        if mode & 0o077 and not at_home(relative, public):
            found.append(f"{mode & 0o7777:04o} {relative}")
    return found
