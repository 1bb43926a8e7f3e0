"""Addresses and names of a cluster's machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.sandbox.openstack.magnum_nodes import Group, allocate, index, node_name, nodes, version_key, without

CLUSTER = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


def group(name: str, count: int, *addresses: str, role: str = "worker", default: bool = True) -> Group:
    return Group(name, role, "m1.large", count, default, addresses)


def test_groups_have_networks_of_their_own() -> None:
    groups = [group("default-master", 1, role="master"), group("default-worker", 2), group("build", 1, default=False)]
    result = allocate(CLUSTER, groups)
    network = result["default-master"][0].split(".")[1]
    assert result == {
        "default-master": (f"10.{network}.0.10",),
        "default-worker": (f"10.{network}.1.10", f"10.{network}.1.11"),
        "build": (f"10.{network}.2.10",),
    }


@given(st.lists(st.integers(min_value=0, max_value=40), min_size=1, max_size=12))
def test_resizing_keeps_what_it_can(sizes: list[int]) -> None:
    held: tuple[str, ...] = ()
    for size in sizes:
        now = allocate(CLUSTER, [group("w", size, *held)])["w"]
        assert len(now) == len(set(now)) == size
        assert set(now[: min(len(held), size)]) == set(held[:size])
        held = now


def test_removed_nodes_go_and_their_numbers_are_used_again() -> None:
    held = allocate(CLUSTER, [group("w", 3)])["w"]
    for named in (held[1], "1", node_name("dev", "w", held[1])):
        left = without("dev", group("w", 2, *held), [named])
        assert [index(address) for address in left] == [0, 2]
    assert allocate(CLUSTER, [group("w", 3, *left)])["w"] == held


def test_a_new_group_does_not_take_anothers_network() -> None:
    first = allocate(CLUSTER, [group("a", 1), group("b", 1, default=False)])
    again = allocate(CLUSTER, [group("c", 1, default=False), group("b", 1, *first["b"], default=False)])
    assert again["b"] == first["b"]
    assert again["c"][0].rsplit(".", 1)[0] != first["b"][0].rsplit(".", 1)[0]


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="241 nodes"):
        allocate(CLUSTER, [group("w", 241)])


@pytest.mark.parametrize(
    ("cluster", "name", "expected"),
    [
        ("dev", "default-worker", "dev-default-worker-0"),
        ("My_Cluster.1", "GPU", "my-cluster-1-gpu-0"),
        ("c" * 80, "w", f"{'c' * 58}-0"),
    ],
)
def test_names_are_dns_labels(cluster: str, name: str, expected: str) -> None:
    assert node_name(cluster, name, "10.1.1.10") == expected


def test_nodes_as_the_supervisor_takes_them() -> None:
    groups = [group("default-master", 1, role="master"), group("build", 1, default=False)]
    rows = nodes("dev", groups, allocate(CLUSTER, groups))
    assert [(row["name"], row["role"], row["nodegroup"], row["flavor"]) for row in rows] == [
        ("dev-default-master-0", "master", "default-master", "m1.large"),
        ("dev-build-0", "worker", "build", "m1.large"),
    ]


def test_versions_are_ordered_as_numbers() -> None:
    assert version_key("v1.33.10") > version_key("v1.33.9") > version_key("v1.9.99")
