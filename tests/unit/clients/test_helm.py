"""The Helm client: records, leases, dead writers, and how the helm program is run."""

from __future__ import annotations

import asyncio
import base64
import json
import tarfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.clients import helm_lease
from infra.clients.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Failed,
    InvalidInput,
    Misconfigured,
    NotFound,
    Refused,
    Unavailable,
)
from infra.clients.helm import HelmClient
from infra.clients.helm_chart import read_chart, same
from infra.clients.helm_command import failure
from infra.clients.helm_lease import ENDED, ENDS_BY, WRITER, Lost, ReleaseLease, identity, stamp, while_holding
from infra.clients.helm_program import parse_version, will_do
from infra.clients.helm_prune import forgotten
from infra.clients.helm_records import HelmRelease, decode, encode, release_of
from infra.clients.kubernetes import KubernetesClient, UnknownKind, WebhookUnavailable

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MANIFEST = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {sign: =}\n---\n\n"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    path = tmp_path / "demo-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        content = b"apiVersion: v2\nname: demo\nversion: 1.0.0\n"
        item = tarfile.TarInfo("demo/Chart.yaml")
        item.size = len(content)
        archive.addfile(item, BytesIO(content))
    return path


def record(
    revision: int,
    status: str,
    *,
    values: Any = None,
    manifest: str = MANIFEST,
    note: str = "",
    method: str | None = None,
) -> dict[str, Any]:
    document = {
        **({"apply_method": method} if method else {}),
        "name": "demo",
        "namespace": "apps",
        "version": revision,
        "info": {"status": status, "last_deployed": "2026-01-01T11:59:00.123456789Z", "description": note},
        "chart": {"metadata": {"name": "demo", "version": "1.0.0", "appVersion": "9"}},
        "config": values or {},
        "manifest": manifest,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": f"sh.helm.release.v1.demo.v{revision}",
            "namespace": "apps",
            "labels": {"owner": "helm", "name": "demo", "version": str(revision), "status": status},
        },
        "data": {"release": encode(document)},
    }


@pytest.fixture
def program(tmp_path: Path, settings: Any) -> Any:
    """A helm that writes down how it was called, and answers as it is told; Helm 4 where nothing else is said."""
    script, log = tmp_path / "helm", tmp_path / "helm.log"
    script.write_text(
        "#!/usr/bin/env python3\n"
        "import json, os, sys\n"
        f"version = {str(tmp_path / 'version')!r}\n"
        "if sys.argv[1] == 'version':\n"
        "    sys.exit(print(open(version).read() if os.path.exists(version) else 'v4.3.2'))\n"
        "values = sys.argv[sys.argv.index('--values') + 1] if '--values' in sys.argv else None\n"
        "mode = oct(os.stat(values).st_mode & 0o777) if values else ''\n"
        "entry = {'argv': sys.argv[1:], 'env': dict(os.environ), 'mode': mode}\n"
        "entry['values'] = json.load(open(values)) if values else None\n"
        f"open({str(log)!r}, 'a').write(json.dumps(entry) + '\\n')\n"
        f"answer = {str(tmp_path / 'answer')!r}\n"
        "print(open(answer).read() if os.path.exists(answer) else '{}')\n"
        f"fail = {str(tmp_path / 'fail')!r}\n"
        "sys.exit(sys.stderr.write(open(fail).read()) and 1) if os.path.exists(fail) else None\n"
    )
    script.chmod(0o755)
    return settings.model_copy(update={"helm_binary": str(script)}), log


def calls(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
async def helm(program: Any, kubeconfig: Path, api: Any) -> Any:
    settings, _ = program
    async with HelmClient(kubeconfig, settings, now=lambda: NOW) as client:
        yield client


async def test_records_are_read_without_running_helm(helm: Any, api: Any, program: Any) -> None:
    for revision, status in ((9, "superseded"), (10, "deployed")):
        api.put("secrets", record(revision, status, values={"a": 1}))
    release = await helm.release("demo", "apps")
    assert (release.revision, release.status, release.chart_version, release.values) == (
        10,
        "deployed",
        "1.0.0",
        {"a": 1},
    )
    (item,) = release.objects()
    assert item["data"] == {"sign": "="}
    assert item["metadata"] == {
        "name": "a",
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "demo", "meta.helm.sh/release-namespace": "apps"},
    }
    assert release.updated == datetime(2026, 1, 1, 11, 59, 0, 123456, tzinfo=UTC)
    assert [item.revision for item in await helm.history("demo", "apps")] == [9, 10]
    assert [item.revision for item in await helm.releases()] == [10]
    assert await helm.release("other", "apps") is None
    assert calls(program[1]) == []
    assert "values" not in repr(release)


async def test_ensure_writes_nothing_where_all_is_so(helm: Any, api: Any, chart: Path, program: Any) -> None:
    api.put("secrets", record(1, "deployed", values={"a": 1}))
    done = await helm.ensure("demo", "apps", chart, {"a": 1, "b": None})
    assert (done.action, api.writes(), calls(program[1])) == ("unchanged", [], [])


async def test_ensure_runs_helm_privately_and_gives_the_lease_back(
    helm: Any, api: Any, chart: Path, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TOKEN", "t0ken")
    api.put("secrets", record(1, "deployed"))
    say(chart, "answer", json.dumps({}))
    await helm.ensure("demo", "apps", chart, {"password": "s3cr3t"}, timeout=30)
    (call,) = calls(program[1])
    assert call["argv"][:3] == ["upgrade", "demo", str(chart)]
    assert "s3cr3t" not in " ".join(call["argv"])
    assert (call["values"], call["mode"]) == ({"password": "s3cr3t"}, "0o600")
    assert {"--install", "--wait", "--reset-values"} <= set(call["argv"])
    assert "30s" in call["argv"]
    assert "OUR_TOKEN" not in call["env"]
    assert call["env"]["HELM_CACHE_HOME"].startswith(call["env"]["HOME"])
    assert [write.split()[0] for write in api.writes()] == ["POST", "DELETE"]
    assert left_in(call["env"]["HOME"]) == []


def left_in(home: str) -> list[Path]:
    return list(Path(home).glob("values-*"))


def say(chart: Path, name: str, text: str) -> None:
    (chart.parent / name).write_text(text)


async def test_a_living_writer_is_respected(helm: Any, api: Any, chart: Path, monkeypatch: Any) -> None:
    living = identity()
    monkeypatch.setattr(helm_lease, "_HELD_HERE", {living})
    api.put("secrets", record(2, "pending-upgrade"))
    api.put("leases", lease(holder=living, renewed=NOW))
    with pytest.raises(Conflict, match="Another Plumbline") as caught:
        await helm.ensure("demo", "apps", chart, {})
    assert caught.value.retry_after


async def test_a_lease_of_our_own_that_could_not_be_given_back_holds_nobody(helm: Any, api: Any, chart: Path) -> None:
    api.put("secrets", record(1, "pending-install"))
    api.put("leases", lease(holder=identity(), renewed=NOW))
    assert (await helm.ensure("demo", "apps", chart, {"a": 2})).recovered == "pending-install"


async def test_a_dead_writers_revision_is_closed_and_the_upgrade_goes_on(
    helm: Any, api: Any, chart: Path, program: Any
) -> None:
    api.put("secrets", record(1, "pending-install"))
    api.put("leases", lease(holder=dead_holder(), renewed=NOW))
    done = await helm.ensure("demo", "apps", chart, {"a": 2})
    assert (done.recovered, len(calls(program[1]))) == ("pending-install", 1)
    closed = release_of(api.objects["secrets", "apps", "sh.helm.release.v1.demo.v1"])
    assert (closed.status, closed.manifest) == ("failed", MANIFEST)
    assert "ended before it was done" in closed.description


@pytest.mark.parametrize(
    ("said", "runs"),
    [
        ("Error: Internal error occurred: too bad", 2),
        ('Error: could not get information about the resource CustomResourceDefinition "a" in namespace "": x', 2),
        ('Error: no matches for kind "Lease" in version "coordination.k8s.io/v1"', 2),
        ('Error: no matches for kind "Widget" in version "v1"', 1),
    ],
)
async def test_helm_is_run_again_where_the_api_server_did_not_answer(
    helm: Any, api: Any, chart: Path, program: Any, tmp_path: Path, monkeypatch: Any, said: str, runs: int
) -> None:
    monkeypatch.setattr("infra.clients.helm.ATTEMPTS", 2)
    (tmp_path / "fail").write_text(said)
    with pytest.raises(Unavailable if runs == 2 else UnknownKind):
        await helm.ensure("demo", "apps", chart, {})
    assert len(calls(program[1])) == runs
    assert not api.objects.get(("leases", "kube-system", "plumbline-helm-apps-demo"))


async def test_a_strangers_helm_gets_its_time(helm: Any, api: Any, chart: Path, program: Any) -> None:
    api.put("secrets", record(1, "pending-install"))  # since a minute ago; helm may take 60 s and a margin of 60 s
    with pytest.raises(Conflict, match="may be at work") as caught:
        await helm.ensure("demo", "apps", chart, {})
    assert caught.value.retry_after is not None
    assert 59 < caught.value.retry_after < 61
    ended = next(item for (kind, _, _), item in api.objects.items() if kind == "leases")
    assert ended["metadata"]["annotations"][ENDED] == "1"
    assert ended["spec"]["holderIdentity"] == ""


async def test_uninstall_is_idempotent(helm: Any, api: Any, program: Any) -> None:
    assert await helm.uninstall("demo", "apps") is False
    api.put("secrets", record(1, "deployed"))
    assert await helm.uninstall("demo", "apps") is True
    assert calls(program[1])[0]["argv"][:2] == ["uninstall", "demo"]


async def test_rollback_and_version(helm: Any, api: Any, chart: Path, program: Any) -> None:
    with pytest.raises(NotFound):
        await helm.rollback("demo", "apps", 1)
    api.put("secrets", record(1, "deployed"))
    assert (await helm.rollback("demo", "apps", 1)).revision == 1
    assert await helm.version() == "4.3.2"


SERVER_SIDE = ["--server-side=true", "--force-conflicts"]


@pytest.mark.parametrize(
    ("version", "method", "flags"),
    [
        ("v3.16.4", None, []),
        ("v3.22.0", "csa", []),
        # Somebody's Helm 4 made it: Helm 3 goes on by patches.
        ("v3.22.0", "ssa", []),
        ("v4.3.2", None, ["--server-side=false"]),
        ("v4.3.2", "csa", ["--server-side=false"]),
        ("v4.3", "ssa", SERVER_SIDE),
    ],
)
async def test_a_release_is_written_as_it_was_made(
    helm: Any, api: Any, chart: Path, program: Any, version: str, method: str | None, flags: list[str]
) -> None:
    say(chart, "version", version)
    api.put("secrets", record(1, "deployed", method=method))
    await helm.ensure("demo", "apps", chart, {"a": 1})
    await helm.rollback("demo", "apps", 1)
    await helm.uninstall("demo", "apps")
    upgrade, rollback, uninstall = (call["argv"] for call in calls(program[1]))
    for argv in (upgrade, rollback):
        assert [one for one in argv if one.startswith(("--server-side", "--force"))] == flags
    assert not {"--atomic", "--force", "--recreate-pods"} & {*upgrade, *rollback, *uninstall}
    assert not [one for one in uninstall if one.startswith(("--server-side", "--force"))]


@pytest.mark.parametrize(("version", "flags"), [("v3.22.0", []), ("v4.3.2", SERVER_SIDE)])
async def test_a_new_release_is_written_as_helm_does_by_default(
    helm: Any, chart: Path, program: Any, version: str, flags: list[str]
) -> None:
    say(chart, "version", version)
    with pytest.raises(NotFound, match="vanished"):  # this helm keeps no records
        await helm.ensure("demo", "apps", chart, {})
    (call,) = calls(program[1])
    assert [one for one in call["argv"] if one.startswith(("--server-side", "--force"))] == flags


@pytest.mark.parametrize(
    ("said", "version", "good"),
    [
        ("v3.16.0", "3.16.0", True),
        ("v4.3", "4.3", True),
        ("v4.3.2+g1234567", "4.3.2", True),
        ("v4.4.0-rc.1", "4.4.0rc1", True),
        ("v3.15.4", "3.15.4", False),
        ("v5.0.0-alpha.1", "5.0.0a1", False),
        ("version.BuildInfo", None, False),
    ],
)
def test_versions_that_will_do(said: str, version: str | None, good: bool) -> None:
    found = parse_version(said)
    assert (str(found) if found else None) == version
    assert (found is not None and will_do(found)) is good


async def test_names_that_helm_would_misread(helm: Any, chart: Path) -> None:
    for name in ("--help", "a b", "A", "$(x)", "x" * 64):
        with pytest.raises(InvalidInput):
            await helm.ensure(name, "apps", chart, {})


async def test_a_reading_client_does_not_write_releases(program: Any, kubeconfig: Path, api: Any, chart: Path) -> None:
    settings, log = program
    async with (
        KubernetesClient(kubeconfig, settings, read_only=True) as kubernetes,
        HelmClient(kubeconfig, settings, kubernetes=kubernetes) as helm,
    ):
        with pytest.raises(Refused, match="only looks"):
            await helm.ensure("demo", "apps", chart, {})
    assert calls(log) == []


async def test_a_missing_helm_is_a_sentence(settings: Any, kubeconfig: Path) -> None:
    async with HelmClient(kubeconfig, settings.model_copy(update={"helm_binary": "no-helm"})) as helm:
        with pytest.raises(Misconfigured, match="no-helm"):
            await helm.version()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress", Conflict),
        ('Error: INSTALLATION FAILED: failed calling webhook "x": connection refused', WebhookUnavailable),
        ("Error: Kubernetes cluster unreachable: connection refused", Unavailable),
        (
            'Error: failed to install CRD crds/a.yaml: server-side apply failed for object /a: Patch "https://c/a": '
            "stream error: stream ID 17; INTERNAL_ERROR; received from peer",
            Unavailable,
        ),
        ("Error: uninstall: Release not loaded: demo: release: not found", NotFound),
        ("Error: timed out waiting for the condition", DeadlineExceeded),
        ('Error: no matches for kind "Issuer" in version "x/v1"', UnknownKind),
        ("Error: values don't meet the specifications of the schema(s)", InvalidInput),
        ("Error: rendered manifests contain a resource that already exists. Unable to continue", Refused),
        ('Error: secrets is forbidden: User "x" cannot list', Denied),
        ("Error: something nobody has seen before", Failed),
        (
            'level=WARN msg="upgrade failed" name=demo error="connection refused"\n'
            "Error: UPGRADE FAILED: resource Deployment/apps/demo not ready. status: InProgress, message: "
            "Available: 0/1, connection refused\ncontext deadline exceeded",
            DeadlineExceeded,
        ),
        (
            "Error: UPGRADE FAILED: resource CustomResourceDefinition//a.example not ready. status: Unknown, message: ",
            Unavailable,
        ),
        (
            "Error: UPGRADE FAILED: resource Deployment/a/b not ready. status: Unknown, message: \n"
            "resource Deployment/a/c not ready. status: InProgress, message: x\ncontext deadline exceeded",
            DeadlineExceeded,
        ),
        ("Error: resource Job/apps/demo not ready. status: Failed, message: Job has failed", Failed),
        ("Error: uninstallation completed with 1 error(s): resource Pod/a/b still exists. status: x", DeadlineExceeded),
        (
            "Error: failed to create typed patch object (a/b; v1, Kind=Service): .spec.x: field not declared",
            InvalidInput,
        ),
        ('level=WARN msg="too many requests"\nError: something nobody has seen before', Failed),
    ],
)
def test_what_helm_says_is_typed(said: str, kind: type[Exception]) -> None:
    error = failure("upgrade", "demo", f"WARNING: Kubernetes configuration file is group-readable\n{said}\n")
    assert type(error) is kind
    assert "group-readable" not in str(error)


def lease(*, holder: str, renewed: datetime, ends_by: datetime | None = None) -> dict[str, Any]:
    notes = {ENDS_BY: stamp(ends_by)} if ends_by else {}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "plumbline-helm-apps-demo", "namespace": "kube-system", "annotations": notes},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": stamp(renewed)},
    }


def dead_holder() -> str:
    machine = identity().rsplit("/", 3)[0]
    pid = next(number for number in range(400000, 4000000) if not psutil.pid_exists(number))
    return f"{machine}/{pid}/1.00/abcdef01"


@pytest.fixture
async def kubernetes(kubeconfig: Path, settings: Any, api: Any) -> Any:
    async with KubernetesClient(kubeconfig, settings) as client:
        yield client


@pytest.mark.parametrize(
    ("renewed", "ends_by", "free"),
    [(-30, None, False), (-61, None, True), (-61, 100, False), (-500, -1, True)],
)
async def test_a_holder_elsewhere_is_dead_when_its_lease_and_its_helm_have_ended(
    kubernetes: Any, api: Any, renewed: int, ends_by: int | None, free: bool
) -> None:
    until = None if ends_by is None else NOW + timedelta(seconds=ends_by)
    api.put("leases", lease(holder="elsewhere/b/c/1/2/3", renewed=NOW + timedelta(seconds=renewed), ends_by=until))
    ours = ReleaseLease(kubernetes, "apps", "demo", runs_for=60, now=lambda: NOW)
    if not free:
        with pytest.raises(Conflict):
            await ours.take()
        return
    await ours.take()
    assert ours.previous_died
    await ours.give_back()
    assert api.objects == {}


async def test_a_helm_that_outlived_its_parent_counts_as_alive(kubernetes: Any, api: Any) -> None:
    holder = dead_holder()
    api.put("leases", lease(holder=holder, renewed=NOW))
    orphan = await asyncio.create_subprocess_exec("sleep", "30", env={"PATH": "/usr/bin:/bin", WRITER: holder})
    ours = ReleaseLease(kubernetes, "apps", "demo", runs_for=60, now=lambda: NOW)
    try:
        with pytest.raises(Conflict):
            await ours.take()
    finally:
        orphan.kill()
        await orphan.wait()
    await ours.take()


async def test_losing_the_lease_ends_the_work(kubernetes: Any, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_lease, "RENEW", 0.01)
    ours = ReleaseLease(kubernetes, "apps", "demo", runs_for=60, now=lambda: NOW)
    await ours.take()
    work = asyncio.ensure_future(asyncio.sleep(30))
    holding = asyncio.ensure_future(while_holding(ours, work))
    await asyncio.sleep(0.1)
    assert api.objects["leases", "kube-system", "plumbline-helm-apps-demo"]["spec"]["holderIdentity"] == ours.identity
    api.objects.clear()
    with pytest.raises(Lost):
        await holding
    assert work.cancelled()


def test_charts_and_what_counts_as_the_same(chart: Path, tmp_path: Path) -> None:
    file = read_chart(chart)
    assert (file.name, file.version, len(file.sha256)) == ("demo", "1.0.0", 64)
    release = release_of(record(1, "deployed", values={"a": [1]}, note=f"Plumbline: chart sha256:{file.sha256}"))
    assert same(release, file, {"a": [1]})
    assert not same(release, file, {"a": [2]})
    assert not same(release, file.model_copy(update={"sha256": "0" * 64}), {"a": [1]})
    assert not same(release.model_copy(update={"status": "failed"}), file, {"a": [1]})
    for content in (b"no archive", b""):
        (tmp_path / "bad.tgz").write_bytes(content)
        with pytest.raises(InvalidInput):
            read_chart(tmp_path / "bad.tgz")


def test_what_only_failed_revisions_had_is_forgotten() -> None:
    def of(revision: int, status: str, *names: str, keep: bool = False) -> HelmRelease:
        note = ", annotations: {helm.sh/resource-policy: keep}" if keep else ""
        text = "\n---\n".join(
            f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}{note}}}}}" for name in names
        )
        words = "failed" if status == "failed" else ""
        return release_of(record(revision, status, manifest=text, note=words))

    def names(*history: HelmRelease) -> list[str]:
        return [item["metadata"]["name"] for item in forgotten(history)]

    first, broken, last = of(1, "superseded", "a", "old"), of(2, "failed", "a", "b"), of(3, "deployed", "a")
    assert names(first, broken, last) == ["b"]
    assert names(first, broken) == []
    assert names(first, of(2, "failed", "b", keep=True), last) == []
    assert names() == []


def test_a_damaged_record_is_a_sentence() -> None:
    with pytest.raises(Failed, match="damaged"):
        decode({"metadata": {"name": "x"}, "data": {"release": base64.b64encode(b"***").decode()}})
