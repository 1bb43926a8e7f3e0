"""Certificates by cert-manager's own programs: what fails is told with its cause, and what can be mended is."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates

from deployments.sandbox.acme import BLOCKED
from infra.catalog import Catalog
from infra.clients.errors import DeadlineExceeded, Failed, NotYet, PlumblineError
from infra.clients.kubernetes import KubernetesClient
from infra.clients.tls import Trust
from infra.clients.waiting import wait_until
from infra.planes import certificates, issuance
from infra.planes.certificates import Wanted
from infra.planes.clients import Clients
from infra.settings import Settings
from infra.spec.models import Environment
from tests.envtest.acme_world import Gate, World
from tests.unit.planes.fakes import FakeJournal, http_free_openstack

pytestmark = [pytest.mark.envtest, pytest.mark.thorough]
UNREACHABLE = "127.94.255.254"
HTTP01: dict[str, Any] = {"http01": {"ingress": {"ingressClassName": "nginx"}}}


@pytest.fixture(scope="module")
def world(sandbox: Path) -> Iterator[World]:
    with World(sandbox).running() as world:
        yield world


@pytest.fixture
async def clients(world: World, tmp_path: Path) -> AsyncIterator[Clients]:
    settings = Settings(state_dir=tmp_path, secrets_dir=tmp_path, probe_timeout=60, probe_interval=0.5)
    async with KubernetesClient(world.kubeconfig, settings) as kubernetes, AsyncExitStack() as stack:
        environment = Environment.model_validate(DEV)
        made = Clients(
            environment,
            settings=settings,
            catalog=Catalog.load(),
            journal=FakeJournal(),
            openstack=http_free_openstack(),
            stack=stack,
        )
        made._kubernetes = kubernetes
        yield made


DEV: dict[str, Any] = {
    "apiVersion": "plumbline.dev/v1",
    "kind": "Environment",
    "metadata": {"name": "dev", "owner": "platform-team"},
    "spec": {
        "cloud": "sandbox",
        "cluster": {
            "kubernetes": "v1.36.3",
            "image": "fedora-coreos",
            "masters": {"count": 1, "flavor": "m1.medium"},
            "nodes": {"count": 1, "flavor": "m1.large"},
            "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop a",
        },
    },
}


def wanted(
    world: World,
    name: str,
    host: str = "",
    *,
    server: str = "",
    bundle: bytes | None = None,
    solver: dict[str, Any] | None = None,
) -> Wanted:
    """An issuer and a certificate, both called `name`."""
    acme = {
        "email": "ops@example.org",
        "server": server or world.acme.server,
        "privateKeySecretRef": {"name": f"{name}-account"},
        "caBundle": base64.b64encode(bundle or world.authority.read_bytes()).decode(),
        "solvers": [solver or HTTP01],
    }
    host = host or f"{name}.acme.example"
    spec = {
        "secretName": name,
        "dnsNames": [host],
        "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": name},
    }
    namespace: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    issuer: dict[str, Any] = {"apiVersion": issuance.ISSUER[0], "kind": issuance.ISSUER[1], "metadata": {"name": name}}
    certificate: dict[str, Any] = {"apiVersion": issuance.CERTIFICATE[0], "kind": issuance.CERTIFICATE[1]}
    certificate |= {"metadata": {"name": name, "namespace": name}, "spec": spec}
    return Wanted(objects=(namespace, {**issuer, "spec": {"acme": acme}}, certificate), host=host, names=(host,))


async def applied(clients: Clients, what: Wanted) -> Wanted:
    """Have the objects; cert-manager's webhook may only just have started."""

    async def apply() -> None:
        for manifest in what.objects:
            await clients.kubernetes.apply(dict(manifest))

    await wait_until(apply, describe="the objects", timeout=60)
    return what


async def issue(clients: Clients, what: Wanted) -> str:
    return await certificates.probe_issued(await applied(clients, what), clients)


async def told(clients: Clients, what: Wanted, *, patience: float | None = None) -> PlumblineError:
    """How it fails."""
    if patience is not None:
        clients.settings = clients.settings.model_copy(update={"probe_timeout": patience})
    with pytest.raises((Failed, DeadlineExceeded)) as caught:
        await issue(clients, what)
    return caught.value


def actions(clients: Clients) -> list[str]:
    journal: Any = clients.journal
    found: list[str] = journal.actions
    return found


async def solved(world: World, name: str) -> str:
    """A host that pebble finds the solver of: the ingress' address."""
    host = f"{name}.acme.example"
    world.names[host] = await ingress(world)
    return host


async def ingress(world: World) -> str:
    """The address the ingress serves at, installed once."""
    async with KubernetesClient(world.kubeconfig) as kubernetes:
        labels = {"app.kubernetes.io/name": "nginx-ingress"}
        metadata = {"name": "nginx", "namespace": "nginx-ingress"}
        container = {"name": "main", "image": "nginx", "args": ["-ingress-class=nginx"]}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        manifests: tuple[dict[str, Any], ...] = (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nginx-ingress"}},
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {"selector": {"matchLabels": labels}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"type": "LoadBalancer", "selector": labels, "ports": [{"port": 80}]},
            },
        )
        for manifest in manifests:
            await kubernetes.apply(manifest)

        async def address() -> str:
            live = await kubernetes.get("v1", "Service", "nginx", "nginx-ingress")
            points = (live or {}).get("status", {}).get("loadBalancer", {}).get("ingress") or []
            if not points:
                raise NotYet("no address")
            return str(points[0]["ip"])

        return await wait_until(address, describe="the ingress' address", timeout=30)


# -- the ordinary way -----------------------------------------------------------------------------------------------


async def test_a_certificate_is_issued_by_http01_through_the_ingress(world: World, clients: Clients) -> None:
    """With cert-manager's own look before the ACME server's, as on any cluster."""
    host = await solved(world, "plain")
    assert await issue(clients, wanted(world, "plain", host)) == f"issued for {host}"
    secret = await clients.kubernetes.get("v1", "Secret", "plain", "plain")
    assert secret is not None
    leaf, *_ = load_pem_x509_certificates(base64.b64decode(secret["data"]["tls.crt"]))
    assert "Pebble Intermediate CA" in leaf.issuer.rfc4514_string()
    assert actions(clients) == []


async def test_the_webhook_refuses_what_is_wrong(world: World, clients: Clients) -> None:
    what = wanted(world, "nothing")
    what.objects[-1]["spec"]["dnsNames"] = []
    with pytest.raises(PlumblineError, match="at least one of commonName"):
        await applied(clients, what)


# -- what fails -----------------------------------------------------------------------------------------------------


async def test_a_refused_order_ends_the_wait_at_once(world: World, clients: Clients) -> None:
    since = time.monotonic()
    error = await told(clients, wanted(world, "refused", f"a.{BLOCKED}"))
    assert isinstance(error, Failed)
    assert "could not be issued, and cert-manager tries again on 20" in error.summary
    assert "rejectedIdentifier" in error.summary
    assert actions(clients) == ["ask again Certificate/refused/refused"]
    assert time.monotonic() - since < 30


async def test_a_rate_limit_is_told_and_once_it_is_lifted_a_run_succeeds(world: World, clients: Clients) -> None:
    host = await solved(world, "limited")
    async with Gate(world).serving() as gate:
        gate.refuse = lambda path: (429, "rateLimited", "too many") if path == "/order-plz" else None
        what = wanted(world, "limited", host, server=gate.server)
        error = await told(clients, what)
        assert "429 urn:ietf:params:acme:error:rateLimited: too many" in error.summary
        gate.refuse = lambda _path: None
        assert await issue(clients, what) == f"issued for {host}"
    assert actions(clients) == ["ask again Certificate/limited/limited"] * 2


async def test_an_account_that_is_refused_is_asked_for_again_by_each_run(world: World, clients: Clients) -> None:
    host = await solved(world, "account")
    async with Gate(world).serving() as gate:
        asked: list[str] = []

        def refuse(path: str) -> tuple[int, str, str] | None:
            if path == "/sign-me-up":
                asked.append(path)
                return 429, "rateLimited", "too many accounts"
            return None

        gate.refuse = refuse
        what = await applied(clients, wanted(world, "account", host, server=gate.server))
        await given_up(clients, what.objects[1])
        before = len(asked)
        error = await told(clients, what, patience=5)
        assert "ClusterIssuer/account was refused by its ACME server" in str(error)
        assert "too many accounts" in str(error)
        assert actions(clients) == ["ask again ClusterIssuer/account"]
        assert len(asked) > before, "it was asked for again when it was touched"
        issuer = await clients.kubernetes.get(*issuance.ISSUER, "account")
        assert issuer is not None
        assert not issuer["metadata"].get("annotations")
        gate.refuse = lambda _path: None
        clients.settings = clients.settings.model_copy(update={"probe_timeout": 60})
        assert await issue(clients, what) == f"issued for {host}"


async def test_a_challenge_that_is_not_met_is_told_by_what_the_server_said(world: World, clients: Clients) -> None:
    world.names["invalid.acme.example"] = UNREACHABLE
    error = await told(clients, wanted(world, "invalid", solver=HTTP01 | {"waitInsteadOfSelfCheck": "0s"}))
    assert isinstance(error, Failed)
    assert "invalid.acme.example: Error accepting authorization: acme: authorization error" in str(error)
    assert "***" not in str(error)


async def test_an_order_that_no_solver_fits_is_told_by_its_event(world: World, clients: Clients) -> None:
    solver = {"selector": {"dnsZones": ["other.example"]}, "http01": {"ingress": {"ingressClassName": "nginx"}}}
    error = await told(clients, wanted(world, "unsolved", solver=solver), patience=6)
    assert isinstance(error, DeadlineExceeded)
    assert "no configured challenge solvers can be used for this challenge" in str(error)


async def test_a_wrong_address_of_the_server_is_told(world: World, clients: Clients) -> None:
    server = world.acme.server.replace("/dir", "/directory")
    error = await told(clients, wanted(world, "misplaced", server=server), patience=5)
    assert "HTTP 404 response which is not an RFC 8555 problem document" in str(error)
    assert actions(clients) == ["ask again ClusterIssuer/misplaced"]


async def test_a_root_that_is_not_the_servers_is_told(world: World, clients: Clients) -> None:
    error = await told(clients, wanted(world, "distrusted", bundle=world.acme.roots.read_bytes()), patience=5)
    assert "certificate signed by unknown authority" in str(error)
    assert actions(clients) == [], "cert-manager asks by itself"


async def test_a_ready_issuer_whose_server_is_not_trusted_any_more_is_not_called_reachable(
    world: World, clients: Clients
) -> None:
    what = await applied(clients, wanted(world, "stale", await solved(world, "stale")))
    await issue(clients, what)
    bundle = base64.b64encode(world.acme.roots.read_bytes()).decode()
    acme = {"spec": {"acme": {"caBundle": bundle}}}
    await clients.kubernetes.patch(*issuance.ISSUER, "stale", acme)
    issuer = await clients.kubernetes.get(*issuance.ISSUER, "stale")
    assert issuer is not None
    changed = {"spec": {"dnsNames": ["another.acme.example"]}}
    await clients.kubernetes.patch(*issuance.CERTIFICATE, "stale", changed, "stale")
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 6})
    with pytest.raises(DeadlineExceeded, match="has not been asked for it yet, or does not answer"):
        await certificates.probe_issued(what, clients)


# -- what is mended -------------------------------------------------------------------------------------------------


async def renewed(clients: Clients, name: str) -> None:
    """Have cert-manager renew, as its own clock would."""
    live = await clients.kubernetes.get(*issuance.CERTIFICATE, name, name)
    assert live is not None
    asked = {"type": "Issuing", "status": "True", "reason": "Renewing", "message": "due"}
    live["status"]["conditions"].append({**asked, "lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"})
    await clients.kubernetes.replace(live, subresource="status")


async def given_up(clients: Clients, manifest: Any) -> str:
    """What a look says of an issuer or a renewal once it has failed."""

    async def look() -> str:
        try:
            await issuance.ready(manifest, clients.kubernetes)
        except issuance.Stuck as stuck:
            return stuck.sentence
        raise NotYet("it has not failed yet")

    return await wait_until(look, describe="a failure", timeout=30)


async def test_a_renewal_that_fails_is_told_while_the_certificate_is_good(world: World, clients: Clients) -> None:
    host = await solved(world, "renewing")
    async with Gate(world).serving() as gate:
        what = wanted(world, "renewing", host, server=gate.server)
        await issue(clients, what)
        gate.refuse = lambda path: (429, "rateLimited", "too many") if path == "/order-plz" else None
        await renewed(clients, "renewing")
        said = await given_up(clients, what.objects[-1])
        assert said.startswith("Certificate/renewing/renewing cannot be renewed, and cert-manager tries again on 20")
        assert "too many" in said
        gate.refuse = lambda _path: None
        assert await issue(clients, what) == f"issued for {host}"


async def test_an_account_that_the_server_has_forgotten_is_registered_anew(world: World, clients: Clients) -> None:
    """pebble forgets all at its start, and makes another root; the earlier one stays trusted."""
    host = await solved(world, "forgotten")
    what = wanted(world, "forgotten", host)
    await issue(clients, what)
    before = load_pem_x509_certificates(world.acme.roots.read_bytes())
    await asyncio.to_thread(world.start_pebble)
    after = Trust(world.acme.roots).authorities
    assert set(before) < set(after)
    await renewed(clients, "forgotten")
    assert "accountDoesNotExist" in await given_up(clients, what.objects[-1])
    clients.journal = FakeJournal()
    # Where the account's key lies follows from the issuer alone.
    assert await issue(clients, what) == f"issued for {host}"
    assert actions(clients) == [
        "register anew Secret/cert-manager/forgotten-account",
        "ask again Certificate/forgotten/forgotten",
    ]
    secret = await clients.kubernetes.get("v1", "Secret", "forgotten", "forgotten")
    assert secret is not None
    leaf = load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    assert "Pebble Intermediate CA" in leaf.issuer.rfc4514_string()
