"""A whole platform for end-to-end tests: a sandbox and a Prefect server of its own, in a temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openstack.config
import yaml
from openstack.connection import Connection

from deployments.prefect_server import LocalPrefect
from infra.sandbox import environment
from infra.settings import ROOT


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


class Platform:
    """The sandbox, the Prefect server, and ways to use them as a user would."""

    def __init__(self, home: Path, prefect: LocalPrefect, api_url: str, helm: Path) -> None:
        self.home = home
        self.prefect = prefect
        self.api_url = api_url
        self._helm = helm

    def variables(self) -> dict[str, str]:
        """The environment of a user who has sourced `.sandbox/env`."""
        values = environment.parse((self.home / "env").read_text())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        path = os.pathsep.join([str(self._helm), os.environ["PATH"]])
        return {**inherited, **values, **self.prefect.variables(), "PATH": path}

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
        """Run a flow as a command and wait for it."""
        running = self.start(flow, *arguments, **settings)
        try:
            out, err = running.communicate(timeout=timeout)
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()
        return Finished(running.returncode, json.loads(out) if out.strip() else {}, err)

    def sandbox(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m infra.sandbox …`."""
        return subprocess.run(
            [sys.executable, "-m", "infra.sandbox", *arguments],
            cwd=ROOT,
            env=self.variables(),
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )

    def requests(self) -> list[dict[str, Any]]:
        """Every request the sandbox's services have answered so far."""
        log = self.home / "log" / "requests.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def api(self) -> httpx.Client:
        """A client of the Prefect API."""
        user, _, password = self.prefect.auth_string().partition(":")
        return httpx.Client(base_url=f"{self.api_url}/", auth=(user, password), timeout=30)

    def declare(self, name: str, **changes: Any) -> str:
        """Commit `environments/<name>.yaml`: dev's declaration with changes to `spec`; returns the commit."""
        with tempfile.TemporaryDirectory() as folder:
            self._git("clone", "-q", str(self.home / "git/environments.git"), folder)
            document = yaml.safe_load((Path(folder) / "environments/dev.yaml").read_text())
            document["metadata"]["name"] = name
            document["spec"]["dns"]["domain"] = f"{name}.sandbox.example."
            document["spec"].update(changes)
            (Path(folder) / f"environments/{name}.yaml").write_text(yaml.safe_dump(document))
            self._git("-C", folder, "add", "-A")
            self._git("-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", name)
            self._git("-C", folder, "push", "-q", "origin", "HEAD:main")
            return self._git("-C", folder, "rev-parse", "HEAD").strip()

    def connection(self) -> Connection:
        """The demo project, as a user sees it."""
        config = openstack.config.OpenStackConfig(config_files=[str(self.home / "clouds.yaml")])
        return Connection(config=config.get_one("sandbox"))

    @staticmethod
    def _git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


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
