"""Stored manifests are read as Helm reads them: what Helm made of each is recorded."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from infra.clients.errors import Failed
from infra.clients.helm_records import HelmRelease, parse_manifest
from tests.corpora.scalars import KEYS, SCALARS


@pytest.mark.parametrize("written", SCALARS)
def test_a_scalar_is_what_helm_sends(written: str) -> None:
    # As the API server's answers are read.
    wanted = orjson.loads(json.dumps(SCALARS[written]))
    [document] = parse_manifest(f"spec:\n  value: {written}\n")
    found = document["spec"]["value"]
    assert found == wanted
    assert isinstance(found, bool) is isinstance(wanted, bool)
    orjson.dumps(document)


@pytest.mark.parametrize("written", KEYS)
def test_a_key_is_text(written: str) -> None:
    assert parse_manifest(f"spec:\n  {written}: x\n") == [{"spec": {KEYS[written]: "x"}}]


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("a: 1\na: 2\n", {"a": 2}),
        ("b: &b {x: 1, y1: 2}\nc:\n  <<: *b\n  x: 9\n", {"b": {"x": 1, "y1": 2}, "c": {"x": 9, "y1": 2}}),
        ("b: &b {x: 1, y1: 2}\nc:\n  x: 9\n  <<: *b\n", {"b": {"x": 1, "y1": 2}, "c": {"x": 1, "y1": 2}}),
        ("- &b {x: 1}\n- &c {x: 2, z: 3}\n- <<: [*b, *c]\n", [{"x": 1}, {"x": 2, "z": 3}, {"x": 1, "z": 3}]),
        ("a: &a [1, 2e0]\nb: *a\n", {"a": [1, 2], "b": [1, 2]}),
        ('a:\n  "<<": {x: 1}\n', {"a": {"<<": {"x": 1}}}),
        ("a: <<\nb: !!merge <<\n", {"a": "<<", "b": "<<"}),
        ("a: !foo 5\nb: !foo {c: 1}\nd: !!timestamp 2001-01-01\n", {"a": "5", "b": {"c": 1}, "d": "2001-01-01"}),
        ("a: !!set {b, c}\nd: !!omap [{e: 1}]\n", {"a": {"b": None, "c": None}, "d": [{"e": 1}]}),
        ("a: >-\n  5\nb: |\n  yes\nc:\n", {"a": "5", "b": "yes\n", "c": None}),
        ("a: 0x1FFFFFFFFFFFFFFFFF\n", {"a": "0x1FFFFFFFFFFFFFFFFF"}),
        ("a: 0777777777777777777777\n", {"a": 9223372036854775807}),
        ("a: 0777777777777777777777777\n", {"a": 7.777777777777778e23}),
        ("a: 1\u0661\n", {"a": "1\u0661"}),
    ],
)  # fmt: skip
def test_a_document_is_what_helm_sends(text: str, document: Any) -> None:
    assert parse_manifest(text) == [document]


def test_empty_documents_are_left_out() -> None:
    assert parse_manifest("---\n# nothing\n---\na: 1\n...\n---\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("text", ["a: .inf", "a: .nan", "~: a", "[a]: b", "a: &a {b: *a}", "a: {<<: , b: 1}", "a: ]"])
def test_what_helm_refuses_is_a_sentence(text: str) -> None:
    release = HelmRelease(
        name="web", namespace="apps", revision=1, status="deployed", chart="web", chart_version="1.0.0", manifest=text
    )
    with pytest.raises(Failed, match="A manifest"):
        release.objects()
