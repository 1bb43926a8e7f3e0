"""Configuration files, credentials, the env file, schema templates, the environment and the cloud's content."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from configparser import ConfigParser
from contextlib import closing
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from deployments.sandbox import authority, environment, preparation, terraform, venv
from deployments.sandbox.layout import Layout
from deployments.sandbox.openstack import config, database, migrations
from deployments.sandbox.openstack.config_common import USERS, Cloud
from deployments.sandbox.settings import BEHIND, NAME_SERVERS, ROOT, SandboxSettings
from deployments.sandbox.supervisor.content import FLAVORS, Seeder
from deployments.sandbox.supervisor.daemon import SEEDED
from infra.clients.errors import Failed, Misconfigured, Unavailable


def cloud(folder: Path) -> Cloud:
    passwords = {user: f"pass%{user}$" for user in USERS}
    settings = SandboxSettings()
    return Cloud(folder, folder / "log", folder / "etc", settings.ports(), BEHIND, NAME_SERVERS, passwords)


def test_every_service_is_configured_on_loopback(tmp_path: Path) -> None:
    files = config.files(cloud(tmp_path))
    assert len([path for path in files if path.suffix == ".conf"]) == len(config.SERVICES)
    for path, text in files.items():
        assert "0.0.0.0" not in text
        if path.suffix != ".conf":
            continue
        parsed = ConfigParser(interpolation=None, default_section="__none__")
        parsed.read_string(text)
        assert parsed["DEFAULT"]["transport_url"] == "fake://"
        if path.parent.name != "keystone":
            # oslo.config reads `$$` as `$`.
            assert parsed["keystone_authtoken"]["password"] == f"pass%{path.parent.name}$$"


def test_both_name_servers_are_targets_and_the_first_is_polled(tmp_path: Path) -> None:
    (pool,) = config.pools(cloud(tmp_path))
    assert [target["options"]["host"] for target in pool["targets"]] == list(NAME_SERVERS.values())  # type: ignore[attr-defined]
    assert [server["host"] for server in pool["nameservers"]] == [NAME_SERVERS["ns1"]]  # type: ignore[attr-defined]
    assert [row["hostname"] for row in pool["ns_records"]] == ["ns1.sandbox.example.", "ns2.sandbox.example."]  # type: ignore[attr-defined]


def test_passwords_do_not_show(tmp_path: Path) -> None:
    assert "pass%" not in repr(cloud(tmp_path))


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SandboxSettings, Layout]:
    settings = SandboxSettings(
        home=tmp_path / "home", venv=tmp_path / "venv", port_base=17000, terraform_providers="mirror"
    )
    layout = Layout(settings.home)
    layout.make()
    monkeypatch.setattr(preparation.charts, "build", lambda *_: None)
    provider = tmp_path / "built"
    provider.write_text("upstream's provider")
    monkeypatch.setattr(preparation.build, "program", {terraform.PROGRAM: provider}.__getitem__)
    preparation.prepare(settings, layout)
    return settings, layout


def test_prepared_twice_is_prepared_once(prepared: tuple[SandboxSettings, Layout]) -> None:
    settings, layout = prepared

    def snapshot() -> dict[str, tuple[int, bytes]]:
        files = (path for path in layout.home.rglob("*") if path.is_file() and not path.is_symlink())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = snapshot()
    preparation.prepare(settings, layout)
    assert snapshot() == before


def test_what_lies_prepared(prepared: tuple[SandboxSettings, Layout]) -> None:
    _, layout = prepared
    clouds = yaml.safe_load(layout.clouds.read_text())["clouds"]
    assert clouds["sandbox"]["auth"]["project_name"] == "demo"
    passwords = json.loads((layout.openstack / "passwords.json").read_text())
    assert clouds["sandbox-admin"]["auth"]["password"] == passwords["admin"]
    assert len(set(passwords.values())) == len(USERS)
    assert min(Counter(len(word) for word in passwords.values())) >= 32
    secrets = {path.name: path for path in (layout.secrets / "github-app").iterdir()}
    assert set(secrets) == {"github_app_id", "github_app_installation_id", "github_app_private_key"}
    serialization.load_pem_private_key(secrets["github_app_private_key"].read_bytes(), None)
    modes = {path.stat().st_mode & 0o777 for path in (*secrets.values(), layout.clouds, layout.environment)}
    assert modes == {0o600}
    link = layout.openstack / "nova/api-paste.ini"
    assert link.readlink().parts[-3:] == ("etc", "nova", "api-paste.ini")


def test_large_logs_are_put_aside(prepared: tuple[SandboxSettings, Layout], monkeypatch: pytest.MonkeyPatch) -> None:
    settings, layout = prepared
    monkeypatch.setattr(preparation, "LOG_LIMIT", 10)
    (layout.log / "small.log").write_text("small")
    (layout.log / "large.log").write_text("l" * 11)
    preparation.prepare(settings, layout)
    assert sorted(path.name for path in layout.log.iterdir()) == ["large.log.1", "small.log"]


def test_the_authority_is_one_and_stays(tmp_path: Path) -> None:
    authority.make_authority(tmp_path)
    first = (tmp_path / "ca.crt").read_bytes()
    authority.make_authority(tmp_path)
    assert (tmp_path / "ca.crt").read_bytes() == first
    certificate = x509.load_pem_x509_certificate(first)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_the_env_file_is_sourced_merged_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "env"
    environment.merge(file, {"PLUMBLINE_A": "it's one $HOME"}, path=("/opt/a b", "/opt/c"))
    environment.merge(file, {"PREFECT_API_URL": "http://127.0.0.1:4200/api"})
    script = f'. {file}; . {file}; printf "%s|%s|%s" "$PLUMBLINE_A" "$PREFECT_API_URL" "$PATH"'
    done = subprocess.run(["sh", "-c", script], env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    assert done.stdout == "it's one $HOME|http://127.0.0.1:4200/api|/opt/a b:/opt/c:/bin"
    assert file.stat().st_mode & 0o777 == 0o600


def test_schemas_are_made_once_and_copied_after(tmp_path: Path) -> None:
    made: list[Path] = []

    def databases(name: str) -> dict[str, Path]:
        (tmp_path / name).mkdir(exist_ok=True)
        return {"x.sqlite": tmp_path / name / "db.sqlite"}

    def create(name: str) -> None:
        made.append(tmp_path / name)
        with closing(sqlite3.connect(tmp_path / name / "db.sqlite")) as connection, connection:
            connection.execute("CREATE TABLE thing (id INTEGER)")

    templates = tmp_path / "templates"
    assert database.initialise(databases("a"), lambda: create("a"), templates)
    assert not database.initialise(databases("a"), lambda: create("a"), templates)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/db.sqlite").write_text("half made")
    assert database.initialise(databases("b"), lambda: create("b"), templates)
    assert made == [tmp_path / "a"]
    with closing(sqlite3.connect(tmp_path / "b/db.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError):
        database.initialise(databases("c"), lambda: None, tmp_path / "none")


def test_connections_are_tuned_and_transactions_begin_as_writers(tmp_path: Path) -> None:
    script = """
import sys, sqlalchemy
from deployments.sandbox.openstack import database
database.tune(lambda _: True)
engine = sqlalchemy.create_engine("sqlite:///" + sys.argv[1])
with engine.connect() as connection:
    print(connection.exec_driver_sql("PRAGMA journal_mode").scalar(), end=" ")
    print(connection.exec_driver_sql("PRAGMA busy_timeout").scalar(), end=" ")
seen = []
sqlalchemy.event.listen(engine, "after_cursor_execute", lambda c, cur, statement, *rest: seen.append(statement))
with engine.connect() as connection:
    connection.exec_driver_sql("BEGIN")
print(seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "db")], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split(maxsplit=2) == ["wal", "30000", "['BEGIN IMMEDIATE']\n"]


def test_databases_of_each_service(tmp_path: Path) -> None:
    names = {name: set(migrations.databases(name, tmp_path)) for name in config.SERVICES}
    assert names["nova"] == {"nova-api.sqlite", "nova-cell0.sqlite", "nova-cell1.sqlite"}
    assert len(set.union(*names.values())) == 10
    for name in set(config.SERVICES) - {"nova"}:
        (path,) = migrations.databases(name, tmp_path).values()
        assert f"sqlite:///{path}" == cloud(tmp_path / "openstack").sqlite(name)


def fake_venv(folder: Path, pip: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin/python"
    python.write_text(f"#!/bin/sh\n{pip}\n")
    python.chmod(0o755)
    return folder


def test_the_environment_is_installed_once_per_lock(tmp_path: Path) -> None:
    lock, log = tmp_path / "lock.txt", tmp_path / "log"
    lock.write_text("keystone==30\n")
    folder = fake_venv(tmp_path / "venv", f'echo "$@" >> {tmp_path}/calls')
    said: list[str] = []
    assert venv.ensure(folder, log=log, say=said.append, lock=lock)
    assert not venv.ensure(folder, log=log, say=said.append, lock=lock)
    lock.write_text("keystone==31\n")
    assert not venv.current(folder, lock)
    assert venv.ensure(folder, log=log, say=said.append, lock=lock)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[-1] for call in calls if " install " in call] == [str(lock)] * 2
    assert len(said) == 2


def test_a_failed_installation_is_explained_and_tried_again(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("keystone==30\n")
    folder = fake_venv(tmp_path / "venv", "echo no index to be reached; exit 1")
    with pytest.raises(Misconfigured, match="no index to be reached"):
        venv.ensure(folder, log=tmp_path / "log", say=lambda _: None, lock=lock)
    assert not venv.current(folder, lock)


def test_our_variables_do_not_reach_openstack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/x")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    variables = venv.environment(tmp_path)
    assert {"OS_CLIENT_CONFIG_FILE", "HTTP_PROXY"}.isdisjoint(variables)
    assert variables["PYTHONPATH"].split(os.pathsep)[1].endswith("openstack/plugins")


def test_entry_points_are_found_on_the_path() -> None:
    (found,) = importlib.metadata.distributions(path=[str(venv.PLUGINS)])
    assert {(entry.group, entry.name) for entry in found.entry_points} == {
        ("magnum.drivers", "sandbox_k8s"),
        ("designate.backend", "sandbox"),
        ("neutron.ml2.mechanism_drivers", "sandbox"),
        ("octavia.api.drivers", "sandbox"),
    }
    for entry in found.entry_points:
        assert (ROOT / f"{entry.module.replace('.', '/')}.py").exists()


class FakeCloud:
    """The five endpoints the seeder uses."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.flavors: list[dict[str, Any]] = [{"name": "m1.small"}]
        self.zone = ["PENDING", "ACTIVE"]
        self.refuse = False
        self.bodies: list[Any] = []

    async def serve(self) -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(app)
        await server.start_server()
        return server

    async def handle(self, request: web.Request) -> web.Response:
        what = f"{request.method} {request.path}"
        if request.path == "/v3/auth/tokens":
            body = {"token": {"project": {"id": "p1"}}}
            return web.json_response(body, status=201, headers={"X-Subject-Token": "t"})
        if request.method != "GET":
            if self.refuse:
                return web.Response(status=403, text="policy")
            self.writes.append(what)
            self.bodies.append(await request.json())
        if what == "GET /v2/zones":
            return web.json_response({"zones": [{"status": self.zone.pop(0)}] if self.zone else []})
        answers: dict[str, Any] = {
            "GET /v2.1/flavors": {"flavors": self.flavors},
            "GET /v2/images": {"images": []},
            "GET /v2.0/networks": {"networks": []},
            "POST /v2.0/networks": {"network": {"id": "n1", "subnets": []}},
            "GET /v3/types": {"volume_types": [{"name": "__DEFAULT__"}, {"name": "standard"}]},
        }
        return web.json_response(answers.get(what, {}), status=409 if what == "POST /v2/zones" else 200)


async def test_the_cloud_is_filled_with_what_is_missing() -> None:
    fake = FakeCloud()
    server = await fake.serve()
    urls = dict.fromkeys(("keystone", *SEEDED), f"http://127.0.0.1:{server.port}")
    seeder = Seeder(urls, {"admin": "a", "demo": "d"}, IPv4Network("127.9.0.0/20"))
    await seeder.run()
    assert Counter(fake.writes) == {
        "POST /v2.1/flavors": len(FLAVORS) - 1,
        "POST /v2/images": 1,
        "POST /v2.0/networks": 1,
        "POST /v2.0/subnets": 1,
        "POST /v3/types": 1,
        "PUT /v2.1/os-quota-sets/p1": 1,
        "PUT /v2.0/quotas/p1": 1,
        "PUT /v3/os-quota-sets/p1": 1,
        "POST /v2/zones": 1,
    }
    (subnet,) = [body["subnet"] for body in fake.bodies if "subnet" in body]
    # Neutron refuses a loopback subnet with DHCP, and a gateway would take an address of it.
    assert (subnet["cidr"], subnet["enable_dhcp"], subnet["gateway_ip"]) == ("127.9.0.0/20", False, None)
    fake.refuse = True
    try:
        with pytest.raises(Failed, match="refuses"):
            await seeder.run()
    finally:
        await server.close()
    with pytest.raises(Unavailable, match="Keystone does not answer"):
        await seeder.run()
