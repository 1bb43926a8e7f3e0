"""What API servers of Kubernetes 1.28 to 1.35 add to a declaration is no drift, and hides none (modern.yaml)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from infra.drift.paths import Item, Path, follow, render
from tests.corpora.corpus import Recorded
from tests.corpora.modern import modern_pairs, rewritten, schema_or_open, variants
from tests.corpora.mutations import EDITOR, Mutation, cut, edited, mutations, put
from tests.unit.drift.comparing import Object, compare, compare_recorded, crds, paths
from tests.unit.drift.test_mutations import WITHOUT_BOOKS

ROWS = modern_pairs()
BY_NAME = {(row.live["kind"], row.live["metadata"]["name"]): row for row in ROWS}
PARTS = 4

UNCLEAR = {
    # OpenShift's controller, where nobody keeps books: a pull secret by hand looks the same.
    ("bare", "ServiceAccount", "sa2"): {".imagePullSecrets[name=sa2-dockercfg-abc]"},
}
"""Findings that are wrong and stay, each with its reason."""

IN_A_PERSONS_NAME = {
    # Chosen by the cluster or by a person: what is allotted and what was edited look the same.
    "hostPort", "ingressClassName", "nodePort", "storageClassName",
    # In the books of its controller in truth: it is another's only where a person writes all of the object.
    "caBundle", "claimRef", "nodeName", "secrets", "imagePullSecrets",
    # Of a Job and its pods, which nobody can edit.
    "controller-uid", "job-name", "template",
    # Of a pod, from its limits, when it is made.
    "requests",
    # Of a token's Secret, from its controller.
    "ca.crt", "namespace", "token", "kubernetes.io/service-account.uid", "kubernetes.io/legacy-token-last-used",
}  # fmt: skip
"""What is still said of an object that a person wrote anew from its first field to its last."""


def test_the_pairs_are_many() -> None:
    assert len(ROWS) == len(BY_NAME) >= 75
    assert len({kind for kind, _ in BY_NAME}) >= 45


@pytest.mark.parametrize("variant", ["bare", "helm", "adopted"])
def test_what_the_server_adds_is_no_drift(variant: str) -> None:
    for row in ROWS:
        live = dict(variants(row, crds()))[variant]
        expected = UNCLEAR.get((variant, row.live["kind"], row.live["metadata"]["name"]), set())
        assert set(paths(compare_recorded(row, live))) == expected, row.source


def test_nor_is_it_in_the_name_of_a_person_who_wrote_everything_anew() -> None:
    said: set[str] = set()
    for row in ROWS:
        for finding in compare_recorded(row, rewritten(row, crds())):
            assert finding.declared is None, row.source
            names = [name for name in IN_A_PERSONS_NAME if name in finding.path]
            assert names, (row.source, finding.path)
            said |= set(names)
    assert said == IN_A_PERSONS_NAME


@pytest.mark.parametrize("part", range(PARTS))
def test_every_change_by_a_person_is_found_beside_it(part: int) -> None:
    seen: Counter[str] = Counter()
    for row in ROWS[part::PARTS]:
        for variant, live in variants(row, crds()):
            there = Recorded(row.source, row.declared, live, None)
            for mutation in _changes(there, variant):
                found = set(paths(compare_recorded(there, mutation.live)))
                beside = found - set(mutation.paths)
                assert found >= set(mutation.paths), (row.source, variant, mutation)
                assert all(_known_beside(row, variant, path) for path in beside), (
                    row.source,
                    variant,
                    mutation,
                    beside,
                )
                seen[mutation.what] += 1
    assert {"value edited", "key deleted", "label added", "object deleted"} <= set(seen)
    assert sum(seen.values()) >= 500


def _known_beside(row: Recorded, variant: str, path: str) -> bool:
    """What is said along with a change: the rest of a whole that is the person's by it, until a dry run says better."""
    name = row.live["metadata"]["name"]
    whole = {"lr": ".spec.limits[0].default", "pv-csi": ".spec.claimRef."}.get(name)
    return path in UNCLEAR.get((variant, row.live["kind"], name), ()) or (whole is not None and path.startswith(whole))


def _changes(row: Recorded, variant: str) -> Iterator[Mutation]:
    schema = None if variant == "bare" else schema_or_open(row.live, crds())
    for mutation in mutations(row, schema, most=8):
        if variant != "bare" or mutation.what in WITHOUT_BOOKS or not mutation.paths:
            yield mutation


CONTAINER = {"name": "shell", "image": "busybox"}
PODS = [row for row in ROWS if row.live["kind"] in ("CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet")]


@pytest.mark.parametrize("row", PODS, ids=lambda row: row.live["metadata"]["name"])
def test_a_container_by_hand_is_found(row: Recorded) -> None:
    start: Path = ("spec", "jobTemplate", "spec") if row.live["kind"] == "CronJob" else ("spec",)
    path = (*start, "template", "spec", "containers")
    expected = [render((*path, Item((("name", "shell"),))))]
    for _, live in variants(row, crds()):
        after = put(live, path, [*follow(live, path), CONTAINER])
        assert paths(compare(row.declared, edited(live, after, schema_or_open(live, crds())))) == expected


POD = ("spec", "template", "spec")
BY_HAND: list[tuple[str, str, Path, Any]] = [
    ("Service", "s3", ("spec", "ports", 0, "nodePort"), 30999),
    ("Service", "s1", ("spec", "ports", 0, "targetPort"), 8080),
    ("Service", "s1", ("spec", "ipFamilyPolicy"), "RequireDualStack"),
    ("DaemonSet", "ds", (*POD, "containers", 0, "ports", 0, "hostPort"), 9100),
    ("DaemonSet", "ds", (*POD, "priorityClassName"), "high"),
    ("Ingress", "ing", ("spec", "ingressClassName"), "other"),
    ("IngressClass", "ic", ("spec", "parameters", "scope"), "Namespace"),
    ("IngressClass", "ic", ("spec", "parameters", "namespace"), "t"),
    ("Deployment", "d-full", ("spec", "strategy", "rollingUpdate", "maxUnavailable"), 1),
    ("DaemonSet", "ds", ("spec", "updateStrategy", "rollingUpdate", "maxUnavailable"), "25%"),
    ("DaemonSet", "ds", ("spec", "updateStrategy", "rollingUpdate", "maxSurge"), 1),
    ("StatefulSet", "ss", ("spec", "updateStrategy", "rollingUpdate", "maxUnavailable"), 1),
    ("PodDisruptionBudget", "pdb-a", ("spec", "maxUnavailable"), 1),
    ("PodDisruptionBudget", "pdb-a", ("spec", "maxUnavailable"), "25%"),
    ("Job", "j-min", ("metadata", "labels", "app"), "worker"),
    ("Job", "j-lab", ("metadata", "labels", "app"), "other"),
    ("Job", "j-min", ("spec", "backoffLimit"), 2147483647),
    ("PersistentVolumeClaim", "pvc", ("spec", "storageClassName"), "slow"),
    ("Job", "j-min", ("spec", "podReplacementPolicy"), "Failed"),
    ("HorizontalPodAutoscaler", "h-beh", ("spec", "behavior", "scaleDown", "stabilizationWindowSeconds"), 0),
    ("HorizontalPodAutoscaler", "h-min", ("spec", "minReplicas"), 2),
    ("NetworkPolicy", "np", ("spec", "policyTypes"), ["Egress"]),
    ("PriorityLevelConfiguration", "plc", ("spec", "limited", "nominalConcurrencyShares"), 0),
    ("Pod", "pod", ("spec", "tolerations", 3), {"operator": "Exists"}),
    ("PersistentVolumeClaim", "pvc2", ("spec", "dataSourceRef", "name"), "other"),
    ("Certificate", "leaf", ("spec", "isCA"), True),
    ("Certificate", "leaf", ("spec", "duration"), "90m1s"),
    ("Certificate", "c19", ("spec", "issuerRef", "kind"), "ClusterIssuer"),
    ("HTTPRoute", "hr", ("spec", "rules", 0, "backendRefs", 0, "weight"), 0),
    ("HTTPRoute", "hr", ("spec", "rules", 0, "sessionPersistence"), {"type": "Cookie"}),
]
"""Kind, name, field and what a person writes there: none of it declared, all but a default of another place or kind."""


@pytest.mark.parametrize(("kind", "name", "path", "value"), BY_HAND)
def test_what_is_a_default_elsewhere_is_found(kind: str, name: str, path: Path, value: Any) -> None:
    row = BY_NAME[kind, name]
    live = dict(variants(row, crds()))["helm"]
    found = compare(row.declared, _by_hand(live, path, value))
    assert len(found) == 1, paths(found)
    assert found[0].changed is not None
    assert found[0].changed.who == EDITOR
    assert str(path[-1]) in found[0].path


def test_the_default_itself_by_hand_is_no_change() -> None:
    row = BY_NAME["IngressClass", "ic"]
    path = ("spec", "parameters", "scope")
    before = cut(dict(variants(row, crds()))["helm"], path)
    assert compare(row.declared, _by_hand(before, path, "Cluster")) == []


def test_a_jobs_uid_is_no_choice_and_a_services_selector_is() -> None:
    """The same keys in another kind, written by nobody known."""
    assert compare(BY_NAME["Job", "j-min"].declared, BY_NAME["Job", "j-min"].live) == []
    row = BY_NAME["Service", "s1"]
    uid = "batch.kubernetes.io/controller-uid"
    assert paths(compare(row.declared, put(row.live, ("spec", "selector", uid), "u1"))) == [f'.spec.selector["{uid}"]']


def test_a_jobs_labels_are_its_templates_and_no_others() -> None:
    row = BY_NAME["Job", "j-lab"]
    assert row.live["metadata"]["labels"]["tier"] == "batch"
    for _, live in variants(row, crds()):
        assert compare(row.declared, live) == []
        more = put(live, ("metadata", "labels", "owner"), "me")
        assert paths(compare(row.declared, edited(live, more, schema_or_open(live, crds())))) == [
            ".metadata.labels.owner"
        ]


def test_only_the_secret_of_a_token_is_filled_in() -> None:
    row = BY_NAME["Secret", "tok"]
    assert compare(row.declared, row.live) == []
    opaque = [{**each, "type": "Opaque"} for each in (row.declared, row.live)]
    assert [each for each in paths(compare(*opaque)) if each.startswith(".data")] == [
        '.data["ca.crt"]', ".data.namespace", ".data.token"]  # fmt: skip


def _by_hand(live: Object, path: Path, value: Any) -> Object:
    """`live` after somebody has written this; a number behind the last item is one more."""
    there = follow(live, path[:-1])
    if isinstance(there, list):
        path, value = path[:-1], [*there, value]
    return edited(live, put(live, path, value), schema_or_open(live, crds()))
