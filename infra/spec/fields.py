"""The kinds of text a declaration is made of, each refused in a sentence that says what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from infra.spec.problems import is_secret, show, wrong

LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
"""One label of RFC 1123, lower case."""

ENVIRONMENT_NAME_MAX = 30
"""The tightest limit on a cluster's name: Magnum's Cluster API driver (magnum-capi-helm) derives host names from its
first 30 characters, so that two longer names could become one."""
NODE_GROUP_NAME_MAX = 28
"""What is left of a host name's 63 characters (RFC 1123) for <environment>-<node group>-<number up to 999>."""
RUNNER_NAME_MAX = 45
"""The limit of the gha-runner-scale-set chart."""


def name_problem(value: str, limit: int, *, starts_with_letter: bool = False) -> tuple[str, str] | None:
    """Say what is wrong with a lower-case RFC 1123 name, as (reason, right)."""
    right = "use lower-case letters, digits and dashes, beginning with a letter and ending with a letter or digit"
    if not starts_with_letter:
        right = "use lower-case letters, digits and dashes, beginning and ending with a letter or digit"
    if not value:
        return "is empty", right
    if len(value) > limit:
        return f"has {len(value)} characters", f"use at most {limit}"
    if not re.fullmatch(LABEL, value) or (starts_with_letter and not value[0].isalpha()):
        return f"{show(value)} is not a valid name", right
    return None


def _name(limit: int, *, starts_with_letter: bool = False) -> Callable[[str], str]:
    def check(value: str) -> str:
        if problem := name_problem(value, limit, starts_with_letter=starts_with_letter):
            raise wrong(*problem)
        return value

    return check


def _schema(limit: int, pattern: str) -> Callable[[dict[str, object]], None]:
    def extend(schema: dict[str, object]) -> None:
        schema.update(minLength=1, maxLength=limit, pattern=pattern)

    return extend


EnvironmentName = Annotated[
    str,
    AfterValidator(_name(ENVIRONMENT_NAME_MAX, starts_with_letter=True)),
    Field(json_schema_extra=_schema(ENVIRONMENT_NAME_MAX, "^[a-z]([-a-z0-9]*[a-z0-9])?$")),
]
NodeGroupName = Annotated[
    str,
    AfterValidator(_name(NODE_GROUP_NAME_MAX)),
    Field(json_schema_extra=_schema(NODE_GROUP_NAME_MAX, f"^{LABEL}$")),
]
RunnerName = Annotated[
    str,
    AfterValidator(_name(RUNNER_NAME_MAX)),
    Field(json_schema_extra=_schema(RUNNER_NAME_MAX, f"^{LABEL}$")),
]
OwnerName = Annotated[str, AfterValidator(_name(63)), Field(json_schema_extra=_schema(63, f"^{LABEL}$"))]


def _cloud_text(value: str) -> str:
    """Check the name of a thing in the cloud: a flavor, an image, a network, a zone."""
    if not value.strip():
        raise wrong("is empty", "name one that the cloud has")
    if len(value) > 255:
        raise wrong(f"has {len(value)} characters", "OpenStack names have at most 255")
    if value != value.strip() or not value.isprintable():
        raise wrong("has blanks at an end, or characters that cannot be printed", "write the plain name")
    return value


CloudText = Annotated[str, AfterValidator(_cloud_text), Field(json_schema_extra=_schema(255, r"^\S(.*\S)?$"))]
"""The name (or id) of a flavor, an image, a network or an availability zone."""


def _cloud_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", value):
        raise wrong(f"{show(value)} is not a cloud's name", "write a name from clouds.yaml, such as sandbox")
    return value


CloudName = Annotated[
    str, AfterValidator(_cloud_name), Field(json_schema_extra=_schema(63, "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))
]


def _secret_name(value: str) -> str:
    """Check the *name* of a secret; the value is never quoted: it may be the secret itself."""
    right = "write the name of a secret, such as github-app, and put the secret itself into the secret store"
    if is_secret(value):
        raise wrong("looks like a secret, which must never stand in git", right + "; then revoke this one")
    if not re.fullmatch(LABEL, value) or len(value) > 63:
        raise wrong("is not the name of a secret (lower-case letters, digits and dashes, at most 63)", right)
    return value


SecretName = Annotated[str, AfterValidator(_secret_name), Field(json_schema_extra=_schema(63, f"^{LABEL}$"))]

KUBERNETES_MINORS = range(30, 37)
"""The minor releases of Kubernetes 1 that the catalogue's charts are made for."""


def parse_version(text: str) -> tuple[int, int, int] | None:
    """Read an exact version `v1.33.4`; None when it is not one."""
    match = re.fullmatch(r"v(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _kubernetes(value: str) -> str:
    version = parse_version(value)
    if version is None:
        bare = value if value.startswith("v") else f"v{value}"
        right = f"write {bare}" if parse_version(bare) else "write all three numbers, such as v1.33.4"
        raise wrong(f"{show(value)} is not an exact version", right)
    if version[0] != 1 or version[1] not in KUBERNETES_MINORS:
        low, high = KUBERNETES_MINORS.start, KUBERNETES_MINORS.stop - 1
        raise wrong(f"{show(value)} is not supported", f"use v1.{low}.x to v1.{high}.x")
    return value


KubernetesVersion = Annotated[
    str, AfterValidator(_kubernetes), Field(json_schema_extra={"pattern": r"^v1\.(3[0-6])\.(0|[1-9]\d*)$"})
]


def _ssh_public_key(value: str) -> str:
    """Parse an OpenSSH public key (RFC 4253), as Nova does; the value is never quoted."""
    right = "paste the one line of a .pub file, such as ssh-ed25519 AAAAC3… name"
    if "PRIVATE KEY" in value:
        raise wrong("is a private key, which must never stand in git", right + "; then replace that key pair")
    if "\n" in value.strip():
        raise wrong("has several lines", right)
    try:
        key = load_ssh_public_key(value.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise wrong("is not an SSH public key that can be read", right) from None
    if value.startswith("ssh-dss"):
        raise wrong("is a DSA key, which OpenSSH no longer accepts", "use an ed25519 key")
    if isinstance(key, RSAPublicKey) and key.key_size < 2048:
        raise wrong(f"is an RSA key of {key.key_size} bits", "use ed25519, or RSA with at least 2048 bits")
    return value.strip()


SshPublicKey = Annotated[str, AfterValidator(_ssh_public_key), Field(json_schema_extra={"pattern": r"^\S+ \S+"})]


def _dns_name(value: str, *, wildcard: bool) -> str:
    """Check and normalise a DNS name (RFC 1035, RFC 1123): lower case, with the trailing dot."""
    name = value.lower().removesuffix(".")
    if not name:
        raise wrong("is empty", "write a full name, such as dev.example.org.")
    if not name.isascii():
        raise wrong("has characters that are not ASCII", "write it in its ASCII (xn--…) form")
    if len(name) > 253:
        raise wrong(f"has {len(name)} characters", "a DNS name has at most 253")
    labels = name.split(".")
    if wildcard and labels[0] == "*":
        labels = labels[1:]
    for label in labels:
        if not label:
            raise wrong(f"{show(value)} has an empty label", "write single dots between the labels")
        if len(label) > 63:
            raise wrong(f"has a label of {len(label)} characters", "a DNS label has at most 63")
        if not re.fullmatch(LABEL, label):
            right = "use letters, digits and dashes, beginning and ending with a letter or digit"
            raise wrong(f"{show(value)} has the label {show(label)}, which is not a valid one", right)
    if len(labels) < 2:
        raise wrong(f"{show(value)} is not a full name", f"write it with its parent, such as {labels[0]}.example.org.")
    return f"{name}."


_DNS_SCHEMA = _schema(254, r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+\.?$")
_HOST_SCHEMA = _schema(
    254, r"^(\*\.)?[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+\.?$"
)
DnsName = Annotated[
    str, AfterValidator(lambda value: _dns_name(value, wildcard=False)), Field(json_schema_extra=_DNS_SCHEMA)
]
"""A full DNS name; kept in lower case with the trailing dot, however it was written."""
HostName = Annotated[
    str, AfterValidator(lambda value: _dns_name(value, wildcard=True)), Field(json_schema_extra=_HOST_SCHEMA)
]
"""A DnsName whose first label may be `*`."""


def _email(value: str) -> str:
    local, at, domain = value.rpartition("@")
    right = "write one address, such as ops@example.org"
    if not at or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", local) or ".." in local:
        raise wrong(f"{show(value)} is not an e-mail address", right)
    if local.startswith(".") or local.endswith(".") or domain.endswith("."):
        raise wrong(f"{show(value)} is not an e-mail address", right)
    try:
        _dns_name(domain, wildcard=False)
    except PydanticCustomError:
        raise wrong(f"{show(value)} is not an e-mail address: its domain is not a valid one", right) from None
    return value


Email = Annotated[str, AfterValidator(_email), Field(json_schema_extra={"format": "email", "maxLength": 254})]


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _parse_duration(value: object) -> timedelta:
    """Read `90s`, `15m`, `1h30m`, `1d`."""
    right = "write a number and a unit (s, m, h, d), such as 15m"
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise wrong(f"{show(value)} is not a duration", right)
    match = re.fullmatch(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?", value, re.ASCII)
    if not match or not value:
        raise wrong(f"{show(value)} is not a duration", right)
    return timedelta(seconds=sum(int(n or 0) * _UNITS[unit] for n, unit in zip(match.groups(), "dhms", strict=True)))


def format_duration(value: timedelta) -> str:
    """Write a duration as a declaration does: `1h30m`."""
    seconds, text = int(value.total_seconds()), ""
    for unit in "dhms":
        amount, seconds = divmod(seconds, _UNITS[unit])
        text += f"{amount}{unit}" if amount else ""
    return text or "0s"


def _within(low: timedelta, high: timedelta) -> Callable[[timedelta], timedelta]:
    def check(value: timedelta) -> timedelta:
        if not low <= value <= high:
            between = f"use {format_duration(low)} to {format_duration(high)}"
            raise wrong(f"{format_duration(value)} is out of bounds", between)
        return value

    return check


DriftInterval = Annotated[
    timedelta,
    BeforeValidator(_parse_duration),
    AfterValidator(_within(timedelta(minutes=1), timedelta(days=1))),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2}),
]
