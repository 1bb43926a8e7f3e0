"""What is told of checks: every change once, whoever dies in between; nothing of what is half done or lived with."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from infra.clients.errors import Failed, InvalidInput, NotFound, PlumblineError
from infra.drift.findings import PlaneName, Severity
from infra.drift.news import Failure, News, NewsKind
from infra.ledger import Ledger
from infra.ledger.news import HELD
from infra.ledger.outbox import LEASE
from infra.ledger.tables import CheckRow, NewsRow, RunRow
from infra.settings import ROOT, Settings
from tests.unit.ledger.drifting import COMMIT, addresses, at, check, drift, look, record
from tests.unit.ledger.test_pruning import counted, forget

GRAVE = drift("ClusterRole/a", severity=Severity.SECURITY)
LATER = LEASE + timedelta(seconds=1)


def said(news: Iterable[News]) -> list[tuple[str, list[str]]]:
    return [(one.kind, sorted(addresses(one.onsets))) for one in news]


async def tell(ledger: Ledger, minutes: float, **how: Any) -> list[tuple[str, list[str]]]:
    """Tell what is untold at a moment, to the end."""
    news = await ledger.untold("dev", now=at(minutes), **how)
    await ledger.told(one.event for one in news)
    return said(news)


async def test_what_is_found_and_cleared_is_told_once(ledger: Ledger) -> None:
    await check(ledger, 0, drift("ConfigMap/a"), drift("ConfigMap/b"), waived=[drift("ConfigMap/w")])
    (news,) = await ledger.untold("dev", now=at(1))
    assert said([news]) == [("found", ["ConfigMap/a", "ConfigMap/b"])]
    assert (news.commit, news.state, news.stale, news.looked_at) == (COMMIT, "drifted", None, at(0))
    assert await ledger.untold("prod", now=at(1)) == []
    await ledger.told([news.event])
    assert await ledger.untold("dev", now=at(2)) == []
    await check(ledger, 15, drift("ConfigMap/b"), drift("ConfigMap/c"))
    assert await tell(ledger, 16) == [("found", ["ConfigMap/c"]), ("cleared", ["ConfigMap/a"])]
    await check(ledger, 30, drift("ConfigMap/b"), drift("ConfigMap/c"))
    assert await tell(ledger, 31) == []


async def test_the_same_check_recorded_again_is_no_more_news(ledger: Ledger) -> None:
    for _ in range(2):
        await check(ledger, 0, drift())
    assert await tell(ledger, 1) == [("found", ["ConfigMap/a"])]
    await check(ledger, 0, drift())
    assert await tell(ledger, 2) == []


async def test_what_was_not_told_is_given_out_again_as_the_same_event(ledger: Ledger) -> None:
    await check(ledger, 0, drift())
    first = await ledger.untold("dev", now=at(1))
    assert await ledger.untold("dev", now=at(1) + LEASE / 2) == [], "somebody is telling it"
    await check(ledger, 15, drift("ConfigMap/b"))
    again = await ledger.untold("dev", now=at(16))
    assert said(again) == [("found", ["ConfigMap/a"]), ("found", ["ConfigMap/b"]), ("cleared", ["ConfigMap/a"])]
    assert again[0].event == first[0].event
    assert len({one.event for one in again}) == 3
    assert said(await ledger.untold("dev", now=at(17) + LEASE)) == said(again)


TELLER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from infra.drift.findings import Finding, PlaneName, PlaneVerdict
from infra.ledger import Ledger
from infra.settings import Settings

async def main():
    async with Ledger.open(Settings(state_dir=Path(sys.argv[1]), ledger_url=sys.argv[2] or None)) as ledger:
        now = datetime(2026, 3, 2, tzinfo=UTC)
        found = [Finding(plane=PlaneName.ADDONS, address="ConfigMap/a", sentence="No.")]
        verdict = PlaneVerdict.of(PlaneName.ADDONS, found, (), looked_at=now, seconds=1)
        await ledger.record_check(environment="dev", commit=None, verdicts=[verdict], began=now, seconds=1)
        if sys.argv[3] == "claimed":
            print((await ledger.untold("dev"))[0].event, flush=True)
        else:
            print("recorded", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


def killed_after_its_word(arguments: list[str]) -> str:
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        word = child.stdout.readline().decode().strip()
        child.kill()
    return word


@pytest.mark.parametrize("killed_when", ["recorded", "claimed"])
async def test_a_process_killed_before_it_has_told_leaves_it_to_the_next(settings: Settings, killed_when: str) -> None:
    arguments = [sys.executable, "-c", TELLER, str(settings.state_dir), settings.ledger_url or "", killed_when]
    word = await asyncio.to_thread(killed_after_its_word, arguments)
    async with Ledger.open(settings) as ledger:
        (news,) = await ledger.untold("dev", now=datetime.now(UTC) + LATER)
    assert said([news]) == [("found", ["ConfigMap/a"])]
    assert killed_when == "recorded" or news.event == word


class Listener:
    """Who hears events in turn, each once by its id, and keeps what is open."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.open: set[str] = set()

    def hear(self, news: Iterable[News]) -> None:
        for one in news:
            if one.event in self.heard:
                continue
            self.heard.add(one.event)
            names = addresses(one.onsets)
            assert len(set(names)) == len(names), "each place once in an event"
            self.open = self.open | set(names) if one.kind is NewsKind.FOUND else self.open - set(names)


@pytest.mark.thorough
@pytest.mark.parametrize("waiving", [False, True])
@pytest.mark.parametrize("seed", range(6))
async def test_whoever_dies_when_who_listens_knows_what_is_open_in_the_end(
    light: Ledger, seed: int, waiving: bool
) -> None:
    rnd, listener, minutes = random.Random(seed), Listener(), 0.0
    grave = {"a", "b"}
    run = None

    def finding(name: str) -> Any:
        severe = name in grave or (name == "c" and rnd.random() < 0.5)
        return drift(name, severity=Severity.SECURITY if severe else Severity.CONFIG)

    for _ in range(60):
        minutes += rnd.choice([0.5, 5, 20])
        if rnd.random() < 0.2:
            if run is None:
                run = await light.begin("create-environment", "dev", COMMIT)
            else:
                await run.end("ready")
                run = None
        seen = {name for name in "abcdef" if rnd.random() < 0.4}
        waived = {name for name in seen if waiving and rnd.random() < 0.3}
        blind = ["x"] if rnd.random() < 0.2 else []
        await check(light, minutes, *map(finding, sorted(seen - waived)), waived=map(finding, waived), blind=blind)
        if rnd.random() < 0.7:
            news = await light.untold("dev", now=at(minutes))
            died = rnd.choice(["before it was heard", "after it was heard", "never", "never"])
            if died != "before it was heard":
                listener.hear(news)
            if died == "never":
                await light.told(one.event for one in news)
    if run is not None:
        await run.end("ready")
    news = await light.untold("dev", now=at(minutes + 60))
    listener.hear(news)
    await light.told(one.event for one in news)
    assert await light.untold("dev", now=at(minutes + 120)) == []
    alarming = {one.address for one in await light.open_findings("dev") if not one.waived}
    if waiving:
        assert alarming <= listener.open, "what is waived is not said to be gone"
    else:
        assert alarming == listener.open


async def test_of_those_who_tell_at_once_one_is_given_it(ledger: Ledger) -> None:
    await check(ledger, 0, drift(), GRAVE)
    given = await asyncio.gather(*(ledger.untold("dev", now=at(1)) for _ in range(6)))
    assert sorted(map(len, given)) == [0, 0, 0, 0, 0, 1]


async def test_while_a_run_is_at_work_news_waits_and_what_came_and_went_is_none(ledger: Ledger) -> None:
    await check(ledger, 0, drift("ConfigMap/known"))
    await tell(ledger, 0)
    run = await ledger.begin("create-environment", "dev", COMMIT)
    await check(ledger, 10, drift("ConfigMap/known"), drift("ConfigMap/flaps"), drift("ConfigMap/stays"))
    assert await tell(ledger, 11) == []
    await check(ledger, 20, drift("ConfigMap/stays"))
    await check(ledger, 21, drift("ConfigMap/stays"), drift("ConfigMap/known"))
    assert await tell(ledger, 22) == []
    await run.end("ready")
    await check(ledger, 30, drift("ConfigMap/stays"), drift("ConfigMap/known"))
    assert await tell(ledger, 31) == [("found", ["ConfigMap/stays"])]
    await check(ledger, 45)
    assert await tell(ledger, 46) == [("cleared", ["ConfigMap/known", "ConfigMap/stays"])]


async def test_what_goes_for_good_while_a_run_is_at_work_is_told_once(ledger: Ledger) -> None:
    await check(ledger, 0, drift())
    await tell(ledger, 0)
    async with ledger.run("reconcile", "dev", COMMIT):
        for minutes, seen in ((1, []), (2, [drift()]), (3, [])):
            await check(ledger, minutes, *seen)
        assert await tell(ledger, 4) == []
    assert await tell(ledger, 5) == [("cleared", ["ConfigMap/a"])]


async def test_a_run_holds_back_others_and_not_itself_nor_other_environments(ledger: Ledger) -> None:
    await check(ledger, 0, drift())
    async with ledger.run("reconcile", "prod", COMMIT), ledger.run("reconcile", "dev", COMMIT) as run:
        assert await tell(ledger, 1) == []
        assert await tell(ledger, 2, besides=run.id) == [("found", ["ConfigMap/a"])]


async def test_what_concerns_security_waits_for_nobody_and_is_told_in_full(ledger: Ledger) -> None:
    async with ledger.run("create-environment", "dev", COMMIT):
        await check(ledger, 0, drift(), GRAVE)
        await check(ledger, 1)
        assert await tell(ledger, 2) == [("found", ["ClusterRole/a"]), ("cleared", ["ClusterRole/a"])]


async def test_a_run_whose_process_died_holds_nothing(ledger: Ledger) -> None:
    run = await ledger.begin("create-environment", "dev", COMMIT)
    await check(ledger, 0, drift())
    assert await tell(ledger, 1) == []
    with ledger._store.session(write=True) as session:
        row = session.get_one(RunRow, run.id)
        host, pid, _ = row.process.rsplit("|", 2)
        row.process = f"{host}|{pid}|0.00"
    assert await tell(ledger, 2) == [("found", ["ConfigMap/a"])]


async def test_a_run_that_hangs_or_that_cannot_be_asked_holds_news_for_an_hour(ledger: Ledger) -> None:
    run = await ledger.begin("create-environment", "dev", COMMIT)
    with ledger._store.session(write=True) as session:
        session.execute(update(RunRow).where(RunRow.id == run.id).values(process="elsewhere|1|0.00"))
    await check(ledger, 0, drift())
    await check(ledger, 50, drift(), drift("ConfigMap/b"))
    hour = HELD.total_seconds() / 60
    assert await tell(ledger, hour - 1) == []
    assert await tell(ledger, hour + 1) == [("found", ["ConfigMap/a"])]


async def test_a_waiver_begins_and_ends_without_a_repair(ledger: Ledger) -> None:
    await check(ledger, 0, drift("a"), drift("b"))
    assert await tell(ledger, 1) == [("found", ["a", "b"])]
    await check(ledger, 15, waived=[drift("a"), drift("b")])
    assert await tell(ledger, 16) == [], "lived with, not repaired"
    await check(ledger, 30, drift("a"), waived=[drift("b")])
    assert await tell(ledger, 31) == [("found", ["a"])], "the waiver has expired"
    await check(ledger, 45)
    assert await tell(ledger, 46) == [("cleared", ["a"])], "that b went while nobody minded it, nobody needs to hear"


@pytest.mark.parametrize("severity", [Severity.CONFIG, Severity.SECURITY])
async def test_what_is_waived_before_it_could_be_told_is_not_told(light: Ledger, severity: Severity) -> None:
    one = drift(severity=severity)
    await check(light, 0, one)
    await check(light, 1, waived=[one])
    assert await tell(light, 2) == []
    await check(light, 3)
    assert await tell(light, 4) == []
    await check(light, 5, one)
    assert await tell(light, 6) == [("found", ["ConfigMap/a"])]
    async with light.run("reconcile", "dev", COMMIT):
        await check(light, 7, waived=[one])
        await check(light, 8, one)
        await check(light, 9, waived=[one])
    assert await tell(light, 10) == []


async def test_nothing_is_cleared_by_who_was_blind_or_cannot_be_trusted(ledger: Ledger) -> None:
    await check(ledger, 0, drift())
    await tell(ledger, 1)
    await check(ledger, 2, blind=["ConfigMap/a"])
    await check(ledger, 2.5, hidden=["ConfigMap/*"])
    await record(ledger, 3, look(PlaneName.ADDONS, at(3)), stale="It missed the canary.")
    await record(ledger, 4, look(PlaneName.DNS, at(4)))
    await record(ledger, 5, commit=None, failure=Failure("NotFound", "The repository is gone."))
    assert await tell(ledger, 6) == [("failed", [])]
    await check(ledger, 7)
    assert await tell(ledger, 8) == [("cleared", ["ConfigMap/a"])]


async def test_what_a_stale_check_finds_is_told_as_stale(light: Ledger) -> None:
    await record(light, 0, look(PlaneName.ADDONS, at(0), drift()), stale="It missed the canary.")
    (news,) = await light.untold("dev", now=at(1))
    assert (news.kind, news.stale) == (NewsKind.FOUND, "It missed the canary.")


async def fail(ledger: Ledger, minutes: float, error: PlumblineError) -> list[str]:
    await record(ledger, minutes, commit=None, failure=Failure.of(error))
    news = await ledger.untold("dev", now=at(minutes))
    await ledger.told(one.event for one in news)
    return [one.failure.sentence() for one in news if one.failure]


async def test_a_failure_is_told_once_for_each_reason_until_a_check_succeeds(ledger: Ledger) -> None:
    bad, gone = InvalidInput("spec.dns: wrong"), NotFound("The repository is gone.", detail="404", hint="Look.")
    assert await fail(ledger, 0, bad) == ["spec.dns: wrong"]
    assert await fail(ledger, 1, bad) == []
    assert await fail(ledger, 2, gone) == ["The repository is gone. (404) Look."]
    assert [await fail(ledger, 3, bad), await fail(ledger, 4, gone)] == [[], []], "both are known"
    await check(ledger, 5)
    assert await fail(ledger, 6, gone) == ["The repository is gone. (404) Look."]
    assert (await ledger.checks("dev", limit=1))[0].summary.stale == "The check failed: The repository is gone."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Commit 4f2a9c1d00 is not there.", "Commit 0badcafe11 is not there."),
        ("Nothing since 2026-03-02 08:00:01 UTC.", "Nothing since 2026-11-26 14:00:59 UTC."),
        ("Attempt 3 of 20 failed after 1.5 s.", "Attempt 20 of 20 failed after 11.25 s."),
        (
            "Request 3c1e0f3c-0000-4000-8000-00000000000a failed.",
            "Request 9a1e0f3c-0000-4000-8000-0000000000bc failed.",
        ),
    ],
)
async def test_a_reason_is_the_same_at_another_commit_time_and_attempt(light: Ledger, before: str, after: str) -> None:
    assert await fail(light, 0, Failed(before)) == [before]
    assert await fail(light, 1, Failed(after)) == []
    assert await fail(light, 2, NotFound(after)) == [after], "of another category"
    assert await fail(light, 3, Failed("The keystone is silent.")) == ["The keystone is silent."]


async def test_a_name_with_a_number_in_it_is_a_name(light: Ledger) -> None:
    names = ("db-1", "db-2", "db1", "db2", "v1.33.4", "v1.34.1")
    for minutes, name in enumerate(names):
        assert await fail(light, minutes, NotFound(f"No {name}.")) == [f"No {name}."]


async def test_a_failure_waits_for_no_run(light: Ledger) -> None:
    async with light.run("create-environment", "dev", COMMIT):
        assert await fail(light, 0, Failed("No.")) == ["No."]


async def test_a_failure_is_stored_whatever_is_in_it(ledger: Ledger) -> None:
    assert len(await fail(ledger, 0, Failed("a\0b\ud800", detail="x" * 9000))) == 1


async def test_what_was_not_told_of_a_removed_environment_goes_with_it(ledger: Ledger) -> None:
    await check(ledger, 0, drift(), GRAVE)
    run = await ledger.begin("destroy-environment", "dev", COMMIT)
    await run.end("removed")
    assert await tell(ledger, 1) == []


async def test_news_is_forgotten_once_told_and_with_what_it_is_about(ledger: Ledger) -> None:
    await check(ledger, 0, drift("open"), drift("gone"))
    await tell(ledger, 0)
    await check(ledger, 1, drift("open"))
    assert counted(ledger, NewsRow) == [3]
    assert await forget(ledger, 0.5) == 0
    with ledger._store.session(write=True) as session:
        session.execute(update(NewsRow).where(NewsRow.told_at.is_not(None)).values(told_at=at(0)))
    assert await forget(ledger, 0.5) == 2
    assert await tell(ledger, 2) == [("cleared", ["gone"])], "what was not told stays"
    for number in range(3, 30):
        await record(ledger, number, commit=None, failure=Failure("Failed", f"Reason {'x' * number}"))
    await check(ledger, 30, drift("open"))
    await forget(ledger, 365 * 24 * 60)
    with ledger._store.session(write=False) as session:
        of_kept = select(func.count()).select_from(NewsRow).join(CheckRow, NewsRow.check_id == CheckRow.id)
        assert session.scalar(of_kept) == counted(ledger, NewsRow)[0] == 19
