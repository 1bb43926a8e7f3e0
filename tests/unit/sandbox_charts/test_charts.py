"""The sandbox's charts: the same bytes everywhere, under the catalogue's names, versions and value keys."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deployments.sandbox import charts
from deployments.sandbox.charts import build, pack
from deployments.sandbox.charts.__main__ import main
from deployments.sandbox.controllers.cert_manager.programs import CONTAINERS
from deployments.sandbox.upstream.build import UPSTREAM
from infra.catalog import Catalog, Lock
from infra.catalog.lock import SANDBOX
from infra.catalog.models import CrdEstablishedProbe, LoadBalancerProbe

GOLDEN = Path(__file__).parent.parent / "catalog/golden"
FOLDERS = {path.name: path for path in charts.charts()}


def metadata(chart: Path) -> dict[str, Any]:
    content = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_every_chart_of_the_catalogue_is_there_in_its_version() -> None:
    wanted = {chart.name: chart.version for chart in Catalog.load().charts()}
    assert {name: metadata(folder)["version"] for name, folder in FOLDERS.items()} == wanted
    assert all(metadata(folder)["name"] == name for name, folder in FOLDERS.items())


def test_the_lock_has_the_packages_digests(tmp_path: Path) -> None:
    """After a change: `python -m deployments.sandbox.charts DIR` and `python -m infra.catalog lock --replace`."""
    digests = build(tmp_path, "http://127.0.0.1:15008")
    recorded = {
        f"{name}-{version}.tgz": sha256
        for (source, name, version), sha256 in Lock.load().digests.items()
        if source == SANDBOX
    }
    assert recorded == digests


def test_packages_are_the_same_whenever_they_are_made(tmp_path: Path) -> None:
    name, folder = next(iter(FOLDERS.items()))
    copied = tmp_path / name
    shutil.copytree(folder, copied)
    for path in sorted(copied.rglob("*"), reverse=True):
        os.utime(path, (1, 1))
        if path.is_file():
            path.chmod(0o600)
    (copied / ".DS_Store").write_bytes(b"x")
    assert pack(copied) == pack(folder)


def test_a_package_is_what_helm_expects(tmp_path: Path) -> None:
    digests = build(tmp_path, "http://charts.example.org/base/")
    for filename, digest in digests.items():
        assert hashlib.sha256((tmp_path / filename).read_bytes()).hexdigest() == digest
        with tarfile.open(tmp_path / filename, "r:gz") as archive:
            members = archive.getmembers()
        top = {member.name.split("/")[0] for member in members}
        assert len(top) == 1
        assert f"{top.pop()}/Chart.yaml" in {member.name for member in members}
        assert {(one.uid, one.gid, one.mtime, one.mode) for one in members} == {(0, 0, 0, 0o644)}


def test_the_index_leads_to_every_package(tmp_path: Path) -> None:
    digests = build(tmp_path, "http://charts.example.org/base/")
    index = yaml.safe_load((tmp_path / "index.yaml").read_text(encoding="utf-8"))
    entries = [entry for versions in index["entries"].values() for entry in versions]
    assert {entry["urls"][0].rsplit("/", 1)[1]: entry["digest"] for entry in entries} == digests
    assert all(entry["urls"][0].startswith("http://charts.example.org/base/") for entry in entries)
    before = (tmp_path / "index.yaml").read_bytes()
    build(tmp_path, "http://charts.example.org/base/")
    assert (tmp_path / "index.yaml").read_bytes() == before


def test_packages_of_gone_versions_are_removed(tmp_path: Path) -> None:
    (tmp_path / "cert-manager-v0.0.1.tgz").write_bytes(b"x")
    digests = build(tmp_path, "http://x")
    assert {path.name for path in tmp_path.glob("*.tgz")} == set(digests)
    assert list(tmp_path.glob(".*")) == []


def test_the_command_packs_into_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["charts", str(tmp_path)])
    main()
    assert len(capsys.readouterr().out.splitlines()) == len(FOLDERS)
    assert f"{tmp_path.as_uri()}/argo-cd" in (tmp_path / "index.yaml").read_text(encoding="utf-8")


@given(st.binary(max_size=300))
def test_any_bytes_come_back_from_the_gzip_stream(content: bytes) -> None:
    assert gzip.decompress(charts._gzip_stored(content)) == content


@pytest.mark.parametrize("size", [0, 65534, 65535, 65536, 131070, 131071])
def test_block_borders_are_right(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    assert gzip.decompress(charts._gzip_stored(content)) == content


# The charts take our values, and make what the probes look for --------------------------------------------------------


def leaves(values: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*at, key))
    else:
        yield at


OPEN = {("cephClusterSpec",), ("controllerServiceAccount",), ("minRunners",), ("maxRunners",)}
"""Values that upstream's charts take without a default of their own."""


@cache
def golden(kind: str) -> dict[str, Any]:
    """The values of every release of a kind of environment."""
    content = yaml.load((GOLDEN / f"{kind}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    assert isinstance(content, dict)
    return content


@cache
def releases() -> tuple[tuple[str, str, dict[str, Any]], ...]:
    """(kind of environment, chart, values) of every golden release."""
    of_release = {one.name: one.chart.name for addon in Catalog.load().values() for one in addon.spec.releases}
    return tuple(
        (path.stem, of_release.get(place.split("/")[1], "gha-runner-scale-set"), values)
        for path in sorted(GOLDEN.glob("*.yaml"))
        for place, values in golden(path.stem).items()
    )


@cache
def defaults_of(chart: str) -> dict[str, Any]:
    content = yaml.load((FOLDERS[chart] / "values.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize(("kind", "chart", "values"), releases())
def test_every_value_of_ours_is_one_the_chart_knows(kind: str, chart: str, values: dict[str, Any]) -> None:
    defaults = defaults_of(chart)
    for leaf in leaves(values):
        known: Any = defaults
        for depth, key in enumerate(leaf):
            if leaf[: depth + 1] in OPEN or not isinstance(known, dict) or known == {}:
                break
            assert key in known, f"{kind}: {chart} has no value {'.'.join(leaf[: depth + 1])}"
            known = known[key]


def run_helm(argv: list[str], values: dict[str, Any], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not on PATH")
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    argv = [helm, *argv, "-f", "values.yaml"]
    return subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("chart", FOLDERS)
def test_every_chart_is_clean(chart: str, tmp_path: Path) -> None:
    values = next(values for _, name, values in releases() if name == chart)
    done = run_helm(["lint", str(FOLDERS[chart])], values, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout
    # Helm 4 warns of versions with a v, which are upstream's own; hence no --strict.
    said = [line for line in done.stdout.splitlines() if line.startswith(("[WARNING]", "[ERROR]"))]
    assert [line for line in said if "is not a valid SemVerV2" not in line] == []


def template(chart: str, values: dict[str, Any], tmp_path: Path) -> list[dict[str, Any]]:
    release = {"argo-cd": "argocd"}.get(chart, chart)
    argv = ["template", release, str(FOLDERS[chart]), "-n", release, "--include-crds"]
    done = run_helm(argv, values, tmp_path)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]


@pytest.mark.parametrize(("kind", "chart", "values"), releases())
def test_every_chart_renders_with_our_values(kind: str, chart: str, values: dict[str, Any], tmp_path: Path) -> None:
    del kind
    objects = template(chart, values, tmp_path)
    assert objects
    seen = [
        (one["apiVersion"], one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects
    ]
    assert len(set(seen)) == len(seen)
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_charts_bring_every_crd_the_probes_ask_for(tmp_path: Path) -> None:
    brought = {
        yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)["metadata"]["name"]
        for folder in FOLDERS.values()
        for path in [*folder.glob("crds/*.yaml"), *folder.glob("files/crds/*.yaml")]
    } | {
        one["metadata"]["name"]
        for one in template("cert-manager", {"crds": {"enabled": True}}, tmp_path)
        if one["kind"] == "CustomResourceDefinition"
    }
    asked = {
        name
        for addon in Catalog.load().values()
        for probe in addon.probes
        if isinstance(probe, CrdEstablishedProbe)
        for name in probe.names
    }
    assert asked <= brought


def test_every_definition_of_ours_says_of_which_version_it_is() -> None:
    for name, folder in FOLDERS.items():
        for path in [*folder.glob("crds/*.yaml"), *folder.glob("files/crds/*.yaml")]:
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            assert first.startswith("# Ours, with the names"), path
            assert str(metadata(folder)["appVersion"]) in first, (name, first)


def test_crds_are_carried_as_the_catalogue_says() -> None:
    for addon in Catalog.load().values():
        for release in addon.spec.releases:
            folder = FOLDERS[release.chart.name]
            carried = {
                (True, False): "folder",
                (False, True): "templates",
                (False, False): "none",
            }[(folder / "crds").is_dir(), (folder / "files/crds").is_dir() or any(folder.glob("templates/crd-*.yaml"))]
            assert release.crds.carried == carried


def test_cert_managers_chart_is_upstreams_in_the_version_of_its_programs(tmp_path: Path) -> None:
    chart = metadata(FOLDERS["cert-manager"])
    assert chart["version"] == chart["appVersion"] == UPSTREAM.version("github.com/cert-manager/cert-manager")
    objects = template("cert-manager", {"crds": {"enabled": True}}, tmp_path)
    containers = {
        container["name"]
        for one in objects
        if one["kind"] == "Deployment"
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    assert containers == set(CONTAINERS.values())
    crds = [one for one in objects if one["kind"] == "CustomResourceDefinition"]
    assert len(crds) == 6
    assert all(one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for one in crds)


def test_the_ingress_serves_the_wildcard_certificate_it_is_given(tmp_path: Path) -> None:
    values = golden("wildcard")["nginx-ingress/nginx-ingress"]
    objects = template("nginx-ingress", values, tmp_path)
    (controller,) = [one for one in objects if one["kind"] == "Deployment"]
    arguments = controller["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "-wildcard-tls-secret=nginx-ingress/wildcard-tls" in arguments
    (service,) = [one for one in objects if one["kind"] == "Service"]
    (probe,) = [one for one in Catalog.load()["nginx-ingress"].probes if isinstance(one, LoadBalancerProbe)]
    assert service["metadata"]["name"] == probe.service
    assert service["spec"]["externalTrafficPolicy"] == "Cluster"
    (ingress_class,) = [one for one in objects if one["kind"] == "IngressClass"]
    assert ingress_class["metadata"]["annotations"] == {"ingressclass.kubernetes.io/is-default-class": "true"}


def test_argo_cds_ingress_follows_the_certificate(tmp_path: Path) -> None:
    def tls(kind: str) -> tuple[Any, Any]:
        values = golden(kind)["argocd/argocd"]
        (ingress,) = [one for one in template("argo-cd", values, tmp_path) if one["kind"] == "Ingress"]
        return ingress["spec"]["tls"], ingress["metadata"].get("annotations", {})

    host = "argocd.dev.sandbox.example"
    plain, annotations = tls("http01")
    assert plain == [{"hosts": [host], "secretName": "argocd-server-tls"}]
    assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt-staging"
    starred, annotations = tls("wildcard")
    assert starred == [{"hosts": [host]}]
    assert annotations == {}
