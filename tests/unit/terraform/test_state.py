"""What is known of state and outputs, without values."""

from __future__ import annotations

import json

import pytest

from infra.clients.errors import Failed
from infra.terraform import state
from infra.terraform.state import Adopted, Outputs, StateObject


def test_objects_with_their_doubts() -> None:
    managed = {"address": "a.b", "mode": "managed", "type": "a", "values": {"id": "1", "kubeconfig": {"k": "secret"}}}
    tainted = {**managed, "address": "a.c", "tainted": True}
    data = {**managed, "address": "data.a.b", "mode": "data"}
    child = {"resources": [{**managed, "address": "module.m.a.b", "values": None}]}
    document = json.dumps(
        {"values": {"root_module": {"resources": [managed, tainted, data], "child_modules": [child]}}}
    )
    assert state.objects(document) == (
        StateObject("a.b", "a", "1", False),
        StateObject("a.c", "a", "1", True),
        StateObject("module.m.a.b", "a", None, False),
    )


def test_no_state_has_no_objects() -> None:
    assert state.objects('{"format_version": "1.0"}') == ()


def test_outputs_leave_out_what_is_sensitive_or_unknown_to_us() -> None:
    document = json.dumps(
        {
            "cluster_id": {"value": "c-1", "sensitive": False},
            "api_address": {"value": "https://x", "sensitive": True},
            "other": {"value": 1, "sensitive": False},
            "node_group_ids": {"value": {"build": "c-1/g-1"}, "sensitive": False},
        }
    )
    assert state.outputs(document) == Outputs(cluster_id="c-1", node_group_ids={"build": "c-1/g-1"})
    assert state.outputs("{}") == Outputs()


@pytest.mark.parametrize("text", ["", "[]", "1"])
def test_rubbish_is_an_error(text: str) -> None:
    for read in (state.objects, state.outputs):
        with pytest.raises(Failed):
            read(text)


def test_adopted_says_whether_it_changed_anything() -> None:
    assert not Adopted((), (), {"a.b": "no"}).changed
    assert Adopted(("a.b",), (), {}).changed
    assert Adopted((), ("a.b",), {}).changed
