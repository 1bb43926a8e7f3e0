"""What the ledger forgets, and that nobody who asks it what it still says of today can tell."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select, update

from infra.drift.findings import Changed
from infra.drift.history import DriftHistory
from infra.ledger import Ledger, pruning
from infra.ledger.checks import REMEMBERED
from infra.ledger.tables import Base, CheckRow, FindingRow, JournalRow, RunRow, StepRow
from infra.settings import Settings
from tests.unit.ledger.drifting import COMMIT, addresses, at, check, drift

DAY = 24 * 60
"""Minutes."""


async def forget(ledger: Ledger, minutes: float) -> int:
    """Forget everything from before a moment that need not be remembered."""

    def some() -> int:
        with ledger._store.session(write=True) as session:
            return pruning.prune(session, at(minutes))

    removed = 0
    while now := await asyncio.to_thread(some):
        removed += now
    return removed


async def a_run(
    ledger: Ledger,
    minutes: float,
    state: str,
    flow: str = "reconcile",
    wrote: str | None = None,
    environment: str = "dev",
) -> str:
    """A run with a step and a write, that was over at that time; without an outcome in `wrote`, the write was not."""
    run = await ledger.begin(flow, environment, COMMIT)
    await run.step("addons", "addons", "ready", seconds=1, sentence="In step.")
    async with run.journal.write("addons", "apply", "ConfigMap/a"):
        pass
    await run.end(state)
    with ledger._store.session(write=True) as session:
        session.execute(update(RunRow).where(RunRow.id == run.id).values(started=at(minutes), ended=at(minutes)))
        values: dict[str, Any] = {"began": at(minutes), "ended": at(minutes) if wrote else None, "outcome": wrote}
        session.execute(update(JournalRow).where(JournalRow.run_id == run.id).values(values))
    return run.id


def counted(ledger: Ledger, *tables: Any) -> list[int]:
    with ledger._store.session(write=False) as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


async def test_old_checks_go_and_the_newest_stay_however_old(ledger: Ledger) -> None:
    for number in range(REMEMBERED + 30):
        await check(ledger, number)
        if number < 5:
            await check(ledger, number, environment="quiet")
    assert await forget(ledger, 20) == 20
    kept = await ledger.checks("dev", limit=1000)
    assert [one.summary.began for one in kept] == [at(n) for n in reversed(range(20, REMEMBERED + 30))]
    assert await forget(ledger, 365 * DAY) == 10
    assert len(await ledger.checks("dev", limit=1000)) == REMEMBERED
    assert len(await ledger.checks("quiet")) == 5
    (newest,) = await ledger.checks("dev", limit=1)
    assert newest.summary.began == at(REMEMBERED + 29)
    assert await forget(ledger, 365 * DAY) == 0


async def test_what_is_open_stays_with_the_check_that_saw_it_first(ledger: Ledger) -> None:
    first = await check(ledger, 0, drift("ConfigMap/open"), drift("ConfigMap/gone"), waived=[drift("ConfigMap/w")])
    await check(ledger, 1, drift("ConfigMap/open"), waived=[drift("ConfigMap/w")])
    for number in range(2, REMEMBERED + 5):
        await check(ledger, number, blind=["everything"])
    before = await ledger.open_findings()
    assert await forget(ledger, 365 * DAY) > 0
    assert await ledger.open_findings() == before
    assert set(addresses(before)) == {"ConfigMap/open", "ConfigMap/w"}
    history = await ledger.drift_history(since=at(-1))
    assert set(addresses(history.onsets)) == {"ConfigMap/open", "ConfigMap/w"}
    assert history.checks[0].id == first.check.summary.id
    again = await check(ledger, 100, drift("ConfigMap/open"), drift("ConfigMap/gone"))
    assert (addresses(again.stayed), addresses(again.found)) == (["ConfigMap/open"], ["ConfigMap/gone"])
    assert [one.first_seen for one in again.stayed] == [at(0) + timedelta(seconds=2)]


async def test_the_check_that_cleared_something_stays_with_it(ledger: Ledger) -> None:
    await check(ledger, 0, drift())
    cleared = await check(ledger, 1)
    for number in range(2, REMEMBERED + 2):
        await check(ledger, number)
    # It began before the moment, and saw that the finding is gone after it.
    assert await forget(ledger, 1 + 1 / 60) == 0
    (kept,) = (await ledger.drift_history(since=at(1))).onsets
    assert kept.cleared_check == cleared.check.summary.id
    assert await forget(ledger, 2) == 3


async def test_recurrences_go_on_counting_when_the_first_are_forgotten(ledger: Ledger) -> None:
    for number in range(8):
        await check(ledger, number, *([drift()] if number % 2 == 0 else []))
    await forget(ledger, 4.5)
    (third, fourth) = (await ledger.drift_history(since=at(-1))).onsets
    assert (third.recurrence, fourth.recurrence) == (2, 3)
    assert [one.recurrence for one in (await check(ledger, 8, drift())).found] == [4]


async def test_what_always_comes_back_neither_fills_the_table_nor_is_miscounted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times as often as is remembered: the first are forgotten, and so are those that came after them."""
    window, remembered, times = 16, 5, 32
    for module in ("checks", "pruning"):
        monkeypatch.setattr(f"infra.ledger.{module}.REMEMBERED", remembered)
    for number in range(times):
        back = await check(ledger, 2 * number, drift())
        assert [one.recurrence for one in back.found] == [number]
        await check(ledger, 2 * number + 1)
        if number % 4 == 3:
            await forget(ledger, 2 * number + 1 - window)
            findings, checks = counted(ledger, FindingRow, CheckRow)
            assert findings <= window // 2 + 1
            assert checks <= window + remembered
    # The newest onset is remembered for as long as the others, and its number with it; then it is forgotten, too.
    await forget(ledger, 2 * times - 1)
    assert [one.recurrence for one in (await check(ledger, 2 * times, drift())).found] == [times]
    await check(ledger, 2 * times + 1)
    await forget(ledger, 1000)
    assert counted(ledger, FindingRow) == [0]


def known(history: DriftHistory) -> tuple[object, ...]:
    """What a history says, without numbers that only the database knows."""
    return history.checks, [(one.address, one.first_seen, one.last_seen, one.cleared_at, one.arose, one.first_check,
                             one.cleared_check, one.detect_seconds, one.repair_seconds)
                            for one in history.onsets]  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
async def test_one_that_forgets_all_the_time_says_the_same_of_what_it_remembers(
    light: Ledger, sqlite_settings: Settings, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rnd, window = random.Random(seed), 8
    for module in ("checks", "pruning"):
        monkeypatch.setattr(f"infra.ledger.{module}.REMEMBERED", 5)
    elsewhere = sqlite_settings.model_copy(update={"state_dir": sqlite_settings.state_dir / "other"})
    async with Ledger.open(elsewhere) as forgetful:
        for number in range(40):
            changes = [Changed(who="x", when=at(number - rnd.uniform(0, 12))) for _ in "abcdef"]
            seen = [
                drift(name, changed=changed)
                for name, changed in zip("abcdef", changes, strict=True)
                if rnd.random() < 0.3
            ]
            how = {"blind": ["x"] if rnd.random() < 0.3 else [], "waived": [drift("w")] if rnd.random() < 0.5 else []}
            answers = [await check(one, number, *seen, **how) for one in (light, forgetful)]
            for what in ("found", "cleared", "stayed", "unconfirmed", "waived"):
                full, short = (addresses(getattr(answer, what)) for answer in answers)
                assert full == short, what
            assert answers[0].check == answers[1].check
            await forget(forgetful, number - window)
            since = at(number - window)
            full, short = [known(await one.drift_history(since=since)) for one in (light, forgetful)]
            assert full == short
        checks = counted(forgetful, CheckRow)[0]
        assert checks < 30 < counted(light, CheckRow)[0]


async def test_runs_are_forgotten_with_their_steps_and_writes(ledger: Ledger) -> None:
    for number in range(3):
        await a_run(ledger, number, "ready", wrote="done")
    newest = await a_run(ledger, 3, "ready", wrote="done")
    assert await forget(ledger, 3) == 3
    assert [one.id for one in await ledger.history("dev")] == [newest]
    assert counted(ledger, RunRow, StepRow, JournalRow) == [1, 1, 1]


async def test_the_newest_run_of_each_flow_and_state_stays(ledger: Ledger) -> None:
    flows = [
        *(("drift-canary", state, name) for state in ("missed", "found", "failed") for name in ("dev", "prod")),
        *(("destroy", "removed", "dev"), ("create", "failed", "dev")),
    ]
    newest = {}
    for minutes in range(3 * len(flows)):
        flow, state, name = flows[minutes % len(flows)]
        newest[flow, state, name] = await a_run(ledger, minutes, state, flow, wrote="done", environment=name)
    await forget(ledger, 365 * DAY)
    for (flow, state, name), run in newest.items():
        last = await ledger.last_run(flow, name, (state,))
        assert last is not None and last.id == run
    assert counted(ledger, RunRow) == [len(flows)]


async def test_what_is_unfinished_or_at_work_or_has_repaired_something_stays(ledger: Ledger) -> None:
    at_work = await ledger.begin("reconcile", "dev", COMMIT)
    with ledger._store.session(write=True) as session:
        session.execute(update(RunRow).where(RunRow.id == at_work.id).values(started=at(0)))
    beside = await ledger.begin("reconcile", "dev", COMMIT)
    unfinished = await a_run(ledger, 0, "failed")
    await check(ledger, 1, drift(), drift("ConfigMap/b"))
    repairing = await a_run(ledger, 2, "failed", wrote="done")
    cleared = await check(ledger, 3, drift("ConfigMap/b"))
    assert [one.cleared_run for one in cleared.cleared] == [repairing]
    maybe = await a_run(ledger, 4, "failed", wrote="done")
    await check(ledger, 4.5, blind=["everything"])
    useless = await a_run(ledger, 5, "failed", wrote="failed")
    newest = await a_run(ledger, 6, "failed", wrote="failed")
    await forget(ledger, 2.5)
    assert {one.id for one in await ledger.history("dev")} == {
        *(at_work.id, beside.id, unfinished, repairing, maybe, useless, newest)
    }
    await forget(ledger, 365 * DAY)
    assert {one.id for one in await ledger.history("dev")} == {*(at_work.id, beside.id, unfinished, maybe, newest)}
    assert [one.run_id for one in await ledger.unfinished("dev")] == [unfinished]
    assert [one.cleared_run for one in (await check(ledger, 10)).cleared] == [maybe]


async def test_several_may_forget_while_others_record(ledger: Ledger) -> None:
    for number in range(REMEMBERED + 20):
        await check(ledger, number, *([drift()] if number % 2 == 0 else []))
    await asyncio.gather(
        *(forget(ledger, 20) for _ in range(4)),
        *(check(ledger, 60 + number, drift(), environment=f"e{number % 3}") for number in range(12)),
    )
    await forget(ledger, 20)
    assert len(await ledger.checks("dev", limit=100)) == REMEMBERED
    assert len(await ledger.open_findings()) == 3
    assert counted(ledger, CheckRow)[0] == REMEMBERED + 12


async def test_a_call_is_bounded_and_the_next_goes_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 3)
    monkeypatch.setattr("infra.ledger.ledger.TRANSACTIONS", 2)
    for number in range(REMEMBERED + 10):
        await check(ledger, number)
    keep = datetime.now(UTC) - at(365 * DAY)
    sizes = [await ledger.prune(keep=keep) for _ in range(3)]
    assert sizes == [6, 4, 0]
    oldest = (await ledger.checks("dev", limit=100))[-1]
    assert oldest.summary.began == at(10)


def test_the_days_are_bounded() -> None:
    assert Settings().ledger_keep == 90
    for days in (0, 6, 3661):
        with pytest.raises(ValidationError):
            Settings(ledger_keep=days)


def test_nothing_else_refers_to_what_is_removed() -> None:
    """Whoever adds a reference has to say in infra.ledger.pruning what it keeps."""
    referring = {str(column) for table in Base.metadata.tables.values() for column in table.c if column.foreign_keys}
    with_it = {"steps.run_id", "journal.run_id", "news.check_id", "news.finding_id"}
    assert referring == with_it | {"findings.first_check", "findings.cleared_check", "findings.cleared_run"}
