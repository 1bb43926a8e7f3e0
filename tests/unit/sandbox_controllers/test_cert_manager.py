"""What surrounds cert-manager's own programs: a way to Services, children that come and go, solvers, names, roots."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import dns.message
import dns.rcode
import dns.rrset
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deployments.sandbox.acme import Acme, remember
from deployments.sandbox.authority import make_authority
from deployments.sandbox.controllers import children, x509
from deployments.sandbox.controllers.cert_manager import solver as solving
from deployments.sandbox.controllers.cert_manager.names import Names
from deployments.sandbox.controllers.cert_manager.solver import GROUP, SOLVER, VERSION, Solver, objects
from deployments.sandbox.controllers.children import Child, Command
from deployments.sandbox.controllers.egress import SOCKET, Egress
from deployments.sandbox.controllers.features import Feature, runs_container
from deployments.sandbox.controllers.ingress import solvers
from deployments.sandbox.controllers.kube.client import Client
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.informer import Informer
from deployments.sandbox.controllers.kube.resources import DEPLOYMENTS, SERVICES, Obj
from deployments.sandbox.dns.servers import Server
from infra.clients.errors import Failed, NotYet, Unavailable
from infra.clients.waiting import wait_until

DAY = dt.timedelta(days=1)


def a_cluster() -> Cluster:
    return Cluster(Client("https://127.0.0.1:1", ssl.create_default_context()), name="dev")


def deployment(container: str, *arguments: str, uid: str = "1", version: str = "1", ready: int = 1) -> Obj:
    template = {"metadata": {}, "spec": {"containers": [{"name": container, "args": list(arguments)}]}}
    return {
        "kind": "Deployment",
        "metadata": {"name": "program", "namespace": "apps", "uid": uid, "resourceVersion": version, "generation": 1},
        "spec": {"replicas": 1, "template": template},
        "status": {"observedGeneration": 1, "availableReplicas": ready},
    }


async def until(probe: Callable[[], bool], what: str) -> None:
    async def look() -> None:
        if not probe():
            raise NotYet(what)

    await wait_until(look, describe=what, timeout=10, interval=0.02)


# -- egress -----------------------------------------------------------------------------------------------------------


def services(*known: tuple[str, str, str]) -> Informer:
    informer = Informer(Client("https://127.0.0.1:1", ssl.create_default_context()), SERVICES)
    for namespace, name, address in known:
        metadata = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"}
        informer.note({"kind": "Service", "metadata": metadata, "spec": {"clusterIP": address}})
    return informer


async def connect(folder: Path, request: str, said: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET))
    writer.write(f"{request}\r\n\r\n".encode() + said)
    answer = await asyncio.wait_for(reader.read(400), 5)
    if said:
        writer.write_eof()
        answer += await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"heard " + await reader.read())
    writer.close()


async def test_what_is_for_a_service_goes_to_who_serves_for_it(tmp_path: Path) -> None:
    egress = Egress(services(("cert-manager", "webhook", "10.254.0.9"), ("apps", "lost", "10.254.0.10")))
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    egress.route(("cert-manager", "webhook"), port)
    async with server, egress.serving(tmp_path):
        for address in ("10.254.0.9:443", "webhook.cert-manager.svc:443", f"127.0.0.1:{port}"):
            answer = await connect(tmp_path, f"CONNECT {address} HTTP/1.1\r\nHost: {address}", b"hello")
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"heard hello")
        assert b" 502 " in await connect(tmp_path, "CONNECT 10.254.0.10:443 HTTP/1.1")
        assert b" 405 " in await connect(tmp_path, "GET http://x/ HTTP/1.1")
        assert (tmp_path / SOCKET).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / SOCKET).exists()


async def test_a_folder_whose_path_is_longer_than_a_sockets_serves_as_well(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90) / ("y" * 90)
    folder.mkdir(parents=True)
    async with Egress(services()).serving(folder):
        assert (folder / SOCKET).is_socket()


# -- children ---------------------------------------------------------------------------------------------------------


async def test_a_program_runs_while_its_workload_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "FIRST_PAUSE", 0.01)
    cluster = a_cluster()
    feature = Feature(cluster, runs_container("main"))
    informer = cluster.informer(DEPLOYMENTS)
    started = tmp_path / "started"

    async def prepare(workload: Obj) -> Command:
        code = f"echo {workload['metadata']['uid']} $$ >>{started}; echo said; exec sleep 60"
        return Command(("/bin/sh", "-c", code), {"HTTP_PROXY": "http://x"})

    def runs() -> list[list[str]]:
        return [line.split() for line in started.read_text().splitlines()] if started.exists() else []

    child = Child("program", feature, prepare, tmp_path / "log")
    running = asyncio.create_task(child.run())
    try:
        informer.note(deployment("main", uid="1"))
        await until(lambda: len(runs()) == 1, "the first start")
        psutil.Process(int(runs()[0][1])).kill()
        await until(lambda: len(runs()) == 2, "another start after its end")
        informer.note(deployment("main", uid="1", version="2", ready=0))
        await until(lambda: not psutil.pid_exists(int(runs()[1][1])), "its end with the workload")
        informer.note(deployment("main", "--new", uid="2", version="3"))
        await until(lambda: len(runs()) == 3, "a start with the new workload")
        assert [run[0] for run in runs()] == ["1", "1", "2"]
        assert "said" in (tmp_path / "log/program.log").read_text()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not psutil.pid_exists(int(runs()[2][1]))


# -- solvers ----------------------------------------------------------------------------------------------------------


def pod(token: str, key: str, domain: str, *, solver: bool = True) -> Obj:
    labels = {solvers.SOLVER: "true"} if solver else {}
    arguments = ["--listen-port=8089", f"--domain={domain}", f"--token={token}", f"--key={key}"]
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "acmesolver", "args": arguments}]}}


@pytest.mark.parametrize(
    ("host", "path", "said"),
    [
        ("a.example", "/.well-known/acme-challenge/t1", "t1.key"),
        ("A.EXAMPLE", "/.well-known/acme-challenge/t1", "t1.key"),
        ("b.example", "/.well-known/acme-challenge/t1", None),
        ("a.example", "/.well-known/acme-challenge/t2", None),
        ("a.example", "/.well-known/acme-challenge/", None),
        ("c.example", "/.well-known/acme-challenge/t3", None),
    ],
)
def test_a_solver_answers_for_its_token_and_its_domain(host: str, path: str, said: str | None) -> None:
    pods = [pod("t1", "t1.key", "a.example"), pod("t3", "t3.key", "c.example", solver=False)]
    assert solvers.answer(pods, host, path) == said


class FakeRecords:
    """Where records would be set."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    async def present(self, *what: str) -> None:
        self.done.append(("present", *what))

    async def clean_up(self, *what: str) -> None:
        raise Failed("no", detail="the zone is busy")


@pytest.fixture
def front_proxy(tmp_path: Path) -> tuple[x509.Authority, Path]:
    key = x509.generate_key()
    authority = x509.Authority(x509.self_sign(key, x509.Subject("proxies", is_ca=True), DAY), key)
    path = tmp_path / "front-proxy-ca.crt"
    path.write_bytes(x509.pem(authority.certificate))
    return authority, path


def client_context(by: x509.Authority, folder: Path) -> ssl.SSLContext:
    key = x509.generate_key()
    subject = x509.Subject("front-proxy", usages=("digital signature", "client auth"))
    signed = x509.sign(by, key.public_key(), subject, DAY)
    (folder / "client.pem").write_bytes(x509.pem(signed) + x509.key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(folder / "client.pem")
    return context


async def test_the_designate_solver_is_an_api_that_only_the_api_server_may_ask(
    tmp_path: Path, front_proxy: tuple[x509.Authority, Path]
) -> None:
    cluster, records = a_cluster(), FakeRecords()
    feature, made = Feature(cluster, runs_container("cert-manager-controller")), Egress(services())
    solver = Solver(cluster, made, feature, records, front_proxy[1])  # type: ignore[arg-type]
    asked = {"uid": "u", "resolvedZone": "example.", "resolvedFQDN": "_acme-challenge.a.example.", "key": "k"}
    payload: dict[str, Any] = {"kind": "ChallengePayload", "apiVersion": "webhook.acme.cert-manager.io/v1alpha1"}
    async with solver.serving(), aiohttp.ClientSession() as session:
        base = f"https://127.0.0.1:{solver._port}/apis/{GROUP}/{VERSION}"
        context = client_context(front_proxy[0], tmp_path)
        async with session.get(base, ssl=context) as answer:
            assert (await answer.json())["resources"][0]["name"] == SOLVER
        for action, success in (("Present", True), ("CleanUp", False)):
            body = {**payload, "request": {**asked, "action": action}}
            async with session.post(f"{base}/{SOLVER}", json=body, ssl=context) as answer:
                response = (await answer.json())["response"]
            assert (response["uid"], response["success"]) == ("u", success)
        assert "the zone is busy" in response["status"]["message"]
        assert records.done == [("present", "example.", "_acme-challenge.a.example.", "k")]
        other = x509.generate_key()
        stranger = x509.Authority(x509.self_sign(other, x509.Subject("proxies", is_ca=True), DAY), other)
        with pytest.raises(aiohttp.ClientError):
            await session.get(base, ssl=client_context(stranger, tmp_path))


def test_the_stand_in_says_that_it_is_one_and_lets_cert_manager_in() -> None:
    made = dict(objects("cert-manager", "cert-manager"))
    assert all(each["metadata"]["labels"].items() >= solving.LABELS.items() for each in made.values())
    kinds = {each["kind"]: each for each in made.values()}
    assert kinds["APIService"]["metadata"]["name"] == f"{VERSION}.{GROUP}"
    assert kinds["APIService"]["spec"]["service"]["name"] == kinds["Service"]["metadata"]["name"]
    assert kinds["ClusterRoleBinding"]["subjects"][0]["name"] == "cert-manager"
    assert kinds["EndpointSlice"]["metadata"]["labels"]["kubernetes.io/service-name"] == solving.NAME


# -- names and roots --------------------------------------------------------------------------------------------------


async def test_names_of_the_cluster_are_found_by_the_proxy() -> None:
    async def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        name = query.question[0].name
        if name.to_text() == "shop.example.":
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "127.0.0.1"))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.host} {request.path}")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    async with TestServer(app) as ingress:
        names = Server(answer)
        port = await names.start("127.0.0.1", 0)
        try:
            proxy = Names(["127.0.0.1"], port, ingress.port or 0)
            async with proxy.serving() as url, aiohttp.ClientSession() as session:
                async with session.get("http://shop.example/.well-known/acme-challenge/t", proxy=url) as found:
                    assert (found.status, await found.text()) == (200, "shop.example /.well-known/acme-challenge/t")
                async with session.get("http://other.example/", proxy=url) as found:
                    assert (found.status, await found.text()) == (502, "no such host: other.example\n")
        finally:
            await names.stop()


def a_root(name: str, lasts: dt.timedelta = DAY) -> str:
    return x509.pem(x509.self_sign(x509.generate_key(), x509.Subject(name, is_ca=True), lasts)).decode()


def test_every_root_is_remembered_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    first, second, gone = a_root("first"), a_root("second"), a_root("gone", -dt.timedelta(seconds=1))
    for root in (gone, first, second, first):
        remember(path, root)
    assert path.read_text() == second + first
    with pytest.raises(Unavailable):
        remember(path, "<html>")


def test_an_acme_servers_certificate_is_signed_by_the_sandbox_and_kept(tmp_path: Path) -> None:
    authority = tmp_path / "ca"
    authority.mkdir()
    make_authority(authority)
    acme = Acme(tmp_path / "acme", authority, port=1, management_port=2)
    acme.configure(http_port=3, tls_port=4)
    leaf = (tmp_path / "acme/server.crt").read_bytes()
    signed, issuer = (x509.Authority.load(leaf, (tmp_path / "acme/server.key").read_bytes()).certificate, authority)
    ca = x509.Authority.load((issuer / "ca.crt").read_bytes(), (issuer / "ca.key").read_bytes())
    signed.verify_directly_issued_by(ca.certificate)
    acme.configure(http_port=5, tls_port=4)
    assert (tmp_path / "acme/server.crt").read_bytes() == leaf
    assert acme.server == "https://127.0.0.1:1/dir"
