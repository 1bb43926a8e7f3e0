"""Waves of add-ons: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.catalog.order import waves
from infra.clients.errors import InvalidInput, Misconfigured


def test_what_needs_nothing_goes_first_side_by_side() -> None:
    needs: dict[str, list[str]] = {"c": ["a", "b"], "b": [], "a": [], "d": ["c"], "e": ["a"]}
    assert waves(needs) == (("a", "b"), ("c", "e"), ("d",))


def test_nothing_makes_no_wave() -> None:
    assert waves({}) == ()


def test_a_missing_need_is_refused_with_both_names() -> None:
    with pytest.raises(InvalidInput, match="dashboard needs nginx, which is not enabled") as caught:
        waves({"dashboard": ["nginx"]})
    assert "Enable nginx" in str(caught.value)


@pytest.mark.parametrize(
    ("needs", "circle"),
    [
        ({"a": ["a"]}, "a -> a"),
        ({"a": ["b"], "b": ["a"]}, "a -> b -> a"),
        ({"a": ["b"], "b": ["c"], "c": ["b"], "z": []}, "b -> c -> b"),
    ],
)
def test_a_circle_is_refused_and_shown(needs: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        waves(needs)
    assert str(caught.value) == f"Add-ons need each other in a circle: {circle}."


@given(st.lists(st.sets(st.integers(0, 7)), max_size=8))
def test_every_need_is_in_an_earlier_wave(drawn: list[set[int]]) -> None:
    # Only smaller numbers are needed, so there is no circle.
    needs = {str(n): [str(m) for m in sorted(wanted) if m < n] for n, wanted in enumerate(drawn)}
    result = waves(needs)
    place = {name: number for number, wave in enumerate(result) for name in wave}
    assert set(place) == set(needs)
    assert all(place[need] < place[name] for name, wanted in needs.items() for need in wanted)
