"""The plugin protocol, as terraform speaks it: over messages, over a real socket, and from a real process."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc, tfplugin_pb2_grpc
from tf.gen import tfplugin_pb2 as pb
from tf.types import Unknown
from tf.utils import read_dynamic_value, to_dynamic_value

from deployments.sandbox.provider import server, zygote
from deployments.sandbox.provider.__main__ import MAGIC
from deployments.sandbox.provider.cloud import Cloud, CloudError, Stopped
from deployments.sandbox.provider.openstack import PROVIDER
from deployments.sandbox.provider.resource import DataSource, Resource
from deployments.sandbox.provider.servicer import Servicer
from deployments.sandbox.provider.tables import State, table
from infra.settings import ROOT
from tests.waiting import until

TYPE = "openstack_thing_v1"


class Thing(Resource):
    """A resource whose behaviour each test writes."""

    name = "thing_v1"
    table = table(
        "name string required new\nsize number optional default=1\nat string computed",
        timeouts={"create": 60, "update": 60, "delete": 60},
    )
    act: Callable[..., Any]
    seen: dict[str, float]

    def validate(self, config: State) -> list[str]:
        return ["too large"] if (config.get("size") or 0) > 9 else []

    def create(self, wanted: State, created: Callable[[str], None]) -> State:
        type(self).seen = dict(self.timeouts)
        return type(self).act(wanted, created)  # type: ignore[no-any-return]

    def read(self, state: State) -> State | None:
        return type(self).act(state)  # type: ignore[no-any-return]

    def update(self, prior: State, wanted: State) -> State:
        return type(self).act(prior, wanted)  # type: ignore[no-any-return]

    def delete(self, prior: State) -> None:
        type(self).act(prior)


class Found(DataSource):
    """A data source."""

    name = "thing_v1"
    table = table("name string required")

    def read(self, config: State) -> State:
        if config["name"] == "none":
            raise CloudError("no results", 404)
        return {"id": "1", "name": config["name"]}


def nothing(*_args: Any, **_kwargs: Any) -> Any:
    raise AssertionError("no request is expected")


@pytest.fixture
def servicer() -> Servicer:
    return Servicer(PROVIDER, [Thing], [Found], lambda _config, stopping: Cloud(nothing, stopping=stopping))


def does(function: Callable[..., Any]) -> None:
    Thing.act = staticmethod(function)


def fails(error: Exception, *, after: str | None = None) -> None:
    def act(*arguments: Any) -> Any:
        if after is not None:
            arguments[1](after)
        raise error

    does(act)


STATE = {"id": "1", "name": "a", "size": 1, "at": "now", "timeouts": None}


def apply(servicer: Servicer, prior: State | None, planned: State | None) -> tuple[State | None, list[str]]:
    request = pb.ApplyResourceChange.Request(
        type_name=TYPE,
        prior_state=to_dynamic_value(prior),
        planned_state=to_dynamic_value(planned),
        planned_private=b"p",
    )
    answer = servicer.ApplyResourceChange(request, None)
    assert answer.legacy_type_system and answer.private == b"p"
    return read_dynamic_value(answer.new_state), [item.summary for item in answer.diagnostics]


def test_what_is_made_is_recorded(servicer: Servicer) -> None:
    does(lambda wanted, created: created("1") or {**STATE, "name": wanted["name"], "at": wanted["at"] or "then"})
    planned = {"id": Unknown, "name": "a", "size": 1, "at": Unknown, "timeouts": {"create": "1h30m", "delete": None}}
    state, said = apply(servicer, None, planned)
    assert said == []
    assert state == {**STATE, "at": "then", "timeouts": {"create": "1h30m", "delete": None}}
    assert Thing.seen == {"create": 5400, "update": 60, "delete": 60}


@pytest.mark.parametrize("error", [CloudError("500"), Stopped("context canceled"), RuntimeError("bug")])
def test_what_was_begun_and_failed_is_recorded_too(servicer: Servicer, error: Exception) -> None:
    fails(error, after="1")
    state, (said,) = apply(servicer, None, {"id": Unknown, "name": "a", "size": 1, "at": Unknown, "timeouts": None})
    assert state == {**STATE, "at": None}
    assert said.startswith(f"Error creating {TYPE}: ") and str(error) in said


def test_what_never_began_is_not_recorded(servicer: Servicer) -> None:
    fails(CloudError("409"))
    assert apply(servicer, None, {**STATE, "id": Unknown}) == (None, [f"Error creating {TYPE}: 409"])


def test_an_update_that_fails_leaves_the_state_as_it_was(servicer: Servicer) -> None:
    fails(CloudError("500"))
    assert apply(servicer, STATE, {**STATE, "size": 2}) == (STATE, [f"Error updating {TYPE} 1: 500"])
    does(lambda _prior, wanted: wanted)
    assert apply(servicer, STATE, {**STATE, "size": 2}) == ({**STATE, "size": 2}, [])


def test_a_deletion_that_fails_keeps_the_object(servicer: Servicer) -> None:
    fails(CloudError("500"))
    assert apply(servicer, STATE, None) == (STATE, [f"Error deleting {TYPE} 1: 500"])
    does(lambda _prior: None)
    assert apply(servicer, STATE, None) == (None, [])


def test_reading(servicer: Servicer) -> None:
    def read() -> tuple[Any, list[str]]:
        request = pb.ReadResource.Request(type_name=TYPE, current_state=to_dynamic_value(STATE), private=b"p")
        answer = servicer.ReadResource(request, None)
        assert answer.private == b"p"
        return read_dynamic_value(answer.new_state), [item.summary for item in answer.diagnostics]

    does(lambda state: {**state, "size": 5})
    assert read() == ({**STATE, "size": 5}, [])
    does(lambda _state: None)
    assert read() == (None, [])
    fails(CloudError("503"))
    assert read() == (STATE, [f"Error retrieving {TYPE} 1: 503"])


def test_planning(servicer: Servicer) -> None:
    def plan(prior: Any, proposed: Any, config: Any) -> tuple[Any, list[str]]:
        answer = servicer.PlanResourceChange(
            pb.PlanResourceChange.Request(
                type_name=TYPE,
                prior_state=to_dynamic_value(prior),
                proposed_new_state=to_dynamic_value(proposed),
                config=to_dynamic_value(config),
                prior_private=b"p",
            ),
            None,
        )
        assert answer.legacy_type_system and answer.planned_private == b"p"
        return read_dynamic_value(answer.planned_state), [
            path.steps[0].attribute_name for path in answer.requires_replace
        ]

    config = {"id": None, "name": "b", "size": None, "at": None, "timeouts": None}
    assert plan(None, config, config)[0] == {**config, "id": Unknown, "size": 1, "at": Unknown}
    assert plan(STATE, {**STATE, "name": "b"}, config) == ({**STATE, "name": "b"}, ["name"])
    assert plan(STATE, None, None) == (None, [])


def test_importing_gives_the_identifier_and_reading_the_rest(servicer: Servicer) -> None:
    answer = servicer.ImportResourceState(pb.ImportResourceState.Request(type_name=TYPE, id="1"), None)
    (imported,) = answer.imported_resources
    empty = {"id": "1", "name": None, "size": None, "at": None, "timeouts": None}
    assert read_dynamic_value(imported.state) == empty


def test_validation_says_what_is_wrong(servicer: Servicer) -> None:
    def validate(size: int) -> list[str]:
        request = pb.ValidateResourceConfig.Request(type_name=TYPE, config=to_dynamic_value({"size": size}))
        return [item.summary for item in servicer.ValidateResourceConfig(request, None).diagnostics]

    assert validate(10) == ["too large"]
    assert validate(1) == []


def test_older_state_loses_what_is_no_longer_known(servicer: Servicer) -> None:
    raw = pb.RawState(json=json.dumps({"id": "1", "name": "a", "dropped": 1}).encode())
    request = pb.UpgradeResourceState.Request(type_name=TYPE, version=0, raw_state=raw)
    state = read_dynamic_value(servicer.UpgradeResourceState(request, None).upgraded_state)
    assert state == {"id": "1", "name": "a", "size": None, "at": None, "timeouts": None}


def test_data_sources(servicer: Servicer) -> None:
    def read(name: str) -> tuple[Any, list[str]]:
        request = pb.ReadDataSource.Request(type_name=TYPE, config=to_dynamic_value({"name": name}))
        answer = servicer.ReadDataSource(request, None)
        return read_dynamic_value(answer.state), [item.summary for item in answer.diagnostics]

    assert read("a") == ({"id": "1", "name": "a"}, [])
    assert read("none") == (None, [f"Error reading {TYPE}: no results"])


def test_a_cloud_is_connected_once_and_only_when_needed() -> None:
    connected: list[State] = []

    def connect(config: State, stopping: threading.Event) -> Cloud:
        connected.append(config)
        return Cloud(nothing, stopping=stopping)

    servicer = Servicer(PROVIDER, [Thing], [Found], connect)
    servicer.GetProviderSchema(None, None)
    servicer.ConfigureProvider(pb.ConfigureProvider.Request(config=to_dynamic_value({"cloud": "c"})), None)
    assert connected == []
    assert servicer.cloud() is servicer.cloud()
    assert connected == [{"cloud": "c"}]


def test_the_rest_of_the_protocol_answers(servicer: Servicer) -> None:
    assert servicer.GetMetadata(None, None) == pb.GetMetadata.Response()
    assert servicer.GetFunctions(None, None) == pb.GetFunctions.Response()
    assert "no functions" in servicer.CallFunction(None, None).error.text
    assert not servicer.ValidateProviderConfig(None, None).diagnostics
    assert not servicer.ValidateDataResourceConfig(None, None).diagnostics
    assert servicer.MoveResourceState(None, None).diagnostics
    assert not servicer.stopping.is_set()
    servicer.StopProvider(None, None)
    assert servicer.stopping.is_set()


# -- the process -----------------------------------------------------------------------------------------------------


def channel(socket: str, certificate: str) -> Any:
    der = base64.b64decode(certificate + "=" * (-len(certificate) % 4))
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
    credentials = grpc.ssl_channel_credentials(root_certificates=pem.encode())
    return grpc.secure_channel(f"unix:{socket}", credentials, [("grpc.ssl_target_name_override", "localhost")])


def test_a_server_in_this_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    socket = str(tmp_path / "socket")
    running, servicer, done = server._start(socket)
    try:
        core, protocol, network, address, kind, certificate = capsys.readouterr().out.strip().split("|")
        assert (core, protocol, network, address, kind) == ("1", "6", "unix", socket, "grpc")
        with channel(address, certificate) as line:
            provider = tfplugin_pb2_grpc.ProviderStub(line)
            schema = provider.GetProviderSchema(pb.GetProviderSchema.Request(), timeout=5)
            assert "openstack_containerinfra_cluster_v1" in schema.resource_schemas
            provider.StopProvider(pb.StopProvider.Request(), timeout=5)
            grpc_controller_pb2_grpc.GRPCControllerStub(line).Shutdown(grpc_controller_pb2.Empty(), timeout=5)
        assert servicer.stopping.is_set() and done.is_set()
        assert list(server._Stdio(done).StreamStdio(None, None)) == []
    finally:
        running.stop(0).wait(2)


def test_started_by_hand_it_says_so() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_PLUGIN_MAGIC_COOKIE"}
    command = [sys.executable, "-m", "deployments.sandbox.provider"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "terraform starts it" in ended.stderr


def program(**variables: str) -> dict[str, str]:
    """The environment terraform starts the provider in."""
    return {**os.environ, "TF_PLUGIN_MAGIC_COOKIE": MAGIC, "PYTHONPATH": str(ROOT), **variables}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A sandbox's state, at a path too long for a socket's name."""
    home = tmp_path / ("deep" * 30)
    (home / "run").mkdir(parents=True)
    return home


@pytest.fixture
def forking(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The zygote of that sandbox."""
    command = [sys.executable, "-W", "ignore", "-m", "deployments.sandbox.provider.zygote", str(home / "run")]
    process = subprocess.Popen(command, env=program())
    try:
        until((home / "run" / zygote.NAME).is_socket, "the zygote's socket", 20)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def served(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The provider as terraform starts it, and where it says it listens."""
    command = [sys.executable, "-W", "ignore", "-m", "deployments.sandbox.provider"]
    with subprocess.Popen(
        command, env=program(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            assert line.startswith("1|6|unix|")
            yield started, line
        finally:
            started.kill()


@pytest.mark.thorough
@pytest.mark.usefixtures("forking")
@pytest.mark.parametrize("warm", [False, True])
def test_it_ends_with_its_parent_even_when_that_is_killed(warm: bool, home: Path) -> None:
    environment = program(OS_CLIENT_CONFIG_FILE=str(home / "clouds.yaml")) if warm else program()
    script = f'"{sys.executable}" -W ignore -m deployments.sandbox.provider & echo "pid $!"; wait'
    with subprocess.Popen(["sh", "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        provider = psutil.Process(int(parent.stdout.readline().split()[1]))
        line = parent.stdout.readline()
        assert line.startswith("1|6|unix|")
        parent.kill()
        parent.wait()
    provider.wait(timeout=5)
    until(lambda: not Path(line.split("|")[3]).exists(), "the provider's end", 5)


@pytest.mark.thorough
@pytest.mark.usefixtures("forking")
def test_a_child_of_the_zygote_serves_in_the_environment_of_the_program(home: Path) -> None:
    clouds = str(home / "clouds.yaml")
    # gRPC's socket lies there, whose path has to be short.
    with (
        tempfile.TemporaryDirectory(prefix="here-") as temporary,
        served(OS_CLIENT_CONFIG_FILE=clouds, TMPDIR=temporary) as (started, line),
    ):
        address, certificate = line.split("|")[3], line.strip().split("|")[5]
        assert address.startswith(temporary)
        with channel(address, certificate) as wire:
            schema = tfplugin_pb2_grpc.ProviderStub(wire).GetProviderSchema(pb.GetProviderSchema.Request(), timeout=5)
            assert "openstack_containerinfra_cluster_v1" in schema.resource_schemas
            os.kill(started.pid, signal.SIGINT)
            grpc_controller_pb2_grpc.GRPCControllerStub(wire).Shutdown(grpc_controller_pb2.Empty(), timeout=5)
        assert started.wait(timeout=5) == 0
        assert not Path(address).exists()


@pytest.mark.thorough
def test_a_child_outlives_the_zygote_and_its_own_death_is_seen(home: Path, forking: subprocess.Popen[bytes]) -> None:
    clouds = str(home / "clouds.yaml")
    with served(OS_CLIENT_CONFIG_FILE=clouds) as (started, line):
        [child] = psutil.Process(forking.pid).children()
        forking.terminate()
        forking.wait()
        with channel(line.split("|")[3], line.strip().split("|")[5]) as wire:
            assert tfplugin_pb2_grpc.ProviderStub(wire).GetMetadata(pb.GetMetadata.Request(), timeout=5)
        child.kill()
        assert started.wait(timeout=5) == 1
        assert started.stderr is not None
        assert "ended before its work was done" in started.stderr.read()
    with served(OS_CLIENT_CONFIG_FILE=clouds) as (started, _):
        assert not psutil.Process(started.pid).children()


@pytest.mark.thorough
def test_with_an_environment_too_long_to_hand_over_it_serves_by_itself(
    home: Path, forking: subprocess.Popen[bytes]
) -> None:
    # Of several variables: one alone may not be so long.
    long = {f"PADDING_{number}": "x" * (zygote.LONGEST // 2) for number in range(2)}
    with served(OS_CLIENT_CONFIG_FILE=str(home / "clouds.yaml"), **long):
        assert not psutil.Process(forking.pid).children()
