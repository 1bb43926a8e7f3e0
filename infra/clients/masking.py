"""What must not be read: known secrets and what looks like one, taken out of texts and log records.

Whoever reads a secret tells `MASKER`. Errors, the ledger and the handlers of the log ask it before a sentence leaves
the process, so that a stranger's exception which quotes a password does not carry it into a state message.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

HIDDEN = "(not shown)"
"""Stands where a value was left out, rather than masked within a text."""

# "Error accepting authorization: acme: …" is a sentence: neither a scheme nor a token ends in a colon (RFC 9110, 11.2).
_SECRET_PATTERN = re.compile(
    r"(?i)((?:(?:authorization|token)[\"']?\s*[:=]\s*[\"']?(?!\w+:\s)|"
    r"(?:password|passwd|secret|private_key)[\"']?\s*[:=]\s*[\"']?)"
    r"(?:bearer\s+|basic\s+)?)([^\s\"',;&}]+)"
)
_PEM_PATTERN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_URL_PATTERN = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")

OF_THE_TOOLS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PGPASSWORD",
    "PG_CONN_STR",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "TF_HTTP_PASSWORD",
)
"""Variables by which the tools' own secrets reach this process; read for nothing but to know what to mask."""


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace known secrets, private keys, passwords in URLs and `password=…`-like values in `text` by `***`."""
    # Private keys first: a known key's first line, once it is masked, would no longer show where another key begins.
    text = _PEM_PATTERN.sub("***", text)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _URL_PATTERN.sub(r"\1***@", text)
    return _SECRET_PATTERN.sub(r"\1***", text)


class Masker(logging.Filter):
    """Knows the secrets this process has read, and takes them out of texts and log records.

    As a `logging.Filter` on a handler it masks whatever that handler writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()
        self._longest_first: tuple[str, ...] = ()

    def learn(self, *values: str) -> None:
        """Remember values, also as base64 and as part of a URL; one of several lines is also known line by line."""
        for value in values:
            for part in (value, value.strip(), *value.splitlines()):
                # A short line, such as `}` or `true`, would take half of every log with it.
                if len(part) >= 8:
                    self._known |= {part, base64.b64encode(part.encode()).decode(), quote(part, safe="")}
            if 4 <= len(value.strip()) < 8:
                self._known.add(value.strip())
        self._longest_first = tuple(sorted(self._known, key=len, reverse=True))

    def learn_variables(self, variables: Mapping[str, str]) -> None:
        """Remember what the tools' own variables hold; of `user:password`, also the password alone."""
        for name in OF_THE_TOOLS:
            value = variables.get(name, "")
            password = value.partition(":")[2] if name == "PREFECT_API_AUTH_STRING" else ""
            self.learn(value, password)

    def mask(self, text: str) -> str:
        """`text` without any known secret."""
        return mask(text, self._longest_first)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a log record, exception included."""
        record.msg, record.args = self.mask(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.mask(record.exc_text)
        return True


MASKER = Masker()
"""The masker of this process."""
