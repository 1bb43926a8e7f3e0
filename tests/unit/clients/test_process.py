"""Child programs: their output, their end, and that nothing of their group survives."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from infra.clients.errors import DeadlineExceeded, Misconfigured
from infra.clients.process import run
from infra.settings import ROOT

ENV = {"PATH": os.environ["PATH"]}
PROJECT = {**ENV, "PYTHONPATH": str(ROOT)}


async def test_output_return_code_lines_and_private_files(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "echo one; echo two >&2; touch made; exit 3"
    done = await run(["sh", "-c", script], env=ENV, cwd=tmp_path, timeout=5, on_line=lines.append)
    assert (done.returncode, done.stdout, done.stderr, lines) == (3, "one\n", "two\n", ["one"])
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0


async def test_a_missing_program_is_a_sentence() -> None:
    with pytest.raises(Misconfigured, match="no-such-program"):
        await run(["no-such-program"], env=ENV, timeout=5)


async def test_a_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(DeadlineExceeded):
        await run(["sh", "-c", script], env=ENV, timeout=0.3, grace=0.2)
    await gone(int((tmp_path / "pid").read_text()))


async def test_cancelling_interrupts_first_and_waits(tmp_path: Path) -> None:
    script = f"trap 'echo saved > {tmp_path}/state; exit 0' INT; echo ready; while :; do sleep 0.05; done"
    ready = asyncio.Event()
    task = asyncio.create_task(run(["sh", "-c", script], env=ENV, timeout=30, grace=5, on_line=lambda _: ready.set()))
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "state").read_text() == "saved\n"


async def test_a_child_hears_the_interrupt_that_its_background_parent_ignores() -> None:
    parent = (
        "import asyncio, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from infra.clients.process import run\n"
        "script = 'trap \"echo heard; exit 0\" INT; kill -INT $$; echo deaf'\n"
        "print(asyncio.run(run(['sh', '-c', script], env={}, timeout=30)).stdout)\n"
        "signal.raise_signal(signal.SIGINT)\n"
        "print('lives')\n"
    )
    done = await run([sys.executable, "-c", parent], env=PROJECT, timeout=60)
    assert done.stdout.split() == ["heard", "lives"], done.stderr


async def test_who_ignores_the_interrupt_is_killed() -> None:
    with pytest.raises(DeadlineExceeded):
        await run(["sh", "-c", "trap '' INT; while :; do sleep 0.05; done"], env=ENV, timeout=0.2, grace=0.2)


async def gone(pid: int) -> None:
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")


async def test_a_child_that_outlives_its_killed_parent_can_still_write(tmp_path: Path) -> None:
    """A pipe's writer dies of SIGPIPE when the reader is gone; ours has to write its state."""
    child = "echo begun; touch begun; while [ ! -e go ]; do sleep 0.02; done; echo more && echo saved > state"
    parent = (
        "import asyncio, sys\n"
        "from infra.clients.process import run\n"
        "asyncio.run(run(['sh', '-c', sys.argv[1]], env={}, timeout=60, on_line=print))\n"
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, child, cwd=tmp_path, env=PROJECT)
    while not (tmp_path / "begun").exists():
        assert killed.returncode is None
        await asyncio.sleep(0.02)
    killed.kill()
    await killed.wait()
    (tmp_path / "go").touch()
    for _ in range(200):
        if (tmp_path / "state").exists():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the child died with its parent")
