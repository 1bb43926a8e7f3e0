"""What the cloud, the secrets and the machine must have, and what is said when nobody could look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.spec.capacity import needs
from infra.spec.facts import CloudFacts, ExistingCluster, Flavor, Image, NodeCount, Quota
from infra.spec.models import Environment
from infra.spec.names import keypair_name
from infra.spec.preflight import blind_spots, preflight

FLAVORS = (
    Flavor("m1.small", 1, 2048, 20),
    Flavor("m1.medium", 2, 4096, 40),
    Flavor("m1.large", 4, 8192, 80, id="3"),
    Flavor("m1.xlarge", 8, 16384, 160),
)
ROOMY = {name: Quota(1_000_000, 0) for name in ("instances", "cores", "ram", "volumes", "gigabytes", "load_balancers")}
GITHUB = frozenset({"github_app_id", "github_app_installation_id", "github_app_private_key"})
GOOD = CloudFacts(
    flavors=FLAVORS,
    images=(Image("fedora-coreos", "fedora-coreos", min_ram=1024, min_disk=10),),
    networks=frozenset({"public"}),
    subnets={"nodes": frozenset({"a", "b"})},
    block_storage=True,
    volume_types=frozenset({"ssd", "hdd"}),
    keypairs={},
    zones=frozenset({"sandbox.example."}),
    availability_zones=frozenset({"nova"}),
    quotas=ROOMY,
    secrets={"github-app": GITHUB, "apps": frozenset({"password"})},
    tools={"helm": "v4.3.2+g9f88ccb", "terraform": "1.11.4"},
    addons=frozenset({"cert-manager", "nginx-ingress", "argo-cd", "actions-runner-controller", "rook-ceph"}),
)
ZONES = {"cert-manager": {"zone-key": frozenset({"clouds.yaml"})}}
OURS = ExistingCluster("u", ours=True, kubernetes="v1.33.4", fixed_network="nodes")


@pytest.fixture
def environment(document: dict[str, Any]) -> Environment:
    document["spec"]["cluster"] |= {"externalNetwork": "public", "fixedNetwork": "nodes", "fixedSubnet": "a"}
    document["spec"]["storage"]["volumeType"] = "ssd"
    document["spec"]["delivery"]["credentials"] = "apps"
    return Environment.model_validate(document)


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"flavors": FLAVORS[1:3]}, "spec.cluster.nodeGroups[0].flavor", "no flavor “m1.xlarge”", "did you mean m1.large?"),
    ({"flavors": FLAVORS[:1]}, "spec.cluster.masters.flavor", "no flavor “m1.medium”", "m1.small"),
    (
        {"flavors": (Flavor("m1.medium", 1, 1024, 40), *FLAVORS[2:])},
        "spec.cluster.masters.flavor",
        "1 vCPUs and 1024 MiB, too little",
        "2 vCPUs and 2048 MiB",
    ),
    ({"images": ()}, "spec.cluster.image", "no image “fedora-coreos”", "nothing"),
    ({"images": (Image("fedora-core", "x"),)}, "spec.cluster.image", "no image", "did you mean fedora-core?"),
    ({"images": (Image("fedora-coreos", None),)}, "spec.cluster.image", "no property os_distro", "--property"),
    (
        {"images": (Image("fedora-coreos", "x", min_ram=8192),)},
        "spec.cluster.masters.flavor",
        "4096 MiB of memory, and the image fedora-coreos needs 8192",
        "larger",
    ),
    ({"images": (Image("fedora-coreos", "x", min_disk=50),)}, "spec.cluster.masters.flavor", "40 GiB", "larger"),
    ({"networks": frozenset({"external"})}, "spec.cluster.externalNetwork", "“public”", "it has: external"),
    ({"subnets": {"node": frozenset({"a"})}}, "spec.cluster.fixedNetwork", "no network “nodes”", "did you mean node?"),
    ({"subnets": {"nodes": frozenset({"c"})}}, "spec.cluster.fixedSubnet", "“nodes” has no subnet “a”", "it has: c"),
    ({"volume_types": frozenset({"gold"})}, "spec.storage.volumeType", "no volume type “ssd”", "it has: gold"),
    ({"block_storage": False}, "spec.cluster.volumeDriver", "no block storage service", "write null"),
    (
        {"cluster": replace(OURS, fixed_network="old")},
        "spec.cluster.fixedNetwork",
        "in the network “old”, and cannot be moved",
        "declare old",
    ),
    (
        {"cluster": replace(OURS, fixed_network=None)},
        "spec.cluster.fixedNetwork",
        "in a network of its own",
        "leave it out",
    ),
    ({"zones": frozenset({"sandbox.example.org."})}, "spec.dns.zone", "no DNS zone", "did you mean"),
    ({"availability_zones": frozenset({"az1"})}, "spec.storage.availabilityZone", "“nova”", "it has: az1"),
    ({"secrets": {"github": GITHUB}}, "spec.runners[0].credentials", "no secret", "did you mean github?"),
    ({"addon_secrets": ZONES}, "spec.addons.cert-manager", "no secret “zone-key”", "there is"),
    (
        {"addon_secrets": ZONES, "secrets": {**(GOOD.secrets or {}), "zone-key": frozenset({"other"})}},
        "spec.addons.cert-manager",
        "lacks keys",
        "give it clouds.yaml",
    ),
    (
        {"secrets": {"github-app": GITHUB - {"github_app_id"}, "apps": frozenset({"password"})}},
        "spec.runners[0].credentials",
        "lacks keys",
        "github_app_id + github_app_installation_id + github_app_private_key, or github_token",
    ),
    (
        {"secrets": {"github-app": GITHUB, "apps": frozenset({"sshPrivateKey"})}},
        "spec.delivery.credentials",
        "lacks keys",
        "password",
    ),
    (
        {"addons": GOOD.addons and GOOD.addons - {"argo-cd"}},
        "spec.addons.argo-cd",
        "has no add-on",
        "the catalogue has",
    ),
    ({"tools": {"helm": None}}, "(this machine)", "helm is not there", "install helm 3.16"),
    ({"tools": {"helm": "v2.17.0"}}, "(this machine)", "helm is 2.17.0", "3.16 or newer, below 5"),
    ({"tools": {"helm": "v3.15.4"}}, "(this machine)", "helm is 3.15.4", "3.16 or newer, below 5"),
    ({"tools": {"helm": "5.0.0"}}, "(this machine)", "helm is 5.0.0", "3.16 or newer, below 5"),
    ({"tools": {"terraform": "banana"}}, "(this machine)", "says its version is “banana”", "install terraform"),
    (
        {"cluster": ExistingCluster("3c1e", ours=False)},
        "metadata.name",
        "“dev” (3c1e) that Plumbline did not make",
        "another name",
    ),
    (
        {"keypairs": {keypair_name("dev"): "ssh-ed25519 AAAAother x"}},
        "spec.cluster.sshPublicKey",
        "with another key",
        "remove",
    ),
    ({"cluster": replace(OURS, kubernetes="v1.34.0")}, "spec.cluster.kubernetes", "is older than", "v1.34.0 or newer"),
    ({"cluster": replace(OURS, kubernetes="v1.33.5")}, "spec.cluster.kubernetes", "is older than", "cannot go back"),
    ({"cluster": replace(OURS, kubernetes="v1.31.9")}, "spec.cluster.kubernetes", "skips a minor", "first to v1.32.x"),
    ({"quotas": {"cores": Quota(30, 10)}}, "spec.cluster", "needs 22 more vCPUs, and the quota leaves 20 of 30", "32"),
    ({"quotas": {"instances": Quota(4, 0)}}, "spec.cluster", "needs 5 more instances", "ask for 5"),
    ({"quotas": {"ram": Quota(40000, 0)}}, "spec.cluster", "needs 45056 MiB more memory", "ask for 45056 MiB"),
    ({"quotas": {"load_balancers": Quota(1, 0)}}, "spec.cluster", "needs 2 more load balancers", "ask for 2"),
    ({"quotas": {"floating_ips": Quota(5, 9)}}, "spec.cluster", "leaves 0 of 5", "ask for 11"),
]


@pytest.mark.parametrize(("changes", "path", "reason", "right"), CASES, ids=[case[2][:30] for case in CASES])
def test_says_what_is_missing(
    environment: Environment, changes: dict[str, Any], path: str, reason: str, right: str
) -> None:
    found = [problem for problem in preflight(environment, replace(GOOD, **changes)) if problem.path == path]
    assert len(found) == 1 and reason in found[0].reason and right in found[0].right, found


def test_nothing_is_wrong_when_everything_is_there(environment: Environment) -> None:
    assert preflight(environment, GOOD) == [] and blind_spots(environment, GOOD) == []


@pytest.mark.parametrize("there", ["v1.33.4", "v1.33.0", "v1.32.9", None, "unknown"])
def test_versions_that_can_be_reached(environment: Environment, there: str | None) -> None:
    assert preflight(environment, replace(GOOD, cluster=replace(OURS, kubernetes=there))) == []


def test_our_own_keypair_is_no_collision(environment: Environment) -> None:
    key = environment.spec.cluster.ssh_public_key.split()
    assert (
        preflight(environment, replace(GOOD, keypairs={keypair_name("dev"): f"{key[0]} {key[1]} other-comment"})) == []
    )


def test_what_nobody_looked_at_is_said_and_never_taken_for_fine(environment: Environment) -> None:
    nothing = CloudFacts(cluster_known=False)
    assert preflight(environment, nothing) == []
    assert len(blind_spots(environment, nothing)) == 13
    assert blind_spots(environment, replace(GOOD, quotas=None)) == ["quotas"]


def test_a_restricted_application_credential_is_refused(environment: Environment) -> None:
    (problem,) = preflight(environment, replace(GOOD, restricted_credential="ci"))
    assert problem.path == "spec.cloud"
    assert "application credential “ci”, which is restricted" in problem.reason
    assert "check-drift and check-fleet work with this one" in (problem.right or "")


def test_only_what_has_to_be_added_counts(environment: Environment, document: dict[str, Any]) -> None:
    there = replace(OURS, nodes=(NodeCount("m1.medium", 1), NodeCount("m1.large", 3)))
    facts = replace(GOOD, cluster=there)
    assert needs(environment, facts) == {"instances": 1, "cores": 8, "ram": 16384}
    assert preflight(environment, replace(facts, quotas={"cores": Quota(22, 14)})) == []
    document["spec"]["cluster"]["dockerVolumeSize"] = 100
    larger = Environment.model_validate(document)
    assert needs(larger, GOOD)["gigabytes"] == 500 and needs(larger, GOOD)["volumes"] == 5
    unlimited = replace(GOOD, quotas={"cores": Quota(-1, 5000)})
    assert preflight(environment, unlimited) == []


def test_flavors_and_images_may_be_named_by_id(document: dict[str, Any]) -> None:
    document["spec"]["cluster"]["nodes"]["flavor"] = "3"
    assert preflight(Environment.model_validate(document), GOOD) == []
