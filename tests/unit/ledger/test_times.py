"""Whatever is seen, by whatever clocks: no time runs backwards, and nothing is repaired that was not seen."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from infra.drift.findings import Changed, PlaneName
from infra.drift.reporting import drift_report, mean
from infra.ledger import Ledger
from infra.ledger.checks import close_removed
from infra.ledger.store import Store, ledger_url
from infra.ledger.tables import RunRow
from infra.settings import Settings
from tests.unit.ledger.drifting import at, drift, look, record

NAMES = [f"{kind}/{name}" for kind in ("ConfigMap", "Secret") for name in "ab"]
PLACES = st.sets(st.sampled_from(NAMES))
numbers = itertools.count()


@dataclass(frozen=True)
class Step:
    """One check, or a removal of the environment."""

    after: float
    """Minutes since the one before; it is negative where clocks differ or a slow one ends late."""
    seconds: float
    seen: frozenset[str]
    waived: frozenset[str]
    changed: float | None
    """Minutes before the look began."""
    blind: bool
    hidden: frozenset[str]
    stale: bool
    removed: bool


STEPS = st.lists(
    st.builds(
        Step,
        after=st.floats(-5, 60),
        seconds=st.floats(0, 1500),
        seen=st.frozensets(st.sampled_from(NAMES)),
        waived=st.frozensets(st.sampled_from(NAMES)),
        changed=st.none() | st.floats(-120, 200),
        blind=st.sampled_from([False, False, False, True]),
        hidden=st.frozensets(st.sampled_from(["ConfigMap/*", "Secret/a"])),
        stale=st.sampled_from([False] * 5 + [True]),
        removed=st.sampled_from([False] * 9 + [True]),
    ),
    min_size=2,
    max_size=12,
)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """One for all: each example has an environment of its own."""
    folder: Path = tmp_path_factory.mktemp("ledger")
    store = Store(ledger_url(Settings(state_dir=folder)))
    yield Ledger(store)
    store.close()


async def play(book: Ledger, name: str, steps: list[Step]) -> None:
    minutes = 0.0
    for number, step in enumerate(steps):
        minutes += step.after
        if step.removed:
            run = await book.begin("destroy-environment", name, None)
            with book._store.session(write=True) as session:
                ended = {"state": "removed", "ended": at(minutes)}
                session.execute(update(RunRow).where(RunRow.id == run.id).values(ended))
                close_removed(session, name, run.id, at(minutes))
            continue
        when = None if step.changed is None else at(minutes - step.changed)
        by = Changed(who="x", when=when)
        said = look(
            PlaneName.ADDONS,
            at(minutes),
            *(drift(address, changed=by) for address in sorted(step.seen)),
            waived=[drift(address, changed=by) for address in sorted(step.waived - step.seen)],
            blind=["x"] if step.blind else [],
            hidden=step.hidden,
            seconds=step.seconds,
        )
        await record(
            book, minutes, said, environment=name, flow_run_id=str(number), stale="missed" if step.stale else None
        )


@pytest.mark.thorough
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_no_time_runs_backwards(book: Ledger, steps: list[Step]) -> None:
    name = f"e{next(numbers)}"
    asyncio.run(play(book, name, steps))
    history = asyncio.run(book.drift_history(since=at(-600), environment=name))
    for one in history.onsets:
        assert one.first_seen <= one.last_seen
        assert one.detect_seconds is None or one.detect_seconds >= 0
        assert one.arose is None or one.arose <= one.first_seen + timedelta(seconds=60)
        if one.cleared_at is None:
            assert one.repair_seconds is None and one.cleared_check is None
            continue
        assert one.last_seen <= one.cleared_at
        if one.cleared_check is not None:
            assert one.repair_seconds is not None
            assert 0 <= one.repair_seconds <= (one.cleared_at - one.first_seen).total_seconds()
    still = [one.address for one in history.onsets if one.cleared_at is None]
    assert len(still) == len(set(still)), "a place is open once"
    for address in NAMES:
        counted = [one.recurrence for one in sorted(history.onsets, key=lambda o: o.id) if one.address == address]
        assert all(after in (before + 1, 0) for before, after in itertools.pairwise(counted)), counted
    report = drift_report(history, until=at(2000), environment=name)
    for each in (report.detect, report.repair):
        assert each.known <= each.of
        assert each.seconds is None or 0 <= each.seconds <= (each.longest or 0)
    assert all(count >= 0 for level in report.history for count in level.open.values())


SECONDS = st.lists(st.none() | st.floats(0, 1e7), max_size=20)


@given(SECONDS, SECONDS)
def test_the_mean_of_all_lies_between_those_of_its_parts(one: list[float | None], other: list[float | None]) -> None:
    both, parts = mean([*one, *other]), [mean(one), mean(other)]
    known = [part.seconds for part in parts if part.seconds is not None]
    assert (both.known, both.of) == (sum(part.known for part in parts), sum(part.of for part in parts))
    if both.seconds is None:
        assert not known
    else:
        assert min(known) - 0.002 <= both.seconds <= max(known) + 0.002
