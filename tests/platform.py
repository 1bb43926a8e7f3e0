"""A whole platform for end-to-end tests: a sandbox and a Prefect server of its own, in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx
import openstack.config
import psutil
import yaml
from openstack.connection import Connection
from openstack.warnings import RemovedInSDK50Warning, RemovedInSDK60Warning
from rich.console import Console

from deployments.helm import built_helm
from deployments.prefect_server import LocalPrefect
from deployments.sandbox import environment
from deployments.sandbox.__main__ import parser, run
from deployments.sandbox.layout import Layout
from deployments.sandbox.settings import OFFSETS, SandboxSettings
from deployments.settings import PrefectSettings
from infra.settings import ROOT
from tests.warm import Warm

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the test processes that run side by side this is, from 0; each has ports and addresses of its own."""
# Several checkouts may be tested on one machine.
PORT_BASE = int(os.environ.get("PLUMBLINE_TEST_PORT_BASE", "26000"))
LOAD_BALANCERS = IPv4Network(os.environ.get("PLUMBLINE_TEST_LOADBALANCERS", "127.88.0.0/16"))
OURS = "PLUMBLINE_SANDBOX_"
"""How the variables with the sandbox's settings begin."""


@dataclass(frozen=True)
class Finished:
    """How a flow run as a command ended."""

    status: int
    result: dict[str, Any]
    log: str

    @property
    def states(self) -> dict[str, str]:
        """Step name -> how it ended."""
        return {step["name"]: step["state"] for step in self.result.get("steps", ())}

    @property
    def made(self) -> list[str]:
        """Everything that was written."""
        return [where for step in self.result.get("steps", ()) for where in step["made"]]


def told(sandbox: SandboxSettings, *arguments: str) -> str:
    """What `python -m deployments.sandbox …` prints; in this process, since starting one takes a second."""
    with redirect_stdout(StringIO()) as printed:
        out = Console(file=printed, highlight=False)
        status = run(parser().parse_args(arguments), sandbox, out, out)
    assert status == 0, printed.getvalue()
    return printed.getvalue().strip()


class Platform:
    """The sandbox, the Prefect server, and ways to use them as a user would."""

    def __init__(self, home: Path, settings: Mapping[str, str], prefect: LocalPrefect) -> None:
        self.home = home
        self.prefect = prefect
        self._settings = dict(settings)
        self._warm: Warm | None = None
        self._requests: list[dict[str, Any]] = []
        self._requests_read = 0
        self._clusters: dict[str, str] = {}

    @property
    def settings(self) -> SandboxSettings:
        """The sandbox's."""
        own = {
            name.removeprefix(OURS).lower(): value for name, value in self._settings.items() if name.startswith(OURS)
        }
        return SandboxSettings.model_validate(own)

    def variables(self) -> dict[str, str]:
        """The environment of a user who has sourced `.sandbox/env`."""
        values = environment.parse((self.home / "env").read_text())
        return {**self._settings, **values, **self.prefect.variables()}

    def start(self, flow: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start `python -m flows.<flow> … --json` in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", f"flows.{flow}", *arguments, "--json"],
            cwd=ROOT,
            env={**self.variables(), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def flow(self, flow: str, *arguments: str, timeout: float = 400, **settings: str) -> Finished:
        """Run a flow as a command, in a process that has its modules loaded, and wait for it."""
        if self._warm is None:
            self._warm = Warm(self.variables())
        self._clusters |= self._clusters_now()
        ended = self._warm.run(f"flows.{flow}", [*arguments, "--json"], {**self.variables(), **settings}, timeout)
        self._clusters |= self._clusters_now()
        return Finished(ended.status, json.loads(ended.out) if ended.out.strip() else {}, ended.err)

    def stop(self) -> None:
        """Stop what this object has started."""
        if self._warm is not None:
            self._warm.stop()

    def sandbox(self, *arguments: str) -> str:
        """What `python -m deployments.sandbox …` prints."""
        return told(self.settings, *arguments)

    def requests(self) -> list[dict[str, Any]]:
        """Every request the sandbox's services have answered so far; asked often, so only what is new is read."""
        log = self.home / "log" / "requests.jsonl"
        if log.exists():
            if log.stat().st_size < self._requests_read:  # put aside by a restart
                self._requests, self._requests_read = [], 0
            with log.open("rb") as file:
                file.seek(self._requests_read)
                complete, _, _ = file.read().rpartition(b"\n")
            if complete:
                self._requests_read += len(complete) + 1
                self._requests += [json.loads(line) for line in complete.splitlines()]
        return list(self._requests)

    def api(self) -> httpx.Client:
        """A client of the Prefect API."""
        return self.prefect.api()

    def declare(self, name: str, **changes: Any) -> str:
        """Commit `environments/<name>.yaml`: dev's declaration with changes to `spec`; returns the commit.

        A part that is None is left out.
        """
        with tempfile.TemporaryDirectory() as folder:
            self._git("clone", "-q", str(self.home / "git/environments.git"), folder)
            document = yaml.safe_load((Path(folder) / "environments/dev.yaml").read_text())
            document["metadata"]["name"] = name
            document["spec"]["dns"]["domain"] = f"{name}.sandbox.example."
            spec = document["spec"] | changes
            document["spec"] = {part: value for part, value in spec.items() if value is not None}
            (Path(folder) / f"environments/{name}.yaml").write_text(yaml.safe_dump(document))
            self._git("-C", folder, "add", "-A")
            self._git("-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", name)
            self._git("-C", folder, "push", "-q", "origin", "HEAD:main")
            return self._git("-C", folder, "rev-parse", "HEAD").strip()

    def withdraw(self, name: str) -> None:
        """Take `environments/<name>.yaml` out of the repository."""
        with tempfile.TemporaryDirectory() as folder:
            self._git("clone", "-q", str(self.home / "git/environments.git"), folder)
            self._git("-C", folder, "rm", "-q", f"environments/{name}.yaml")
            self._git("-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", name)
            self._git("-C", folder, "push", "-q", "origin", "HEAD:main")

    def keep_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Put a secret into the store, as a user does: a folder, and a file for each key."""
        folder = Path(self.variables()["PLUMBLINE_SECRETS_DIR"]) / name
        folder.mkdir(mode=0o700)
        for key, value in values.items():
            (folder / key).touch(mode=0o600)
            (folder / key).write_text(value)

    def port(self, service: str) -> int:
        """The port of one of the sandbox's services."""
        return int(self._settings["PLUMBLINE_SANDBOX_PORT_BASE"]) + OFFSETS[service]

    def connection(self, cloud: str = "sandbox") -> Connection:
        """The demo project, as a user sees it; or another cloud of the sandbox's clouds.yaml."""
        with _sdk_quiet():
            config = openstack.config.OpenStackConfig(config_files=[str(self.home / "clouds.yaml")])
            return Connection(config=config.get_one(cloud))

    def edit_recordset(self, name: str, *records: str) -> None:
        """Change a recordset of the sandbox's zone, as somebody does by hand."""
        with _sdk_quiet(), self.connection() as cloud:
            zone = cloud.dns.find_zone("sandbox.example.")
            (recordset,) = [one for one in cloud.dns.recordsets(zone) if one.name == name]
            cloud.dns.update_recordset(recordset, records=list(records))

    def leftovers(self, name: str) -> list[str]:
        """What a destroyed environment has left anywhere: in the cloud, in the zone, at GitHub, on this machine."""
        found = {**self._left_in_the_cloud(name), **self._left_on_this_machine(name)}
        return [f"{kind} {what}" for kind, items in found.items() for what in items]

    def _left_in_the_cloud(self, name: str) -> dict[str, list[str]]:
        cloud = self.connection()
        magnum = cloud.container_infrastructure_management
        with _sdk_quiet():
            zone = cloud.dns.find_zone("sandbox.example.")
            return {
                "cluster": [one.name for one in magnum.clusters() if one.name == name],
                "template": [one.name for one in magnum.cluster_templates() if one.name.startswith(f"{name}-")],
                "keypair": [one.name for one in cloud.compute.keypairs() if one.name == f"plumbline-{name}"],
                "recordset": [one.name for one in cloud.dns.recordsets(zone) if f".{name}." in one.name],
                **self._left_of_the_cloud_provider(cloud, name),
            }

    def _left_of_the_cloud_provider(self, cloud: Connection, name: str) -> dict[str, list[str]]:
        """Networks, and what the cloud provider and the volume driver have made for a cluster.

        These know a cluster by its UUID. Of a UUID that no living cluster has, everything is left: of this environment,
        unless the cluster was seen under another name.
        """
        living = {one.uuid for one in cloud.container_infrastructure_management.clusters()}
        seen = self._clusters | self._clusters_now()
        network = cloud.network

        def left(cluster: str | None) -> bool:
            return cluster is not None and cluster not in living and seen.get(cluster, name) == name

        def described(thing: Any) -> str | None:
            found = re.search(r" cluster (\S+)$", thing.description or "")
            return found[1] if found else None

        def served(balancer: Any) -> str | None:
            found = re.match(r"kube_service_([^_]+)_", balancer.name)
            return found[1] if found else described(balancer)

        groups = [one for one in network.security_groups() if one.name == name or left(described(one))]
        volumes = cloud.block_storage.volumes()
        return {
            "load balancer": [one.name for one in cloud.load_balancer.load_balancers() if left(served(one))],
            "floating IP": [one.name for one in network.ips() if left(described(one))],
            "security group": [one.name for one in groups],
            "network": [one.name for one in network.networks() if one.name == name],
            "router": [one.name for one in network.routers() if one.name == name],
            "volume": [one.name for one in volumes if left(one.metadata.get("cinder.csi.openstack.org/cluster"))],
        }

    def _clusters_now(self) -> dict[str, str]:
        """The names of the clusters whose control planes there are, by UUID."""
        found = {}
        for path in (self.home / "clusters").glob("*/cluster.json"):
            with suppress(FileNotFoundError):  # it is going
                found[path.parent.name] = str(json.loads(path.read_text())["name"])
        return found

    def _left_on_this_machine(self, name: str) -> dict[str, list[str]]:
        clusters = json.loads(self.sandbox("status", "--json"))["clusters"]
        known = {cluster["uuid"] for cluster in clusters}
        place = re.compile(rf"{re.escape(str(self.home))}/clusters/([0-9a-f-]+)")
        commands = {one.pid: " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])}
        registrations = (self.home / "github").rglob("*.json")
        return {
            "API server": [one["name"] for one in clusters if one["name"] == name],
            "folder": [folder.name for folder in (self.home / "clusters").iterdir() if folder.name not in known],
            "registration": [file.name for file in registrations if f'"{name}"' in file.read_text()],
            "process": [str(pid) for pid, said in commands.items() if set(place.findall(said)) - known],
        }

    @staticmethod
    def _git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


@contextmanager
def _sdk_quiet() -> Iterator[None]:
    """The SDK warns of its own calls and defaults, which no caller of it can change."""
    with warnings.catch_warnings():
        for kind in (RemovedInSDK50Warning, RemovedInSDK60Warning):
            warnings.simplefilter("ignore", kind)
        yield


@contextmanager
def running(home: Path) -> Iterator[Platform]:
    """Sandbox, Prefect server and worker in `home`, for as long as the context lasts.

    Nothing of this process's environment is changed.
    """
    base = PORT_BASE + 200 * WORKER
    network = list(LOAD_BALANCERS.subnets(prefixlen_diff=4))[WORKER]
    helm = built_helm()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "KUBECONFIG"))}
    variables |= {
        "PATH": os.pathsep.join([str(helm.parent), os.environ["PATH"]]),
        "PLUMBLINE_SANDBOX_HOME": str(home),
        "PLUMBLINE_SANDBOX_PORT_BASE": str(base),
        "PLUMBLINE_SANDBOX_LOADBALANCER_NETWORK": str(network),
    }
    prefect_settings = PrefectSettings(port=base + 90, start_timeout=300)
    prefect = LocalPrefect(prefect_settings, prefect_settings.home(home), scheduling=False)
    try:
        Layout(home).make()
        prefect.start_server()
        with ThreadPoolExecutor(1) as beside:
            deploying = beside.submit(prefect.deploy_when_ready)
            _sandbox("up", variables)
            deploying.result()
        environment.merge(home / "env", prefect.variables(), path=(str(helm.parent),))
        platform = Platform(home, variables, prefect)
        prefect.start_worker(platform.variables())
        try:
            yield platform
        finally:
            platform.stop()
    finally:
        prefect.stop()
        _sandbox("down", variables)


def _sandbox(command: str, variables: Mapping[str, str]) -> None:
    argv = [sys.executable, "-m", "deployments.sandbox", command]
    subprocess.run(argv, cwd=ROOT, env=variables, check=True, timeout=400)


def writes(requests: list[dict[str, Any]]) -> list[str]:
    """Those requests that changed something, without signing in, signing a client certificate and dry runs."""
    return [
        f"{item['service']} {item['method']} {item['path']}"
        for item in requests
        if item["method"] not in ("GET", "HEAD")
        and not (item.get("ua") or "").startswith("plumbline-sandbox")
        and not item["path"].startswith(("/v3/auth/tokens", "/v1/certificates"))
        and "dryRun=All" not in item["path"]
        and item["service"] != "charts"
    ]
