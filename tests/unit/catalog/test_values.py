"""Rendering and merging values: pure."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.catalog.values import deep_merge, render
from infra.clients.errors import Misconfigured

TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.text(max_size=2), TREES, max_size=4)


def write(folder: Path, text: str) -> Path:
    (folder / "values.yaml.j2").write_text(text, encoding="utf-8")
    return folder


def test_the_user_wins_key_by_key_and_lists_are_replaced() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert deep_merge(base, {"a": {"c": [3]}, "e": 2}) == {"a": {"b": 1, "c": [3]}, "d": 1, "e": 2}


def test_null_stays_because_helm_removes_the_default_for_it() -> None:
    assert deep_merge({"a": {"b": 1}}, {"a": None}) == {"a": None}
    assert deep_merge({"a": None}, {"a": {"b": 1}}) == {"a": {"b": 1}}


@given(MAPPINGS, MAPPINGS)
def test_merging_changes_neither_side_and_shares_nothing(base: dict[str, Any], override: dict[str, Any]) -> None:
    before = copy.deepcopy((base, override))
    merged = deep_merge(base, override)
    for value in merged.values():
        if isinstance(value, dict | list):
            value.clear()
    assert (base, override) == before


@given(MAPPINGS, MAPPINGS)
def test_merging_again_changes_nothing(base: dict[str, Any], override: dict[str, Any]) -> None:
    merged = deep_merge(base, override)
    assert deep_merge(merged, override) == merged
    assert deep_merge(base, {}) == base
    assert set(merged) == set(base) | set(override)


@pytest.mark.parametrize("nasty", ['x"\ny: 1', "a: b", "{{ 1 }}", "- x", "'", "no", "1e3", "é\u2028"])
def test_a_value_stays_one_string_whatever_is_in_it(tmp_path: Path, nasty: str) -> None:
    folder = write(tmp_path, "host: {{ text }}\nlist: [{{ text }}]\n")
    assert render(folder, "values.yaml.j2", {"text": nasty}) == {"host": nasty, "list": [nasty]}


def test_types_survive(tmp_path: Path) -> None:
    folder = write(tmp_path, "n: {{ 3 }}\nb: {{ true }}\nz: {{ none }}\n")
    assert render(folder, "values.yaml.j2", {}) == {"n": 3, "b": True, "z": None}


def test_an_empty_template_makes_no_values(tmp_path: Path) -> None:
    assert render(write(tmp_path, "{# nothing #}\n"), "values.yaml.j2", {}) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {{ missing }}\n", "missing"),
        ("a: {{ 1 if missing else 2 }}\n", "missing"),
        ("a: {% if %}\n", "expression"),
        ("- a\n", "not a mapping"),
        ("a: [\n", "cannot be rendered"),
        ("a: {{ thing }}\n", "cannot be rendered"),
    ],
)
def test_a_wrong_template_is_said_to_be_ours(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Misconfigured, match="values template") as caught:
        render(write(tmp_path, text), "values.yaml.j2", {"thing": object()})
    assert says in str(caught.value)


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"values\.yaml\.j2"):
        render(tmp_path, "values.yaml.j2", {})
