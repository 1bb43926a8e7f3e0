"""Field sets, comparison and managers, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.sandbox.kubernetes import managed, merge
from deployments.sandbox.kubernetes.errors import StatusError
from deployments.sandbox.kubernetes.fieldset import FieldSet, show
from deployments.sandbox.kubernetes.types import library

Object = dict[str, Any]
CONFIG = library().get("core.v1.ConfigMap")
SERVICE = library().get("core.v1.Service")
NAMES = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}'])
TRIES: st.SearchStrategy[Object] = st.recursive(
    st.just({}), lambda below: st.dictionaries(NAMES, below, min_size=1, max_size=3), max_leaves=6
)


@given(TRIES, TRIES)
def test_sets_follow_the_laws(left: Object, right: Object) -> None:
    one, two = FieldSet.from_json(left), FieldSet.from_json(right)
    assert FieldSet.from_json(one.to_json()) == one
    assert one.union(two) == two.union(one)
    assert one.difference(one).empty()
    assert one.difference(two).union(one.intersection(two)) == one
    assert set(one.intersection(two).paths()) == set(one.paths()) & set(two.paths())


def test_paths_are_shown_as_conflicts_show_them() -> None:
    assert (
        show(("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name"))
        == '.spec[containerPort=80,protocol="TCP"].name'
    )
    assert show(("f:metadata", 'v:"x.io/a"')) == '.metadata[="x.io/a"]'


def test_a_service_port_without_protocol_is_tcp() -> None:
    owned = merge.to_fieldset(SERVICE, {"spec": {"ports": [{"port": 80}]}}).to_json()
    assert owned == {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}}


def test_comparison_knows_absent_from_null() -> None:
    change = merge.compare(CONFIG, {"data": None}, {"data": {"a": "1"}, "immutable": True})
    assert change.added.to_json() == {"f:data": {"f:a": {}}, "f:immutable": {}}
    change = merge.compare(CONFIG, {}, {"data": {"a": "1"}})
    assert change.added.to_json() == {"f:data": {".": {}, "f:a": {}}}
    change = merge.compare(CONFIG, {"data": {"a": "1", "b": "2"}}, {"data": {"a": "3"}})
    assert change.modified.to_json() == {"f:data": {"f:a": {}}}
    assert change.removed.to_json() == {"f:data": {"f:b": {}}}
    assert merge.compare(CONFIG, {"data": {"a": "1"}}, {"data": {"a": "1"}}).same()


@given(
    st.dictionaries(st.sampled_from("abc"), st.text(max_size=2)),
    st.dictionaries(st.sampled_from("abc"), st.text(max_size=2)),
)
def test_merging_then_comparing_finds_what_was_applied(live: dict[str, str], config: dict[str, str]) -> None:
    merged = merge.merge(CONFIG, {"data": live}, {"data": config})
    assert merged["data"] == live | config
    assert merge.compare(CONFIG, {"data": live}, merged).removed.empty()


class Story:
    """One config map and its managers, told apply by apply."""

    def __init__(self) -> None:
        self.item: Object = {"metadata": {"name": "c"}}
        self.managers = managed.Managers()

    def apply(self, name: str, data: dict[str, str] | None, *, force: bool = False) -> None:
        config: Object = {"metadata": {"name": "c"}} | ({} if data is None else {"data": data})
        manager = managed.Manager(name, "Apply", "v1")
        self.item = managed.apply(CONFIG, self.item, config, self.managers, manager, now="t", force=force)

    def update(self, name: str, data: dict[str, str]) -> None:
        new = {**self.item, "data": data}
        managed.track_update(CONFIG, self.item, new, self.managers, managed.Manager(name, "Update", "v1"), now="t")
        self.item = new

    def owners(self, key: str) -> set[str]:
        return {
            entry.manager.name
            for entry in self.managers.entries.values()
            if ("f:data", f"f:{key}") in entry.fields.paths()
        }


def test_what_is_no_longer_applied_goes_unless_shared() -> None:
    story = Story()
    story.apply("one", {"a": "1", "b": "2"})
    story.apply("two", {"b": "2"})
    story.apply("one", {"c": "3"})
    assert story.item["data"] == {"b": "2", "c": "3"}
    assert story.owners("b") == {"two"}


def test_conflicts_and_force() -> None:
    story = Story()
    story.apply("one", {"a": "1"})
    with pytest.raises(StatusError) as caught:
        story.apply("two", {"a": "2"})
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    story.apply("two", {"a": "2"}, force=True)
    assert story.item["data"] == {"a": "2"} and story.owners("a") == {"two"}


def test_an_update_takes_what_it_changes() -> None:
    story = Story()
    story.apply("one", {"a": "1", "b": "1"})
    story.update("editor", {"a": "9"})
    assert story.owners("a") == {"editor"} and story.owners("b") == set()
    with pytest.raises(StatusError) as caught:
        story.apply("one", {"a": "1", "b": "1"})
    assert 'conflict with "editor" using v1' in caught.value.message


def test_entries_survive_their_encoding_in_order() -> None:
    story = Story()
    story.update("editor", {"a": "1"})
    story.apply("one", {"b": "1"})
    encoded = story.managers.encode()
    assert [entry["operation"] for entry in encoded] == ["Apply", "Update"]
    assert managed.Managers.decode(encoded).encode() == encoded
    assert managed.Managers.decode([{}]).entries == {}


def test_lists_keep_the_applied_order_among_others() -> None:
    ports = library().get("core.v1.ServiceSpec").fields["ports"]
    live = [{"port": 1}, {"port": 2}, {"port": 3}]
    merged = merge.merge(ports, live, [{"port": 3, "name": "c"}, {"port": 1}])
    assert [port["port"] for port in merged] == [3, 1, 2]
    assert merged[0] == {"port": 3, "name": "c"}
