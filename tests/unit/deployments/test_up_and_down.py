"""`make up` and `make down` with the parts they start replaced: in which order, and what a person reads."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from deployments import automations, deploy, down, up
from deployments.daemon import Daemon
from deployments.prefect_server import LocalPrefect
from deployments.sandbox import environment
from deployments.sandbox.layout import Layout
from deployments.sandbox.settings import get_sandbox_settings
from deployments.settings import PrefectSettings, get_prefect_settings
from infra.clients.errors import Failed, Misconfigured


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of our own, and no Prefect of anybody's."""
    monkeypatch.setenv("PLUMBLINE_SANDBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere.example/api")
    for cached in (get_prefect_settings, get_sandbox_settings):
        cached.cache_clear()
    yield tmp_path / "home"
    for cached in (get_prefect_settings, get_sandbox_settings):
        cached.cache_clear()


class Programs:
    """The child programs and daemons that would be started."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.returns: dict[str, int] = {}

    def run(self, argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.ran.append(argv[1:])
        self.environments.append(options.get("env") or {})
        code = next((code for word, code in self.returns.items() if word in argv), 0)
        return subprocess.CompletedProcess(argv, code, "said token=hunter2 ", "and more")

    def start(self, daemon: Any, argv: list[str], env: dict[str, str], _cwd: Path) -> None:
        self.ran.append([daemon.name, *argv[1:]])
        self.environments.append(env)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs()
    monkeypatch.setattr(subprocess, "run", made.run)
    # A function, not a method, is given the daemon it is called on.
    monkeypatch.setattr(Daemon, "start", lambda *given: made.start(*given))  # noqa: PLW0108
    return made


# -- the local Prefect ------------------------------------------------------------------------------------------------


def local(home: Path, **settings: Any) -> LocalPrefect:
    return LocalPrefect(PrefectSettings(**settings), home / "prefect")


def test_the_auth_string_is_made_once_and_ours_alone(home: Path) -> None:
    first = local(home).auth_string()
    user, _, password = first.partition(":")
    assert user == "admin"
    assert len(password) >= 20
    assert local(home).auth_string() == first
    assert stat.S_IMODE(local(home).auth_file.stat().st_mode) == 0o600


def test_a_port_that_is_taken_says_which_and_how_to_change_it(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"Port {port} is in use") as caught:
            local(home, port=port).check_port()
    assert "PLUMBLINE_PREFECT_PORT" in (caught.value.hint or "")
    local(home, port=port).check_port()


def test_server_and_worker_get_our_prefect_and_nobody_elses(home: Path, programs: Programs) -> None:
    prefect = local(home, port=4299, worker_limit=2)
    prefect.start_server()
    prefect.start_worker({"OS_CLIENT_CONFIG_FILE": "clouds.yaml"})
    server, worker = programs.ran
    assert server == ["prefect-server", "server", "start", "--host", "127.0.0.1", "--port", "4299"]
    assert worker[:3] == ["prefect-worker", "worker", "start"]
    assert worker[-2:] == ["--limit", "2"]
    for variables in programs.environments:
        assert variables["PREFECT_API_URL"] == "http://127.0.0.1:4299/api"
        assert variables["PREFECT_API_AUTH_STRING"] == prefect.auth_string()
        assert "elsewhere" not in str(variables)
    assert programs.environments[0]["PREFECT_SERVER_API_AUTH_STRING"] == prefect.auth_string()
    assert programs.environments[1]["OS_CLIENT_CONFIG_FILE"] == "clouds.yaml"


def test_deploying_makes_the_pool_then_the_deployments_then_closes_them(
    home: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    monkeypatch.setattr(deploy, "close_parameters", lambda _api: programs.ran.append(["close"]))
    monkeypatch.setattr(automations, "add_missing", lambda _api: programs.ran.append(["automations"]))
    made: list[dict[str, Any]] = []

    def create(request: Request) -> Response:
        made.append(request.get_json())
        return Response(status=201)

    httpserver.expect_oneshot_request("/api/work_pools/p").respond_with_data("", status=404)
    httpserver.expect_oneshot_request("/api/work_pools/", method="POST").respond_with_handler(create)
    httpserver.expect_request("/api/deployments/filter").respond_with_json([])
    local(home, work_pool="p", port=httpserver.port).deploy()
    (pool,) = made
    assert (pool["name"], pool["type"]) == ("p", "process")
    assert {"env", "working_dir"} <= set(pool["base_job_template"]["variables"]["properties"])
    assert programs.ran == [
        ["--no-prompt", "deploy", "--all"],
        ["close"],
        ["automations"],
    ]


def test_a_pool_that_is_there_is_left_as_it_is(
    home: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    monkeypatch.setattr(deploy, "close_parameters", lambda _api: None)
    monkeypatch.setattr(automations, "add_missing", lambda _api: None)
    httpserver.expect_oneshot_request("/api/work_pools/plumbline").respond_with_json({"type": "kubernetes"})
    httpserver.expect_request("/api/deployments/filter").respond_with_json([])
    local(home, port=httpserver.port).deploy()
    assert programs.ran == [["--no-prompt", "deploy", "--all"]]


def test_what_has_not_changed_is_not_deployed_again_unless_it_is_missing(
    home: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    monkeypatch.setattr(deploy, "close_parameters", lambda _api: None)
    monkeypatch.setattr(automations, "add_missing", lambda _api: None)
    names = ("create-environment", "destroy-environment", "check-drift", "check-fleet", "reconcile", "drift-report")
    there = [{"name": name, "id": name, "paused": False, "schedules": []} for name in names]
    prefect = local(home, port=httpserver.port)
    for known, deployed in (([], 1), (there, 1), (there[1:], 2)):
        httpserver.clear_all_handlers()
        httpserver.expect_request("/api/work_pools/plumbline").respond_with_json({"type": "process"})
        httpserver.expect_request("/api/deployments/filter").respond_with_json(known)
        httpserver.expect_request(re.compile("/api/deployments/.*")).respond_with_json({})
        prefect.deploy()
        assert len(programs.ran) == deployed
    (prefect._home / "deployed").write_text("of another commit")
    prefect.deploy()
    assert len(programs.ran) == 3


def test_an_automation_is_made_once_switched_off_and_never_touched_again(httpserver: HTTPServer) -> None:
    made: list[dict[str, Any]] = []

    def create(request: Request) -> Response:
        made.append(request.get_json())
        return Response(status=201)

    httpserver.expect_request("/deployments/name/reconcile/reconcile").respond_with_json({"id": "d1"})
    httpserver.expect_request("/automations/", method="POST").respond_with_handler(create)
    for known in ([], [{"name": automations.RECONCILE_ON_DRIFT, "enabled": True}]):
        httpserver.expect_oneshot_request("/automations/filter").respond_with_json(known)
        with httpx.Client(base_url=httpserver.url_for("/")) as api:
            automations.add_missing(api)
    assert [one["enabled"] for one in made] == [False]
    assert made[0]["actions"][0]["deployment_id"] == "d1"


def test_an_automation_that_prefect_refuses_is_quoted(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/automations/filter").respond_with_json([])
    httpserver.expect_request("/deployments/name/reconcile/reconcile").respond_with_json({"id": "d1"})
    httpserver.expect_request("/automations/", method="POST").respond_with_data("no such field", status=422)
    with httpx.Client(base_url=httpserver.url_for("/")) as api, pytest.raises(Failed, match="refused") as caught:
        automations.add_missing(api)
    assert "no such field" in str(caught.value)


def test_deploying_needs_a_server() -> None:
    with pytest.raises(Misconfigured, match="PREFECT_API_URL is not set"):
        deploy.deploy(PrefectSettings(), {})


def test_a_prefect_command_that_fails_is_quoted_without_secrets(
    home: Path, programs: Programs, httpserver: HTTPServer
) -> None:
    programs.returns = {"deploy": 1}
    httpserver.expect_oneshot_request("/api/work_pools/plumbline").respond_with_json({})
    httpserver.expect_request("/api/deployments/filter").respond_with_json([])
    with pytest.raises(Failed, match="`prefect --no-prompt deploy --all` failed") as caught:
        local(home, port=httpserver.port).deploy()
    assert "and more" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_healthy_is_an_api_that_answers_us(home: Path, httpserver: HTTPServer) -> None:
    prefect = local(home, port=httpserver.port)
    httpserver.expect_oneshot_request("/api/health").respond_with_data("", status=503)
    assert not prefect._healthy()
    httpserver.expect_oneshot_request("/api/health").respond_with_data("true")
    assert prefect._healthy()
    assert httpserver.log[-1][0].authorization is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert not local(home, port=free.getsockname()[1])._healthy()


# -- make up ----------------------------------------------------------------------------------------------------------


started: list[str] = []


class FakeRuns:
    """The API as `make up` uses it."""

    state = "COMPLETED"

    def __init__(self, _api: httpx.Client) -> None: ...

    def start(self, flow: str, parameters: dict[str, Any]) -> str:
        assert (flow, parameters) in (("create-environment", {"name": "dev"}), ("check-fleet", {}))
        started.append(flow)
        return "r1"

    def follow(self, run_id: str, _console: Any, timeout: float) -> str:
        assert run_id == "r1"
        assert timeout > 0
        return self.state

    def steps(self, _environment: str) -> list[dict[str, Any]]:
        return [
            {"plane": "dns", "name": "names", "made": "recordset/x", "sentence": "-", "state": "ready", "seconds": 1}
        ]


@pytest.fixture
def machine(home: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Programs:
    """Everything `make up` starts is replaced; what it writes and prints is not."""
    monkeypatch.setattr(up, "check_prerequisites", lambda _terraform: programs.ran.append(["prerequisites"]))
    monkeypatch.setattr(up, "ensure_helm", lambda: tmp_path / "tools/bin/helm")
    monkeypatch.setattr(up, "FlowRuns", FakeRuns)
    started.clear()
    worked = LocalPrefect.start_worker
    monkeypatch.setattr(LocalPrefect, "deploy", lambda _self: programs.ran.append(["deploy"]))
    monkeypatch.setattr(LocalPrefect, "check_port", lambda _self: programs.ran.append(["port"]))
    monkeypatch.setattr(LocalPrefect, "wait_server", lambda _self: programs.ran.append(["wait"]))

    def sandbox(_settings: Any, _say: Any, prepared: Callable[[], None]) -> dict[str, Any]:
        Layout(home).environment.write_text("export OS_CLIENT_CONFIG_FILE=/c.yaml\n")
        prepared()
        assert working.wait(10), "the worker starts beside the sandbox"
        programs.ran.append(["sandbox"])
        return {"services": [], "clusters": []}

    Layout(home).make()
    working = threading.Event()
    monkeypatch.setattr(LocalPrefect, "start_worker", lambda *given: (worked(*given), working.set()))
    monkeypatch.setattr(up.lifecycle, "up", sandbox)
    return programs


def test_up_checks_first_and_starts_what_takes_long_side_by_side(
    machine: Programs, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up.main() == 0
    verbs = [" ".join(argv[:3]) for argv in machine.ran]
    assert verbs[:3] == ["prerequisites", "port", "prefect-server server start"]
    assert verbs[3:] == ["wait", "deploy", "prefect-worker worker start", "sandbox"]
    worker = machine.environments[-1]
    assert worker["OS_CLIENT_CONFIG_FILE"] == "/c.yaml"
    assert worker["PATH"].split(os.pathsep)[1].endswith("tools/bin")
    merged = environment.parse(Layout(home).environment.read_text())
    assert merged["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    said = capsys.readouterr().out
    for part in ("Environment dev", "recordset/x", "http://127.0.0.1:4200/runs/flow-run/r1", "make down", "shown once"):
        assert part in said
    assert local(home).auth_string() in said
    assert started == ["create-environment", "check-fleet"]


def test_the_auth_string_is_shown_once(machine: Programs, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del machine
    auth = local(home).auth_string()
    assert up.main() == 0
    said = capsys.readouterr().out
    assert auth not in said
    assert str(local(home).auth_file) in said


def test_an_environment_that_is_not_ready_is_no_success(
    machine: Programs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del machine
    monkeypatch.setattr(FakeRuns, "state", "FAILED")
    assert up.main() == 1
    said = capsys.readouterr()
    assert "Environment dev is not ready: the flow run ended as FAILED." in said.err
    assert "run `make up` again" in said.err
    assert started == ["create-environment"]
    assert "recordset/x" in said.out, "the table is there all the same"


def test_a_sandbox_that_does_not_come_up_ends_it(
    machine: Programs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sandbox(_settings: Any, _say: Any, _prepared: Any) -> None:
        raise Misconfigured("Port 15000 is taken.", hint="Choose another.")

    monkeypatch.setattr(up.lifecycle, "up", sandbox)
    assert up.main() == 1
    assert capsys.readouterr().err == "Port 15000 is taken.\nChoose another.\n"
    assert not started
    assert "worker" not in str(machine.ran)


# -- make down --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "command"), [([], "down"), (["--forget"], "reset")])
def test_down_stops_the_worker_then_the_server_then_the_sandbox(
    home: Path,
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    command: str,
) -> None:
    del home
    stopped: list[str] = []

    def stop(daemon: Any) -> bool:
        stopped.append(daemon.name)
        return True

    monkeypatch.setattr(Daemon, "stop", stop)
    monkeypatch.setattr("sys.argv", ["down", *arguments])
    assert down.main() == 0
    assert stopped == ["prefect-worker", "prefect-server"]
    assert programs.ran == [["-m", "deployments.sandbox", command]]
    assert "prefect-worker stopped." in capsys.readouterr().out
