"""Whether the cloud, the secrets and this machine can carry what is declared: pure, and before the first write."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from infra.clients import helm_program
from infra.spec.capacity import capacity_problems
from infra.spec.facts import CloudFacts, ExistingCluster, Flavor, Image
from infra.spec.fields import parse_version
from infra.spec.models import Environment
from infra.spec.names import cluster_name, keypair_name
from infra.spec.problems import Problem, show, suggest

MASTER_VCPUS, MASTER_RAM = 2, 2048
"""The least kubeadm accepts for a control plane node (kubernetes.io, "Installing kubeadm": 2 CPUs, 2 GB)."""
TOOLS = {
    "helm": (helm_program.NEEDED, helm_program.RANGE),
    "terraform": (SpecifierSet(">=1.5,<2"), "1.5 or newer, below 2"),
}
"""The versions with which each program is known to work, and the same in words."""
MACHINE = "(this machine)"
RUNNER_KEYS = (
    frozenset({"github_app_id", "github_app_installation_id", "github_app_private_key"}),
    frozenset({"github_token"}),
)
"""What the gha-runner-scale-set chart takes: a GitHub App, or a token."""
AUTHORITY_KEYS = (frozenset({"tls.crt", "tls.key"}),)
BINDING_KEYS = (frozenset({"hmac"}),)
"""What cert-manager signs with itself, and what binds an ACME account to another."""
REPOSITORY_KEYS = {
    "https": (frozenset({"username", "password"}), frozenset({"password"})),
    "http": (frozenset({"username", "password"}), frozenset({"password"})),
    "ssh": (frozenset({"sshPrivateKey"}),),
}
"""What an Argo CD repository secret holds, by the URL's scheme."""


def preflight(environment: Environment, facts: CloudFacts) -> list[Problem]:
    """Find everything that would keep an environment from coming to stand; an empty list is not proof of what was
    not looked at: see `blind_spots`."""
    return [
        *_credential_problems(environment, facts),
        *_cluster_problems(environment, facts),
        *_node_problems(environment, facts),
        *_place_problems(environment, facts),
        *_secret_problems(environment, facts),
        *_addon_problems(environment, facts),
        *tool_problems(facts.tools),
        *capacity_problems(environment, facts),
    ]


def blind_spots(environment: Environment, facts: CloudFacts) -> list[str]:
    """Name what this declaration needs and nobody could look at, such as `quotas`."""
    spec = environment.spec
    wanted = {
        "flavors": facts.flavors is None,
        "images": facts.images is None,
        "networks": facts.networks is None
        and (spec.cluster.external_network or spec.cluster.fixed_network) is not None,
        "keypairs": facts.keypairs is None,
        "zones": facts.zones is None and spec.dns is not None,
        "availability zones": facts.availability_zones is None,
        "volume types": facts.volume_types is None and spec.storage.volume_type is not None,
        "quotas": facts.quotas is None,
        "existing clusters": not facts.cluster_known,
        "secrets": facts.secrets is None and any(_credentials(environment, facts)),
        "the catalogue": facts.addons is None and bool(spec.addons),
        "the version of helm": "helm" not in facts.tools,
        "the version of terraform": "terraform" not in facts.tools,
    }
    return [name for name, blind in wanted.items() if blind]


def _credential_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    """Refuse who may make no credentials: Magnum's drivers make one for each cluster, in the name of who asks."""
    if facts.restricted_credential is not None:
        reason = (
            f"the cloud {show(environment.spec.cloud)} is signed in to with the application credential "
            f"{show(facts.restricted_credential)}, which is restricted: Keystone makes none for the cluster with it"
        )
        right = "use one that is unrestricted, or a password; check-drift and check-fleet work with this one, too"
        yield Problem("spec.cloud", reason, right)


def _cluster_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    cluster, name = facts.cluster, cluster_name(environment)
    if cluster is not None and not cluster.ours:
        reason = f"the cloud has a cluster {show(name)} ({cluster.uuid}) that Plumbline did not make"
        yield Problem("metadata.name", reason, "use another name, or remove that cluster")
        return
    if cluster is not None:
        yield from _version_problems(environment, cluster)
        yield from _move_problems(environment, cluster)
    elif facts.cluster_known and facts.keypairs is not None and keypair_name(environment.name) in facts.keypairs:
        keypair, declared = keypair_name(environment.name), environment.spec.cluster.ssh_public_key.split()[:2]
        if facts.keypairs[keypair].split()[:2] != declared:
            reason = f"the cloud has a keypair {show(keypair)} with another key"
            yield Problem("spec.cluster.sshPublicKey", reason, "remove that keypair, or declare its key")


def _version_problems(environment: Environment, cluster: ExistingCluster) -> Iterator[Problem]:
    """Refuse what Kubernetes cannot do: go back, or skip a minor version (kubernetes.io, "Version Skew Policy")."""
    path, declared = "spec.cluster.kubernetes", environment.spec.cluster.kubernetes
    wanted, there = parse_version(declared), parse_version(cluster.kubernetes or "")
    if wanted is None or there is None or wanted == there:
        return
    if wanted < there:
        reason = f"{declared} is older than the cluster's {cluster.kubernetes}"
        yield Problem(path, reason, f"declare {cluster.kubernetes} or newer: Kubernetes cannot go back")
    elif wanted[1] > there[1] + 1:
        reason = f"{declared} skips a minor version: the cluster has {cluster.kubernetes}"
        yield Problem(path, reason, f"go one at a time, first to v{there[0]}.{there[1] + 1}.x")


def _move_problems(environment: Environment, cluster: ExistingCluster) -> Iterator[Problem]:
    """Refuse what Magnum cannot do: move a cluster into another network."""
    declared, there = environment.spec.cluster.fixed_network, cluster.fixed_network
    if declared is not None and declared != there:
        where = f"in the network {show(there)}" if there else "in a network of its own"
        right = f"declare {there}" if there else "leave it out"
        reason = f"the cluster stands {where}, and cannot be moved"
        yield Problem("spec.cluster.fixedNetwork", reason, f"{right}, or destroy the environment and make it anew")


def _node_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    spec = environment.spec.cluster
    image = _image(spec.image, facts)
    if facts.images is not None and image is None:
        names = {known.name for known in facts.images}
        yield _missing("spec.cluster.image", "image", spec.image, names)
    elif image is not None and not image.os_distro:
        right = "set it, such as: openstack image set --property os_distro=fedora-coreos"
        yield Problem("spec.cluster.image", f"the image {show(image.name)} has no property os_distro", right)
    groups = [(f"spec.cluster.nodeGroups[{index}]", group.flavor) for index, group in enumerate(spec.node_groups)]
    nodes = [("spec.cluster.masters", spec.masters.flavor), ("spec.cluster.nodes", spec.nodes.flavor), *groups]
    for path, name in nodes:
        flavor = find_flavor(name, facts)
        if flavor is not None:
            yield from _flavor_problems(f"{path}.flavor", flavor, image)
        elif facts.flavors is not None:
            yield _missing(f"{path}.flavor", "flavor", name, {known.name for known in facts.flavors})
    master = find_flavor(spec.masters.flavor, facts)
    if master is not None and (master.vcpus < MASTER_VCPUS or master.ram < MASTER_RAM):
        reason = f"{master.name} has {master.vcpus} vCPUs and {master.ram} MiB, too little for a master"
        right = f"use a flavor with at least {MASTER_VCPUS} vCPUs and {MASTER_RAM} MiB"
        yield Problem("spec.cluster.masters.flavor", reason, right)


def _flavor_problems(path: str, flavor: Flavor, image: Image | None) -> Iterator[Problem]:
    if image is None:
        return
    if flavor.ram < image.min_ram:
        reason = f"{flavor.name} has {flavor.ram} MiB of memory, and the image {image.name} needs {image.min_ram}"
        yield Problem(path, reason, "use a larger flavor")
    if flavor.disk and flavor.disk < image.min_disk:
        reason = f"{flavor.name} has a disk of {flavor.disk} GiB, and the image {image.name} needs {image.min_disk}"
        yield Problem(path, reason, "use a larger flavor")


def _place_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    spec = environment.spec
    zone = spec.storage.availability_zone
    if facts.availability_zones is not None and zone not in facts.availability_zones:
        yield _missing("spec.storage.availabilityZone", "volume availability zone", zone, facts.availability_zones)
    kind = spec.storage.volume_type
    if kind is not None and facts.volume_types is not None and kind not in facts.volume_types:
        yield _missing("spec.storage.volumeType", "volume type", kind, facts.volume_types)
    if facts.block_storage is False and spec.cluster.volume_driver == "cinder":
        reason = "the cloud has no block storage service (Cinder)"
        yield Problem(
            "spec.cluster.volumeDriver", reason, "use a cloud that has, or write null and bring volumes along"
        )
    yield from _network_problems(environment, facts)
    if spec.dns is not None and facts.zones is not None and spec.dns.zone not in facts.zones:
        yield _missing("spec.dns.zone", "DNS zone", spec.dns.zone, facts.zones)


def _network_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    spec = environment.spec.cluster
    outside = spec.external_network
    if outside is not None and facts.networks is not None and outside not in facts.networks:
        yield _missing("spec.cluster.externalNetwork", "external network", outside, facts.networks)
    network, subnet = spec.fixed_network, spec.fixed_subnet
    if network is None or facts.subnets is None:
        return
    if network not in facts.subnets:
        yield _missing("spec.cluster.fixedNetwork", "network", network, facts.subnets)
    elif subnet is not None and subnet not in facts.subnets[network]:
        reason = f"the network {show(network)} has no subnet {show(subnet)}"
        yield Problem("spec.cluster.fixedSubnet", reason, suggest(subnet, facts.subnets[network], "it has"))
    elif not facts.subnets[network]:
        yield Problem("spec.cluster.fixedNetwork", f"the network {show(network)} has no subnet", "give it one")


def _missing(path: str, kind: str, name: str, known: Collection[str]) -> Problem:
    return Problem(path, f"the cloud has no {kind} {show(name)}", suggest(name, frozenset(known), "it has"))


def _credentials(environment: Environment, facts: CloudFacts) -> Iterator[tuple[str, str, tuple[frozenset[str], ...]]]:
    """Every secret that is named: path, name, and the sets of keys of which it must have one."""
    delivery = environment.spec.delivery
    if delivery is not None and delivery.credentials is not None:
        keys = REPOSITORY_KEYS[delivery.repository.partition(":")[0].lower()]
        yield "spec.delivery.credentials", delivery.credentials, keys
    certificates = environment.spec.certificates
    if certificates is not None and certificates.ca is not None:
        yield "spec.certificates.ca.secret", certificates.ca.secret, AUTHORITY_KEYS
    binding = certificates.acme.external_account_binding if certificates and certificates.acme else None
    if binding is not None:
        yield "spec.certificates.acme.externalAccountBinding.secret", binding.secret, BINDING_KEYS
    for index, runner in enumerate(environment.spec.runners):
        yield f"spec.runners[{index}].credentials", runner.credentials, RUNNER_KEYS
    for addon in environment.spec.enabled_addons:
        for name, needed in facts.addon_secrets.get(addon, {}).items():
            yield f"spec.addons.{addon}", name, (needed,)


def _secret_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    if facts.secrets is None:
        return
    for path, name, choices in _credentials(environment, facts):
        if name not in facts.secrets:
            reason = f"there is no secret {show(name)}"
            yield Problem(path, reason, suggest(name, frozenset(facts.secrets), "there is"))
        elif not any(keys <= facts.secrets[name] for keys in choices):
            needed = ", or ".join(" + ".join(sorted(keys)) for keys in choices)
            yield Problem(path, f"the secret {show(name)} lacks keys", f"give it {needed}")


def _addon_problems(environment: Environment, facts: CloudFacts) -> Iterator[Problem]:
    if facts.addons is None:
        return
    for name in environment.spec.addons:
        if name not in facts.addons:
            right = suggest(name, facts.addons, "the catalogue has")
            yield Problem(f"spec.addons.{name}", f"the catalogue has no add-on {show(name)}", right)


def tool_problems(tools: Mapping[str, str | None]) -> Iterator[Problem]:
    """What is wrong with the programs on this machine.

    Args:
        tools: what each that was asked says its version is; None for one that is not there.
    """
    for name, (needed, words) in TOOLS.items():
        if name not in tools:
            continue
        text, right = tools[name], f"install {name} {words}"
        if text is None:
            yield Problem(MACHINE, f"the program {name} is not there", right)
            continue
        try:
            version = Version(text.removeprefix("v").partition("+")[0])
        except InvalidVersion:
            yield Problem(MACHINE, f"{name} says its version is {show(text)}", right)
            continue
        if not needed.contains(version, prereleases=True):
            yield Problem(MACHINE, f"{name} is {version}", right)


def find_flavor(name: str, facts: CloudFacts) -> Flavor | None:
    """The flavor of this name or id."""
    return next((flavor for flavor in facts.flavors or () if name in (flavor.name, flavor.id)), None)


def _image(name: str, facts: CloudFacts) -> Image | None:
    return next((image for image in facts.images or () if name in (image.name, image.id)), None)
