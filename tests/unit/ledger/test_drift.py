"""What the ledger remembers of drift, and what a look that did not see everything must not do to it."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, select, text, update

from infra.clients.masking import MASKER
from infra.drift.findings import Changed, PlaneName, PlaneState, PlaneVerdict, Severity
from infra.ledger import CANARY, Ledger
from infra.ledger.checks import REMEMBERED
from infra.ledger.looks import HIDDEN_KEPT, looks_of, place_of
from infra.ledger.store import MIGRATIONS, Store, ledger_url
from infra.ledger.tables import CheckRow, JournalRow, RunRow
from infra.settings import ROOT, Settings
from tests.unit.ledger.drifting import COMMIT, EVERY, addresses, at, check, drift, look, record


async def test_a_finding_is_found_stays_is_cleared_and_comes_back(ledger: Ledger) -> None:
    first = await check(ledger, 0, drift())
    assert addresses(first.found) == ["ConfigMap/a"] and not (first.cleared or first.stayed or first.unconfirmed)
    second = await check(ledger, 15, drift(severity=Severity.SECURITY))
    assert addresses(second.stayed) == ["ConfigMap/a"] and second.found == ()
    (known,) = await ledger.open_findings("dev")
    assert (known.first_seen, known.last_seen) == (at(0) + timedelta(seconds=2), at(15) + timedelta(seconds=2))
    assert (known.severity, known.recurrence, known.first_check) == (Severity.SECURITY, 0, first.check.summary.id)
    third = await check(ledger, 30)
    assert addresses(third.cleared) == ["ConfigMap/a"] and await ledger.open_findings() == []
    (cleared,) = third.cleared
    assert (cleared.cleared_at, cleared.cleared_check) == (at(30) + timedelta(seconds=2), third.check.summary.id)
    assert cleared.cleared_run is None, "nobody of ours wrote anything"
    assert cleared.repair_seconds == 1800
    again = await check(ledger, 45, drift())
    assert [(o.recurrence, o.first_seen) for o in again.found] == [(1, at(45) + timedelta(seconds=2))]
    history = await ledger.drift_history(since=at(-1))
    assert [(o.recurrence, o.cleared_at is None) for o in history.onsets] == [(0, False), (1, True)]
    assert len(history.checks) == 4


async def test_a_place_is_one_environments_planes_and_fields_own(light: Ledger) -> None:
    found = [drift(), drift(path=".data.x"), drift("ConfigMap/b")]
    assert len((await check(light, 0, *found)).found) == 3
    assert len((await check(light, 1, drift(), environment="prod")).found) == 1
    dns = look(PlaneName.DNS, at(2), drift(plane=PlaneName.DNS))
    assert len((await record(light, 2, dns)).found) == 1
    await check(light, 3, drift())
    assert [(o.environment, o.plane, o.path) for o in await light.open_findings()] == [
        ("dev", "addons", ""),
        ("prod", "addons", ""),
        ("dev", "dns", ""),
    ]


async def test_an_unknown_plane_neither_clears_nor_touches(ledger: Ledger) -> None:
    await check(ledger, 0, drift())
    before = await ledger.open_findings()
    blind = await check(ledger, 15, blind=["release/a"])
    assert blind.check.summary.state is PlaneState.UNKNOWN
    assert blind.cleared == () and addresses(blind.unconfirmed) == ["ConfigMap/a"]
    bare = PlaneVerdict(plane=PlaneName.ADDONS, state=PlaneState.UNKNOWN, looked_at=at(20), seconds=1)
    assert (await record(ledger, 20, bare)).cleared == ()
    assert (await record(ledger, 25, look(PlaneName.DNS, at(25)))).cleared == (), "a plane that was left out"
    assert (await record(ledger, 30)).check.summary.state is PlaneState.UNKNOWN, "nothing was looked at"
    assert await ledger.open_findings() == before


async def test_a_plane_looked_at_in_part_clears_nothing_and_keeps_what_it_saw(ledger: Ledger) -> None:
    await check(ledger, 0, drift("ConfigMap/a"), drift("ConfigMap/b"))
    part = await check(ledger, 15, drift("ConfigMap/a"), drift("ConfigMap/c"), blind=["release/x"])
    assert (addresses(part.stayed), addresses(part.found)) == (["ConfigMap/a"], ["ConfigMap/c"])
    assert part.cleared == () and addresses(part.unconfirmed) == ["ConfigMap/b"]
    seen = {o.address: o.last_seen for o in await ledger.open_findings()}
    assert seen["ConfigMap/a"] == seen["ConfigMap/c"] == seen["ConfigMap/b"] + EVERY
    assert addresses((await check(ledger, 30, drift("ConfigMap/c"))).cleared) == ["ConfigMap/a", "ConfigMap/b"]


async def test_a_blind_spot_hides_what_it_names_and_nothing_else(ledger: Ledger) -> None:
    found = [drift(f"{kind}/{name}") for kind in ("ConfigMap", "ConfigMapper", "Secret") for name in ("x/a", "x/b")]
    await check(ledger, 0, *found)
    part = await check(ledger, 15, drift("ConfigMap/x/a"), hidden=["ConfigMap/*", "Secret/x/b"])
    assert addresses(part.stayed) == ["ConfigMap/x/a"]
    assert addresses(part.cleared) == ["ConfigMapper/x/a", "ConfigMapper/x/b", "Secret/x/a"]
    assert addresses(part.unconfirmed) == ["ConfigMap/x/b", "Secret/x/b"]
    dark = await check(ledger, 30, blind=["all"], hidden=["ConfigMap/*"])
    assert dark.cleared == (), "what names nothing hides everything"
    assert addresses((await check(ledger, 45, hidden=["Secret/*"])).cleared) == ["ConfigMap/x/a", "ConfigMap/x/b"]
    assert addresses(await ledger.open_findings()) == ["Secret/x/b"]


async def test_blind_spots_that_name_too_much_hide_everything(light: Ledger) -> None:
    await check(light, 0, drift("Secret/a"))
    assert (await check(light, 1, hidden=[f"ConfigMap/{number}" for number in range(HIDDEN_KEPT + 1)])).cleared == ()
    assert len((await check(light, 2, hidden=[f"ConfigMap/{number}" for number in range(HIDDEN_KEPT)])).cleared) == 1


async def test_a_look_with_a_blind_spot_overtakes_an_older_one(light: Ledger) -> None:
    await check(light, 10, hidden=["ConfigMap/*"])
    assert (await check(light, 9, drift("Secret/a"))).found == ()


async def test_a_look_of_the_version_before_hid_all_or_nothing(light: Ledger) -> None:
    await check(light, 0)
    with light._store.session(write=True) as session:
        for row in session.scalars(select(CheckRow)):
            said = {key: value for key, value in row.planes["addons"].items() if key != "hidden"}
            row.planes = {"addons": said | {"complete": False}}
    assert len((await check(light, -1, drift())).found) == 1
    with light._store.session(write=True) as session:
        session.execute(update(CheckRow).values(planes={"addons": said | {"complete": True}}))
    assert (await check(light, -2, drift("ConfigMap/b"))).found == ()


async def test_a_stale_check_finds_but_clears_nothing(light: Ledger) -> None:
    await check(light, 0, drift("ConfigMap/a"))
    said = look(PlaneName.ADDONS, at(15), drift("ConfigMap/b"))
    changes = await record(light, 15, said, stale="It missed the canary.")
    assert (addresses(changes.found), changes.cleared) == (["ConfigMap/b"], ())
    assert addresses(changes.unconfirmed) == ["ConfigMap/a"]


async def test_the_same_check_recorded_again_changes_nothing_and_answers_the_same(ledger: Ledger) -> None:
    await check(ledger, 0, drift("ConfigMap/a"), drift("ConfigMap/b"))
    first = await check(ledger, 15, drift("ConfigMap/b"), drift("ConfigMap/c"), waived=[drift("ConfigMap/d")])
    again = await check(ledger, 15, drift("ConfigMap/b"), drift("ConfigMap/c"), waived=[drift("ConfigMap/d")])
    assert again == first
    assert (addresses(again.found), addresses(again.cleared)) == (["ConfigMap/c"], ["ConfigMap/a"])
    assert len(await ledger.checks("dev")) == 2


async def test_checks_side_by_side_find_each_thing_once(ledger: Ledger) -> None:
    found = [drift(f"ConfigMap/{number}") for number in range(5)]
    results = await asyncio.gather(
        *(record(ledger, 0, look(PlaneName.ADDONS, at(0), *found), flow_run_id=f"run-{n}") for n in range(8))
    )
    assert sorted(len(changes.found) for changes in results) == [0] * 7 + [5]
    assert len(await ledger.open_findings()) == 5 and len(await ledger.checks("dev")) == 8
    gone = await asyncio.gather(
        *(record(ledger, 15, look(PlaneName.ADDONS, at(15)), flow_run_id=f"run-{n}") for n in range(8))
    )
    assert sorted(len(changes.cleared) for changes in gone) == [0] * 7 + [5]


CHECKER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from infra.drift.findings import Finding, PlaneName, PlaneVerdict
from infra.ledger import Ledger
from infra.settings import Settings

async def main():
    async with Ledger.open(Settings(state_dir=Path(sys.argv[1]), ledger_url=sys.argv[2] or None)) as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        now = datetime(2026, 3, 2, tzinfo=UTC)
        found = [Finding(plane=PlaneName.DNS, address=f"recordset/{n}", sentence="No.") for n in range(20)]
        verdict = PlaneVerdict.of(PlaneName.DNS, found, (), looked_at=now, seconds=1)
        changes = await ledger.record_check(
            environment="dev", commit=None, verdicts=[verdict], began=now, seconds=1, flow_run_id=sys.argv[3]
        )
        print(len(changes.found), flush=True)

asyncio.run(main())
"""


@pytest.mark.thorough
async def test_processes_that_check_at_once_find_each_thing_once(settings: Settings) -> None:
    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-W", "error", "-c", CHECKER, str(settings.state_dir), settings.ledger_url or ""]
        return subprocess.Popen(
            [*arguments, str(number)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    children = [start(number) for number in range(2)]
    for child in children:
        assert child.stdout and child.stdout.readline() == b"ready\n"
    results = await asyncio.gather(*(asyncio.to_thread(child.communicate, b"\n", 60) for child in children))
    assert sorted(result[0] for result in results) == [b"0\n", b"20\n"], results


async def test_a_look_that_was_overtaken_says_nothing_any_more(ledger: Ledger) -> None:
    newer = look(PlaneName.ADDONS, at(10), drift("ConfigMap/new"))
    await record(ledger, 10, newer)
    slow = look(PlaneName.ADDONS, at(5), drift("ConfigMap/old"), seconds=900)
    late = await record(ledger, 4, slow, seconds=1000)
    assert late.found == () and late.cleared == () and addresses(late.unconfirmed) == ["ConfigMap/new"]
    assert addresses(await ledger.open_findings()) == ["ConfigMap/new"]


async def test_a_later_look_that_knew_nothing_overtakes_nobody(light: Ledger) -> None:
    await check(light, 10, blind=["all of it"])
    assert addresses((await check(light, 9, drift())).found) == ["ConfigMap/a"]


async def test_who_repaired_it_is_the_run_that_wrote_there(ledger: Ledger) -> None:
    async def write(minutes: float, plane: str, address: str, outcome: str = "done") -> str:
        run = await ledger.begin("reconcile", "dev", COMMIT)
        async with run.journal.write(plane, "apply", address):
            pass
        (entry,) = await ledger.journal(run.id)
        with ledger._store.session(write=True) as session:
            moved = update(JournalRow).where(JournalRow.id == entry.id)
            session.execute(moved.values(began=at(minutes), ended=at(minutes), outcome=outcome))
        return run.id

    found = [drift("ConfigMap/a"), drift("ConfigMap/b"), drift("recordset/x", plane=PlaneName.DNS)]
    await record(ledger, 15, look(PlaneName.ADDONS, at(15), *found[:2]), look(PlaneName.DNS, at(15), found[2]))
    await write(14, "addons", "ConfigMap/a")
    exact = await write(20, "addons", "ConfigMap/a")
    release = await write(21, "addons", "release/b")
    await write(22, "dns", "recordset/x", "failed")
    await write(31, "dns", "recordset/x")
    changes = await record(ledger, 30, look(PlaneName.ADDONS, at(30)), look(PlaneName.DNS, at(30)))
    assert {o.address: o.cleared_run for o in changes.cleared} == {
        "ConfigMap/a": exact,
        "ConfigMap/b": release,
        "recordset/x": None,
    }


async def test_what_was_open_goes_with_its_environment(ledger: Ledger) -> None:
    await check(ledger, 0, drift())
    await check(ledger, 0, drift(), environment="prod")
    run = await ledger.begin("destroy-environment", "dev", COMMIT)
    await run.end("removed")
    assert [o.environment for o in await ledger.open_findings()] == ["prod"]
    (gone, _) = (await ledger.drift_history(since=at(-1))).onsets
    assert (gone.cleared_check, gone.cleared_run, gone.repair_seconds) == (None, run.id, None)
    assert gone.cleared_at is not None and abs(datetime.now(UTC) - gone.cleared_at) < timedelta(minutes=5)
    assert (await check(ledger, 1, drift())).found == (), "this check began before the removal"


async def test_one_that_was_made_again_begins_to_count_anew(ledger: Ledger) -> None:
    for minutes in range(4):
        await check(ledger, minutes, *([] if minutes % 2 else [drift()]))
    await check(ledger, 4, drift(), drift("ConfigMap/b"))
    run = await ledger.begin("destroy-environment", "dev", COMMIT)
    await run.end("removed")
    with ledger._store.session(write=True) as session:
        session.execute(update(RunRow).values(ended=at(10)))
    (history,) = [await ledger.drift_history(since=at(-1))]
    assert [one.recurrence for one in history.onsets if one.address == "ConfigMap/a"] == [0, 1, 2]
    assert history.removed == {"dev": at(10)}
    again = await check(ledger, 100, drift())
    assert [one.recurrence for one in again.found] == [0]
    assert (again.check.summary.interval_seconds, again.check.summary.latency_seconds) == (None, None)
    await check(ledger, 115)
    back = await check(ledger, 130, drift(), drift("ConfigMap/b"))
    assert {one.address: one.recurrence for one in back.found} == {"ConfigMap/a": 1, "ConfigMap/b": 0}
    assert back.check.summary.interval_seconds == 900
    await check(ledger, 145)
    assert [one.recurrence for one in (await check(ledger, 160, drift())).found] == [2]


async def test_what_is_recorded_while_an_environment_is_removed_is_not_left_open(ledger: Ledger) -> None:
    run = await ledger.begin("destroy-environment", "dev", COMMIT)
    await asyncio.gather(
        *(record(ledger, n, look(PlaneName.ADDONS, at(n), drift(f"ConfigMap/{n}"))) for n in range(8)),
        run.end("removed"),
    )
    assert await ledger.open_findings() == []


async def test_a_waived_finding_is_no_news_until_the_waiver_ends(ledger: Ledger) -> None:
    waived = await check(ledger, 0, waived=[drift()])
    assert addresses(waived.waived) == ["ConfigMap/a"]
    assert waived.found == () and waived.check.summary.state is PlaneState.IN_STEP
    assert [o.waived for o in await ledger.open_findings()] == [True]
    ended = await check(ledger, 15, drift())
    assert [(o.address, o.first_seen) for o in ended.found] == [("ConfigMap/a", at(0) + timedelta(seconds=2))]
    covered = await check(ledger, 30, waived=[drift()])
    assert addresses(covered.waived) == ["ConfigMap/a"] and covered.cleared == covered.stayed == ()
    gone = await check(ledger, 45)
    assert gone.cleared == () and await ledger.open_findings() == []


async def test_time_for_which_it_was_waived_is_no_part_of_its_repair(ledger: Ledger) -> None:
    await check(ledger, 0, drift("late"), waived=[drift("first")])
    await check(ledger, 15, drift("late"), waived=[drift("first")])
    await check(ledger, 30, drift("first"), waived=[drift("late")])
    await check(ledger, 45, drift("first"), waived=[drift("late")])
    await check(ledger, 60, drift("first"), drift("late"))
    await check(ledger, 75, drift("first"), drift("late"))
    cleared = {one.address: one.repair_seconds for one in (await check(ledger, 90)).cleared}
    assert cleared == {"first": 60 * 60, "late": 60 * 60}


async def test_an_outage_before_it_was_cleared_is_no_part_of_its_repair(ledger: Ledger) -> None:
    await check(ledger, 0, drift("ConfigMap/a"), drift("ConfigMap/b"))
    await check(ledger, 15, blind=["everything"])
    await record(ledger, 30, stale="The check failed: no answer.")
    await check(ledger, 300, drift("ConfigMap/b"))
    await check(ledger, 315)
    history = await ledger.drift_history(since=at(-1))
    seconds = {one.address: one.repair_seconds for one in history.onsets}
    # The first may have been repaired at the outage's beginning; the other was there all along.
    assert seconds == {"ConfigMap/a": 15 * 60 + 3, "ConfigMap/b": 315 * 60}


async def test_a_look_that_ends_before_an_older_one_turns_no_time_around(light: Ledger) -> None:
    await record(light, 0, look(PlaneName.ADDONS, at(0), drift(), seconds=1200))
    (cleared,) = (await record(light, 5, look(PlaneName.ADDONS, at(5), seconds=2))).cleared
    assert cleared.first_seen <= cleared.last_seen <= (cleared.cleared_at or at(0))
    assert cleared.repair_seconds == 0


async def test_a_canary_repairs_nothing(light: Ledger) -> None:
    await check(light, 0, drift())
    canary = await light.begin(CANARY, "dev", COMMIT)
    async with canary.journal.write("addons", "set back", "ConfigMap/plumbline-system/drift-canary"):
        pass
    with light._store.session(write=True) as session:
        session.execute(update(JournalRow).values(began=at(5), ended=at(5)))
    assert [one.cleared_run for one in (await check(light, 15)).cleared] == [None]


async def test_a_time_that_other_writes_move_is_not_when_it_was_changed(light: Ledger) -> None:
    await check(light, 0)
    polled = drift(changed=Changed(who="unknown (Magnum records no author)", when=at(14), by_then=True))
    (onset,) = (await check(light, 15, polled)).found
    assert (onset.changed_when, onset.arose, onset.detect_seconds) == (at(14), None, None)


async def test_intervals_latency_and_duration(ledger: Ledger) -> None:
    for minutes in (0, 15, 32):
        await check(ledger, minutes)
    known = [c.summary for c in await ledger.checks("dev")]
    assert [(c.interval_seconds, c.latency_seconds, c.duration_seconds) for c in known] == [
        (1020, 120, 5),
        (900, 0, 5),
        (None, None, 5),
    ]
    assert {c.declared_seconds for c in known} == {900}
    punctual = await record(ledger, 40, due=at(39.5), declared_interval=None, stale="It missed the canary.")
    assert (punctual.check.summary.latency_seconds, punctual.check.summary.declared_seconds) == (30, None)
    assert punctual.check.summary.stale == "It missed the canary."
    early = await check(ledger, 41)
    assert early.check.summary.latency_seconds == 0, "started by hand before it was due"


async def test_a_check_keeps_what_each_plane_said(ledger: Ledger) -> None:
    verdicts = [
        look(PlaneName.CLUSTER, at(0), seconds=1.5),
        look(PlaneName.ADDONS, at(0), drift(), waived=[drift("ConfigMap/w")], blind=["release/x"]),
        look(PlaneName.DNS, at(0), blind=["zone"]),
    ]
    await record(ledger, 0, *verdicts, flow_run_id="f" * 36)
    (kept,) = await ledger.checks("dev", limit=1)
    assert (kept.commit, kept.flow_run_id, kept.summary.state) == (COMMIT, "f" * 36, PlaneState.DRIFTED)
    assert (kept.summary.findings, kept.summary.waived, kept.summary.blind_spots) == (1, 1, 2)
    assert [(p.plane, p.state, p.seconds, p.findings, p.blind_spots) for p in kept.planes] == [
        ("cluster", "in step", 1.5, 0, ()),
        ("addons", "drifted", 2.0, 1, ("release/x: It does not answer.",)),
        ("dns", "unknown", 2.0, 0, ("zone: It does not answer.",)),
    ]


@pytest.mark.parametrize(
    ("changed", "arose"),
    [
        (None, None),
        (5, 5),
        (15, 15),
        (16, 16),
        (-0.5, -0.5),
        (-60, None),
    ],
)
async def test_a_change_from_before_a_look_that_found_nothing_is_not_the_onset(
    light: Ledger, changed: float | None, arose: float | None
) -> None:
    await check(light, 0)
    await check(light, 7, blind=["release/a"])
    who = Changed(who="kubectl-edit", when=at(changed), how="Update") if changed is not None else Changed(who="x")
    (onset,) = (await check(light, 15, drift(changed=who))).found
    assert (onset.changed_who, onset.changed_when) == (who.who, who.when)
    assert onset.arose == (None if arose is None else at(arose))
    if arose is None:
        assert onset.detect_seconds is None
    else:
        assert onset.detect_seconds == max(0, (15 - arose) * 60 + 2)


@pytest.mark.parametrize(("address", "arose"), [("ConfigMap/a", at(-60)), ("Secret/a", None)])
async def test_a_look_bounds_only_what_it_did_not_hide(light: Ledger, address: str, arose: datetime | None) -> None:
    await check(light, 0, hidden=["ConfigMap/*"])
    (onset,) = (await check(light, 15, drift(address, changed=Changed(who="x", when=at(-60))))).found
    assert onset.arose == arose


async def test_after_a_long_outage_a_change_from_before_it_says_nothing_of_the_onset(light: Ledger) -> None:
    await check(light, 0)
    for number in range(REMEMBERED + 1):
        await check(light, 15 + number, blind=["everything"])
    found = [drift("old", changed=Changed(who="x", when=at(-60))), drift("new", changed=Changed(who="x", when=at(20)))]
    seen = await check(light, 60, *found)
    assert {one.address: one.arose for one in seen.found} == {"old": None, "new": at(20)}


async def test_a_change_in_the_future_is_a_wrong_clock(light: Ledger) -> None:
    await check(light, 0)
    found = [
        drift("soon", changed=Changed(who="x", when=at(15.9))),
        drift("far", changed=Changed(who="x", when=at(75))),
    ]
    seen = await check(light, 15, *found)
    assert {one.address: (one.arose, one.detect_seconds) for one in seen.found} == {
        "soon": (at(15.9), 0),
        "far": (None, None),
    }


async def test_the_first_change_is_kept_and_an_environments_first_check_believes_it(light: Ledger) -> None:
    await check(light, 0, drift(changed=Changed(who="alice", when=datetime(2026, 3, 1))))
    (onset,) = (await check(light, 15, drift(changed=Changed(who="bob", when=at(5))))).stayed
    assert (onset.changed_who, onset.arose) == ("alice", datetime(2026, 3, 1, tzinfo=UTC))


async def test_nothing_secret_and_nothing_endless_is_kept(sqlite_settings: Settings) -> None:
    MASKER.learn("correct horse battery staple")
    token = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
    finding = drift(
        path=f".data.{token}",
        declared={"password": "hunter2hunter2", "nul": "a\0b"},
        observed=["correct horse battery staple", "x" * 5000],
        changed=Changed(who=token),
    )
    async with Ledger.open(sqlite_settings) as ledger:
        await check(ledger, 0, finding, blind=[f"said {token}"])
        await record(ledger, 1, stale="correct horse battery staple")
        (kept,) = await ledger.open_findings()
        assert kept.declared and '"password": "***"' in kept.declared
        assert kept.observed and len(kept.observed) <= 500
        assert addresses((await check(ledger, 2)).cleared) == ["ConfigMap/a"], "masked, and still known"
    stored = b"".join(path.read_bytes() for path in sqlite_settings.state_dir.iterdir())
    assert b"ConfigMap/a" in stored
    for secret in (b"hunter2", token.encode(), b"correct horse"):
        assert secret not in stored


async def test_any_text_can_be_stored(ledger: Ledger) -> None:
    odd = "a\0b\ud800c\N{PILE OF POO}" + "y" * 5000
    await check(ledger, 0, drift(odd, path=odd, observed=odd, changed=Changed(who=odd)), blind=[odd])
    assert len(await ledger.open_findings()) == 1
    assert len((await check(ledger, 1, drift(odd, path=odd))).stayed) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_seen_in_whatever_order_the_books_agree(light: Ledger, seed: int) -> None:
    rnd = random.Random(seed)
    onsets: Counter[str] = Counter()
    known: set[str] = set()
    newest = -100.0
    for number in range(60):
        minutes = number if rnd.random() < 0.8 else number - rnd.uniform(0, 5)
        seen = {name for name in "abcdef" if rnd.random() < 0.3}
        blind = rnd.random() < 0.3
        hidden = {name for name in "abcdef" if rnd.random() < 0.1}
        changes = await check(light, minutes, *map(drift, sorted(seen)), blind=["x"] if blind else [], hidden=hidden)
        before = set(known)
        if minutes < newest:
            assert not changes.found and not changes.cleared and not changes.stayed
        else:
            gone = set() if blind else before - seen - hidden
            known = (before | seen) - gone
            onsets.update(seen - before)
            assert set(addresses(changes.found)) == seen - before
            assert set(addresses(changes.stayed)) == seen & before
            assert set(addresses(changes.cleared)) == gone
            assert set(addresses(changes.unconfirmed)) == before - seen - gone
            if seen or not blind:
                newest = minutes
        assert {(o.address, o.recurrence + 1) for o in await light.open_findings()} == {(n, onsets[n]) for n in known}
    every = (await light.drift_history(since=at(-10))).onsets
    assert Counter(addresses(every)) == onsets
    assert all(o.first_seen <= o.last_seen and (o.cleared_at is None or o.last_seen <= o.cleared_at) for o in every)


async def test_history_is_what_was_open_since(ledger: Ledger) -> None:
    await check(ledger, 0, drift("ConfigMap/long"), drift("ConfigMap/short"))
    await check(ledger, 10, drift("ConfigMap/long"))
    await check(ledger, 30, drift("ConfigMap/long"), drift("ConfigMap/new"))
    await check(ledger, 30, drift("ConfigMap/else"), environment="prod")
    history = await ledger.drift_history(since=at(20), environment="dev")
    assert addresses(history.onsets) == ["ConfigMap/long", "ConfigMap/new"]
    assert [c.began for c in history.checks] == [at(30)]
    assert len((await ledger.drift_history(since=at(20))).checks) == 2


async def test_the_gravest_stands_first(light: Ledger) -> None:
    await check(light, 0, drift("a", severity=Severity.COSMETIC), drift("b", severity=Severity.DESTRUCTIVE))
    await check(light, 1, drift("a"), drift("b", severity=Severity.DESTRUCTIVE), drift("c"))
    assert addresses(await light.open_findings()) == ["b", "a", "c"]


def test_a_ledger_of_the_version_before_keeps_what_it_has(settings: Settings) -> None:
    settings.state_dir.mkdir()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(ledger_url(settings))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        values = "('dev', 'ready', '2026-03-02 08:00:00')"
        connection.execute(text(f"INSERT INTO environments (name, state, updated) VALUES {values}"))
    engine.dispose()
    new = Store(ledger_url(settings))
    with new.session(write=False) as session:
        assert session.execute(text("SELECT name FROM environments")).scalars().all() == ["dev"]
        assert session.execute(text("SELECT count(*) FROM findings")).scalar() == 0
    new.close()


async def test_findings_of_the_version_before_go_on(settings: Settings) -> None:
    settings.state_dir.mkdir()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(ledger_url(settings))
    now = "2026-03-02 08:00:00"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        runs = "id, flow, environment, started, state, process"
        connection.execute(text(f"INSERT INTO runs ({runs}) VALUES ('r', 'f', 'dev', '{now}', 'ready', 'h|1|1.0')"))
        checks = (
            "id, environment, state, began, ended, duration_seconds, findings, waived, blind_spots, planes, changes"
        )
        values = f"'c', 'dev', 'drifted', '{now}', '{now}', 1, 1, 1, 0, '{{}}', '{{}}'"
        connection.execute(text(f"INSERT INTO checks ({checks}) VALUES ({values})"))
        findings = (
            "environment, place, recurrence, plane, address, path, severity, sentence, waived, first_seen, last_seen, "
            "looked_at, first_check"
        )
        for address, waived in (("ConfigMap/a", "false"), ("ConfigMap/w", "true")):
            values = f"'dev', '{place_of(drift(address))}', 3, 'addons', '{address}', '', 'config', 's', {waived}"
            values += f", '{now}', '{now}', '{now}', 'c'"
            connection.execute(text(f"INSERT INTO findings ({findings}) VALUES ({values})"))
    engine.dispose()
    async with Ledger.open(settings) as ledger:
        assert [one.recurrence for one in await ledger.open_findings()] == [3, 3]
        seen = await check(ledger, 15, drift("ConfigMap/w"), drift("ConfigMap/a"))
        assert (addresses(seen.found), addresses(seen.stayed)) == (["ConfigMap/w"], ["ConfigMap/a"])
        cleared = (await check(ledger, 30)).cleared
        assert {one.address: one.repair_seconds for one in cleared} == {"ConfigMap/a": 1802, "ConfigMap/w": 900}


def test_parts_of_a_plane_are_one_look_as_old_and_as_blind_as_all_of_them() -> None:
    grave, light_one = drift(severity=Severity.SECURITY), drift(severity=Severity.COSMETIC)
    parts = [
        look(PlaneName.ADDONS, at(1), light_one, grave, waived=[light_one]),
        look(PlaneName.ADDONS, at(0), blind=["x"]),
        look(PlaneName.ADDONS, at(2)),
    ]
    for order in (parts, parts[::-1]):
        (one,) = looks_of(order)
        assert (one.looked_at, one.ended, one.state) == (at(0), at(2) + timedelta(seconds=2), PlaneState.DRIFTED)
        assert one.hidden == ("*",)
        assert one.seen == {place_of(grave): (grave, False)}
    (dark,) = looks_of([look(PlaneName.DNS, at(0)), look(PlaneName.DNS, at(0), blind=["y"])])
    assert dark.state is PlaneState.UNKNOWN and dark.hidden == ("*",)
