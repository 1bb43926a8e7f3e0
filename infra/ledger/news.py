"""What is new in a check, kept in the check's own transaction; and which of it is still worth telling.

While a run is changing an environment, what is half done looks like drift, so that news of it is held back. When the
run is over, what has come and gone meanwhile is nobody's news any more, and the rest is told. The exceptions:

- what concerns security is told at once and in full: somebody may come and go while a run is at work;
- that a check failed is told at once as well;
- nothing is held for longer than an hour: a run may hang, or have died on a host that we cannot ask.

What a waiver in git covers is not told, whenever it was found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from infra.drift.findings import Severity
from infra.drift.news import Failure, NewsKind
from infra.ledger import looks
from infra.ledger.looks import Check
from infra.ledger.tables import CheckRow, FindingRow, NewsRow

HELD = timedelta(hours=1)
"""How long news waits for the end of a run, at most."""
FAILED = "The check failed: "
"""How the ledger says that a check could not be carried out."""


class Untold(NamedTuple):
    """One thing that has not been told yet, with the check and the finding that it is about."""

    news: NewsRow
    check: CheckRow
    finding: FindingRow | None

    @property
    def place(self) -> str:
        """Where it is; a failed check is a place of its own."""
        return self.finding.place if self.finding is not None else f"check {self.check.id}"


class Sorted(NamedTuple):
    """What is to be told now, and what is nobody's news any more; the rest is held."""

    due: list[Untold]
    over: list[Untold]


def note(session: Session, check: Check, changes: Mapping[str, Sequence[FindingRow]]) -> None:
    """Keep what a check has newly found and cleared, or that it failed for a reason that is new."""
    for kind in (NewsKind.FOUND, NewsKind.CLEARED):
        for row in changes.get(kind, ()):
            session.add(_row(check, kind, finding_id=row.id))
    if check.failure is not None and check.failure.reason not in _known_reasons(session, check):
        said = {name: looks.text(value, 2000) for name, value in asdict(check.failure).items()}
        session.add(_row(check, NewsKind.FAILED, failure=said))


def forget_untold(session: Session, environment: str) -> None:
    """What was not told of an environment that is gone, nobody needs to hear."""
    session.execute(delete(NewsRow).where(NewsRow.environment == environment, NewsRow.told_at.is_(None)))


def sort(untold: Iterable[Untold], now: datetime, *, at_work: bool) -> Sorted:
    """Sort what nobody has begun to tell.

    Args:
        untold: the oldest first.
        at_work: whether a run is changing the environment.
    """
    due: list[Untold] = []
    over: list[Untold] = []
    places: dict[str, list[Untold]] = defaultdict(list)
    for one in untold:
        if one.finding is None:
            due.append(one)
        elif one.finding.waived:
            over.append(one)
        else:
            places[one.finding.place].append(one)
    for of_place in places.values():
        grave = any(one.finding and one.finding.severity == Severity.SECURITY for one in of_place)
        if at_work and not grave and now - of_place[0].check.ended < HELD:
            continue
        left = of_place if grave else _left(of_place)
        due += left
        over += [one for one in of_place if one not in left]
    return Sorted(sorted(due, key=lambda one: one.news.id), over)


def _left(of_place: Sequence[Untold]) -> list[Untold]:
    """What remains of the news of one place: who was told of what came before it has that to hear, or nothing."""
    first, last = of_place[0], of_place[-1]
    as_before = first.news.kind != last.news.kind
    went_unsaid = last.news.kind == NewsKind.FOUND and last.finding is not None and last.finding.cleared_at is not None
    return [] if as_before or went_unsaid else [last]


def _row(
    check: Check, kind: NewsKind, *, finding_id: int | None = None, failure: dict[str, str | None] | None = None
) -> NewsRow:
    return NewsRow(
        environment=check.environment, kind=kind.value, check_id=check.id, finding_id=finding_id, failure=failure
    )


def _known_reasons(session: Session, check: Check) -> set[str]:
    """The reasons that checks have failed for since the last one that could be carried out."""
    of_here = (CheckRow.environment == check.environment, CheckRow.id != check.id)
    done = or_(CheckRow.stale.is_(None), ~CheckRow.stale.startswith(FAILED))
    last = session.scalar(select(func.max(CheckRow.began)).where(*of_here, done, CheckRow.began < check.began))
    query = select(NewsRow.failure).join(CheckRow, NewsRow.check_id == CheckRow.id)
    query = query.where(*of_here, NewsRow.kind == NewsKind.FAILED.value)
    if last is not None:
        query = query.where(CheckRow.began > last)
    return {Failure(**said).reason for said in session.scalars(query) if said}
