"""The storage plane's pure verbs."""

from __future__ import annotations

from typing import Any

from infra.planes import storage

WANTED = storage.Wanted(
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "default", "annotations": {storage.DEFAULT_MARK: "true"}},
        "provisioner": storage.PROVISIONER,
        "parameters": {"availability": "nova"},
    }
)


def live(name: str, *, default: bool = False, **changes: Any) -> dict[str, Any]:
    annotations = {storage.DEFAULT_MARK: "true"} if default else {}
    return {**WANTED.manifest, "metadata": {"name": name, "annotations": annotations, "uid": "u"}, **changes}


def addresses(*classes: dict[str, Any]) -> list[tuple[str, str]]:
    observed = storage.Observed({item["metadata"]["name"]: item for item in classes})
    return [(finding.address, finding.path) for finding in storage.compare(WANTED, observed)]


def test_one_default_class_is_in_step() -> None:
    assert addresses(live("default", default=True), live("fast")) == []


def test_no_class_is_a_finding() -> None:
    assert addresses() == [("StorageClass/default", "")]


def test_a_second_default_is_a_finding_on_the_other_class() -> None:
    found = addresses(live("default", default=True), live("fast", default=True))
    assert found == [("StorageClass/fast", f".metadata.annotations.{storage.DEFAULT_MARK}")]


def test_the_wrong_zone_is_found() -> None:
    other = live("default", default=True, parameters={"availability": "az2"})
    assert addresses(other) == [("StorageClass/default", ".parameters.availability")]
