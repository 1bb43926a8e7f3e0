"""Child processes kept running, clusters, the control API and the web servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dulwich.porcelain
import psutil
import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from deployments.sandbox.openstack.control import Control, ControlError
from deployments.sandbox.repositories import folder_files, seed
from deployments.sandbox.settings import free_port
from deployments.sandbox.supervisor import control, managed
from deployments.sandbox.supervisor.clusters import Clusters
from deployments.sandbox.supervisor.daemon import only_one, running
from deployments.sandbox.supervisor.managed import Managed, Program, end_left_over, identity
from deployments.sandbox.supervisor.web import GitServer, charts
from infra.clients.errors import Refused

UUID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not look():  # noqa: ASYNC110 - other processes set no events
            await asyncio.sleep(0.01)


def program(folder: Path, code: str, name: str = "child", probe: Callable[[], bool] = lambda: True) -> Program:
    async def probed() -> bool:
        return probe()

    argv = (sys.executable, "-S", "-c", code)
    return Program(name, argv, dict(os.environ), folder / f"{name}.log", probed, folder)


SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(managed, "PROBE_SECONDS", 0.01)


async def test_a_process_is_ready_when_its_probe_says_so(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    changes: list[str] = []
    one = Managed(
        program(tmp_path, SLEEP, probe=lambda: log.exists() and "up" in log.read_text()),
        grace=2,
        changed=lambda: changes.append(one.state),
    )
    one.start()
    await asyncio.wait_for(one.ready.wait(), 5)
    pid = one.pid
    assert pid is not None
    assert identity(pid) is not None
    assert psutil.Process(pid).pid == os.getpgid(pid)
    assert log.stat().st_mode & 0o077 == 0 or os.umask(0o022) == 0o022
    await one.stop()
    assert identity(pid) is None
    assert changes == ["starting", "ready", "stopped"]


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    one = Managed(program(tmp_path, SLEEP), grace=2)
    one.start()
    await asyncio.wait_for(one.ready.wait(), 5)
    first = one.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: one.pid not in (None, first) and one.ready.is_set())
    assert one.restarts == 1
    await one.stop()


async def test_one_that_keeps_dying_waits_ever_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "LONGEST_PAUSE", 0.04)
    pauses: list[float] = []
    genuine = asyncio.sleep

    async def noting(seconds: float) -> None:
        pauses.append(seconds)
        await genuine(0)

    one = Managed(program(tmp_path, "raise SystemExit(3)", probe=lambda: False), grace=2)
    monkeypatch.setattr("deployments.sandbox.supervisor.managed.asyncio.sleep", noting)
    one.start()
    async with asyncio.timeout(10):
        while one.restarts < 4:
            await genuine(0.01)
    await one.stop()
    assert [pause for pause in pauses if pause != managed.PROBE_SECONDS or pause in (0.02, 0.04)][:2]
    assert {0.02, 0.04} <= set(pauses)
    assert max(pauses) == 0.04
    assert one.detail == "ended with exit code 3"


async def test_a_missing_program_is_explained(tmp_path: Path) -> None:
    async def probe() -> bool:
        return True

    missing = Program("missing", ("/does/not/exist",), {}, tmp_path / "log", probe, tmp_path)
    one = Managed(missing, grace=1)
    one.start()
    await until(lambda: one.restarts > 0)
    assert "cannot be started" in one.detail
    await one.stop()


async def test_one_that_ignores_the_end_is_killed_with_its_group(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    one = Managed(program(tmp_path, STUBBORN, probe=lambda: log.exists() and "up" in log.read_text()), grace=0.05)
    one.start()
    await asyncio.wait_for(one.ready.wait(), 5)
    pid = one.pid
    assert pid is not None
    await one.stop()
    assert identity(pid) is None


def test_left_over_processes_are_ended_and_strangers_are_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", SLEEP], stdout=subprocess.DEVNULL, start_new_session=True
    ) as child:
        created = identity(child.pid)
        assert created is not None
        # The same number with another start time is another process.
        assert end_left_over([(child.pid, created - 5)], grace=0.1) == 0
        assert identity(child.pid) == created
        assert end_left_over([(child.pid, created), (os.getpid(), 1.0)], grace=2) == 1
        assert identity(child.pid) is None


def test_only_one_supervisor_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.sandbox.supervisor.daemon.LOCK_SECONDS", 0.05)
    lock = tmp_path / "lock"
    assert running(lock) is None
    with only_one(lock) as claim:
        claim()
        assert running(lock) == os.getpid()
        with pytest.raises(Refused, match="Another supervisor"), only_one(lock):
            pass
    assert running(lock) is None


class Farm:
    """Clusters with stand-in processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clusters"
        self.folder.mkdir(exist_ok=True)
        self.log = folder
        self.started: list[str] = []
        self.clusters = self.make()

    def make(self) -> Clusters:
        return Clusters(self.folder, first_port=free_port(), programs=self.programs, grace=1, changed=lambda: None)

    def programs(self, folder: Path, document: Mapping[str, Any]) -> tuple[Program, Program]:
        self.started.append(document["version"])
        return program(self.log, SLEEP, "api"), program(self.log, SLEEP, "controllers")


def body(**changes: Any) -> dict[str, Any]:
    pems = {key: f"{key} text\n" for key in ("ca_pem", "server_cert_pem", "server_key_pem")}
    admin = {"admin_cert_pem": "admin cert\n", "admin_key_pem": "admin key\n"}
    nodes = [{"name": "dev-0", "role": "worker", "nodegroup": "default-worker", "address": "10.0.0.1", "flavor": "m1"}]
    return {"name": "dev", "version": "v1.33.4", "nodes": nodes, **pems, **admin} | changes


async def test_a_cluster_is_kept_restarted_and_forgotten(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    one = farm.clusters
    first = await one.put(UUID, body())
    await asyncio.wait_for(one.processes[UUID][0].ready.wait(), 5)
    folder = farm.folder / UUID
    document = json.loads((folder / "cluster.json").read_text())
    assert document["port"] == int(first["api_address"].rsplit(":", 1)[1])
    assert not [key for key in document if "key" in key]
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}["server.key"] == 0o600
    config = yaml.safe_load((folder / "admin.kubeconfig").read_text())
    assert config["clusters"][0]["cluster"]["server"] == first["api_address"]

    # Certificates need not be sent again; more nodes do not restart the API server, another version does.
    partial = {key: value for key, value in body().items() if not key.endswith("_pem")} | {"ca_pem": "ca_pem text\n"}
    more = await one.put(UUID, partial | {"nodes": [*body()["nodes"], {"name": "dev-1"}]})
    assert (len(more["nodes"]), more["server_cert_pem"], farm.started) == (2, "server_cert_pem text\n", ["v1.33.4"])
    pid = one.processes[UUID][0].pid
    await one.put(UUID, partial | {"version": "v1.33.5"})
    await asyncio.wait_for(one.processes[UUID][0].ready.wait(), 5)
    assert one.processes[UUID][0].pid != pid
    assert farm.started == ["v1.33.4", "v1.33.5"]
    await one.stop()

    again = farm.make()
    again.load()
    assert again.answer(UUID)["api_address"] == first["api_address"]
    assert await again.delete(UUID)
    assert not await again.delete(UUID)
    assert not folder.exists()


async def test_the_control_api(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    app = control.application("secret", farm.clusters, lambda: {"ready": True})
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/status")).status == 401
        assert (await client.get("/status", headers={"Authorization": "Bearer other"})).status == 401
        headers = {"Authorization": "Bearer secret"}
        assert await (await client.get("/status", headers=headers)).json() == {"ready": True}
        url = f"/clusters/{UUID}"
        assert (await client.get(url, headers=headers)).status == 404
        for wrong, where in ((b"{", url), (b"{}", url), (json.dumps(body()).encode(), "/clusters/..%2Fescape")):
            assert (await client.put(where, data=wrong, headers=headers)).status == 400
        assert (await client.put(url, json=body(), headers=headers)).status == 200
        assert (await (await client.get(url, headers=headers)).json())["name"] == "dev"
        assert (await client.delete(url, headers=headers)).status == 204
        assert (await client.delete(url, headers=headers)).status == 204


async def test_the_drivers_client_of_the_control_api(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    server = TestServer(control.application("secret", farm.clusters, dict))
    await server.start_server()
    access = {"url": f"http://127.0.0.1:{server.port}", "token": "secret"}
    (tmp_path / "control.json").write_text(json.dumps(access))
    client = Control(tmp_path)
    assert await asyncio.to_thread(client.get, UUID) is None
    with pytest.raises(ControlError, match=r"400 to PUT .*lacks"):
        await asyncio.to_thread(client.put, UUID, {"name": "dev"})
    put = await asyncio.to_thread(client.put, UUID, body())
    assert put["api_address"].startswith("https://127.0.0.1:")
    await asyncio.to_thread(client.delete, UUID)
    await asyncio.to_thread(client.delete, UUID)
    await server.close()
    with pytest.raises(ControlError, match="does not answer"):
        await asyncio.to_thread(client.get, UUID)


def test_git_over_http_reads_and_does_not_write(tmp_path: Path) -> None:
    source = tmp_path / "source/environments"
    source.mkdir(parents=True)
    (source / "dev.yaml").write_text("a: 1\n")
    files = folder_files(tmp_path / "source")
    (tmp_path / "git").mkdir()
    assert seed(tmp_path / "git/apps.git", files, "First")
    assert not seed(tmp_path / "git/apps.git", {}, "Again")
    server = GitServer(tmp_path / "git", 0)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/apps.git"
        dulwich.porcelain.clone(url, str(tmp_path / "clone"), errstream=dulwich.porcelain.NoneStream()).close()
        assert (tmp_path / "clone/environments/dev.yaml").read_text() == "a: 1\n"
        for path, code in (
            ("/apps.git/info/refs?service=git-receive-pack", 403),
            ("/../outside.git/info/refs?service=git-upload-pack", 404),
            ("/none.git/info/refs?service=git-upload-pack", 404),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5)
            caught.value.close()
            assert caught.value.code == code
    finally:
        server.stop()


async def test_charts_are_files_over_http(tmp_path: Path) -> None:
    (tmp_path / "index.yaml").write_text("entries: {}\n")
    async with TestClient(TestServer(charts(tmp_path))) as client:
        assert await (await client.get("/index.yaml")).text() == "entries: {}\n"
        assert (await client.get("/../secret")).status == 404
