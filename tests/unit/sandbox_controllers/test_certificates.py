"""X.509, when certificates are issued anew, what the webhook refuses, and how names are proven."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.cert_manager import spec as rules
from deployments.sandbox.controllers.cert_manager.acme import challenge_for, choose_solver, names_of
from deployments.sandbox.controllers.cert_manager.rules import refusal
from deployments.sandbox.controllers.cert_manager.shim import certificates_for
from deployments.sandbox.controllers.cert_manager.solver import PATH, edited, solver_ingress, solver_metadata
from deployments.sandbox.controllers.cert_manager.webhook import with_bundle
from deployments.sandbox.controllers.kube.resources import CRDS, VALIDATING, Obj

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> x509.Authority:
    key = x509.generate_key()
    root = x509.self_sign(key, x509.Subject("root", is_ca=True, usages=()), 3650 * DAY, now=NOW)
    return x509.Authority(root, key)


def test_a_leaf_chains_to_its_root_and_does_not_outlive_it(authority: x509.Authority) -> None:
    key = x509.generate_key("ECDSA", 384)
    subject = x509.Subject(
        "a", ["o"], ["a.example", "a.example", "*.b.example"], ["10.0.0.1"], ["urn:x"], ["a@b.example"]
    )
    leaf = x509.sign(authority, key.public_key(), subject, 9999 * DAY, now=NOW)
    leaf.verify_directly_issued_by(authority.certificate)
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc
    names = leaf.extensions.get_extension_for_class(cx509.SubjectAlternativeName)
    assert names.value.get_values_for_type(cx509.DNSName) == ["a.example", "*.b.example"]
    assert not names.critical
    assert not leaf.extensions.get_extension_for_class(cx509.BasicConstraints).value.ca
    nameless = x509.sign(authority, key.public_key(), x509.Subject(dns_names=["a.example"]), DAY, now=NOW)
    assert nameless.extensions.get_extension_for_class(cx509.SubjectAlternativeName).critical


def test_usages_become_extensions(authority: x509.Authority) -> None:
    usages = ("signing", "key encipherment", "server auth", "client auth")
    key = x509.generate_key("Ed25519")
    leaf = x509.sign(authority, key.public_key(), x509.Subject("a", usages=usages), DAY, now=NOW)
    usage = leaf.extensions.get_extension_for_class(cx509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    extended = leaf.extensions.get_extension_for_class(cx509.ExtendedKeyUsage).value
    assert {each._name for each in extended} == {"serverAuth", "clientAuth"}


@pytest.mark.parametrize(
    ("algorithm", "size", "kind"), [("ECDSA", None, ec.EllipticCurvePrivateKey), ("RSA", 2048, rsa.RSAPrivateKey)]
)
def test_keys_survive_their_pem(algorithm: str, size: int | None, kind: type) -> None:
    key = x509.generate_key(algorithm, size)
    assert isinstance(key, kind)
    for encoding in ("PKCS1", "PKCS8"):
        again = x509.load_key(x509.key_pem(key, encoding=encoding))
        assert x509.public_bytes(again.public_key()) == x509.public_bytes(key.public_key())


def test_what_is_no_key_is_refused(authority: x509.Authority) -> None:
    for algorithm, size in (("ECDSA", 100), ("DSA", None)):
        with pytest.raises(ValueError, match=str(size or algorithm)):
            x509.generate_key(algorithm, size)
    with pytest.raises(ValueError, match="does not belong"):
        x509.Authority.load(x509.pem(authority.certificate), x509.key_pem(x509.generate_key()))


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3600), ("1h30m", 5400), ("90s", 90), ("500ms", 0.5)])
def test_go_durations(text: str, seconds: float) -> None:
    assert rules.go_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "1d", "h", "1h x"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        rules.go_duration(text)


def asked(**spec: Any) -> Obj:
    reference = {"kind": "ClusterIssuer", "name": "sandbox"}
    base = {
        "secretName": "tls",
        "dnsNames": ["a.example"],
        "issuerRef": reference,
        "privateKey": {"algorithm": "ECDSA"},
    }
    return {"metadata": {"name": "c", "namespace": "n"}, "spec": {**base, **spec}}


def secret_for(certificate: Obj, authority: x509.Authority, notes: dict[str, str] | None = None) -> Obj:
    spec = certificate["spec"]
    key = rules.new_key(spec)
    leaf = x509.sign(authority, key.public_key(), rules.subject(spec), rules.duration(spec), now=NOW)
    data = {"tls.crt": x509.pem(leaf), "tls.key": x509.key_pem(key)}
    return {
        "metadata": {"annotations": {**rules.secret_annotations(certificate, leaf), **(notes or {})}},
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


@pytest.mark.parametrize(
    ("change", "after", "notes", "expected"),
    [
        ({}, dt.timedelta(0), {}, None),
        ({"dnsNames": ["b.example"]}, dt.timedelta(0), {}, "SecretMismatch"),
        ({"commonName": "x"}, dt.timedelta(0), {}, "SecretMismatch"),
        ({"ipAddresses": ["10.0.0.1"]}, dt.timedelta(0), {}, "SecretMismatch"),
        ({"duration": "24h"}, dt.timedelta(0), {}, "SecretMismatch"),
        ({"privateKey": {"algorithm": "RSA"}}, dt.timedelta(0), {}, "SecretMismatch"),
        ({"privateKey": {"algorithm": "ECDSA", "size": 384}}, dt.timedelta(0), {}, "SecretMismatch"),
        ({"issuerRef": {"name": "other"}}, dt.timedelta(0), {}, "IncorrectIssuer"),
        ({}, dt.timedelta(0), {"cert-manager.io/issuer-name": "old"}, "IncorrectIssuer"),
        ({}, 59 * DAY, {}, None),
        ({}, 61 * DAY, {}, "Renewing"),
        ({"renewBefore": "720h"}, 61 * DAY, {}, "Renewing"),
        ({"renewBefore": "24h"}, 61 * DAY, {}, None),
        ({"renewBeforePercentage": 50}, 46 * DAY, {}, "Renewing"),
        ({}, 91 * DAY, {}, "Expired"),
    ],
)
def test_when_a_certificate_is_issued_anew(
    authority: x509.Authority, change: Obj, after: dt.timedelta, notes: dict[str, str], expected: str | None
) -> None:
    secret = secret_for(asked(), authority, notes)
    reason = rules.reissue_reason(asked(**change), secret, NOW + after)
    assert (reason[0] if reason else None) == expected


def test_a_secret_that_does_not_do(authority: x509.Authority) -> None:
    secret = secret_for(asked(), authority)
    swapped = {**secret, "data": {**secret["data"], "tls.key": secret_for(asked(), authority)["data"]["tls.key"]}}
    for given, expected in ((None, "DoesNotExist"), ({"data": {}}, "MissingData"), (swapped, "InvalidKeyPair")):
        reason = rules.reissue_reason(asked(), given, NOW)
        assert reason is not None
        assert reason[0] == expected


def test_only_what_a_request_depends_on_makes_a_new_one() -> None:
    assert rules.fingerprint(asked()["spec"]) == rules.fingerprint(asked(renewBefore="1h")["spec"])
    assert rules.fingerprint(asked()["spec"]) != rules.fingerprint(asked(dnsNames=["b.example"])["spec"])


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("Certificate", asked()["spec"], None),
        ("Certificate", {**asked()["spec"], "dnsNames": []}, "at least one of commonName"),
        ("Certificate", {**asked()["spec"], "secretName": ""}, "spec.secretName: Required"),
        ("Certificate", {**asked()["spec"], "issuerRef": {}}, "spec.issuerRef.name"),
        ("Certificate", {**asked()["spec"], "issuerRef": {"name": "x", "kind": "Cluster"}}, "must be one of"),
        ("Certificate", {**asked()["spec"], "duration": "30m"}, "greater than 1h0m0s"),
        ("Certificate", {**asked()["spec"], "duration": "2d"}, "no duration"),
        ("Certificate", {**asked()["spec"], "renewBefore": "9000h"}, "greater than renewBefore"),
        ("Certificate", {**asked()["spec"], "commonName": "x" * 65}, "Too long"),
        ("Certificate", {**asked()["spec"], "privateKey": {"size": 1024}}, "spec.privateKey.size"),
        ("Certificate", {**asked()["spec"], "privateKey": {"algorithm": "ECDSA", "size": 300}}, "Unsupported value"),
        ("ClusterIssuer", {"ca": {"secretName": "s"}}, None),
        ("ClusterIssuer", {}, "at least one issuer"),
        ("Issuer", {"ca": {}}, "spec.ca.secretName"),
        ("Issuer", {"ca": {"secretName": "s"}, "selfSigned": {}}, "more than one issuer type"),
        ("Issuer", {"acme": {"solvers": [{}]}}, "no solver type"),
        ("CertificateRequest", {"issuerRef": {"name": "x"}}, "spec.request"),
        ("ConfigMap", {}, None),
    ],
)
def test_what_the_webhook_refuses(kind: str, spec: Obj, said: str | None) -> None:
    why = refusal({"object": {"kind": kind, "spec": spec}})
    assert (why is None) if said is None else (said in (why or ""))


def test_a_request_never_changes() -> None:
    spec = {"request": "a", "issuerRef": {"name": "x"}}
    changed = {"object": {"kind": "CertificateRequest", "spec": spec}, "oldObject": {"spec": {**spec, "request": "b"}}}
    assert "cannot change" in (refusal(changed) or "")


SOLVERS: list[Obj] = [
    {"http01": {"ingress": {}}},
    {"dns01": {"webhook": {}}, "selector": {"dnsZones": ["example"]}},
    {"dns01": {"other": {}}, "selector": {"dnsZones": ["deep.example"]}},
    {"http01": {"named": {}}, "selector": {"dnsNames": ["exact.deep.example"]}},
]


@pytest.mark.parametrize(
    ("name", "index"),
    [("a.test", 0), ("a.example", 1), ("*.example", 1), ("a.deep.example", 2), ("exact.deep.example", 3)],
)
def test_the_most_specific_solver_wins_and_wildcards_need_dns(name: str, index: int) -> None:
    assert choose_solver(SOLVERS, name) is SOLVERS[index]


def test_no_solver_for_a_wildcard_without_dns() -> None:
    assert choose_solver(SOLVERS[:1], "*.a.test") is None


ORDER = {
    "metadata": {"name": "o", "namespace": "n", "uid": "u", "annotations": {}},
    "spec": {"dnsNames": ["*.a.example", "a.example"], "commonName": "a.example", "issuerRef": {"name": "le"}},
}
ISSUER = {"spec": {"acme": {}}, "status": {"acme": {"uri": "https://acme/acct/1"}}}


def test_a_challenge_carries_token_and_key() -> None:
    assert names_of(ORDER) == ["a.example", "*.a.example"]
    http = challenge_for(ORDER, ISSUER, "a.example", SOLVERS[0])["spec"]
    assert (http["type"], http["key"].split(".")[0]) == ("HTTP-01", http["token"])
    dns = challenge_for(ORDER, ISSUER, "*.a.example", SOLVERS[1])["spec"]
    assert (dns["type"], dns["dnsName"], dns["wildcard"]) == ("DNS-01", "a.example", True)
    assert "." not in dns["key"]


def test_a_solver_adds_its_path_and_takes_only_its_own_away() -> None:
    challenge = challenge_for(ORDER, ISSUER, "a.example", SOLVERS[0])
    challenge["metadata"]["uid"] = "c"
    own = {"host": "a.example", "http": {"paths": [{"path": "/", "backend": {}}]}}
    added = edited([dict(own)], challenge, add=True)
    assert [each["path"] for each in added[0]["http"]["paths"]] == [PATH + challenge["spec"]["token"], "/"]
    assert edited(added, challenge, add=True) == added
    assert edited(added, challenge, add=False) == [own]
    alone = solver_ingress(challenge, {"ingressClassName": "nginx"})
    assert alone["spec"]["rules"][0]["host"] == "a.example"
    assert alone["metadata"]["name"] == solver_metadata(challenge)["name"]


def test_an_annotated_ingress_asks_for_certificates() -> None:
    notes = {"cert-manager.io/cluster-issuer": "sandbox", "acme.cert-manager.io/http01-edit-in-place": "true"}
    notes |= {"cert-manager.io/duration": "48h"}
    tls = [{"hosts": ["a", "b"], "secretName": "one"}, {"hosts": ["c"]}, {"hosts": ["b"], "secretName": "one"}]
    ingress: Obj = {"metadata": {"name": "i", "namespace": "n", "uid": "u", "annotations": notes}, "spec": {"tls": tls}}
    (made,) = certificates_for(ingress)
    assert made["spec"]["dnsNames"] == ["a", "b"]
    assert made["spec"]["duration"] == "48h"
    assert made["metadata"]["annotations"]["acme.cert-manager.io/http01-override-ingress-name"] == "i"
    ingress["metadata"]["annotations"] = {}
    assert certificates_for(ingress) == []


def test_a_ca_bundle_is_written_once() -> None:
    hooks = {"metadata": {"resourceVersion": "1"}, "webhooks": [{"name": "a", "clientConfig": {"service": {}}}]}
    change = with_bundle(VALIDATING, hooks, "CA")
    assert change is not None
    assert change["webhooks"][0]["clientConfig"] == {"service": {}, "caBundle": "CA"}
    assert with_bundle(VALIDATING, {**hooks, **change}, "CA") is None
    crd: Obj = {"spec": {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {}}}}}
    assert with_bundle(CRDS, crd, "CA") is not None
    assert with_bundle(CRDS, {"spec": {}}, "CA") is None
