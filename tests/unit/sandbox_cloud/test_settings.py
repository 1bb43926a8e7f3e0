"""Ports, files and what is handed to child processes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments.sandbox import lifecycle
from deployments.sandbox.layout import Layout, write
from deployments.sandbox.settings import OFFSETS, SandboxSettings
from deployments.sandbox.supervisor.programs import own_environment
from infra.clients.errors import Misconfigured, NotFound, Refused


def test_ports_follow_the_base_unless_set() -> None:
    settings = SandboxSettings(port_base=20000, port_glance=31000)
    assert settings.ports() == {name: 20000 + offset for name, offset in OFFSETS.items()} | {"glance": 31000}
    assert settings.url("keystone", "/v3") == "http://127.0.0.1:20000/v3"
    assert settings.first_cluster_port == 20020


def test_environment_variables_set_single_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_SANDBOX_PORT_MAGNUM", "30111")
    assert SandboxSettings().port("magnum") == 30111


def test_load_balancers_stay_on_loopback() -> None:
    with pytest.raises(ValidationError, match=r"not within 127\.0\.0\.0/8"):
        SandboxSettings(loadbalancer_network="10.0.0.0/16")


def test_children_get_the_settings_the_parent_has(tmp_path: Path) -> None:
    settings = SandboxSettings(home=tmp_path, port_nova=31001)
    environment = own_environment(settings)
    ours = {key: value for key, value in environment.items() if key.startswith("PLUMBLINE_SANDBOX_")}
    assert "PLUMBLINE_SANDBOX_PORT_GLANCE" not in ours or "PLUMBLINE_SANDBOX_PORT_GLANCE" in os.environ
    with pytest.MonkeyPatch.context() as patch:
        for key, value in ours.items():
            patch.setenv(key, value)
        again = SandboxSettings()
    assert (again.home, again.port("nova")) == (tmp_path, 31001)


@pytest.mark.parametrize(
    ("name", "kind", "protocol"), [("glance", socket.SOCK_STREAM, "TCP"), ("resolver", socket.SOCK_DGRAM, "UDP")]
)
def test_a_taken_port_is_explained(name: str, kind: socket.SocketKind, protocol: str) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        # A port that nobody has for the other protocol, either: that would be what is explained.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        settings = SandboxSettings(port_base=24000).model_copy(update={f"port_{name}": port})
        with pytest.raises(Misconfigured) as caught:
            lifecycle.check_ports(settings)
    assert (
        caught.value.summary == f"{protocol} port {port} on 127.0.0.1, which the sandbox needs for {name}, is in use."
    )
    assert f"PLUMBLINE_SANDBOX_PORT_{name.upper()}" in str(caught.value.hint)


def test_layout_is_made_for_us_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")
    layout.make()
    layout.make()
    assert {path.stat().st_mode & 0o077 for path in (layout.home, layout.log, layout.secrets)} == {0}
    layout.forget()
    layout.forget()
    assert not layout.home.exists()


def test_a_strangers_folder_is_neither_taken_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(Refused, match="not empty"):
        Layout(tmp_path).make()
    with pytest.raises(Refused, match="left alone"):
        Layout(tmp_path).forget()
    assert (tmp_path / "precious").exists()


def test_write_says_whether_it_changed_anything(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write(path, "one")
    assert not write(path, "one")
    assert write(path, "two")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_nothing_runs_in_an_empty_home(tmp_path: Path) -> None:
    settings = SandboxSettings(home=tmp_path / "home")
    assert lifecycle.status(settings) is None
    assert not lifecycle.down(settings, print)
    lifecycle.reset(settings, print)
    with pytest.raises(NotFound, match="There is none"):
        lifecycle.kubeconfig(settings, "dev")


def test_kubeconfig_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "clusters/u1"
    folder.mkdir(parents=True)
    (folder / "cluster.json").write_text('{"name": "dev", "uuid": "u1"}')
    settings = SandboxSettings(home=tmp_path)
    assert lifecycle.kubeconfig(settings, "dev") == lifecycle.kubeconfig(settings, "u1") == folder / "admin.kubeconfig"
    with pytest.raises(NotFound, match="There are: dev"):
        lifecycle.kubeconfig(settings, "prod")
