"""The grammar of paths, and following them."""

from __future__ import annotations

import pytest

from infra.drift.paths import ABSENT, Item, Member, Path, follow, pointer, render

POD = {"containers": [{"name": "a", "ports": [{"containerPort": 80}], "args": ["x", "y"]}], "finalizers": ["f"]}


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ((), "", POD),
        (("containers", Item((("name", "a"),)), "args", 1), ".containers[name=a].args[1]", "y"),
        (
            ("containers", Item((("name", "a"),)), "ports", Item((("containerPort", 80), ("protocol", "TCP")))),
            ".containers[name=a].ports[containerPort=80,protocol=TCP]",
            {"containerPort": 80},
        ),
        (("finalizers", Member("f")), ".finalizers[=f]", "f"),
        (("finalizers", Member("a, b")), '.finalizers[="a, b"]', ABSENT),
        (("x", "example.org/a"), '.x["example.org/a"]', ABSENT),
        (("containers", 7), ".containers[7]", ABSENT),
        (("containers", "name"), ".containers.name", ABSENT),
        (("finalizers", Item((("name", "a"),))), ".finalizers[name=a]", ABSENT),
        (("containers", Item((("name", True),))), ".containers[name=true]", ABSENT),
    ],
)
def test_paths_read_well_and_lead_somewhere(path: Path, text: str, value: object) -> None:
    assert render(path) == text
    assert follow(POD, path) == value


def test_json_pointers_are_unescaped() -> None:
    assert pointer("/metadata/annotations/example.org~1a~0b") == ("metadata", "annotations", "example.org/a~b")
    assert repr(ABSENT) == "absent"
