"""Rendering, health and status of Applications."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain

from deployments.sandbox.controllers.argocd import status as states
from deployments.sandbox.controllers.argocd.apply import Comparison, Identity, bare, identity_of, marked, tracking_id
from deployments.sandbox.controllers.argocd.git import Credentials, Git, GitError
from deployments.sandbox.controllers.argocd.health import health_of, worst
from deployments.sandbox.controllers.argocd.render import RenderError, render
from deployments.sandbox.controllers.kube.resources import CONFIGMAPS, Obj

MAP = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


def names(files: dict[str, bytes], **source: Any) -> list[str]:
    return [each["metadata"]["name"] for each in render(files, source)]


def test_manifests_come_by_wave_and_kind() -> None:
    text = (
        b"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\n---\n"
        b"apiVersion: v1\nkind: Namespace\nmetadata: {name: ns}\n---\n---\n"
        b"apiVersion: v1\nkind: ConfigMap\n"
        b"metadata: {name: late, annotations: {argocd.argoproj.io/sync-wave: '2'}}\ndata: {day: 2026-01-01}\n"
    )
    manifests = render({"all.yaml": text, "readme.md": b"# no"}, {})
    assert [each["metadata"]["name"] for each in manifests] == ["ns", "app", "late"]
    assert manifests[2]["data"]["day"] == "2026-01-01"


def test_what_of_a_directory_counts() -> None:
    files = {
        "a.yaml": MAP % b"a",
        "deep/b.yml": MAP % b"b",
        "c.json": b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}',
    }
    assert names(files) == ["a", "c"]
    assert names(files, directory={"recurse": True}) == ["a", "b", "c"]
    assert names(files, directory={"recurse": True, "exclude": "deep/*"}) == ["a", "c"]
    assert names(files, directory={"include": "{c.json,x}"}) == ["c"]
    assert names(
        {"l.yaml": b"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}"}
    ) == ["x"]


@pytest.mark.parametrize(
    ("files", "source", "said"),
    [
        ({"kustomization.yaml": b""}, {}, "Kustomize"),
        ({"Chart.yaml": b""}, {}, "Helm"),
        ({}, {"chart": "x"}, "Helm"),
        ({}, {"plugin": {"name": "x"}}, "plugins"),
        ({"a.yaml": b"a: ["}, {}, "a.yaml"),
        ({"a.yaml": b"kind: ConfigMap"}, {}, "no apiVersion"),
        ({"a.yaml": b"apiVersion: v1\nkind: ConfigMap"}, {}, "no name"),
    ],
)
def test_what_cannot_be_rendered_is_said(files: dict[str, bytes], source: Obj, said: str) -> None:
    with pytest.raises(RenderError, match=said):
        render(files, source)


def deployed(**status: Any) -> Obj:
    base = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "generation": 2},
        "spec": {"replicas": 2},
        "status": base | status,
    }


DEADLINE = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "status": "False"}]


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (None, "Missing"),
        (deployed(), "Healthy"),
        (deployed(observedGeneration=1), "Progressing"),
        (deployed(updatedReplicas=1), "Progressing"),
        (deployed(replicas=3), "Progressing"),
        (deployed(availableReplicas=1), "Progressing"),
        (deployed(conditions=DEADLINE), "Degraded"),
        ({"kind": "Service", "metadata": {}, "spec": {"type": "LoadBalancer"}}, "Progressing"),
        ({"kind": "Service", "metadata": {}, "spec": {}}, "Healthy"),
        ({"kind": "PersistentVolumeClaim", "metadata": {}, "status": {"phase": "Pending"}}, "Progressing"),
        (
            {
                "kind": "Job",
                "metadata": {},
                "spec": {},
                "status": {"conditions": [{"type": "Failed", "status": "True"}]},
            },
            "Degraded",
        ),
        (
            {
                "kind": "Pod",
                "metadata": {},
                "status": {"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            },
            "Degraded",
        ),
        ({"kind": "Pod", "metadata": {}, "status": {"phase": "Succeeded"}}, "Healthy"),
        ({"kind": "StatefulSet", "metadata": {}, "spec": {"replicas": 1}, "status": {}}, "Progressing"),
        ({"kind": "DaemonSet", "metadata": {}, "spec": {}, "status": {}}, "Healthy"),
        (
            {"kind": "Certificate", "metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}},
            "Degraded",
        ),
        ({"kind": "ConfigMap", "metadata": {}}, None),
        ({"kind": "ConfigMap", "metadata": {"deletionTimestamp": "x"}}, "Progressing"),
    ],
)
def test_the_health_of_objects(live: Obj | None, expected: str | None) -> None:
    found = health_of(live)
    assert (found[0] if found else None) == expected


def test_the_worst_health_counts() -> None:
    assert worst([]) == "Healthy"
    assert worst(["Healthy", "Degraded", "Progressing"]) == "Degraded"


WHICH = Identity("", "v1", "ConfigMap", "n", "a")


def view(**more: Any) -> states.View:
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    found = [Comparison(WHICH, CONFIGMAPS, wanted, wanted, differs=False)]
    return states.View(source={"repoURL": "r"}, destination={}, commit="c", found=found, **more)


def test_in_step_out_of_step_and_not_known_are_told_apart() -> None:
    assert states.fold(view(), {})["sync"]["status"] == "Synced"
    extra = states.fold(view(extra=[Identity("", "v1", "ConfigMap", "n", "old")]), {})
    assert extra["sync"]["status"] == "OutOfSync"
    assert extra["resources"][1] == {
        "version": "v1",
        "kind": "ConfigMap",
        "name": "old",
        "namespace": "n",
        "status": "OutOfSync",
        "requiresPruning": True,
    }
    blind = states.fold(view(errors=[("ComparisonError", "why")]), {"resources": extra["resources"]})
    assert (blind["sync"]["status"], blind["health"]["status"]) == ("Unknown", "Unknown")
    assert blind["resources"] == extra["resources"]
    again = states.fold(view(errors=[("ComparisonError", "why")]), blind)
    assert again["conditions"] == blind["conditions"]


def test_history_grows_only_with_success() -> None:
    before: Obj = {"history": [{"id": number} for number in range(10)]}
    done = states.operation(view(), before, began="t", results=[], message="")
    assert [each["id"] for each in done["history"]] == list(range(1, 11))
    failed = states.operation(view(), before, began="t", results=[], message="no")
    assert "history" not in failed
    assert failed["operationState"]["phase"] == "Failed"


def test_objects_are_marked_and_compared_without_what_the_server_writes() -> None:
    manifest = {"kind": "ConfigMap", "metadata": {"name": "a", "annotations": {"x": "y"}}}
    wanted = marked(manifest, "app", WHICH)
    assert wanted["metadata"]["namespace"] == "n"
    assert wanted["metadata"]["annotations"] == {"x": "y", "argocd.argoproj.io/tracking-id": tracking_id("app", WHICH)}
    assert manifest["metadata"] == {"name": "a", "annotations": {"x": "y"}}
    assert bare({"metadata": {"name": "a", "uid": "u", "resourceVersion": "1"}, "status": {}, "data": 1}) == {
        "metadata": {"name": "a"},
        "data": 1,
    }
    assert identity_of(WHICH.entry()) == WHICH


async def test_git_gives_the_files_of_a_commit(tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    porcelain.init(str(remote)).close()
    (remote / "apps/deep").mkdir(parents=True)
    (remote / "apps/a.yaml").write_bytes(MAP % b"a")
    (remote / "apps/deep/b.yaml").write_bytes(MAP % b"b")
    porcelain.add(str(remote), [str(remote / "apps/a.yaml"), str(remote / "apps/deep/b.yaml")])
    who = b"T <t@example.org>"
    commit = porcelain.commit(str(remote), message=b"one", author=who, committer=who).decode()
    git, nobody = Git(tmp_path / "copies"), Credentials()
    assert await git.resolve(str(remote), "HEAD", nobody) == commit
    assert await git.resolve(str(remote), commit, nobody) == commit
    assert set(await git.files(str(remote), commit, "apps", nobody)) == {"a.yaml", "deep/b.yaml"}
    for path in ("missing", "apps/a.yaml", "../x"):
        with pytest.raises(GitError, match="app path"):
            await git.files(str(remote), commit, path, nobody)
    with pytest.raises(GitError, match="resolve 'v9'"):
        await git.resolve(str(remote), "v9", nobody)
    with pytest.raises(GitError, match="not in"):
        await git.files(str(remote), "0" * 40, "apps", nobody)
    with pytest.raises(GitError):
        await git.resolve(str(tmp_path / "nowhere"), "HEAD", nobody)
