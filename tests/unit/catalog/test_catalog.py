"""The catalogue as it stands, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.catalog import WILDCARD_SECRET, Catalog, wildcard
from infra.catalog.models import AddonSpec, ConditionProbe, LoadBalancerProbe
from infra.clients.errors import InvalidInput, Misconfigured
from infra.spec.models import Environment

Make = Callable[..., Environment]
DNS01 = {"email": "ops@example.org", "issuer": "letsencrypt", "challenge": "dns01"}

SMALL: dict[str, Any] = {
    "title": "A thing",
    "releases": [
        {
            "name": "thing",
            "namespace": "thing",
            "chart": {"repository": "https://charts.example.org", "name": "thing", "version": "1.2.3"},
            "values": "values.yaml.j2",
            "crds": {"carried": "none"},
        }
    ],
    "probes": [{"kind": "workloads", "namespace": "thing", "release": "thing"}],
}


def write(root: Path, name: str, spec: dict[str, Any], *, template: bool = True) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "addon.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    if template:
        (folder / "values.yaml.j2").write_text("{}\n", encoding="utf-8")
    return root


def test_it_has_what_the_platform_promises(catalog: Catalog) -> None:
    assert list(catalog) == [
        "actions-runner-controller",
        "argo-cd",
        "cert-manager",
        "external-dns",
        "kubernetes-dashboard",
        "nginx-ingress",
        "rook-ceph",
    ]
    assert len(catalog) == 7
    assert catalog["kubernetes-dashboard"].spec.status == "archived"
    assert catalog["argo-cd"].title


def test_each_release_has_its_promised_place(catalog: Catalog, make: Make) -> None:
    places = {(one.addon, one.name): one.namespace for one in catalog.releases(make())}
    assert places[("cert-manager", "cert-manager")] == "cert-manager"
    assert places[("nginx-ingress", "nginx-ingress")] == "nginx-ingress"
    assert places[("argo-cd", "argocd")] == "argocd"
    assert places[("actions-runner-controller", "arc")] == "arc-systems"
    rook = [one.name for one in catalog["rook-ceph"].releases(make())]
    assert rook == ["rook-ceph", "ceph-csi-drivers", "rook-ceph-cluster"]


def test_only_what_is_named_and_enabled_is_installed(catalog: Catalog, make: Make) -> None:
    environment = make(addons={"cert-manager": {}, "nginx-ingress": {}, "rook-ceph": {"enabled": False}}, runners=None)
    assert catalog.enabled(environment) == ("cert-manager", "nginx-ingress")
    assert catalog.install_order(environment) == (("cert-manager", "nginx-ingress"),)


def test_needs_come_first(catalog: Catalog, make: Make) -> None:
    waves = catalog.install_order(make())
    assert waves[-1] == ("kubernetes-dashboard",)
    assert {"cert-manager", "nginx-ingress"} <= set(waves[0])


def test_a_need_that_is_not_enabled_is_refused(catalog: Catalog, make: Make) -> None:
    environment = make(
        addons={"kubernetes-dashboard": {}, "cert-manager": {}, "nginx-ingress": {}}, runners=None
    ).model_copy(deep=True)
    del environment.spec.addons["cert-manager"]
    with pytest.raises(InvalidInput, match="kubernetes-dashboard needs cert-manager, which is not enabled"):
        catalog.install_order(environment)


def test_a_need_of_the_spec_that_is_left_out_is_refused(catalog: Catalog, make: Make) -> None:
    environment = make(addons={"external-dns": {}}, dns=None, certificates=None, runners=None)
    with pytest.raises(InvalidInput, match=r"external-dns needs spec\.dns, which is left out"):
        catalog.releases(environment)


def test_an_unknown_addon_is_refused_with_a_suggestion(catalog: Catalog, make: Make) -> None:
    with pytest.raises(InvalidInput) as caught:
        catalog.addon("certmanager")
    assert "Did you mean cert-manager?" in str(caught.value)
    environment = make(addons={"prometheus": {}}, dns=None, certificates=None, runners=None)
    with pytest.raises(InvalidInput, match="There is no add-on 'prometheus'"):
        catalog.enabled(environment)


def test_the_users_values_win(catalog: Catalog, make: Make) -> None:
    theirs = {"controller": {"replicaCount": 5, "service": {"externalTrafficPolicy": "Local"}}}
    environment = make(addons={"nginx-ingress": {"values": theirs}, "cert-manager": {}}, runners=None)
    values = catalog["nginx-ingress"].releases(environment)[0].values
    assert values["controller"]["replicaCount"] == 5
    assert values["controller"]["service"] == {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}


def test_values_of_several_releases_are_told_apart(catalog: Catalog, make: Make) -> None:
    theirs = {"rook-ceph-cluster": {"toolbox": {"enabled": True}}}
    environment = make(addons={"rook-ceph": {"values": theirs}}, dns=None, certificates=None, runners=None)
    releases = {one.name: one.values for one in catalog["rook-ceph"].releases(environment)}
    assert releases["rook-ceph-cluster"]["toolbox"] == {"enabled": True}
    assert "toolbox" not in releases["rook-ceph"]


@pytest.mark.parametrize(
    ("theirs", "says"),
    [({"toolbox": {}}, "toolbox is not a release of rook-ceph"), ({"rook-ceph": 1}, "has to be a mapping")],
)
def test_values_of_no_release_are_refused(catalog: Catalog, make: Make, theirs: dict[str, Any], says: str) -> None:
    environment = make(addons={"rook-ceph": {"values": theirs}}, dns=None, certificates=None, runners=None)
    with pytest.raises(InvalidInput, match=says):
        catalog["rook-ceph"].releases(environment)


def test_a_runner_gets_a_release_of_its_own(catalog: Catalog, make: Make) -> None:
    environment = make()
    (release,) = catalog.runner_releases(environment)
    assert (release.name, release.namespace) == ("build", "arc-runners")
    assert release.chart.name == "gha-runner-scale-set"
    assert release.values["githubConfigSecret"] == "github-app"
    assert release.values["maxRunners"] == 5
    controller = catalog["actions-runner-controller"].releases(environment)[0]
    assert release.values["controllerServiceAccount"] == {
        "namespace": controller.namespace,
        "name": f"{controller.name}-gha-rs-controller",
    }


def test_only_the_runners_addon_makes_runner_releases(catalog: Catalog, make: Make) -> None:
    environment = make()
    with pytest.raises(Misconfigured):
        catalog["argo-cd"].runner_release(environment, environment.spec.runners[0])
    without = Catalog({"argo-cd": catalog["argo-cd"]})
    with pytest.raises(Misconfigured, match="runs runners"):
        without.runner_release(environment, environment.spec.runners[0])


def test_a_wildcard_takes_dns01_and_its_secret(catalog: Catalog, make: Make) -> None:
    plain, starred = make(), make(certificates=DNS01)
    assert not wildcard(plain)
    assert wildcard(starred)
    (release,) = catalog["nginx-ingress"].releases(starred)
    (secret,) = release.requires
    assert (secret.namespace, secret.name) == WILDCARD_SECRET
    assert release.values["controller"]["wildcardTLS"] == {"secret": "nginx-ingress/wildcard-tls"}
    (release,) = catalog["nginx-ingress"].releases(plain)
    assert release.requires == ()


def test_no_secret_of_ours_is_in_any_values(catalog: Catalog, make: Make) -> None:
    text = yaml.safe_dump([dict(one.values) for one in catalog.releases(make()) + catalog.runner_releases(make())])
    assert "private" not in text.lower()
    assert "password" not in text.lower()


def test_every_chart_is_listed_once(catalog: Catalog) -> None:
    names = [chart.name for chart in catalog.charts()]
    assert len(names) == len(set(names)) == 10
    assert "gha-runner-scale-set" in names


def test_cert_manager_and_the_load_balancer_are_probed(catalog: Catalog) -> None:
    kinds = [probe.kind for probe in catalog["cert-manager"].probes]
    assert kinds == ["crd-established", "workloads", "dry-run-create"]
    (balancer,) = [one for one in catalog["nginx-ingress"].probes if isinstance(one, LoadBalancerProbe)]
    assert (balancer.namespace, balancer.service) == ("nginx-ingress", "nginx-ingress-controller")
    (condition,) = [one for one in catalog["rook-ceph"].probes if isinstance(one, ConditionProbe)]
    assert (condition.resource, condition.path, condition.equals) == ("CephCluster", "status.phase", "Ready")
    assert catalog["argo-cd"].ignore[0].name == "argocd-secret"
    assert catalog["actions-runner-controller"].protects[0].kind == "AutoscalingRunnerSet"


def change(path: str, value: Any) -> dict[str, Any]:
    """SMALL with one place changed; `path` like releases.0.chart.version."""
    spec: Any = yaml.safe_load(yaml.safe_dump(SMALL))
    at = spec
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        at = at[part]
    at[last] = value
    return spec  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("colour", "red", "colour: Extra inputs"),
        ("releases.0.chart.version", "~1.2", "releases.0.chart.version: .*exact"),
        ("releases.0.chart.version", "1.2", "exact"),
        ("releases.0.chart.repository", "http://charts.example.org", "https:// or oci://"),
        ("releases.0.namespace", "No", "releases.0.namespace"),
        ("releases", [SMALL["releases"][0], SMALL["releases"][0]], "same name"),
        ("probes.0.release", "other", "'other', which is not one of"),
        ("probes.0", {"kind": "dry-run-create", "object": {"kind": "X"}}, "needs apiVersion"),
        ("probes.0", {"kind": "guess"}, "probes.0"),
        ("probes", [], "probes"),
        ("needs", ["nowhere"], "needs nowhere, which is not in the catalogue"),
        ("ignore", [{"kind": "Secret", "paths": ["data"], "why": "x"}], "ignore.0.paths"),
    ],
)
def test_a_wrong_addon_says_where_and_what(tmp_path: Path, path: str, value: Any, says: str) -> None:
    with pytest.raises(Misconfigured, match=says) as caught:
        Catalog.load(write(tmp_path, "thing", change(path, value)))
    assert "thing" in str(caught.value)


def test_a_scale_set_of_another_version_than_its_controller_is_refused() -> None:
    chart = {**SMALL["releases"][0]["chart"], "version": "1.2.4"}
    per_runner = {"namespace": "x", "chart": chart, "values": "values.yaml.j2", "crds": {"carried": "none"}}
    with pytest.raises(ValueError, match="same version"):
        AddonSpec.model_validate({**SMALL, "perRunner": per_runner})


def test_circles_among_addons_are_refused_at_load(tmp_path: Path) -> None:
    write(tmp_path, "a", {**SMALL, "needs": ["b"]})
    write(tmp_path, "b", {**SMALL, "needs": ["a"]})
    with pytest.raises(Misconfigured, match="a -> b -> a"):
        Catalog.load(tmp_path)


def test_a_missing_template_and_broken_yaml_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"values\.yaml\.j2 does not exist"):
        Catalog.load(write(tmp_path / "one", "thing", SMALL, template=False))
    write(tmp_path / "two", "thing", SMALL)
    (tmp_path / "two/thing/addon.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"addon\.yaml cannot be read"):
        Catalog.load(tmp_path / "two")
