"""Who signs: what cert-manager is told, and which roots a handshake is judged by."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.x509 import Certificate, load_pem_x509_certificates

from infra.clients.errors import Misconfigured, NotFound
from infra.clients.tls import STAGING_ROOTS
from infra.planes import signers
from infra.planes.clients import Clients
from infra.spec.certificates import Certificates
from tests.unit.planes.test_certificates import ACME, AUTHORITY, CA, DNS01, HTTP01, PEM, SANDBOX


def store(clients: Clients, name: str, **values: str) -> None:
    """Keep a secret; `_` in a key stands for a dot."""
    folder = clients.settings.secrets_dir / name
    folder.mkdir(parents=True, mode=0o700)
    for key, value in values.items():
        file = folder / key.replace("_", ".")
        file.write_text(value)
        file.chmod(0o600)


async def roots(clients: Clients, spec: dict[str, Any]) -> list[Certificate]:
    return (await signers.trust(Certificates.model_validate(spec), clients.settings, clients.secrets)).authorities


async def test_stagings_roots_are_known_and_used_for_it_alone(clients: Clients) -> None:
    staging = load_pem_x509_certificates(STAGING_ROOTS.read_bytes())
    assert len(staging) == 4
    assert all("(STAGING)" in one.subject.rfc4514_string() for one in staging)
    assert set(await roots(clients, HTTP01)) == set(staging)
    assert not set(await roots(clients, DNS01)) & set(staging)


async def test_declared_roots_and_an_authoritys_own_certificate_are_all_that_counts(clients: Clients) -> None:
    store(clients, "company-ca", tls_crt=PEM, tls_key="key")
    declared = {**ACME, "acme": {**ACME["acme"], "roots": PEM}}
    assert await roots(clients, declared) == await roots(clients, CA) == [AUTHORITY[0]]
    with pytest.raises(NotFound):
        await roots(clients, {**CA, "ca": {"secret": "another"}})


async def test_an_authority_that_is_no_root_brings_the_root(clients: Clients) -> None:
    store(clients, "company-ca", tls_crt="the middle", tls_key="key", ca_crt=PEM)
    assert await roots(clients, CA) == [AUTHORITY[0]]


async def test_others_end_in_the_settings_bundle_or_the_systems_store(clients: Clients) -> None:
    system = await roots(clients, ACME)
    bundle = clients.settings.state_dir / "roots.pem"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text(PEM)
    clients.settings = clients.settings.model_copy(update={"tls_ca_file": bundle})
    for spec in (ACME, DNS01, SANDBOX):
        assert await roots(clients, spec) == [AUTHORITY[0]]
    assert AUTHORITY[0] not in system


def test_the_sandboxs_server_is_what_the_settings_say(clients: Clients) -> None:
    bundle = clients.settings.state_dir / "ca.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text(PEM)
    settings = clients.settings.model_copy(update={"acme_ca_file": bundle})
    declared = Certificates.model_validate(SANDBOX)
    acme = signers.signer(declared, settings).manifest["spec"]["acme"]
    assert (acme["server"], len(acme["caBundle"]) > 100) == (settings.acme_server, True)
    with pytest.raises(Misconfigured, match="acme_server"):
        signers.signer(declared, settings.model_copy(update={"acme_server": None}))
    with pytest.raises(Misconfigured, match="cannot be read"):
        signers.signer(declared, settings.model_copy(update={"acme_ca_file": bundle / "none"}))


def test_another_server_gets_another_account(clients: Clients) -> None:
    other = {**ACME, "acme": {"server": "https://acme.example.org/other"}}
    names = {
        signers.signer(Certificates.model_validate(spec), clients.settings).manifest["spec"]["acme"][
            "privateKeySecretRef"
        ]["name"]
        for spec in (ACME, other)
    }
    assert len(names) == 2
