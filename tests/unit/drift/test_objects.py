"""One object against what is declared: severities, ignored fields, secrets that are not quoted, who changed it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from infra.catalog.models import Ignore
from infra.drift.findings import Finding, PlaneName, Severity
from infra.drift.objects import HIDDEN, compare_object, severity
from tests.unit.drift.test_ownership import entry


def thing(kind: str = "ConfigMap", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **more}


def compare(declared: dict[str, Any], live: dict[str, Any] | None, *ignores: Ignore) -> list[Finding]:
    return compare_object(PlaneName.ADDONS, declared, live, ignores)


def test_what_is_gone_or_going_is_destructive() -> None:
    (gone,) = compare(thing(), None)
    assert (gone.address, gone.path, gone.severity) == ("ConfigMap/n/x", "", Severity.DESTRUCTIVE)
    going = thing()
    going["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:00Z"
    assert "is being deleted" in compare(thing(), going)[0].sentence


def test_an_edit_is_attributed_and_an_added_key_is_found() -> None:
    live = thing(data={"a": "2", "b": "3"})
    live["metadata"]["managedFields"] = [entry("kubectl-edit", {"f:data": {"f:a": {}, "f:b": {}}})]
    changed, added = compare(thing(data={"a": "1"}), live)
    assert (changed.path, changed.declared, changed.observed) == (".data.a", "1", "2")
    assert (added.path, added.declared, added.observed) == (".data.b", None, "3")
    assert {str(one.changed) for one in (changed, added)} == {"kubectl-edit at 2026-11-25 10:00:00 UTC (Update)"}


def test_what_a_secret_holds_is_never_quoted() -> None:
    declared = thing("Secret", stringData={"password": "hunter2"}, data={"same": "eA=="})
    right = thing("Secret", data={"password": base64.b64encode(b"hunter2").decode(), "same": "eA=="})
    assert compare(declared, right) == []
    wrong = thing("Secret", data={"password": base64.b64encode(b"other").decode(), "same": "eA==", "more": "eQ=="})
    wrong["metadata"]["managedFields"] = [entry("kubectl-patch", {"f:data": {"f:more": {}}})]
    found = compare(declared, wrong)
    assert [(one.path, one.declared, one.observed) for one in found] == [
        (".data.password", HIDDEN, HIDDEN),
        (".data.more", None, HIDDEN),
    ]
    assert {one.severity for one in found} == {Severity.SECURITY}
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("ConfigMap", ".metadata.labels.team", Severity.COSMETIC),
        ("ClusterRole", ".metadata.annotations.note", Severity.COSMETIC),
        ("ConfigMap", ".data.a", Severity.CONFIG),
        ("ClusterRole", ".rules", Severity.SECURITY),
        ("Deployment", ".spec.replicas", Severity.CONFIG),
        ("Deployment", ".spec.template.spec.containers[name=a].securityContext.privileged", Severity.SECURITY),
        ("Deployment", ".spec.template.spec.hostNetwork", Severity.SECURITY),
        ("Ingress", ".spec.tls[0].secretName", Severity.SECURITY),
        ("Deployment", ".spec.template.metadata.labels.app", Severity.CONFIG),
    ],
)
def test_severities(kind: str, path: str, expected: Severity) -> None:
    assert severity(kind, path) is expected


@pytest.mark.parametrize(
    ("pointer", "ignored"),
    [
        ("/webhooks/*/clientConfig/caBundle", True),
        ("/webhooks", True),
        ("/webhooks/*/clientConfig/service", False),
        ("/webhook", False),
    ],
)
def test_fields_that_others_write_by_design_are_left_alone(pointer: str, ignored: bool) -> None:
    def hook(bundle: str) -> dict[str, Any]:
        hooks = [{"name": "a.b", "clientConfig": {"caBundle": bundle}}]
        return {**thing("ValidatingWebhookConfiguration"), "webhooks": hooks}

    rule = Ignore(kind="ValidatingWebhookConfiguration", paths=(pointer,), why="The cainjector writes it.")
    assert (compare(hook("old"), hook("new"), rule) == []) is ignored
    other = rule.model_copy(update={"name": "another"})
    assert len(compare(hook("old"), hook("new"), other)) == 1
