"""A program in the background: one of its kind, found again by its pid file, and stopped with all it started."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deployments.daemon import Daemon
from infra.clients.errors import DeadlineExceeded, Failed
from tests.waiting import until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("server", tmp_path)
    yield made
    made.stop(timeout=2)


def shell(daemon: Daemon, script: str) -> psutil.Process:
    return daemon.start(["/bin/sh", "-c", script], dict(os.environ), daemon.folder)


def test_there_is_one_and_it_is_found_again(daemon: Daemon) -> None:
    first = shell(daemon, "exec sleep 60")
    assert shell(daemon, "exec sleep 60").pid == first.pid
    assert Daemon("server", daemon.folder).process() == first
    assert os.getsid(first.pid) == first.pid, "it outlives the terminal"


def test_its_log_and_pid_file_are_ours_alone(daemon: Daemon) -> None:
    shell(daemon, "umask; echo said; exec sleep 60")
    until(lambda: "said" in daemon.log.read_text(), "what it says", 10)
    assert daemon.log.read_text().splitlines()[0] == "0077", "and so is what it writes"
    for path in (daemon.log, daemon.pid_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "12", '{"pid": 4194304, "began": 0}', '{"pid": 1}'])
def test_a_pid_file_that_says_nothing_is_no_program(daemon: Daemon, text: str) -> None:
    daemon.pid_file.write_text(text)
    assert daemon.process() is None
    assert daemon.stop() is False
    assert not daemon.pid_file.exists()


def test_a_pid_that_now_belongs_to_a_stranger_is_left_alone(daemon: Daemon) -> None:
    daemon.pid_file.write_text(json.dumps({"pid": os.getpid(), "began": time.time() - 5000}))
    assert daemon.process() is None
    assert daemon.stop() is False


def test_a_program_that_has_ended_does_not_run(daemon: Daemon) -> None:
    process = shell(daemon, "exit 0")
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "its end", 10)
    assert daemon.process() is None


@pytest.mark.thorough
def test_it_is_stopped_with_all_it_started(daemon: Daemon) -> None:
    process = shell(daemon, "sleep 60 & sleep 61 & wait")
    until(lambda: len(process.children()) == 2, "its children", 10)
    family = [process, *process.children()]
    assert daemon.stop(timeout=0.2) is True
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)
    assert not daemon.pid_file.exists()
    assert daemon.stop() is False


def test_ready_is_waited_for(daemon: Daemon, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    shell(daemon, f"sleep 0.05; touch {ready}; exec sleep 60")
    daemon.wait_ready(ready.exists, timeout=10)
    assert ready.exists()


def test_a_program_that_ends_while_it_starts_is_quoted(daemon: Daemon) -> None:
    shell(daemon, "echo no room left; exit 3")
    with pytest.raises(Failed, match="server ended while it was starting") as caught:
        daemon.wait_ready(lambda: False, timeout=10)
    assert caught.value.detail == "no room left"
    assert str(daemon.log) in caught.value.summary


def test_a_program_that_takes_too_long_is_said_to(daemon: Daemon) -> None:
    daemon.start([sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ), daemon.folder)
    with pytest.raises(DeadlineExceeded, match=r"server is not ready after 0\.1 s"):
        daemon.wait_ready(lambda: False, timeout=0.1)


def test_a_log_that_is_not_there_is_no_trouble(daemon: Daemon) -> None:
    with pytest.raises(Failed) as caught:
        daemon.wait_ready(lambda: False, timeout=1)
    assert caught.value.detail is None
