"""The bench's arithmetic and its script; what it measures is nobody's test."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from deployments import bench
from deployments.bench_figures import Figures, OurRun, parties, verdict
from deployments.bench_plain import prepare
from deployments.bench_platform import Seen
from infra.catalog import Catalog
from infra.settings import ROOT, Settings
from infra.spec.models import Environment

WAITED = {"terraform": 10.0, "openstack-sandbox": 2.0, "helm": 6.0, "kubernetes": 3.0, "git": 0.5, "readiness": 1.0}


def ours(wall: float = 40, *, writes: int = 20, tasks: int = 26, peak: float = 200) -> OurRun:
    return OurRun(
        wall=wall, seconds=35, flow_overhead=2, waited=WAITED, peak_mib=peak, cpu=6, writes=writes, tasks=tasks
    )


def figures(**changes: object) -> Figures:
    known = {"ours": [ours(), ours(44), ours(100)], "theirs": [20, 22, 90], "again": [ours(9, writes=0)],
             "destroyed": [12], "import_seconds": [2], "machine": {"cores": "2"}}  # fmt: skip
    return Figures.model_validate(known | changes)


@pytest.fixture
def environment() -> Environment:
    return Environment.model_validate(yaml.safe_load((ROOT / "infra/environments/dev.yaml").read_text()))


def test_overhead_is_what_nobody_was_waited_for_with_the_processs_start() -> None:
    assert ours().overhead == 40 - (35 - 2)
    assert ours().outside == 5
    assert figures().overhead == 11
    assert figures().overhead_share == pytest.approx(11 / 44)


def test_the_ratio_is_of_medians_and_comes_first() -> None:
    assert figures().ratio == 2
    assert next(iter(figures().document()["results"])) == "ratio to the plain script"
    assert json.loads(json.dumps(figures().document()))["ours"][0]["wall"] == 40


def test_waits_are_summed_by_party_and_then_the_median_is_taken() -> None:
    found = parties([WAITED, {"terraform": 2.0}, {"terraform": 14.0, "tls": 1.0}])
    assert found == {"cloud": 12, "helm": 0, "Kubernetes": 0, "DNS": 0, "readiness": 0, "others": 0.5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            [
                "at most 10 s: NOT met",
                "at most 15 %: NOT met",
                "at most 40: met",
                "at most 400 MiB: met",
                "0 writes: met",
            ],
        ),
        ({"ours": [ours(34)]}, ["at most 10 s: met", "at most 15 %: met"]),
        ({"ours": [ours(tasks=41)]}, ["at most 40: NOT met"]),
        ({"ours": [ours(peak=401)]}, ["at most 400 MiB: NOT met"]),
        ({"again": [ours(writes=3)]}, ["0 writes: NOT met, 3"]),
    ],
)
def test_the_table_says_of_every_target_whether_it_is_met(changes: dict[str, object], said: list[str]) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(figures(**changes).table())
    text = console.export_text()
    assert [sentence for sentence in said if sentence not in text] == []


def test_a_target_is_met_at_its_limit() -> None:
    assert verdict(40, 40, "") == "at most 40: met"
    assert verdict(40.1, 40, "s") == "at most 40 s: NOT met"


def test_the_plain_script_does_the_same_with_the_same(environment: Environment, tmp_path: Path) -> None:
    catalog = Catalog.load()
    settings = Settings(
        chart_mirror="http://charts.example.org",
        secrets_dir=tmp_path / "secrets",
        acme_server="https://acme.example/dir",
    )
    plain = prepare(tmp_path / "plain", environment, catalog, settings)
    for script in (plain.create, plain.destroy):
        subprocess.run(["bash", "-n", str(script)], check=True)
    text = plain.create.read_text()
    releases = [*catalog.releases(environment), *catalog.runner_releases(environment)]
    places = [text.index(f"helm upgrade --install {release.name} ") for release in releases]
    assert places == sorted(places)
    assert text.index("terraform apply") < places[0]
    for release in releases:
        assert f"--version {release.chart.version}" in text
        assert yaml.safe_load((plain.folder / f"{release.name}.values.yaml").read_text()) == release.values
    variables = json.loads((plain.folder / "terraform/plain.auto.tfvars.json").read_text())
    assert variables["environment"] == environment.name
    kinds = [
        item["kind"]
        for file in plain.folder.glob("*.yaml")
        for item in yaml.safe_load_all(file.read_text())
        if item and "kind" in item
    ]
    assert {"StorageClass", "ClusterIssuer", "Certificate", "Ingress", "Application"} <= set(kinds)
    assert stat.S_IMODE(plain.folder.stat().st_mode) == 0o700


def test_memory_and_processor_time_are_read_as_the_kernel_keeps_them() -> None:
    seen = Seen()
    seen.look(os.getpid())
    assert seen.peak_kib > 10_000
    assert seen.cpu > 0
    before = Seen(seen.peak_kib, seen.cpu)
    seen.look(2**22 + 1)  # above the largest process id there is
    assert seen == before


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").touch()
    assert bench.main(["--home", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "precious").exists()


def test_no_runs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["-n", "0"])
    assert "at least 1" in capsys.readouterr().err
