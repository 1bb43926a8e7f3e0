"""Durations as Go reads and writes them, and where they are compared as such."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.drift.durations import duration
from infra.drift.values import same
from tests.unit.drift.comparing import Object, compare, paths, written

UNITS = {"ns": 1, "us": 10**3, "\u00b5s": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
HOUR = UNITS["h"]
TEXTS = st.text(alphabet="0123456789.+-hmsnu\u00b5\u0661 x", max_size=12)
AMOUNTS = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(UNITS))), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("2160h", 2160 * HOUR), ("2160h0m0s", 2160 * HOUR), ("1.5h", 90 * UNITS["m"]), ("-1.5h", -90 * UNITS["m"]),
     ("+5s", 5 * 10**9), ("5.s", 5 * 10**9), (".5s", 5 * 10**8), ("0", 0), ("-0", 0), ("0s", 0), ("0.4ns", 0),
     ("1\u03bcs", 1000), ("9223372036854775807ns", 2**63 - 1), ("-9223372036854775808ns", -(2**63))],
)  # fmt: skip
def test_what_go_reads(text: str, nanoseconds: int) -> None:
    assert duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "h", ".s", "1d", "1mss", "1mh", "1h 2m", " 1h", "1h\n", "--1s", "1e3s", "\u0661h", "1.2.3s",
     "9223372036854775808ns", "9" * 5000 + "h", "2562048h"],
)  # fmt: skip
def test_what_go_refuses(text: str) -> None:
    assert duration(text) is None


@given(AMOUNTS)
def test_a_duration_is_the_sum_of_its_terms(amounts: list[tuple[int, str]]) -> None:
    total = sum(number * UNITS[unit] for number, unit in amounts)
    text = "".join(f"{number}{unit}" for number, unit in amounts)
    assert duration(text) == (total if total < 2**63 else None)
    assert duration(f"{total}ns") == duration(text)
    backwards = "".join(f"{number}{unit}" for number, unit in reversed(amounts))
    assert duration(f"-{backwards}") == (-total if total <= 2**63 else None)


@given(st.integers(0, 10**9), st.integers(0, 999), st.sampled_from(["h", "m", "s", "ms"]))
def test_a_fraction_is_a_part_of_its_unit(whole: int, part: int, unit: str) -> None:
    total = whole * UNITS[unit] + part * UNITS[unit] // 1000
    assert duration(f"{whole}.{part:03}{unit}") == (total if total < 2**63 else None)


@given(TEXTS)
def test_any_text_is_a_duration_or_none(text: str) -> None:
    found = duration(text)
    assert found is None or duration(f"{found}ns") == found


@given(TEXTS, TEXTS)
def test_other_text_is_the_same_only_to_the_letter(left: str, right: str) -> None:
    path = ("spec", "duration")
    both = duration(left), duration(right)
    assert same(left, right, path, is_builtin=False) == (left == right or (both[0] == both[1] and None not in both))
    assert same(left, right, path) == (left == right)
    assert same(left, right, ("spec", "text"), is_builtin=False) == (left == right)


CERTIFICATE: Object = {
    "apiVersion": "cert-manager.io/v1",
    "kind": "Certificate",
    "metadata": {"name": "leaf", "namespace": "dev", "annotations": {"duration": "1.5h"}},
    "spec": {"duration": "1.5h", "renewBefore": "30m", "isCA": False, "parameters": {"renewBefore": "60s"}},
}


def test_a_certificates_durations_are_compared_by_length() -> None:
    live = written(copy.deepcopy(CERTIFICATE))
    live["spec"] |= {"duration": "1h30m0s", "renewBefore": "30m0s"}
    assert compare(CERTIFICATE, live) == []
    live["spec"] |= {"duration": "1h30m1s", "renewBefore": ""}
    assert paths(compare(CERTIFICATE, live)) == [".spec.duration", ".spec.renewBefore"]


def test_among_keys_that_people_choose_they_are_text() -> None:
    live = written(copy.deepcopy(CERTIFICATE))
    live["spec"]["parameters"]["renewBefore"] = "1m"
    live["metadata"]["annotations"] = {"duration": "90m"}
    assert paths(compare(CERTIFICATE, live)) == [".metadata.annotations.duration", ".spec.parameters.renewBefore"]
    config = {**CERTIFICATE, "apiVersion": "v1", "kind": "ConfigMap", "data": {"duration": "1m"}}
    assert paths(compare(config, written({**config, "data": {"duration": "60s"}}))) == [".data.duration"]


def test_a_false_that_go_leaves_out_is_no_change() -> None:
    live = written(copy.deepcopy(CERTIFICATE))
    del live["spec"]["isCA"]
    assert compare(CERTIFICATE, live) == []
    declared = {**CERTIFICATE, "spec": {**CERTIFICATE["spec"], "isCA": True}}
    assert paths(compare(declared, live)) == [".spec.isCA"]
    declared = {**CERTIFICATE, "spec": {**CERTIFICATE["spec"], "other": False}}
    assert paths(compare(declared, live)) == [".spec.other"]
