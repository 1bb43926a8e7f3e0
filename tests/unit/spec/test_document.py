"""YAML is read strictly, and what is wrong with it is said with its line."""

from __future__ import annotations

import math
from typing import Any

import pytest

from infra.spec.document import NODES_MAX, SIZE_MAX, read
from infra.spec.problems import InvalidDeclaration

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(6)
)
CASES: list[tuple[str | bytes, str, str, str]] = [
    ("", "(document)", "is empty", "apiVersion"),
    ("# nothing\n", "(document)", "is empty", "apiVersion"),
    ("~", "(document)", "is empty", "apiVersion"),
    ("- a", "(document)", "is a list, not a mapping", "apiVersion"),
    ("text", "(document)", "is a single value", "apiVersion"),
    ("a: 1\nb: 2\na: 3", "a", "stands in line 1 already (line 3)", "once"),
    ("s:\n  - {k: 1, k: 2}", "s[0].k", "already (line 2)", "once"),
    ("a: {b: 1}\n\tc: 2", "(document)", "has a tab", "spaces"),
    ("a: 1\n---\nb: 2", "(document)", "several documents", "one file"),
    ("a: [1", "(document)", "is not YAML", "line"),
    ("a: b: c", "(document)", "(line 1, column 5)", "line"),
    ("a: *nowhere", "(document)", "undefined alias", "line"),
    ("a: *ghp_0123456789abcdefghijklmnopqrstuvwxyz", "(document)", "cannot be parsed", "line"),
    ("a: !!python/object/apply:os.system [ls]", "a", "has the tag", "without tags"),
    ("a: !secret x", "a", "has the tag “!secret”", "without tags"),
    ("a: !!binary aGk=", "a", "has the tag", "without tags"),
    ("a: !!map [1]", "a", "has the tag", "without tags"),
    ("1: a", "(document)", "has the key “1”", "quotes"),
    ("true: a", "(document)", "has the key “true”", "quotes"),
    ("[a]: b", "(document)", "which is not text", "quotes"),
    ("a: &a {b: *a}", "a.b", "contains itself", "write out"),
    ("a: {<<: text}", "a", "merges (<<) something", "alias"),
    ("a: 123456789012345678901", "a", "21 digits", "quotes"),
    (b"a: \xff", "(document)", "is not UTF-8 (line 1)", "UTF-8"),
    ("a: 1\nb: \x07", "(document)", "does not allow (line 2)", "remove"),
    ("#" * (SIZE_MAX + 1), "(document)", f"{SIZE_MAX + 1} bytes", "under"),
    (BOMB, "(document)", f"more than {NODES_MAX} values", "less"),
    ("a: " + "[" * 60 + "]" * 60, "(document)", "40 levels", "less"),
    ("[" * 100_000, "(document)", "40 levels", "less"),
]


@pytest.mark.parametrize(("text", "path", "reason", "right"), CASES, ids=range(len(CASES)))
def test_refused(text: str | bytes, path: str, reason: str, right: str) -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        read(text, what="dev.yaml")
    (problem,) = caught.value.problems
    assert problem.path == path and reason in problem.reason and right in problem.right, problem
    assert "ghp_" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("2026-01-31", "2026-01-31"),
        ("12:30", "12:30"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'true'", "true"),
        ("1_000", "1_000"),
        ("!!str 12", "12"),
        ("v1.33.4", "v1.33.4"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert read(f"a: {text}", what="x")["a"] == value


def test_anchors_and_merges() -> None:
    text = "base: &b {x: 1, y: 1}\nother: &o {y: 2, z: 2}\nboth: {<<: [*b, *o], y: 3}\nsame: *b\n"
    document: dict[str, Any] = read(text, what="x")
    assert document["both"] == {"x": 1, "y": 3, "z": 2} and document["same"] == {"x": 1, "y": 1}
    assert read(b"\xef\xbb\xbfa: 1", what="x") == {"a": 1}


def test_not_a_number_is_read() -> None:
    assert math.isnan(read("a: .nan", what="x")["a"])
