"""The role of those who only look is what the documentation shows."""

from __future__ import annotations

import re

import yaml

from infra.planes import access
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
