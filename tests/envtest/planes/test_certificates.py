"""The certificates plane on a real API server with cert-manager's definitions: only what differs is written."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from infra.clients.kubernetes import KubernetesClient
from infra.drift.findings import PlaneName
from infra.planes import certificates, handshakes
from infra.planes.bring import Outcome, bring_into_step
from infra.planes.certificates import Wanted
from infra.planes.clients import Clients
from infra.spec.models import Environment
from tasks import certificates as tasks
from tests.unit.planes.fakes import FakeJournal, declared
from tests.unit.planes.test_certificates import CA, HTTP01, PEM, SANDBOX, shaped

pytestmark = [pytest.mark.envtest, pytest.mark.usefixtures("certificates_defined")]
ISSUER = ("cert-manager.io/v1", "ClusterIssuer")


async def bring(wanted: Wanted | None, clients: Clients) -> Outcome:
    assert wanted is not None
    return await bring_into_step(certificates, wanted, clients, name=PlaneName.CERTIFICATES, step="certificate")


@pytest.mark.parametrize("part", ["issuing", "serving"])
async def test_objects_are_applied_and_the_second_run_changes_nothing(
    clients: Clients, journal: FakeJournal, part: str
) -> None:
    environment = shaped(HTTP01)
    found = {
        "issuing": certificates.issuing(environment, clients.settings),
        "serving": certificates.serving(environment),
    }
    first = await bring(found[part], clients)
    assert journal.actions == [f"apply {where}" for where in first.made]
    assert len(first.made) == 3
    assert (await bring(found[part], clients)).made == ()
    assert len(journal.actions) == 3


async def test_only_what_differs_is_applied(clients: Clients, kubernetes: KubernetesClient) -> None:
    wanted = certificates.issuing(shaped(SANDBOX), clients.settings)
    await bring(wanted, clients)
    await kubernetes.patch(*ISSUER, "sandbox", {"spec": {"acme": {"server": "https://other"}}})
    assert (await bring(wanted, clients)).made == ("ClusterIssuer/sandbox",)


async def test_an_authoritys_key_goes_from_the_store_to_where_cert_manager_reads_it(
    clients: Clients, kubernetes: KubernetesClient
) -> None:
    folder = clients.settings.secrets_dir / "company-ca"
    folder.mkdir(parents=True, mode=0o700)
    for key, value in (("tls.crt", PEM), ("tls.key", "key")):
        (folder / key).touch(mode=0o600)
        (folder / key).write_text(value)
    wanted = certificates.issuing(shaped(CA), clients.settings)
    where = ("v1", "Secret", "ca-key-pair", "cert-manager")
    assert (await bring(wanted, clients)).made[0] == "Secret/cert-manager/ca-key-pair"
    secret, issuer = await kubernetes.get(*where), await kubernetes.get(*ISSUER, "ca")
    assert secret is not None and set(secret["data"]) == {"tls.crt", "tls.key"}
    assert issuer is not None and issuer["spec"] == {"ca": {"secretName": "ca-key-pair"}}
    assert (await bring(wanted, clients)).made == ()
    emptied = {"data": {"tls.key": base64.b64encode(b"other").decode()}}
    await kubernetes.patch(*where[:3], emptied, where[3])
    assert (await bring(wanted, clients)).made == ("Secret/cert-manager/ca-key-pair",)


async def is_ready(kubernetes: KubernetesClient, item: Any) -> None:
    """What cert-manager would write."""
    live = await kubernetes.get_like(dict(item))
    assert live is not None
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Issued",
        "observedGeneration": live["metadata"]["generation"],
    }
    await kubernetes.replace({**live, "status": {"conditions": [ready]}}, subresource="status")


async def test_the_tasks_bring_certificates_into_step_and_ask_for_them(
    clients: Clients, kubernetes: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = certificates.issuing(declared(), clients.settings)
    assert wanted is not None
    assert len((await tasks.converge_certificate.fn(declared(), clients)).made) == 3
    assert len((await tasks.converge_canary.fn(declared(), clients)).made) == 2, "the namespace is there"
    for item in wanted.objects:
        if item["kind"] in ("ClusterIssuer", "Certificate"):
            await is_ready(kubernetes, item)
    outcome = await tasks.probe_certificate_issued.fn(declared(), clients)
    assert outcome.sentence == f"issued for {', '.join(wanted.names)}"

    async def served(_environment: Environment, hosts: Sequence[str], _clients: Clients) -> str:
        return " and ".join(hosts)

    async def ingress(*_: Any) -> str:
        return "203.0.113.7"

    monkeypatch.setattr(handshakes, "probe", served)
    monkeypatch.setattr("infra.planes.addons.ingress_address", ingress)
    outcome = await tasks.probe_certificate_served.fn(declared(), clients)
    assert (outcome.name, outcome.sentence) == ("canary host", "plumbline.dev.sandbox.example")
    outcome = await tasks.probe_pages.fn(declared(), clients)
    assert (outcome.name, outcome.sentence) == ("pages", "no add-on has a page")
