"""What an add-on's `addon.yaml` may say: strict models, every field described.

The file is data for several readers: the add-ons plane installs the releases, the probes say when the add-on
works, the drift comparison leaves the ignored fields alone, and destruction asks what has to be gone first.
docs/add-ons.md shows how to write one.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
"""A name Kubernetes and Helm accept for namespaces and releases (RFC 1123)."""

_SEMVER = re.compile(r"^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$")

Fact = Literal["always", "wildcard"]
"""A circumstance of an environment. `wildcard`: its certificate names `*.<domain>` (challenge dns01)."""


class Strict(BaseModel):
    """Unknown fields are refused, and a loaded catalogue never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Chart(Strict):
    """Where a chart comes from: exact, so that two installs are the same."""

    repository: str = Field(description="Chart repository: https://… (with an index.yaml) or oci://….")
    name: DnsLabel = Field(description="Name of the chart in that repository.")
    version: str = Field(description="One exact version; ranges are refused.")

    @field_validator("repository")
    @classmethod
    def _scheme(cls, value: str) -> str:
        if not value.startswith(("https://", "oci://")):
            raise ValueError("a chart repository starts with https:// or oci://")
        return value.rstrip("/")

    @field_validator("version")
    @classmethod
    def _exact(cls, value: str) -> str:
        if not _SEMVER.match(value):
            raise ValueError("a chart version is exact, like 1.2.3 or v1.2.3")
        return value

    @property
    def filename(self) -> str:
        """What Helm calls the packed chart."""
        return f"{self.name}-{self.version}.tgz"

    def __str__(self) -> str:
        return f"{self.repository}/{self.name} {self.version}"


class Crds(Strict):
    """How the chart carries its CustomResourceDefinitions, and what becomes of them."""

    carried: Literal["none", "templates", "folder"] = Field(
        description="`templates`: upgraded with the release. `folder`: Helm installs the chart's crds/ once and never "
        "upgrades it, so they are applied by us before an upgrade. `none`: it has none."
    )
    keep: bool = Field(
        default=True,
        description="Kept when the release is uninstalled: deleting a CRD deletes every object of its kind.",
    )


class RequiredSecret(Strict):
    """A Secret that has to be there before the release's pods can start."""

    namespace: DnsLabel = Field(description="Where the pods look for it.")
    name: DnsLabel = Field(description="Its name.")
    type: str = Field(default="Opaque", description="Kubernetes Secret type.")
    keys: tuple[str, ...] = Field(min_length=1, description="The keys the pods read.")
    source: Literal["store", "cluster"] = Field(
        default="cluster",
        description="Who makes it. `store`: we do, from the secret of this name in our store, before the release "
        "is installed. `cluster`: something in the cluster, such as cert-manager.",
    )
    when: Fact = Field(default="always", description="In which environments it is needed.")
    why: str = Field(min_length=1, description="One sentence for the person who has to provide it.")


class ReleaseSpec(Strict):
    """One Helm release of an add-on."""

    name: DnsLabel = Field(description="Release name; upstream derives the names of its objects from it.")
    namespace: DnsLabel = Field(description="Namespace it is installed into.")
    chart: Chart = Field(description="What is installed.")
    values: str = Field(
        pattern=r"^[a-z0-9-]+\.yaml\.j2$", description="Jinja2 template in the add-on's folder, rendered to values."
    )
    crds: Crds = Field(description="How the chart carries its CRDs.")
    requires: tuple[RequiredSecret, ...] = Field(default=(), description="Secrets that must exist first.")


class WorkloadsProbe(Strict):
    """Every Deployment, StatefulSet and DaemonSet of the release is available at its observed generation."""

    kind: Literal["workloads"]
    namespace: DnsLabel = Field(description="Namespace of the release.")
    release: DnsLabel = Field(description="Helm release whose workloads are meant.")


class DryRunCreateProbe(Strict):
    """The API server accepts the creation of an object, on a server-side dry run: its webhooks answer."""

    kind: Literal["dry-run-create"]
    object: dict[str, Any] = Field(description="The object; never stored.")

    @field_validator("object")
    @classmethod
    def _whole(cls, value: dict[str, Any]) -> dict[str, Any]:
        metadata = value.get("metadata")
        named = isinstance(metadata, dict) and metadata.get("name") and metadata.get("namespace")
        if not (value.get("apiVersion") and value.get("kind") and named):
            raise ValueError("needs apiVersion, kind, metadata.name and metadata.namespace")
        return value


class LoadBalancerProbe(Strict):
    """The Service of type LoadBalancer has an address."""

    kind: Literal["load-balancer"]
    namespace: DnsLabel = Field(description="Namespace of the Service.")
    service: DnsLabel = Field(description="Name of the Service.")


class CrdEstablishedProbe(Strict):
    """The API server serves these kinds."""

    kind: Literal["crd-established"]
    names: tuple[str, ...] = Field(min_length=1, description="CustomResourceDefinitions, <plural>.<group>.")


class ConditionProbe(Strict):
    """A field of one object has a value."""

    kind: Literal["condition"]
    api_version: str = Field(alias="apiVersion", description="The object's apiVersion.")
    resource: str = Field(pattern=r"^[A-Z][A-Za-z]+$", description="The object's kind.")
    namespace: DnsLabel | None = Field(default=None, description="Its namespace; none for cluster-wide kinds.")
    name: str = Field(min_length=1, description="Its name.")
    path: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9]*(\[type=[A-Za-z]+\])?(\.[A-Za-z][A-Za-z0-9]*(\[type=[A-Za-z]+\])?)*$",
        description="Dotted path; `conditions[type=Ready]` picks a list item by its type.",
    )
    equals: str | int | bool = Field(description="The value that means it works.")


Probe = Annotated[
    WorkloadsProbe | DryRunCreateProbe | LoadBalancerProbe | CrdEstablishedProbe | ConditionProbe,
    Field(discriminator="kind"),
]
"""How to know that an add-on works; carried out by the add-ons plane."""


class Ignore(Strict):
    """Fields another controller writes by design; drift comparison leaves them alone."""

    kind: str = Field(pattern=r"^[A-Z][A-Za-z]+$", description="Kind of the object.")
    name: str | None = Field(default=None, description="Its name; every object of the kind in the release when unset.")
    paths: tuple[Annotated[str, Field(pattern=r"^/")], ...] = Field(
        min_length=1, description="JSON pointers (RFC 6901); a `*` segment stands for every list item or key."
    )
    why: str = Field(min_length=1, description="Who writes them, in one sentence.")


class Protects(Strict):
    """Objects that have to be gone before the add-on may be uninstalled."""

    api_version: str = Field(alias="apiVersion", description="apiVersion of the objects.")
    kind: str = Field(pattern=r"^[A-Z][A-Za-z]+$", description="Their kind.")
    data: bool = Field(default=False, description="True when they hold data: then a person has to agree as well.")
    why: str = Field(min_length=1, description="What would hang or be lost.")


class PerRunner(Strict):
    """The release made for each entry of `spec.runners`."""

    namespace: DnsLabel = Field(description="Namespace of the runner sets.")
    chart: Chart = Field(description="The scale set's chart.")
    values: str = Field(pattern=r"^[a-z0-9-]+\.yaml\.j2$", description="Template, rendered with `runner` as well.")
    crds: Crds = Field(description="How the chart carries its CRDs.")


class AddonSpec(Strict):
    """One add-on: what is installed, what it needs, how to know it works, what must not be touched."""

    title: str = Field(min_length=1, description="What it is, for people.")
    needs: tuple[DnsLabel, ...] = Field(default=(), description="Add-ons that have to work first.")
    parts: tuple[Literal["dns", "certificates"], ...] = Field(
        default=(), description="Optional parts of the spec it cannot do without."
    )
    status: Literal["maintained", "archived"] = Field(
        default="maintained", description="Whether the upstream project is still maintained."
    )
    releases: tuple[ReleaseSpec, ...] = Field(
        min_length=1, description="Helm releases, installed in this order and uninstalled in the reverse one."
    )
    per_runner: PerRunner | None = Field(
        default=None, alias="perRunner", description="The release made for each entry of `spec.runners`."
    )
    probes: tuple[Probe, ...] = Field(min_length=1, description="How to know that it works.")
    ignore: tuple[Ignore, ...] = Field(default=(), description="Fields that drift comparison leaves alone.")
    protects: tuple[Protects, ...] = Field(default=(), description="What has to be gone before it is uninstalled.")

    @model_validator(mode="after")
    def _consistent(self) -> AddonSpec:
        names = [release.name for release in self.releases]
        if len(set(names)) != len(names):
            raise ValueError("two releases have the same name")
        for probe in self.probes:
            if isinstance(probe, WorkloadsProbe) and probe.release not in names:
                raise ValueError(f"a probe names the release {probe.release!r}, which is not one of {names}")
        # Listeners of a scale set newer than its controller do not start (actions-runner-controller issue 4227).
        if self.per_runner and self.per_runner.chart.version != self.releases[0].chart.version:
            raise ValueError("the scale set's chart and its controller's have to have the same version")
        return self
