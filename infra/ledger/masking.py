"""Nothing secret enters the ledger."""

from __future__ import annotations

import re

from infra.clients.errors import truncate
from infra.clients.masking import MASKER
from infra.spec.problems import is_secret


def masked(text: str | None, limit: int = 2000) -> str | None:
    """Mask every secret this process has read, and what else looks like one; shorten to `limit` characters."""
    if text is None:
        return None
    text = MASKER.mask(text)
    text = "".join("***" if is_secret(word) else word for word in re.split(r"([\s\"'=,;<>()]+)", text))
    return truncate(text, limit) if len(text) <= limit else truncate(text, limit - 40)
