"""The storage plane: one default class, and the proof that a claim is bound."""

from __future__ import annotations

from typing import Any

from infra.planes import storage
from tests.unit.planes.fakes import declared

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


def test_who_marked_it_is_said() -> None:
    fast = live("fast", default=True)
    fast["metadata"]["managedFields"] = [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "time": "2026-11-01T08:00:00Z",
            "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, f"f:{storage.DEFAULT_MARK}": {}}}},
        }
    ]
    [finding] = storage.compare(WANTED, storage.Observed({"default": live("default", default=True), "fast": fast}))
    assert str(finding.changed) == "kubectl-create at 2026-11-01 08:00:00 UTC (Update)"


def test_the_wrong_zone_is_found() -> None:
    other = live("default", default=True, parameters={"availability": "az2"})
    assert addresses(other) == [("StorageClass/default", ".parameters.availability")]


def test_a_declared_volume_type_is_the_class_s() -> None:
    environment = declared()
    typed = environment.spec.storage.model_copy(update={"volume_type": "ssd"})
    spec = environment.spec.model_copy(update={"storage": typed})
    wanted = storage.desired(environment.model_copy(update={"spec": spec}))
    assert wanted.manifest["parameters"] == {"availability": "nova", "type": "ssd"}
    plain = storage.desired(environment)
    found = storage.compare(wanted, storage.Observed({"default": plain.manifest}))
    assert [(finding.path, finding.declared, finding.observed) for finding in found] == [
        (".parameters.type", "ssd", None)
    ]
