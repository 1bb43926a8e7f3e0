"""How long ago something was, the way kubectl shows it."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400
_FORMS = (
    # Below so many seconds: the unit, and the smaller unit that is shown beside it (duration.HumanDuration).
    (2 * MINUTE, "s", 1, None),
    (10 * MINUTE, "m", MINUTE, ("s", 1, MINUTE)),
    (3 * HOUR, "m", MINUTE, None),
    (8 * HOUR, "h", HOUR, ("m", MINUTE, 60)),
    (2 * DAY, "h", HOUR, None),
    (8 * DAY, "d", DAY, ("h", HOUR, 24)),
    (2 * 365 * DAY, "d", DAY, None),
    (8 * 365 * DAY, "y", 365 * DAY, ("d", DAY, 365)),
)


def human(seconds: int) -> str:
    """A duration in at most two units: `47s`, `5m3s`, `3h`, `6d2h`."""
    for limit, unit, size, smaller in _FORMS:
        if seconds < limit:
            rest = ""
            if smaller is not None:
                name, step, modulus = smaller
                left = seconds // step % modulus
                rest = f"{left}{name}" if left else ""
            return f"{seconds // size}{unit}{rest}"
    return f"{seconds // (365 * DAY)}y"


def age(timestamp: str | None) -> str:
    """How long ago an RFC 3339 time was."""
    if not timestamp:
        return "<unknown>"
    since = datetime.now(UTC) - datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    return human(max(int(since.total_seconds()), 0))
