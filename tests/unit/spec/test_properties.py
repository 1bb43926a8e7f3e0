"""What holds for any input: round trips, and that a secret is never quoted, wherever it stands."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.spec.check import parse, problems
from infra.spec.cluster import OWN_LABELS
from infra.spec.document import read
from infra.spec.fields import ENVIRONMENT_NAME_MAX, format_duration, name_problem
from infra.spec.models import Environment
from infra.spec.names import MARK, certificate_hosts, cluster_name, probe_host, record_names
from infra.spec.problems import InvalidDeclaration, Problem, is_secret, looks_secret, show

QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
BODIES = st.text(ALPHABET, min_size=36, max_size=40)
SECRETS = st.one_of(
    BODIES.map(lambda body: f"ghp_{body}"),
    BODIES.map(lambda body: f"github_pat_{body}"),
    BODIES.map(lambda body: f"glpat-{body}"),
    BODIES.map(lambda body: f"https://oauth2:{body}@git.example.org/a.git"),
    BODIES.map(lambda body: f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"),
    BODIES.map(lambda body: f"password={body}"),
    BODIES.map(lambda body: f"eyJhbGciOi.{body}.{body}"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text("abc{}[]:#'\"-\n ", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LABELS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn, base: dict[str, Any]) -> dict[str, Any]:
    """Valid declarations."""
    document = copy.deepcopy(base)
    spec, zone = document["spec"], ".".join(draw(st.lists(LABELS, min_size=2, max_size=3)))
    document["metadata"]["name"] = draw(NAMES)
    spec["cluster"]["masters"]["count"] = draw(st.sampled_from([1, 3, 5, 7]))
    spec["cluster"]["nodes"]["count"] = draw(st.integers(1, 1000))
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    spec["cluster"]["nodeGroups"] = [{"name": n, "count": 2, "flavor": "f", "min": 1} for n in names]
    host = draw(LABELS.filter(lambda label: label != "plumbline"))
    spec["dns"] = {"zone": zone, "domain": f"d.{zone}", "hostnames": [f"{host}.d.{zone}"]}
    spec["addons"]["argo-cd"] = {"values": draw(st.dictionaries(LABELS, VALUES, max_size=3))}
    minutes = draw(st.integers(1, 1440))
    spec["policy"]["drift"]["every"] = format_duration(timedelta(minutes=minutes))
    for part in draw(st.sets(st.sampled_from(["certificates", "delivery", "runners", "storage"]))):
        del spec[part]
    return document


@settings(QUICK, max_examples=15)
@given(data=st.data())
def test_what_is_read_is_written_and_read_again_the_same(document: dict[str, Any], data: st.DataObject) -> None:
    declared = data.draw(documents(document))
    environment = parse(declared, what="x")
    # JSON is YAML with every key in quotes: PyYAML's own writer leaves 0e0 bare, which YAML 1.2 reads as a number.
    written = json.dumps(environment.document(), ensure_ascii=False)
    again = parse(read(written, what="x"), what="x", name=environment.name)
    assert again == environment and again.document() == environment.document()


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        yield value, key
        yield from leaves(item)


@QUICK
@given(secret=SECRETS, data=st.data())
def test_a_secret_is_never_quoted_wherever_it_stands(
    document: dict[str, Any], secret: str, data: st.DataObject
) -> None:
    broken = copy.deepcopy(document)
    container, key = data.draw(st.sampled_from(list(leaves(broken))))
    if isinstance(container, dict) and data.draw(st.booleans()):
        container[secret] = container.pop(key)
    else:
        container[key] = secret
    found = problems(broken, name="dev")
    said = "".join(str(problem) for problem in found)
    body = max(secret.replace("\n", " ").replace("@", " ").replace(":", " ").split(), key=len)[-36:]
    assert body not in said
    try:
        parse(broken, what="environments/dev.yaml")
    except InvalidDeclaration as error:
        assert body not in f"{error} {error!r} {error.problems!r}"


@QUICK
@given(secret=SECRETS)
def test_yaml_that_cannot_be_read_does_not_quote_its_secrets(secret: str) -> None:
    body = max(secret.replace("\n", " ").replace("@", " ").replace(":", " ").split(), key=len)[-36:]
    for text in (f"a: [{secret}", f"a: *{secret}", f"{secret}: 1\n{secret}: 2", f"a: !{secret} x", f"? [{secret}]"):
        with pytest.raises(InvalidDeclaration) as caught:
            read(f"key: value\n{text}", what="x")
        assert body not in str(caught.value)


@QUICK
@given(
    document_=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda i: (
            st.dictionaries(
                st.sampled_from(
                    ["apiVersion", "kind", "metadata", "spec", "cluster", "dns", "addons", "runners", "name", "x"]
                ),
                i,
            )
            | st.lists(i, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_any_document_gets_problems_and_never_an_accident(document_: object) -> None:
    found = problems(document_)
    assert found and all(p.path and p.reason and p.right and "\n" not in p.path for p in found)


@QUICK
@given(text=st.text(max_size=40))
def test_names_are_exactly_what_the_rule_says(text: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    plain = 0 < len(text) <= ENVIRONMENT_NAME_MAX and set(text) <= allowed
    good = plain and text[0].isalpha() and text[-1] != "-"
    assert (name_problem(text, ENVIRONMENT_NAME_MAX, starts_with_letter=True) is None) == good


def test_ordinary_words_are_no_secrets() -> None:
    ordinary = (
        "NodeRestriction,ValidatingAdmissionWebhook,ResourceQuota",
        "registry.example.org/app@sha256:" + "0f" * 32,
        "clientSecret: $oidc.clientSecret",
        "https://git.example.org/apps.git",
        "-----BEGIN CERTIFICATE-----",
    )
    for text in ordinary:
        assert not is_secret(text), text
    assert looks_secret("9f86d081884c7d659a2feaa0c55ad015") and not looks_secret("v1.33.4")
    assert show("a\nb") == "“a�b”" and show("x" * 80).endswith("…”") and show(10**80) == "a very large number"
    assert show(object()) == "a value" and show(None) == "nothing"


def test_without_a_catalogue_an_add_on_has_at_least_a_name(document: dict[str, Any]) -> None:
    document["spec"]["addons"] |= {"my-own": {}, "Not A Name": {}}
    assert [problem.path for problem in problems(document)] == ["spec.addons.Not A Name"]


def test_an_error_survives_being_sent_to_another_process() -> None:
    error = InvalidDeclaration("environments/dev.yaml", [Problem("spec", "is missing", "add it")])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "environments/dev.yaml has 1 problem.\n  spec: is missing; add it"


def test_the_mark_of_an_environment_is_not_for_people_to_set(document: dict[str, Any]) -> None:
    assert MARK in OWN_LABELS
    document["spec"]["cluster"]["labels"] = {MARK: "other"}
    assert [problem.path for problem in problems(document)] == [f"spec.cluster.labels.{MARK}"]


def test_names_that_follow(document: dict[str, Any]) -> None:
    document["spec"]["dns"]["hostnames"] = ["App.dev.sandbox.example", "a.b.dev.sandbox.example."]
    http01 = Environment.model_validate(document)
    assert cluster_name(http01) == "dev" and probe_host(http01) == "plumbline.dev.sandbox.example"
    assert record_names(http01)[0] == "*.dev.sandbox.example." and len(record_names(http01)) == 3
    assert certificate_hosts(http01) == (
        "plumbline.dev.sandbox.example",
        "app.dev.sandbox.example",
        "a.b.dev.sandbox.example",
    )
    document["spec"]["certificates"]["challenge"] = "dns01"
    dns01 = Environment.model_validate(document)
    assert certificate_hosts(dns01) == ("*.dev.sandbox.example", "dev.sandbox.example", "a.b.dev.sandbox.example")
    for part in ("dns", "certificates"):
        del document["spec"][part]
    bare = Environment.model_validate(document)
    assert (record_names(bare), certificate_hosts(bare), probe_host(bare)) == ((), (), None)
    assert bare.spec.addon_enabled("argo-cd") and not bare.spec.addon_enabled("rook-ceph")
