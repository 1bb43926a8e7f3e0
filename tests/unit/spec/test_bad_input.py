"""Bad input, case by case: where it is said to be wrong, why, and what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import TypeAdapter, ValidationError

from infra.spec.check import parse, problems
from infra.spec.context import Rules
from infra.spec.fields import SshPublicKey
from infra.spec.problems import InvalidDeclaration

CATALOGUE = frozenset(
    {"cert-manager", "nginx-ingress", "argo-cd", "actions-runner-controller", "rook-ceph", "external-dns"}
)
RULES = Rules(addons=CATALOGUE)
GROUP = {"name": "build", "count": 1, "flavor": "m1.xlarge"}
RUNNER = {"name": "build", "url": "https://github.com/example/app", "credentials": "github-app"}
TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
GONE = object()
WAIVER = {
    "address": "ConfigMap/argocd/argocd-cm",
    "owner": "platform-team",
    "reason": "Until the chart takes it.",
    "expires": "2027-01-31",
}


def waived(**change: Any) -> dict[str, Any]:
    return {"spec.policy.drift.waivers": [WAIVER | change]}


BINDING_ID = "spec.certificates.acme.externalAccountBinding.keyId"


def acme(**change: Any) -> dict[str, Any]:
    server = {"server": "https://acme.example.org/directory", **change}
    return {"spec.certificates": {"email": "ops@example.org", "issuer": "acme", "acme": server}}


# change: path in the document -> value (GONE removes it); then the problem's path, a part of its reason, of its right
CASES: list[tuple[dict[str, Any], str, str, str]] = [
    # the frame
    ({"apiVersion": "plumbline.dev/v2"}, "apiVersion", "“plumbline.dev/v2” is not one of", "plumbline.dev/v1"),
    ({"apiVersion": GONE}, "apiVersion", "is missing", "apiVersion: plumbline.dev/v1"),
    ({"kind": "environment"}, "kind", "is not one of its values", "use Environment"),
    ({"kind": GONE}, "kind", "is missing", "kind: Environment"),
    ({"metadata": GONE}, "metadata", "is missing", "name, owner"),
    ({"metadata": "dev"}, "metadata", "“dev” is not a mapping", "name, owner"),
    ({"spec": []}, "spec", "a list is not a mapping", "cluster"),
    ({"status": {}}, "status", "unknown field", "apiVersion, kind, metadata, spec"),
    ({"metadata.labels": {}}, "metadata.labels", "unknown field", "known: name, owner"),
    # names
    ({"metadata.name": "Dev"}, "metadata.name", "“Dev” is not a valid name", "lower-case letters"),
    ({"metadata.name": "dev_1"}, "metadata.name", "not a valid name", "dashes"),
    ({"metadata.name": "1dev"}, "metadata.name", "not a valid name", "beginning with a letter"),
    ({"metadata.name": "dev-"}, "metadata.name", "not a valid name", "ending with a letter or digit"),
    ({"metadata.name": ""}, "metadata.name", "is empty", "lower-case letters"),
    ({"metadata.name": "a" * 31}, "metadata.name", "has 31 characters", "at most 30"),
    ({"metadata.name": "dev\n"}, "metadata.name", "not a valid name", "lower-case letters"),
    ({"metadata.name": 7}, "metadata.name", "7 is not text", "in quotes"),
    ({"metadata.owner": GONE}, "metadata.owner", "is missing", "owner: platform-team"),
    ({"metadata.owner": "The Team"}, "metadata.owner", "not a valid name", "lower-case letters"),
    ({"spec.cloud": "my cloud"}, "spec.cloud", "is not a cloud's name", "clouds.yaml"),
    ({"spec.cloud": None}, "spec.cloud", "is empty", "leave the line out"),
    ({"spec.cloud": GONE}, "spec.cloud", "is missing", "cloud: sandbox"),
    ({"spec.clouds": "x"}, "spec.clouds", "unknown field", "did you mean cloud?"),
    # the cluster
    ({"spec.cluster.node": {}}, "spec.cluster.node", "unknown field", "did you mean nodes"),
    ({"spec.cluster.node_groups": []}, "spec.cluster.node_groups", "unknown field", "did you mean nodeGroups?"),
    ({"spec.cluster.kubernetes": "1.33.4"}, "spec.cluster.kubernetes", "not an exact version", "write v1.33.4"),
    ({"spec.cluster.kubernetes": "v1.33"}, "spec.cluster.kubernetes", "not an exact version", "all three numbers"),
    ({"spec.cluster.kubernetes": 1.33}, "spec.cluster.kubernetes", "1.33 is not text", "such as v1.33.4"),
    ({"spec.cluster.kubernetes": "latest"}, "spec.cluster.kubernetes", "not an exact version", "such as v1.33.4"),
    ({"spec.cluster.kubernetes": "v1.19.0"}, "spec.cluster.kubernetes", "is not supported", "v1.30.x to v1.36.x"),
    ({"spec.cluster.kubernetes": "v2.0.0"}, "spec.cluster.kubernetes", "is not supported", "v1.30.x to v1.36.x"),
    ({"spec.cluster.kubernetes": "v1.033.4"}, "spec.cluster.kubernetes", "not an exact version", "such as v1.33.4"),
    ({"spec.cluster.image": " "}, "spec.cluster.image", "is empty", "the cloud has"),
    ({"spec.cluster.image": "a\tb"}, "spec.cluster.image", "cannot be printed", "plain name"),
    ({"spec.cluster.image": "x" * 256}, "spec.cluster.image", "has 256 characters", "at most 255"),
    ({"spec.cluster.masters.count": 2}, "spec.cluster.masters.count", "is even", "use 1 or 3"),
    ({"spec.cluster.masters.count": 0}, "spec.cluster.masters.count", "out of bounds", "use 1 to 7"),
    ({"spec.cluster.masters.count": 9}, "spec.cluster.masters.count", "9 is out of bounds", "use 1 to 7"),
    ({"spec.cluster.masters.count": "3"}, "spec.cluster.masters.count", "not a whole number", "without quotes"),
    ({"spec.cluster.masters.count": True}, "spec.cluster.masters.count", "true is not a whole number", "digits"),
    ({"spec.cluster.masters.flavor": ""}, "spec.cluster.masters.flavor", "is empty", "the cloud has"),
    ({"spec.cluster.masters.flavour": "x"}, "spec.cluster.masters.flavour", "unknown field", "did you mean flavor?"),
    ({"spec.cluster.nodes.count": 0}, "spec.cluster.nodes.count", "out of bounds", "use 1 to 1000"),
    ({"spec.cluster.nodes.count": 2.5}, "spec.cluster.nodes.count", "2.5 is not a whole number", "digits"),
    ({"spec.cluster.nodes.flavor": GONE}, "spec.cluster.nodes.flavor", "is missing", "flavor: m1.large"),
    ({"spec.cluster.nodeGroups": {}}, "spec.cluster.nodeGroups", "is not a list", "with a dash"),
    ({"spec.cluster.nodeGroups": [GROUP, GROUP]}, "spec.cluster.nodeGroups[1].name", "nodeGroups[0] already", "once"),
    (
        {"spec.cluster.nodeGroups": [{**GROUP, "name": "default-worker"}]},
        "spec.cluster.nodeGroups[0].name",
        "Magnum makes itself",
        "another name",
    ),
    (
        {"spec.cluster.nodeGroups": [{**GROUP, "name": "n" * 29}]},
        "spec.cluster.nodeGroups[0].name",
        "29 characters",
        "at most 28",
    ),
    (
        {"spec.cluster.nodeGroups": [{**GROUP, "min": 6, "max": 5}]},
        "spec.cluster.nodeGroups[0].min",
        "6 is more than max, 5",
        "min <= count <= max",
    ),
    (
        {"spec.cluster.nodeGroups": [{**GROUP, "min": 2}]},
        "spec.cluster.nodeGroups[0].count",
        "1 is less than min, 2",
        "min <= count <= max",
    ),
    (
        {"spec.cluster.nodeGroups": [{**GROUP, "count": 9, "max": 5}]},
        "spec.cluster.nodeGroups[0].count",
        "9 is more than max, 5",
        "min <= count <= max",
    ),
    ({"spec.cluster.sshPublicKey": "ssh-ed25519 AAAA"}, "spec.cluster.sshPublicKey", "is not an SSH", ".pub file"),
    ({"spec.cluster.sshPublicKey": PEM}, "spec.cluster.sshPublicKey", "is a private key", ".pub file"),
    ({"spec.cluster.sshPublicKey": "a\nb"}, "spec.cluster.sshPublicKey", "has several lines", ".pub file"),
    ({"spec.cluster.labels": {"a": True}}, "spec.cluster.labels.a", "true is not text", "in quotes"),
    ({"spec.cluster.labels": {"a b": "c"}}, "spec.cluster.labels.a b", "is not a label's name", "letters, digits"),
    ({"spec.cluster.labels": {"a": "it's"}}, "spec.cluster.labels.a", "not a label's value", "without '"),
    ({"spec.cluster.labels": {"kube_tag": "v1"}}, "spec.cluster.labels.kube_tag", "set by", "spec.cluster.kubernetes"),
    ({"spec.cluster.labels": {"key": TOKEN}}, "spec.cluster.labels.key", "looks like a secret", "revoke"),
    (
        {"spec.cluster.networkDriver": "weave"},
        "spec.cluster.networkDriver",
        "not one of",
        "calico or cilium",
    ),
    ({"spec.cluster.dockerVolumeSize": 0}, "spec.cluster.dockerVolumeSize", "out of bounds", "use 1 to 16384"),
    ({"spec.cluster.floatingIp": "yes"}, "spec.cluster.floatingIp", "is not true or false", "without quotes"),
    (
        {"spec.cluster.masters.count": 3, "spec.cluster.masterLoadBalancer": False},
        "spec.cluster.masterLoadBalancer",
        "is false with 3 masters",
        "set it to true",
    ),
    # names and certificates
    ({"spec.dns.zone": "sandbox"}, "spec.dns.zone", "is not a full name", "sandbox.example.org."),
    ({"spec.dns.zone": "sand box.example."}, "spec.dns.zone", "has the label", "letters, digits and dashes"),
    ({"spec.dns.zone": "a..example."}, "spec.dns.zone", "has an empty label", "single dots"),
    ({"spec.dns.zone": f"{'a' * 64}.example."}, "spec.dns.zone", "a label of 64", "at most 63"),
    ({"spec.dns.zone": "bücher.example."}, "spec.dns.zone", "not ASCII", "xn--"),
    ({"spec.dns.domain": "dev.other.example."}, "spec.dns.domain", "is not in the zone", ".sandbox.example."),
    ({"spec.dns.domain": "evilsandbox.example."}, "spec.dns.domain", "is not in the zone", ".sandbox.example."),
    ({"spec.dns.domain": "*.sandbox.example."}, "spec.dns.domain", "has the label", "letters"),
    ({"spec.dns.ttl": 30}, "spec.dns.ttl", "30 s is out of the cloud's bounds", "use 300 to 86400 s"),
    ({"spec.dns.ttl": 90000}, "spec.dns.ttl", "90000 s is out of", "use 300 to 86400 s"),
    ({"spec.dns.ttl": "5m"}, "spec.dns.ttl", "is not a whole number", "digits"),
    ({"spec.dns.hostnames": ["app.example.org"]}, "spec.dns.hostnames[0]", "is not under", "app.dev.sandbox.example."),
    ({"spec.dns.hostnames": ["app"]}, "spec.dns.hostnames[0]", "is not a full name", "app.example.org."),
    (
        {"spec.dns.hostnames": ["a.dev.sandbox.example", "A.dev.sandbox.example."]},
        "spec.dns.hostnames[1]",
        "declared twice",
        "once",
    ),
    ({"spec.dns.hostnames": ["*.dev.sandbox.example."]}, "spec.dns.hostnames[0]", "there in any case", "leave it out"),
    ({"spec.dns.hostnames": ["plumbline.dev.sandbox.example."]}, "spec.dns.hostnames[0]", "itself", "another name"),
    ({"spec.dns.hostnames": ["*.a.dev.sandbox.example."]}, "spec.dns.hostnames[0]", "http01 cannot prove", "dns01"),
    ({"spec.certificates.email": "ops"}, "spec.certificates.email", "not an e-mail address", "ops@example.org"),
    ({"spec.certificates.email": "a@b@c.org"}, "spec.certificates.email", "not an e-mail", "ops@example.org"),
    ({"spec.certificates.email": "a@local"}, "spec.certificates.email", "its domain", "ops@example.org"),
    ({"spec.certificates.issuer": "zerossl"}, "spec.certificates.issuer", "not one of", "letsencrypt-staging"),
    ({"spec.certificates.issuer": "acme"}, "spec.certificates.acme", "is missing", "in acme"),
    ({"spec.certificates.issuer": "ca"}, "spec.certificates.ca", "is missing", "in ca"),
    ({"spec.certificates.email": GONE}, "spec.certificates.email", "ACME account", "ops@example.org"),
    ({"spec.certificates.ca": {"secret": "s"}}, "spec.certificates.ca", "beside the issuer letsencrypt-", "issuer: ca"),
    (acme(server="http://acme.example.org/dir"), "spec.certificates.acme.server", "not an https:// URL", "https://"),
    (acme(server="https://u@acme.example.org/dir"), "spec.certificates.acme.server", "user name", "plain URL"),
    (acme(server="https://acme.example.org"), "spec.certificates.acme.server", "no directory", "/directory"),
    (acme(roots="none"), "spec.certificates.acme.roots", "not a bundle of certificates", "BEGIN CERTIFICATE"),
    (acme(caBundle="-----BEGIN PRIVATE KEY-----"), "spec.certificates.acme.caBundle", "private key", "replace"),
    (acme(externalAccountBinding={"keyId": "a b", "secret": "s"}), BINDING_ID, "not a key identifier", "not the key"),
    ({"spec.certificates.challenge": "dns-01"}, "spec.certificates.challenge", "not one of", "http01 or dns01"),
    ({"spec.dns": GONE}, "spec.certificates", "needs spec.dns", "declare spec.dns"),
    # add-ons
    ({"spec.addons.cert-manger": {}}, "spec.addons.cert-manger", "has no add-on", "did you mean cert-manager?"),
    ({"spec.addons.argo-cd": True}, "spec.addons.argo-cd", "true is not a mapping", "enabled, values"),
    ({"spec.addons.argo-cd": None}, "spec.addons.argo-cd", "is empty", "leave the line out"),
    ({"spec.addons.argo-cd": {"version": "1"}}, "spec.addons.argo-cd.version", "unknown field", "enabled, values"),
    ({"spec.addons.argo-cd.enabled": "no"}, "spec.addons.argo-cd.enabled", "is not true or false", "quotes"),
    ({"spec.addons.argo-cd.values": []}, "spec.addons.argo-cd.values", "a list is not a mapping", "{}"),
    ({"spec.addons.argo-cd.values": {"a": [{"b": TOKEN}]}}, "spec.addons.argo-cd.values.a[0].b", "secret", "revoke"),
    ({"spec.addons.argo-cd.values": {"a": float("nan")}}, "spec.addons.argo-cd.values", "JSON cannot carry", "text"),
    ({"spec.addons.nginx-ingress": GONE}, "spec.dns", "needs the add-on nginx-ingress", "add nginx-ingress: {}"),
    ({"spec.addons.cert-manager": GONE}, "spec.certificates", "needs the add-on cert-manager", "add cert-manager"),
    ({"spec.addons.argo-cd.enabled": False}, "spec.delivery", "needs the add-on argo-cd", "enabled to true"),
    ({"spec.addons.actions-runner-controller": GONE}, "spec.runners", "needs the add-on", "leave out spec.runners"),
    # delivery
    ({"spec.delivery.repository": "http://git.example.org/a.git"}, "spec.delivery.repository", "is http", "https://"),
    (
        {"spec.delivery.repository": "git@github.com:a/b.git"},
        "spec.delivery.repository",
        "scp form",
        "ssh://git@github",
    ),
    ({"spec.delivery.repository": "file:///srv/a.git"}, "spec.delivery.repository", "has no host", "https://"),
    ({"spec.delivery.repository": "ftp://a.org/b"}, "spec.delivery.repository", "has the scheme “ftp”", "ssh://"),
    ({"spec.delivery.repository": "https://u:pw@a.org/b"}, "spec.delivery.repository", "has a password", "revoke"),
    ({"spec.delivery.repository": f"https://{TOKEN}@a.org/b"}, "spec.delivery.repository", "token inside", "a secret"),
    ({"spec.delivery.repository": "https://a.org/"}, "spec.delivery.repository", "no repository", "https://"),
    ({"spec.delivery.repository": "https://a.org/b?x=1"}, "spec.delivery.repository", "has a query", "plain URL"),
    ({"spec.delivery.repository": "https://a.org:99999/b"}, "spec.delivery.repository", "can be read", "https://"),
    ({"spec.delivery.path": "/environments/dev"}, "spec.delivery.path", "is absolute", "inside the repository"),
    ({"spec.delivery.path": "a/../../b"}, "spec.delivery.path", "leaves the repository", "inside"),
    ({"spec.delivery.path": ""}, "spec.delivery.path", "is not a folder's path", "environments/dev"),
    ({"spec.delivery.path": "a//b"}, "spec.delivery.path", "has an empty part", "environments/dev"),
    ({"spec.delivery.revision": "a b"}, "spec.delivery.revision", "is not a git revision", "such as main"),
    ({"spec.delivery.revision": "-x"}, "spec.delivery.revision", "is not a git revision", "such as main"),
    ({"spec.delivery.revision": "x.lock"}, "spec.delivery.revision", "is not a git revision", "such as main"),
    ({"spec.delivery.revision": ""}, "spec.delivery.revision", "is empty", "such as main"),
    ({"spec.delivery.credentials": TOKEN}, "spec.delivery.credentials", "looks like a secret", "github-app"),
    # runners
    ({"spec.runners": [RUNNER, RUNNER]}, "spec.runners[1].name", "runners[0] already", "once"),
    ({"spec.runners": [{**RUNNER, "name": "r" * 46}]}, "spec.runners[0].name", "has 46 characters", "at most 45"),
    ({"spec.runners": [{**RUNNER, "min": 3, "max": 2}]}, "spec.runners[0].min", "3 is more than max, 2", "min <= max"),
    ({"spec.runners": [{**RUNNER, "max": 0}]}, "spec.runners[0].max", "0 is out of bounds", "use 1 to 1000"),
    (
        {"spec.runners": [{**RUNNER, "url": "https://github.com"}]},
        "spec.runners[0].url",
        "is not the URL",
        "organisation",
    ),
    (
        {"spec.runners": [{**RUNNER, "url": "https://github.com/a/b/c"}]},
        "spec.runners[0].url",
        "is not the URL",
        "a repo",
    ),
    ({"spec.runners": [{**RUNNER, "url": "https://github.com/a/b.git"}]}, "spec.runners[0].url", "in .git", "without"),
    ({"spec.runners": [{**RUNNER, "url": "github.com/a"}]}, "spec.runners[0].url", "has no host", "https://github.com"),
    ({"spec.runners": [{**RUNNER, "url": "http://github.com/a"}]}, "spec.runners[0].url", "is not an https", "https"),
    (
        {"spec.runners": [{**RUNNER, "credentials": PEM}]},
        "spec.runners[0].credentials",
        "like a secret",
        "secret store",
    ),
    (
        {"spec.runners": [{**RUNNER, "credentials": "My App"}]},
        "spec.runners[0].credentials",
        "not the name",
        "github-app",
    ),
    ({"spec.runners": [{"name": "x"}]}, "spec.runners[0].url", "is missing", "url: https://github.com/example/app"),
    # policy
    ({"spec.policy.drift.every": "15"}, "spec.policy.drift.every", "“15” is not a duration", "such as 15m"),
    ({"spec.policy.drift.every": 15}, "spec.policy.drift.every", "15 is not a duration", "such as 15m"),
    ({"spec.policy.drift.every": "1m30"}, "spec.policy.drift.every", "is not a duration", "such as 15m"),
    ({"spec.policy.drift.every": "30s"}, "spec.policy.drift.every", "30s is out of bounds", "use 1m to 1d"),
    ({"spec.policy.drift.every": "25h"}, "spec.policy.drift.every", "1d1h is out of bounds", "use 1m to 1d"),
    ({"spec.policy.drift.waivers": {}}, "spec.policy.drift.waivers", "is not a list", ""),
    ({"spec.policy.drift.waivers": [WAIVER, WAIVER]}, "spec.policy.drift.waivers[1].address", "already", "keep one"),
    ({"spec.policy.drift.waivers": [{"address": "A/b"}]}, "spec.policy.drift.waivers[0].owner", "is missing", "owner"),
    (waived(expires="soon"), "spec.policy.drift.waivers[0].expires", "“soon” is not a day", "such as 2027-01-31"),
    (waived(expires="2027-02-30"), "spec.policy.drift.waivers[0].expires", "not a day of the calendar", "2027-01-31"),
    (waived(expires=20270131), "spec.policy.drift.waivers[0].expires", "20270131 is not a day", "2027-01-31"),
    (waived(address="ConfigMap/*"), "spec.policy.drift.waivers[0].address", "has a `*`", "one exact address"),
    (waived(address=" A/b"), "spec.policy.drift.waivers[0].address", "begins or ends with a space", "copy it"),
    (waived(reason="because"), "spec.policy.drift.waivers[0].reason", "is no reason", "in a sentence"),
    (waived(owner="The Team"), "spec.policy.drift.waivers[0].owner", "not a valid name", "lower-case"),
    (waived(until="x"), "spec.policy.drift.waivers[0].until", "unknown field", "known"),
    ({"spec.policy.drfit": {}}, "spec.policy.drfit", "unknown field", "did you mean drift?"),
]


def change(document: dict[str, Any], path: str, value: object) -> None:
    """Set or remove what stands at a dotted path."""
    *parents, last = path.split(".")
    target = document
    for parent in parents:
        target = target[parent]
    if value is GONE:
        del target[last]
    else:
        target[last] = value


@pytest.mark.parametrize(("changes", "path", "reason", "right"), CASES, ids=[case[1] for case in CASES])
def test_refused(document: dict[str, Any], changes: dict[str, Any], path: str, reason: str, right: str) -> None:
    for where, value in changes.items():
        change(document, where, value)
    found = problems(document, rules=RULES)
    match = [problem for problem in found if problem.path == path]
    assert len(match) == 1, found
    assert reason in match[0].reason and right in match[0].right, match[0]
    assert "\n" not in str(match[0])
    for secret in (TOKEN, "b3BlbnNzaC1rZXk", "u:pw"):
        assert secret not in "".join(str(problem) for problem in found)
    with pytest.raises(InvalidDeclaration) as caught:
        parse(document, what="environments/dev.yaml", rules=RULES)
    assert str(match[0]) in str(caught.value) and caught.value.category == "InvalidInput"


def test_one_slip_is_one_problem(document: dict[str, Any]) -> None:
    """Each case but those that break something else as well names exactly what was changed."""
    assert problems(document, rules=RULES) == []
    change(document, "spec.dns.ttl", 30)
    assert [problem.path for problem in problems(document, rules=RULES)] == ["spec.dns.ttl"]


def test_all_at_once(document: dict[str, Any]) -> None:
    for path, value in {
        "metadata.name": "Dev",
        "spec.cluster.masters.count": 2,
        "spec.cluster.node": {},
        "spec.dns.ttl": 1,
        "spec.addons.cert-manager": GONE,
        "spec.addons.typo": {},
        "spec.runners": [{**RUNNER, "credentials": TOKEN}],
    }.items():
        change(document, path, value)
    found = {problem.path for problem in problems(document, rules=RULES, name="dev")}
    assert found == {
        "metadata.name",
        "spec.cluster.masters.count",
        "spec.cluster.node",
        "spec.dns.ttl",
        "spec.certificates",
        "spec.addons.typo",
        "spec.runners[0].credentials",
    }


def test_weak_ssh_keys() -> None:
    """An RSA key below 2048 bits is refused by its size; made here, since none should lie about."""
    weak = RSAPublicNumbers(65537, (1 << 1023) + 1155).public_key()
    line = weak.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with pytest.raises(ValidationError, match="1024 bits"):
        TypeAdapter(SshPublicKey).validate_python(line)


@pytest.mark.parametrize("document_", [None, [], "text", 3])
def test_what_is_no_mapping(document_: object) -> None:
    (problem,) = problems(document_)
    assert problem.path == "(document)" and "apiVersion: plumbline.dev/v1" in problem.right
