"""News: what is to be told of an environment's checks, as the ledger gives it out (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from infra.clients.errors import PlumblineError
from infra.drift.findings import PlaneState
from infra.drift.history import OnsetRecord

_CHANGING = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b(?=[a-f]*\d)[0-9a-f]{7,}\b"
    r"|\b\d{4}-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|(?<![\w.-])\d+(?:[.:]\d+)*(?:s|ms)?\b",
    re.IGNORECASE,
)
"""Ids, commits, times, counts: what differs between two sentences that say the same. Not names: `db-1`, `v1.33`."""


class NewsKind(StrEnum):
    """What has happened."""

    FOUND = "found"
    CLEARED = "cleared"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a check could not be carried out."""

    category: str
    summary: str
    detail: str | None = None
    hint: str | None = None

    @classmethod
    def of(cls, error: PlumblineError) -> Failure:
        """The failure that an error is."""
        return cls(error.category, error.summary, error.detail, error.hint)

    @property
    def reason(self) -> str:
        """What it has in common with the same failure at another commit, time or attempt."""
        return f"{self.category}: {_CHANGING.sub('#', self.summary)}"

    def sentence(self) -> str:
        """What happened, why, and what to do about it."""
        why = f" ({self.detail})" if self.detail else ""
        return f"{self.summary}{why}{f' {self.hint}' if self.hint else ''}"


@dataclass(frozen=True, slots=True)
class News:
    """What one event tells of an environment."""

    event: str
    """The event's id, a UUID: whoever tells it again uses the same."""
    kind: NewsKind
    environment: str
    looked_at: datetime
    """When the newest of the checks that it is about began; commit, state and stale are of that check, too."""
    commit: str | None
    state: PlaneState
    stale: str | None
    onsets: tuple[OnsetRecord, ...] = ()
    """The findings that are new or gone, the oldest first."""
    failure: Failure | None = None
    """Of a check that failed."""
