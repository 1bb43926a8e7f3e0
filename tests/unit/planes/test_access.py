"""The role of those who only look is what the documentation shows."""

from __future__ import annotations

import re

import yaml

from infra.planes import access
from infra.planes.clients import Clients
from infra.settings import ROOT


def test_the_documented_role_is_the_one_that_is_applied() -> None:
    (shown,) = [text for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/drift.md").read_text(), re.S)
                if "ClusterRole" in text]  # fmt: skip
    applied = list(access.desired())
    for one in applied:
        one["metadata"] = {"name": one["metadata"]["name"]}
    assert list(yaml.safe_load_all(shown)) == applied
    of_objects, of_paths = applied[0]["rules"]
    assert of_objects["verbs"] == ["list"], "who may `get` everything may open a shell in every pod"
    assert (set(of_paths), of_paths["verbs"]) == ({"nonResourceURLs", "verbs"}, ["get"])


async def test_without_a_way_in_the_role_is_not_known(clients: Clients) -> None:
    assert (await access.look(clients)).blind_spots == ()
    clients.disconnect()
    seen = await access.look(clients)
    assert seen.findings == ()
    assert [(spot.what, spot.hides) for spot in seen.blind_spots] == [
        ("ClusterRole/plumbline-reader", ("ClusterRole/plumbline-reader",)),
        ("ClusterRoleBinding/plumbline-reader", ("ClusterRoleBinding/plumbline-reader",)),
    ]
