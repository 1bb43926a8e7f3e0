"""When an onset arose, for how long it did not count, and who ended it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row

from infra.drift.findings import Changed
from infra.ledger import looks
from infra.ledger.looks import Look
from infra.ledger.tables import FindingRow

CLOCKS = timedelta(seconds=60)
"""How far the clocks of two systems may be apart."""
Looks = list[tuple[str, datetime, tuple[str, ...]]]
"""Of which plane, when, and what they hid."""
Writes = Sequence[Row[tuple[str, str, str, datetime | None]]]
"""Run, plane, address and end of each, the newest first."""


def arose(row: FindingRow, changed: Changed, look: Look, before_it: Looks) -> datetime | None:
    """When a change made a finding of it; None where its time does not say.

    A change from before a look that found nothing there is not what made this a finding: a commit was, or time. And one
    from after the look that has seen it is none of this world: a clock is wrong.
    """
    seen = (
        looked_at
        for plane, looked_at, hidden in before_it
        if plane == row.plane and not looks.hides(hidden, row.address)
    )
    clear, when = next(seen, None), row.changed_when
    if when is None or changed.by_then or when > look.ended + CLOCKS or (clear is not None and when < clear - CLOCKS):
        return None
    return when


def seconds_since(moment: datetime | None, until: datetime) -> float:
    """Seconds from a moment on; 0 where there is none."""
    return max(0.0, (until - moment).total_seconds()) if moment else 0.0


def writer(row: FindingRow, writes: Writes, until: datetime) -> str | None:
    """The run that wrote between the last look that saw a finding and the one that did not.

    Best to its very address; else anywhere in its plane: one apply or one release holds many objects.
    """
    between = [write for write in writes if write.ended and row.looked_at < write.ended <= until]
    exact = [write.run_id for write in between if write.address == row.address]
    return next(iter([*exact, *(write.run_id for write in between if write.plane == row.plane)]), None)
