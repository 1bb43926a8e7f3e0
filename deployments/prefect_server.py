"""The local Prefect: server with UI, worker, deployments."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from importlib.metadata import version
from pathlib import Path

import httpx
import yaml

from deployments import automations, pausing
from deployments.daemon import Daemon
from deployments.deploy import PREFECT, deploy
from deployments.patience import Patient
from deployments.sandbox.openstack.database import copy_database
from deployments.sandbox.upstream import build
from deployments.settings import PrefectSettings
from infra.clients.errors import Misconfigured
from infra.settings import ROOT, get_settings


class LocalPrefect:
    """Prefect on this machine, its state in `home`.

    Args:
        scheduling: whether schedules start runs; where something is measured or tested, nothing starts by itself.
    """

    def __init__(self, settings: PrefectSettings, home: Path, *, scheduling: bool = True) -> None:
        self._settings = settings
        self._home = home
        self._scheduling = scheduling
        self.server = Daemon("prefect-server", home)
        self.worker = Daemon("prefect-worker", home)
        self._fresh = False

    @property
    def auth_file(self) -> Path:
        """Where the auth string is kept, 0600."""
        return self._home / "auth"

    @property
    def _database(self) -> Path:
        """Prefect's."""
        return self._home / "prefect.db"

    @property
    def _empty_database(self) -> Path:
        """One that this version of Prefect has just made: a hundred migrations, half a minute's work, once a user."""
        return build.cache() / "prefect" / f"{version('prefect')}.db"

    def auth_string(self) -> str:
        """`user:password` for UI and API: made once, then kept."""
        if not self.auth_file.exists():
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(self.auth_file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
                file.write(f"admin:{secrets.token_urlsafe(18)}")
        return self.auth_file.read_text().strip()

    def variables(self) -> dict[str, str]:
        """What Prefect's clients need in their environment to reach this server."""
        return {
            "PREFECT_API_URL": self._settings.api_url,
            "PREFECT_API_AUTH_STRING": self.auth_string(),
            "PREFECT_HOME": str(self._home),
            "PREFECT_LOGGING_EXTRA_LOGGERS": "infra",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Prefect looks up every time zone there is for each schedule it reads or writes; in the system's folder
            # that takes 5 ms, and a fleet of a hundred has 300 schedules. Empty: only those of the package tzdata.
            "PYTHONTZPATH": "",
            "PLUMBLINE_PREFECT_WORK_POOL": self._settings.work_pool,
        }

    def check_port(self) -> None:
        """Say whose port it is, when it is not free and not ours.

        Raises:
            Misconfigured: another program listens on it.
        """
        if self.server.process() is not None:
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self._settings.port))
            except OSError as error:
                raise Misconfigured(
                    f"Port {self._settings.port} is in use, and the Prefect server needs it.",
                    hint="Stop what listens there, or set PLUMBLINE_PREFECT_PORT to another port.",
                ) from error

    def start_server(self) -> None:
        """Start the server; it is not ready yet when this returns."""
        env = {
            **_base_environment(),
            **self.variables(),
            "PREFECT_SERVER_API_AUTH_STRING": self.auth_string(),
            "PREFECT_SERVER_UI_API_URL": self._settings.api_url,
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": str(self._scheduling).lower(),
            # Else runs, logs and artifacts would stay for ever; of itself it removes events alone, after a week.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(get_settings().prefect_keep * 86400),
            # Of itself it writes each change of a task's state by itself, which is a third of its work.
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
            # Concurrency leases in memory would stay held for ever after a restart of the server.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        }
        self._fresh = not self._database.exists()
        if self._fresh and self._empty_database.exists():
            copy_database(self._empty_database, self._database)
        argv = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(self._settings.port)]
        self.server.start(argv, env, ROOT)

    def wait_server(self) -> None:
        """Wait until the API answers."""
        self.server.wait_ready(self._healthy, self._settings.start_timeout)
        if self._fresh and not self._empty_database.exists():
            self._empty_database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            copy_database(self._database, self._empty_database)
        self._fresh = False

    def deploy(self) -> None:
        """Bring the deployments to what prefect.yaml says; they are left alone where nothing has changed since."""
        mark, sources = self._home / "deployed", self._sources()
        if mark.exists() and mark.read_text() == sources:
            declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
            with self.api() as api:
                if {one["name"] for one in declared} <= {one["name"] for one in pausing.deployments(api)}:
                    automations.add_missing(api)
                    return
        deploy(self._settings, {**_base_environment(), **self.variables()})
        mark.write_text(sources)

    def _sources(self) -> str:
        """A digest of all that a deployment says: the flows with what they import, and where they are."""
        digest = hashlib.sha256(f"{ROOT} {version('prefect')} {self._settings.work_pool}".encode())
        modules = [path for folder in ("flows", "tasks", "infra") for path in sorted((ROOT / folder).rglob("*.py"))]
        for path in (ROOT / "prefect.yaml", *modules):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def deploy_when_ready(self) -> None:
        """Wait for the server, then deploy."""
        self.wait_server()
        self.deploy()

    def start_worker(self, variables: dict[str, str]) -> None:
        """Start the worker with the variables that its flow runs inherit."""
        # By default a run that is asked for waits up to ten seconds until a worker looks.
        env = {**_base_environment(), **variables, **self.variables(), "PREFECT_WORKER_QUERY_SECONDS": "2"}
        argv = [PREFECT, "worker", "start", "--pool", self._settings.work_pool, "--type", "process"]
        argv += ["--name", "local", "--limit", str(self._settings.worker_limit)]
        self.worker.start(argv, env, ROOT)

    def api(self) -> httpx.Client:
        """A client of the API, signed in."""
        return httpx.Client(base_url=f"{self._settings.api_url}/", auth=self._auth(), timeout=30, transport=Patient())

    def stop(self) -> list[str]:
        """Stop worker, then server; return the names of those that ran."""
        return [daemon.name for daemon in (self.worker, self.server) if daemon.stop()]

    def _auth(self) -> tuple[str, str]:
        user, _, password = self.auth_string().partition(":")
        return user, password

    def _healthy(self) -> bool:
        try:
            answer = httpx.get(f"{self._settings.api_url}/health", auth=self._auth(), timeout=5)
        except httpx.HTTPError:
            return False
        return answer.is_success


def _base_environment() -> dict[str, str]:
    """Our own environment without another Prefect's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
