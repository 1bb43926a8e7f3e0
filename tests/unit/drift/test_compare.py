"""Comparing over the declared fields only."""

from __future__ import annotations

from typing import Any

import pytest

from infra.drift.compare import Difference, subset_differences


@pytest.mark.parametrize(
    ("declared", "observed"),
    [
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"b": "x"}}, {"a": {"b": "x", "c": "defaulted"}}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "protocol": "TCP"}]}),
        ({"a": {}}, {}),
        ({"a": []}, {}),
        ({"a": None}, {}),
        ({"a": ""}, {}),
        ({"hostNetwork": False, "minReadySeconds": 0}, {}),
        ({"limits": {"cpu": "1000m", "memory": "1Gi"}}, {"limits": {"cpu": "1", "memory": "1024Mi"}}),
        ({"requests": {"cpu": 1}}, {"requests": {"cpu": "1"}}),
        ({"env": [{"name": "A"}, {"name": "B"}]}, {"env": [{"name": "B"}, {"name": "A"}, {"name": "C"}]}),
        ({"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
    ],
)
def test_what_only_the_server_has_is_no_difference(declared: Any, observed: Any) -> None:
    assert list(subset_differences(declared, observed)) == []


@pytest.mark.parametrize(
    ("declared", "observed", "expected"),
    [
        ({"a": 1}, {"a": 2}, Difference(".a", 1, 2)),
        ({"a": 1}, {}, Difference(".a", 1, None)),
        ({"a": {"b": 1}}, {"a": "text"}, Difference(".a", {"b": 1}, "text")),
        ({"a": {"b": 1}}, {}, Difference(".a", {"b": 1}, None)),
        ({"a": [1, 2]}, {"a": [1]}, Difference(".a", [1, 2], [1])),
        ({"a": [1, 2]}, {"a": [1, 3]}, Difference(".a[1]", 2, 3)),
        ({"a": ["x"]}, {"a": "x"}, Difference(".a", ["x"], "x")),
        ({"a": "true"}, {"a": True}, Difference(".a", "true", True)),
        ({"a": 0}, {}, Difference(".a", 0, None)),
        (
            {"automountServiceAccountToken": False},
            {},
            Difference(".automountServiceAccountToken", False, None),
        ),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, Difference(".limits.cpu", "1", "2")),
        ({"data": {"cpu": "1000m"}}, {"data": {"cpu": "1"}}, Difference(".data.cpu", "1000m", "1")),
        ({"args": ["a", "b"]}, {"args": ["b", "a"]}, Difference(".args[0]", "a", "b")),
        ({"c": [{"name": "x", "v": 1}]}, {"c": [{"name": "x", "v": 2}]}, Difference(".c[name=x].v", 1, 2)),
        ({"c": [{"name": "x"}]}, {"c": [{"name": "y"}]}, Difference(".c[name=x]", {"name": "x"}, None)),
        ({"a": False}, {}, Difference(".a", False, None)),
    ],
)
def test_what_is_declared_otherwise_is_found_with_its_path(declared: Any, observed: Any, expected: Difference) -> None:
    assert next(subset_differences(declared, observed)) == expected
