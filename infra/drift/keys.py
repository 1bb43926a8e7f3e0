"""What tells objects of one cluster apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Object = Mapping[str, Any]


class Key(NamedTuple):
    """What tells objects of one cluster apart; versions of a group are the same object."""

    group: str
    kind: str
    namespace: str
    name: str


def key_of(item: Object) -> Key:
    """The key of an object that has its apiVersion and kind."""
    metadata = item["metadata"]
    group = item["apiVersion"].rpartition("/")[0]
    return Key(group, item["kind"], metadata.get("namespace") or "", metadata["name"])


def nameless(item: Object) -> bool:
    """Whether an object is to be given a name when it is created (`generateName`): each time it is another one."""
    return not item["metadata"].get("name")
