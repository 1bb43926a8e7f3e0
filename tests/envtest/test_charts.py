"""Every chart of the sandbox, installed and uninstalled by the real helm on a real kube-apiserver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.charts import build
from deployments.sandbox.controlplane.plane import ControlPlane
from infra.catalog import Catalog, Release, crds_of, fetch
from infra.catalog.models import CrdEstablishedProbe, DryRunCreateProbe
from infra.settings import Settings
from infra.spec.models import Environment
from tests.corpora.everything import ENVIRONMENT

pytestmark = [
    pytest.mark.envtest,
    # The default is for tests that run alone on a machine.
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH"),
]


@dataclass(frozen=True)
class Tools:
    """helm and kubectl on one cluster."""

    env: dict[str, str]

    def run(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env=self.env, input=stdin, capture_output=True, text=True, timeout=120, check=False)

    def ok(self, *argv: str, stdin: str | None = None) -> str:
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def get(self, *what: str) -> dict[str, Any]:
        content = json.loads(self.ok("kubectl", "get", *what, "-o", "json"))
        assert isinstance(content, dict)
        return content


@pytest.fixture(scope="module")
def tools(kept_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """With a node, since hooks are waited for until their pods are done."""
    home = tmp_path_factory.mktemp("tools")
    helm = {f"HELM_{kind}_HOME": str(home / f"helm-{kind.lower()}") for kind in ("CACHE", "CONFIG", "DATA")}
    config = str(kept_plane.kubeconfig)
    found = Tools({"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": config, **helm})
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1"},
        "status": {"capacity": room, "allocatable": room},
    }
    found.ok("kubectl", "create", "-f", "-", stdin=yaml.safe_dump(node))
    found.ok("kubectl", "wait", "--for=condition=Ready", "node/n1", "--timeout=60s")
    return found


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment.model_validate(yaml.safe_load(ENVIRONMENT))


@pytest.fixture(scope="module")
def releases(environment: Environment) -> list[Release]:
    catalog = Catalog.load()
    return catalog.releases(environment) + catalog.runner_releases(environment)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("repository")
    build(folder, folder.as_uri())
    return Settings(chart_mirror=folder.as_uri())


async def test_charts_are_fetched_checked_installed_upgraded_and_uninstalled(
    tools: Tools, releases: list[Release], settings: Settings, tmp_path: Path
) -> None:
    # Nothing listens behind cert-manager's webhook here, so nothing of cert-manager's may be created: that is a test
    # of its own below, and the reason why no --wait is used.
    for release in releases:
        packed = await fetch(release, tmp_path / "cache", settings=settings)
        values = tmp_path / f"{release.name}.yaml"
        values.write_text(yaml.safe_dump(dict(release.values)), encoding="utf-8")
        where = (release.name, str(packed), "-n", release.namespace, "-f", str(values))
        tools.ok("helm", "install", *where, "--create-namespace")
        first = tools.ok("helm", "get", "manifest", release.name, "-n", release.namespace)
        tools.ok("helm", "upgrade", *where)
        again = tools.ok("helm", "get", "manifest", release.name, "-n", release.namespace)
        if release.addon != "kubernetes-dashboard":  # its CSRF key is random in upstream's chart as well
            assert again == first
    _everything_is_there(tools)
    _webhook_refuses(tools)
    for release in reversed(releases):
        tools.ok("helm", "uninstall", release.name, "-n", release.namespace)
    assert tools.get("deployments", "-A")["items"] == []
    assert tools.get("validatingwebhookconfigurations")["items"] == []
    # Uninstalling must not delete anybody's objects with their kinds.
    kept = {one["metadata"]["name"] for one in tools.get("crd")["items"]}
    assert {"certificates.cert-manager.io", "applications.argoproj.io", "cephclusters.ceph.rook.io"} <= kept
    assert {"autoscalingrunnersets.actions.github.com", "virtualservers.k8s.nginx.org"} <= kept


def _everything_is_there(tools: Tools) -> None:
    crds = {one["metadata"]["name"]: one for one in tools.get("crd")["items"]}
    for addon in Catalog.load().values():
        for probe in addon.probes:
            if isinstance(probe, CrdEstablishedProbe):
                for name in probe.names:
                    conditions = {one["type"]: one for one in crds[name]["status"]["conditions"]}
                    assert conditions["Established"]["status"] == "True", name
                    assert "NonStructuralSchema" not in conditions, conditions["NonStructuralSchema"]
    runner_set = tools.get("autoscalingrunnersets", "build", "-n", "arc-runners")
    assert (runner_set["spec"]["minRunners"], runner_set["spec"]["maxRunners"]) == (1, 4)
    assert runner_set["spec"]["githubConfigSecret"] == "github-app"
    cluster = tools.get("cephclusters.ceph.rook.io", "rook-ceph", "-n", "rook-ceph")
    assert cluster["spec"]["mon"]["count"] == 3
    assert cluster["spec"]["storage"]["storageClassDeviceSets"][0]["volumeClaimTemplates"]
    hosts = {rule["host"] for one in tools.get("ingress", "-A")["items"] for rule in one["spec"]["rules"]}
    assert hosts == {"argocd.dev.sandbox.example", "dashboard.dev.sandbox.example"}
    accounts = {one["metadata"]["name"] for one in tools.get("serviceaccounts", "-n", "arc-systems")["items"]}
    assert "arc-gha-rs-controller" in accounts


def _webhook_refuses(tools: Tools) -> None:
    """Nobody answers: the probe of the catalogue has to see what helm --wait does not (cert-manager issue 2908)."""
    (probe,) = [one for one in Catalog.load()["cert-manager"].probes if isinstance(one, DryRunCreateProbe)]
    done = tools.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(probe.object))
    assert done.returncode != 0
    assert "webhook.cert-manager.io" in done.stderr


async def test_crds_that_helm_leaves_alone_can_be_applied(
    tools: Tools, releases: list[Release], settings: Settings, tmp_path: Path
) -> None:
    carried = 0
    for release in releases:
        crds = crds_of(await fetch(release, tmp_path, settings=settings))
        assert bool(crds) == (release.crds.carried == "folder")
        carried += len(crds)
        for crd in crds:
            tools.ok("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(crd))
    assert carried == 10


def test_the_custom_resources_keep_what_matters(tools: Tools) -> None:
    """The schemas neither lose nor refuse the fields people write, and refuse what upstream's would."""
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "app", "namespace": "default"},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example.org/apps.git", "path": "dev", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "dev"},
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True},
                "syncOptions": ["CreateNamespace=true"],
                "retry": {"limit": 5, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"}},
            },
        },
        "status": {"sync": {"status": "Synced", "revision": "abc"}, "health": {"status": "Healthy"}},
    }
    tools.ok("kubectl", "apply", "-f", "-", stdin=yaml.safe_dump(application))
    stored = tools.get("application.argoproj.io", "app")
    assert stored["spec"] == application["spec"]
    # Upstream's Application has no status subresource: its status is written with the object.
    assert stored["status"] == application["status"]
    printed = tools.ok("kubectl", "get", "application.argoproj.io", "app")
    assert printed.split()[:5] == ["NAME", "SYNC", "STATUS", "HEALTH", "STATUS"]
    broken = {**application, "metadata": {"name": "broken"}, "spec": {"project": "default"}}
    done = tools.run("kubectl", "create", "--validate=false", "-f", "-", stdin=yaml.safe_dump(broken))
    assert done.returncode != 0
    assert "spec.destination" in done.stderr
    issuer = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": "letsencrypt-staging"},
        "spec": {
            "acme": {
                "server": "https://acme-staging-v02.api.letsencrypt.org/directory",
                "email": "ops@example.org",
                "privateKeySecretRef": {"name": "letsencrypt-staging-account"},
                "solvers": [
                    {"http01": {"ingress": {"ingressClassName": "nginx"}}},
                    {"dns01": {"webhook": {"groupName": "a", "solverName": "b", "config": {"any": ["thing"]}}}},
                ],
            }
        },
    }
    tools.ok("kubectl", "apply", "-f", "-", stdin=yaml.safe_dump(issuer))
    assert tools.get("clusterissuer", "letsencrypt-staging")["spec"] == issuer["spec"]
    runners = {"githubConfigUrl": "https://github.com/example/app", "spec": {"containers": [{"name": "runner"}]}}
    for changed, missing in (
        ({"ephemeralRunnerSpec": runners}, "spec.patchID"),
        ({"patchID": 0, "ephemeralRunnerSpec": {**runners, "spec": {}}}, "spec.ephemeralRunnerSpec.spec.containers"),
        ({"patchID": 0, "ephemeralRunnerSpec": runners}, None),
    ):
        made = {"apiVersion": "actions.github.com/v1alpha1", "kind": "EphemeralRunnerSet", "spec": changed}
        item = yaml.safe_dump({**made, "metadata": {"name": "build", "namespace": "default"}})
        done = tools.run("kubectl", "create", "--validate=false", "--dry-run=server", "-f", "-", stdin=item)
        assert (done.returncode == 0) if missing is None else (missing in done.stderr), done.stderr
