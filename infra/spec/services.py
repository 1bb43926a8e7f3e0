"""What runs in and around the cluster: storage, names, add-ons, delivery, runners, policy."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from infra.spec.context import context_of
from infra.spec.fields import CloudText, DnsName, DriftInterval, HostName, RunnerName, SecretName
from infra.spec.part import Part
from infra.spec.problems import At, is_secret, show, wrong, wrongs
from infra.spec.urls import Folder, GitHubUrl, RepositoryUrl, Revision
from infra.spec.waivers import Waiver, unique_waivers

OWN_HOST = "plumbline"
"""The first label of the host name Plumbline itself uses under the domain, to see that names and certificates work."""


class Storage(Part):
    """The default StorageClass, on Cinder."""

    availability_zone: CloudText = Field(
        default="nova", description="Cinder availability zone of the volumes.", examples=["nova"]
    )
    volume_type: CloudText | None = Field(
        default=None, description="Cinder volume type, by name or id; the cloud's default when left out."
    )


class Dns(Part):
    """Names in Designate that lead to the ingress; `*.<domain>` always does."""

    zone: DnsName = Field(description="The Designate zone, a full name.", examples=["sandbox.example."])
    domain: DnsName = Field(
        description="The environment's own name within the zone; `*.<domain>` leads to the ingress.",
        examples=["dev.sandbox.example."],
    )
    ttl: int = Field(
        default=300,
        description="Time to live of the recordsets, s; bounded by the cloud (settings dns_ttl_min, dns_ttl_max).",
        examples=[300],
        json_schema_extra={"minimum": 1, "maximum": 2147483647},
    )
    hostnames: Annotated[tuple[HostName, ...], Field(strict=False)] = Field(
        default=(), max_length=100, description="Further names under the domain, each with a recordset of its own."
    )

    @property
    def wildcard(self) -> str:
        """The wildcard recordset's name, with the trailing dot."""
        return f"*.{self.domain}"

    @property
    def own_hostname(self) -> str:
        """The name under the domain that Plumbline's own probes ask for, with the trailing dot."""
        return f"{OWN_HOST}.{self.domain}"

    @model_validator(mode="after")
    def _whole(self, info: ValidationInfo) -> Self:
        found, rules, seen = [], context_of(info), set[str]()
        if not rules.ttl_min <= self.ttl <= rules.ttl_max:
            right = f"use {rules.ttl_min} to {rules.ttl_max} s"
            found.append(At(("ttl",), f"{show(self.ttl)} s is out of the cloud's bounds", right))
        if self.domain != self.zone and not self.domain.endswith(f".{self.zone}"):
            right = f"write a name that ends in .{self.zone}"
            found.append(At(("domain",), f"{show(self.domain)} is not in the zone {show(self.zone)}", right))
        for index, host in enumerate(self.hostnames):
            if problem := self._host_problem(host, seen):
                found.append(At(("hostnames", index), *problem))
            seen.add(host)
        if found:
            raise wrongs(found)
        return self

    def _host_problem(self, host: str, seen: set[str]) -> tuple[str, str] | None:
        if host != self.domain and not host.endswith(f".{self.domain}"):
            return f"{show(host)} is not under the domain {show(self.domain)}", f"write a name like app.{self.domain}"
        if host in seen:
            return f"{show(host)} is declared twice", "write each name once"
        if host == self.wildcard:
            return f"{show(host)} is there in any case", "leave it out"
        if host == self.own_hostname:
            return f"{show(host)} is used by Plumbline itself", "use another name"
        return None


def _values(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse values that Helm cannot be given, and values that look secret."""
    found = list(_secrets_in(value, ()))
    if found:
        raise wrongs(found)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise wrong("has values that JSON cannot carry", "use mappings, lists, text, numbers, true, false") from None
    return value


def _secrets_in(value: object, location: tuple[str | int, ...]) -> list[At]:
    if isinstance(value, dict):
        found = [
            At((*location, show(key)), f"the key {show(key)} is not text", "write it in quotes")
            for key in value
            if not isinstance(key, str)
        ]
        return found + [at for key, item in value.items() for at in _secrets_in(item, (*location, str(key)))]
    if isinstance(value, list | tuple):
        return [at for index, item in enumerate(value) for at in _secrets_in(item, (*location, index))]
    if isinstance(value, str) and is_secret(value):
        right = "name a Kubernetes Secret that the chart reads; then revoke this one"
        return [At(location, "looks like a secret, which must never stand in git", right)]
    return []


class Addon(Part):
    """One add-on of the catalogue; one that is not named is not installed."""

    enabled: bool = Field(default=True, description="Whether it is installed.")
    values: Annotated[dict[str, Any], AfterValidator(_values)] = Field(
        default_factory=dict, description="Helm values laid over the catalogue's own, never secrets."
    )


class Delivery(Part):
    """What Argo CD delivers."""

    repository: RepositoryUrl = Field(
        description="Git repository of the workloads: https:// or ssh://; http:// on this machine only.",
        examples=["https://git.example.org/apps.git"],
    )
    path: Folder = Field(description="Folder in it.", examples=["environments/dev"])
    revision: Revision = Field(default="main", description="Branch, tag or commit.", examples=["main"])
    credentials: SecretName | None = Field(
        default=None, description="Name of the secret that opens the repository; none for a public one."
    )


class Runner(Part):
    """A set of GitHub runners that grows with the queue of jobs."""

    name: RunnerName = Field(description="Name of the set, which workflows put after runs-on.", examples=["build"])
    url: GitHubUrl = Field(
        description="Organisation, repository or enterprise on GitHub.", examples=["https://github.com/example/app"]
    )
    min: int = Field(default=0, ge=0, le=1000, description="Runners kept without any job.")
    max: int = Field(default=5, ge=1, le=1000, description="Most runners at a time.")
    credentials: SecretName = Field(
        description="Name of the secret with the GitHub App's id, installation id and private key.",
        examples=["github-app"],
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise wrongs([At(("min",), f"{self.min} is more than max, {self.max}", "write min <= max")])
        return self


def unique_runners(runners: tuple[Runner, ...]) -> tuple[Runner, ...]:
    """Refuse two sets of one name: they would be one Helm release."""
    seen: dict[str, int] = {}
    found = []
    for index, runner in enumerate(runners):
        if runner.name in seen:
            reason = f"{runner.name} is runners[{seen[runner.name]}] already"
            found.append(At((index, "name"), reason, "use each name once"))
        seen.setdefault(runner.name, index)
    if found:
        raise wrongs(found)
    return runners


class DriftPolicy(Part):
    """How drift is looked for, and what of it is lived with."""

    every: DriftInterval = Field(
        default=timedelta(minutes=15),
        description="Time between two looks, 1m to 1d: a number and a unit (s, m, h, d).",
        examples=["15m"],
    )
    waivers: Annotated[tuple[Waiver, ...], Field(strict=False), AfterValidator(unique_waivers)] = Field(
        default=(), max_length=200, description="Differences that raise no alarm until a day."
    )


class Policy(Part):
    """What may be done unasked, and when."""

    drift: DriftPolicy = Field(default_factory=DriftPolicy, description="How drift is looked for.")


def addon_names(addons: dict[str, Addon], info: ValidationInfo) -> dict[str, Addon]:
    """Refuse names that the catalogue does not have, where the catalogue was given."""
    if found := [At((name,), *problem) for name in addons if (problem := context_of(info).addon_problem(name))]:
        raise wrongs(found)
    return addons
