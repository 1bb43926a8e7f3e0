"""Environments of other shapes than dev's: a wildcard certificate before the ingress, all add-ons.

Each is made, looked at again without a write, and taken away without a trace.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from deployments.sandbox.settings import NAME_SERVERS
from infra.catalog import Catalog
from tests.platform import Finished, Platform, writes
from tests.sandbox.cloud import ask
from tests.sandbox.runs import NOTHING, SMALL

# The default is for tests that run alone on a machine.
pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]


def made(platform: Platform, name: str, **spec: Any) -> Finished:
    """Create an environment, declared so."""
    if spec:
        platform.declare(name, **spec)
    finished = platform.flow("create_environment", name)
    assert finished.status == 0, finished.log[-4000:]
    assert finished.result["state"] == "ready"
    assert set(finished.states.values()) == {"ready"}
    return finished


def again_and_away(platform: Platform, name: str) -> None:
    """A second run writes nothing, and destruction leaves nothing."""
    before = len(platform.requests())
    again = platform.flow("create_environment", name)
    assert again.status == 0, again.log[-3000:]
    assert writes(platform.requests()[before:]) == []
    assert again.made == []
    gone = platform.flow("destroy_environment", name, "--confirm", name)
    assert gone.status == 0, gone.log[-3000:]
    assert platform.leftovers(name) == []


def tasks(platform: Platform, run: str) -> dict[str, dict[str, Any]]:
    """The task runs of a flow run, by name."""
    with platform.api() as api:
        runs = api.post("flow_runs/filter", json={"flow_runs": {"name": {"any_": [run]}}}).json()
        body = {"task_runs": {"flow_run_id": {"any_": [runs[0]["id"]]}}}
        return {task["name"]: task for task in api.post("task_runs/filter", json=body).json()}


def served(platform: Platform, host: str, address: str) -> set[str]:
    """The names on the certificate that `host` serves; verified against the sandbox's CA."""
    context = ssl.create_default_context(cafile=platform.variables()["PLUMBLINE_TLS_CA_FILE"])
    port = int(platform.variables()["PLUMBLINE_INGRESS_HTTPS_PORT"])
    with (
        socket.create_connection((address, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        found: Any = secure.getpeercert()
    return {str(name) for kind, name in found["subjectAltName"] if kind == "DNS"}


def test_with_dns01_the_wildcard_certificate_comes_before_the_ingress(platform: Platform) -> None:
    certificates = {"email": "ops@example.org", "issuer": "sandbox", "challenge": "dns01"}
    dns = {"zone": "sandbox.example.", "domain": "wild.sandbox.example.", "hostnames": ["*.deep.wild.sandbox.example."]}
    addons: dict[str, Any] = {"cert-manager": {}, "nginx-ingress": {}, "argo-cd": {}}
    created = made(
        platform, "wild", cluster=SMALL, dns=dns, certificates=certificates, addons=addons, delivery=None, runners=None
    )
    steps = tasks(platform, "create wild")
    assert steps["cert-manager ready"]["end_time"] <= steps["certificate"]["start_time"]
    assert steps["certificate issued"]["end_time"] <= steps["nginx-ingress"]["start_time"]
    assert "Certificate/nginx-ingress/wildcard-tls" in created.made
    address = ask(NAME_SERVERS["ns1"], platform.port("dns"), "any.wild.sandbox.example.")[1][0]
    names = {"*.wild.sandbox.example", "wild.sandbox.example", "*.deep.wild.sandbox.example"}
    # Argo CD's own Ingress names no Secret: it is served with the wildcard like every other host.
    for host in ("plumbline.wild.sandbox.example", "argocd.wild.sandbox.example"):
        assert served(platform, host, address) == names
    again_and_away(platform, "wild")


def test_every_add_on_of_the_catalogue_at_once(platform: Platform) -> None:
    cluster = {**SMALL, "nodes": {"count": 3, "flavor": "m1.large"}}
    everything: dict[str, Any] = {name: {} for name in Catalog.load()}
    platform.declare("full", cluster=cluster, addons=everything)
    before = len(platform.requests())
    refused = platform.flow("create_environment", "full")
    assert refused.status == 1
    assert "spec.addons.external-dns: there is no secret “openstack-clouds”" in refused.log
    assert writes(platform.requests()[before:]) == []

    platform.keep_secret("openstack-clouds", {"clouds.yaml": "clouds: {sandbox: {auth: {password: not-the-real-one}}}"})
    created = made(platform, "full")
    assert set(everything) <= set(created.states)
    assert "Secret/external-dns/openstack-clouds" in created.made
    address = ask(NAME_SERVERS["ns1"], platform.port("dns"), "any.full.sandbox.example.")[1][0]
    assert served(platform, "dashboard.full.sandbox.example", address) == {"dashboard.full.sandbox.example"}
    again_and_away(platform, "full")


def test_an_add_on_that_needs_what_is_left_out_starts_nothing(platform: Platform) -> None:
    platform.declare("lacking", cluster=SMALL, **{**NOTHING, "addons": {"external-dns": {}}})
    before = len(platform.requests())
    refused = platform.flow("create_environment", "lacking")
    assert refused.status == 1
    assert refused.result["summary"] == "The add-on external-dns needs spec.dns, which is left out."
    assert refused.result["category"] == "InvalidInput"
    # The clusters of other environments go on talking to themselves.
    asked = {item["service"] for item in platform.requests()[before:]}
    assert {service for service in asked if not service.startswith("kubernetes/")} <= {"git"}
