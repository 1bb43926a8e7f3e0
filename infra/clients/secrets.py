"""Secrets by name: a folder per secret, a file per key, readable by us alone.

Only names travel through parameters, logs and records; the values are read where they are used, do not print
themselves, and are known to the masker from then on.
"""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from infra.clients.errors import InvalidInput, Misconfigured, NotFound
from infra.clients.masking import MASKER, Masker

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
"""Names of secrets and keys, as Kubernetes takes them for Secret keys; no path leads out of the folder."""
SIZE_LIMIT = 1024 * 1024
"""Bytes a value may have; Kubernetes' limit for a whole Secret."""


class Secret(Mapping[str, SecretStr]):
    """A secret's keys and values; prints its name and keys only."""

    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self.name = name
        self._values = {key: SecretStr(value) for key, value in values.items()}

    def __getitem__(self, key: str) -> SecretStr:
        try:
            return self._values[key]
        except KeyError:
            raise NotFound(
                f"The secret {self.name!r} has no key {key!r}.", hint=f"It has: {', '.join(self._values) or 'none'}."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, keys={sorted(self._values)})"


class SecretStore:
    """Secrets in a folder.

    Args:
        folder: one folder per secret name in it, one file per key in that.
        masker: learns every value that is read.
    """

    def __init__(self, folder: Path, *, masker: Masker = MASKER) -> None:
        self._folder = folder
        self._masker = masker

    async def read(self, name: str) -> Secret:
        """A secret's keys and values; a final newline, which editors add, is not part of a value.

        Raises:
            InvalidInput: that is no name.
            NotFound: there is no such secret.
            Misconfigured: others may read it; the sentence says what to do.
        """
        secret = await asyncio.to_thread(self._read, name)
        self._masker.learn(*(value.get_secret_value() for value in secret.values()))
        return secret

    async def present(self, name: str) -> tuple[str, ...] | None:
        """The keys of a secret without reading its values; None when there is no such secret."""
        return await asyncio.to_thread(self._present, name)

    async def names(self) -> tuple[str, ...]:
        """Every secret's name."""
        return await asyncio.to_thread(self._names)

    def _read(self, name: str) -> Secret:
        keys = self._present(name)
        if keys is None:
            raise NotFound(
                f"There is no secret {name!r} in {self._folder}.", hint="Secrets are folders of files there."
            )
        values = {}
        for key in keys:
            path = self._folder / name / key
            _refuse_open(path)
            content = path.read_bytes()
            if len(content) > SIZE_LIMIT:
                raise InvalidInput(f"{path} is larger than {SIZE_LIMIT} bytes.")
            try:
                text = content.decode()
            except UnicodeDecodeError as error:
                raise InvalidInput(
                    f"{path} is not text.", hint="Encode binary values, for example in base64."
                ) from error
            values[key] = text.removesuffix("\n").removesuffix("\r")
        return Secret(name, values)

    def _present(self, name: str) -> tuple[str, ...] | None:
        if not NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is no secret's name: letters, digits, '-', '_' and '.'.")
        folder = self._folder / name
        if not folder.is_dir():
            return None
        _refuse_open(folder)
        return tuple(sorted(path.name for path in folder.iterdir() if path.is_file() and NAME.fullmatch(path.name)))

    def _names(self) -> tuple[str, ...]:
        if not self._folder.is_dir():
            return ()
        return tuple(
            sorted(path.name for path in self._folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name))
        )


def _refuse_open(path: Path) -> None:
    """Files that others may read are no secrets; a folder may be listed but not written by others."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise Misconfigured(f"The secret file {path} cannot be read.", detail=str(error)) from error
    forbidden = stat.S_IWGRP | stat.S_IWOTH if stat.S_ISDIR(mode) else stat.S_IRWXG | stat.S_IRWXO
    if mode & forbidden:
        want = "700" if stat.S_ISDIR(mode) else "600"
        raise Misconfigured(
            f"{path} has mode {stat.S_IMODE(mode):04o}: others may get at it.", hint=f"Run: chmod {want} {path}"
        )
