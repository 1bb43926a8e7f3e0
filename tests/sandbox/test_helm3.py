"""An environment that Helm 3 made, from then on in the hands of Helm 4."""

from __future__ import annotations

import pytest
import yaml

from infra.settings import ROOT
from tests.helms import helm_of
from tests.platform import Finished, Platform, writes

pytestmark = pytest.mark.sandbox

CLUSTER = yaml.safe_load((ROOT / "infra/environments/dev.yaml").read_text())["spec"]["cluster"]
RUNNER = {"name": "elder", "url": "https://github.com/example/elder", "min": 0, "credentials": "github-app"}


def sentences_of(checked: Finished) -> list[str]:
    return [finding["sentence"] for plane in checked.result["planes"] for finding in plane["findings"]]


def test_an_environment_made_by_helm_3_is_in_step_changed_and_taken_away_by_helm_4(platform: Platform) -> None:
    helm3 = {"PLUMBLINE_HELM_BINARY": str(helm_of(3))}
    platform.declare("elder", runners=[{**RUNNER, "max": 2}])
    first = platform.flow("create_environment", "elder", **helm3)
    assert first.status == 0, first.log[-4000:]
    sentences = {step["name"]: step["sentence"] for step in first.result["steps"]}
    assert "helm 3." in sentences["prerequisites"]

    before = len(platform.requests())
    again = platform.flow("create_environment", "elder")
    assert again.status == 0, again.log[-3000:]
    assert "helm 4." in {step["name"]: step["sentence"] for step in again.result["steps"]}["prerequisites"]
    assert (again.made, writes(platform.requests()[before:])) == ([], [])
    checked = platform.flow("check_drift", "elder")
    assert checked.status == 0, sentences_of(checked)

    # The next minor of Kubernetes in the same commit: its API server is another one from then on.
    platform.declare("elder", cluster={**CLUSTER, "kubernetes": "v1.34.1"}, runners=[{**RUNNER, "max": 3}])
    changed = platform.flow("create_environment", "elder")
    assert changed.status == 0, changed.log[-3000:]
    made = {one.split()[0] for one in changed.made}
    assert {one for one in made if not one.startswith("template/")} == {"cluster/elder", "release/arc-runners/elder"}
    assert "(as 1.34)" in str(changed.result), changed.result
    checked = platform.flow("check_drift", "elder")
    assert checked.status == 0, sentences_of(checked)

    gone = platform.flow("destroy_environment", "elder", "--confirm", "elder")
    assert gone.status == 0, gone.log[-3000:]
    assert platform.leftovers("elder") == []
