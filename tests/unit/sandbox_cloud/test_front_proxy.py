"""The front proxy as it is built, before a service: what it logs, what goes wrong as told, and what stays as it was."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox.openstack.faults import HEALTH
from deployments.sandbox.settings import free_port
from deployments.sandbox.upstream import build

AGENT = "test/1"
TICK = itertools.count(1)


class Service(ThreadingHTTPServer):
    """What stands behind: it answers what it was asked, counts, streams, and changes the protocol."""

    daemon_threads = True

    def __init__(self) -> None:
        self.served: list[str] = []
        self.more = threading.Event()
        super().__init__(("127.0.0.1", 0), Answers)


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def log_message(self, *_: Any) -> None:
        """Nothing: the proxy's log is what is looked at."""

    def do_GET(self) -> None:
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.end_headers()
            self.wfile.write(self.rfile.readline().upper())
            self.close_connection = True
        elif self.path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"4\r\none\n\r\n")
            self.server.more.wait(10)
            self.wfile.write(b"4\r\ntwo\n\r\n0\r\n\r\n")
        else:
            self._echo()

    def do_POST(self) -> None:
        self._echo()

    def _echo(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.served.append(f"{self.command} {self.path} {body}")
        text = json.dumps({"path": self.path, "body": body, "headers": dict(self.headers)}).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@dataclass
class Front:
    """The proxy before two services, `nova` and `kubernetes/dev`, that are one."""

    folder: Path
    service: Service
    ports: dict[str, int] = field(default_factory=lambda: {"nova": free_port(), "kubernetes/dev": free_port()})

    def set(self, *rules: dict[str, Any], seed: int = 1) -> None:
        path = self.folder / "faults.json"
        partial = self.folder / "partial"
        partial.write_text(json.dumps({"seed": seed, "rules": [{"service": "*", **each} for each in rules]}))
        # Two writes within one tick of the file system's clock would look alike.
        os.utime(partial, ns=(0, next(TICK)))
        partial.replace(path)

    def log(self) -> list[dict[str, Any]]:
        path = self.folder / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def connect(self, service: str = "nova") -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.ports[service], timeout=10)

    def ask(
        self, path: str = "/v2.1/flavors", method: str = "GET", service: str = "nova", **more: Any
    ) -> tuple[int, dict[str, str], str]:
        """One request on a connection of its own: status, headers and body."""
        connection = self.connect(service)
        try:
            connection.request(method, path, headers={"User-Agent": AGENT, **more.pop("headers", {})}, **more)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read().decode()
        finally:
            connection.close()

    def outcome(self, *arguments: str) -> int:
        """The status, 0 where the connection was reset."""
        try:
            return self.ask(*arguments)[0]
        except ConnectionResetError:
            return 0


@contextmanager
def proxy(folder: Path, ports: dict[str, int], upstream: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program, once it listens."""
    services = [{"name": name, "listen": f"127.0.0.1:{port}", "upstream": upstream} for name, port in ports.items()]
    document = {"log": str(folder / "requests.jsonl"), "faults": str(folder / "faults.json"), "services": services}
    (folder / "front.json").write_text(json.dumps(document))
    argv = [str(build.ensure(build.FRONT_PROXY) / "front-proxy"), str(folder / "front.json")]
    with subprocess.Popen(argv) as process:
        try:
            for port in ports.values():
                within(5, lambda port=port: listens(port))  # type: ignore[misc]
            yield process
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def within(seconds: float, true: Callable[[], bool]) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with Service() as service:
        front = Front(tmp_path_factory.mktemp("front"), service)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        with proxy(front.folder, front.ports, f"http://127.0.0.1:{service.server_port}"):
            yield front
        service.shutdown()


@pytest.fixture
def front(running: Front) -> Iterator[Front]:
    """The proxy, with nothing served, logged or set."""
    running.set()
    running.service.served.clear()
    running.service.more.clear()
    (running.folder / "requests.jsonl").write_text("")
    yield running
    running.service.more.set()


def test_a_request_passes_as_it_is_and_is_logged(front: Front) -> None:
    headers = {"X-Mine": "1", "Accept-Encoding": "identity", "X-Remote-User": "root", "X-Remote-Group": "wheel"}
    status, _, body = front.ask("/v1/a%2Fb?x=1;y&z=<", "POST", body="text", headers=headers)
    seen = json.loads(body)
    assert (status, seen["path"], seen["body"]) == (201, "/v1/a%2Fb?x=1;y&z=<", "text")
    # Services build their links from what the client called them; nobody says by himself who he is.
    assert seen["headers"] == {
        **{"Host": f"127.0.0.1:{front.ports['nova']}", "User-Agent": AGENT, "X-Mine": "1"},
        **{"Accept-Encoding": "identity", "Content-Length": "4"},
    }
    front.ask(headers={"User-Agent": HEALTH})
    (line,) = front.log()
    assert line.pop("t")[-6:] == "+00:00"
    assert line == {"service": "nova", "method": "POST", "path": "/v1/a%2Fb?x=1;y&z=<", "status": 201, "ua": AGENT}
    assert (front.folder / "requests.jsonl").stat().st_mode & 0o777 == 0o600


def test_rates_and_seeds(front: Front) -> None:
    def run(seed: int) -> list[int]:
        front.set({"rate": 0.3, "kinds": ["500", "reset"]}, seed=seed)
        return [front.outcome() for _ in range(120)]

    first = run(7)
    counts = Counter(first)
    assert run(7) == first
    assert run(8) != first
    assert 20 <= counts[500] + counts[0] <= 55
    assert min(counts[500], counts[0]) >= 5


@pytest.mark.parametrize(
    ("values", "struck"),
    [
        ({"service": "nova"}, True),
        ({"service": "glance"}, False),
        ({"methods": ["POST"]}, False),
        ({"path": r"^/v2\.1/flavors"}, True),
        ({"path": "/images"}, False),
        ({"rate": 0}, False),
    ],
)
def test_a_rule_is_about_some_requests(front: Front, values: dict[str, Any], struck: bool) -> None:
    front.set({"kinds": ["503"], **values})
    assert front.outcome() == (503 if struck else 200)


@pytest.mark.parametrize(
    ("service", "struck"), [("kubernetes", True), ("kubernetes/dev", True), ("kubernetes/d", False)]
)
def test_a_rule_is_about_all_clusters_or_one(front: Front, service: str, struck: bool) -> None:
    front.set({"service": service, "kinds": ["503"]})
    assert front.ask(service="kubernetes/dev")[0] == (503 if struck else 200)
    assert front.outcome() == 200


def test_counts_run_out_and_a_changed_file_counts_anew(front: Front) -> None:
    for _ in range(2):
        front.set({"count": 2, "kinds": ["503"]})
        assert [front.outcome() for _ in range(3)] == [503, 503, 200]
    (front.folder / "faults.json").unlink()
    assert front.outcome() == 200


def test_the_sandbox_itself_is_exempt(front: Front) -> None:
    front.set({"kinds": ["500"]}, {"kinds": ["partition"]})
    assert front.ask(headers={"User-Agent": HEALTH})[0] == 200


def test_a_broken_file_keeps_the_last_good_one(front: Front) -> None:
    front.set({"kinds": ["429"]})
    assert front.outcome() == 429
    (front.folder / "faults.json").write_text("{")
    assert front.outcome() == 429


def test_refusals_reach_nobody_and_say_when_to_come_back(front: Front) -> None:
    front.set({"kinds": ["429"], "retry_after": 2.5})
    status, headers, body = front.ask()
    assert (status, headers["Retry-After"]) == (429, "2.5")
    assert "faults.json" in body
    front.set({"kinds": ["500"]})
    assert "Retry-After" not in front.ask()[1]
    assert front.service.served == []
    assert [line["status"] for line in front.log()] == [429, 500]


def test_what_is_reset_was_not_done_and_what_is_lost_was(front: Front) -> None:
    front.set({"kinds": ["reset"]})
    assert front.outcome("/a", "POST") == 0
    assert front.service.served == []
    front.set({"kinds": ["lost"]})
    assert front.outcome("/b", "POST") == 0
    assert front.service.served == ["POST /b "]
    # A read does nothing that could be lost sight of.
    assert front.outcome("/c") == 0
    assert front.service.served == ["POST /b "]
    assert [(line["path"], line["status"]) for line in front.log()] == [("/a", 0), ("/b", 201), ("/c", 0)]


def test_what_is_stalled_is_done_even_when_the_client_has_gone(front: Front) -> None:
    front.set({"kinds": ["stall"], "stall_seconds": 0.3})
    begun = time.monotonic()
    assert front.outcome() == 200
    assert time.monotonic() - begun >= 0.3
    connection = front.connect()
    connection.request("POST", "/late", body="text", headers={"User-Agent": AGENT})
    connection.close()
    within(5, lambda: front.service.served[-1:] == ["POST /late text"])


def test_latency_is_added_to_whatever_else_happens(front: Front) -> None:
    front.set({"kinds": ["latency"], "latency_ms": 100}, {"kinds": ["503"], "count": 1})
    begun = time.monotonic()
    assert [front.outcome(), front.outcome()] == [503, 200]
    assert 0.2 <= time.monotonic() - begun < 1


def test_a_partition_answers_nothing_and_ends_nothing_until_it_is_over(front: Front) -> None:
    watch = front.connect()
    watch.request("GET", "/stream", headers={"User-Agent": AGENT})
    stream = watch.getresponse()
    assert stream.readline() == b"one\n"
    front.set({"kinds": ["partition"]})
    front.service.more.set()
    asked = front.connect()
    asked.request("GET", "/held", headers={"User-Agent": AGENT})
    for each in (watch, asked):
        each.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        asked.sock.recv(1, socket.MSG_PEEK)
    with pytest.raises(TimeoutError):
        watch.sock.recv(1, socket.MSG_PEEK)
    assert front.service.served == []
    front.set()
    for each in (watch, asked):
        each.sock.settimeout(10)
    assert asked.getresponse().status == 200
    assert stream.readline() == b"two\n"
    for each in (watch, asked):
        each.close()


def test_an_answer_that_goes_on_is_passed_on_at_once(front: Front) -> None:
    connection = front.connect()
    connection.request("GET", "/stream", headers={"User-Agent": AGENT})
    answer = connection.getresponse()
    assert answer.readline() == b"one\n"
    # It is in the log from its first byte: a watch may have no last one.
    assert [line["path"] for line in front.log()] == ["/stream"]
    front.service.more.set()
    assert answer.read() == b"two\n"
    connection.close()


def test_another_protocol_passes(front: Front) -> None:
    with socket.create_connection(("127.0.0.1", front.ports["nova"]), timeout=10) as client:
        client.sendall(b"GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        reader = client.makefile("rb")
        assert reader.readline().startswith(b"HTTP/1.1 101 ")
        while reader.readline() != b"\r\n":
            pass
        client.sendall(b"hello\n")
        assert reader.readline() == b"HELLO\n"


def test_a_service_that_is_away_is_a_connection_that_is_cut(tmp_path: Path) -> None:
    front = Front(tmp_path, None, {"nova": free_port()})  # type: ignore[arg-type]
    with proxy(tmp_path, front.ports, f"http://127.0.0.1:{free_port()}"):
        assert front.outcome() == 0
        assert [line["status"] for line in front.log()] == [0]


def test_a_port_that_is_taken_ends_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with proxy(tmp_path, {"nova": port}, "http://127.0.0.1:1") as process:
            assert process.wait(5) == 1
