"""The launcher of the real control plane."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from deployments.sandbox.controlplane.plane import ControlPlane, Front
from infra.clients.errors import Misconfigured
from tests.waiting import until

pytestmark = [
    pytest.mark.envtest,
]
PORT = 18040
PROGRAMS = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}


def kubectl(plane: ControlPlane, *arguments: str) -> str:
    argv = ["kubectl", f"--kubeconfig={plane.kubeconfig}", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


def test_it_keeps_its_state_logs_requests_and_leaves_nothing_running(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    plane = ControlPlane(tmp_path / "home", port=PORT, front=Front("dev", log, tmp_path / "faults.json"))
    with plane:
        assert plane.kubeconfig.stat().st_mode & 0o777 == 0o600
        kubectl(plane, "create", "namespace", "kept")
        with pytest.raises(Misconfigured, match=f"Port {PORT}"):
            ControlPlane(tmp_path / "other", port=PORT).start()
    with plane:
        assert "kept" in kubectl(plane, "get", "namespaces", "-o", "name")

    def running() -> list[psutil.Process]:
        processes = psutil.process_iter(["cmdline"])
        return [each for each in processes if str(tmp_path) in " ".join(each.info["cmdline"] or [])]

    # The watchers have been killed, and are gone once the kernel has seen to it.
    until(lambda: not running(), "the end of everything that was started", 5)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    created = [line for line in lines if line["method"] == "POST" and line["path"].startswith("/api/v1/namespaces?")]
    assert [(line["service"], line["status"]) for line in created] == [("kubernetes/dev", 201)]
    assert created[0]["ua"].startswith("kubectl/")
    assert not [line for line in lines if "kube-controller-manager" in line["ua"]]


def programs_of(launcher: int) -> list[psutil.Process]:
    """The launcher's children, once all programs of the control plane are among them."""

    def all_of_them() -> list[psutil.Process]:
        children = psutil.Process(launcher).children(recursive=True)
        names = {child.name() for child in children}
        return children if names >= PROGRAMS else []

    return until(all_of_them, "the control plane's programs", 15)


def test_the_programs_die_with_a_killed_launcher(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "deployments.sandbox.controlplane",
        "--home",
        str(tmp_path / "home"),
        "--port",
        str(PORT + 1),
    ]
    launcher = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    with launcher:
        assert "is ready" in launcher.stdout.readline()
        try:
            children = programs_of(launcher.pid)
        finally:
            # Whatever was found, waiting for its end must not last for ever.
            os.kill(launcher.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive


def test_magnums_certificates_are_used_and_kept(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "first", port=PORT + 2):
        pass
    home = tmp_path / "second"
    home.mkdir()
    for name in ("ca.crt", "server.crt", "server.key", "admin.crt", "admin.key"):
        (home / name).write_bytes((tmp_path / "first" / name).read_bytes())
    with ControlPlane(home, port=PORT + 2) as plane:
        assert not (home / "ca.key").exists()
        user = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]
        assert base64.b64decode(user["client-key-data"]) == (home / "admin.key").read_bytes()
        assert "kept" in kubectl(plane, "create", "namespace", "kept")
        assert kubectl(plane, "auth", "can-i", "*", "*").strip() == "yes"
