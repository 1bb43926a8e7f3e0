"""An environment, as git declares it: `environments/<name>.yaml`.

The parts live in `cluster.py`, `certificates.py` and `services.py`; what holds between them is in `rules.py`. A model
that exists is valid: it cannot be made otherwise, nor changed later.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from infra.spec.certificates import Certificates
from infra.spec.cluster import Cluster, Masters, NodeGroup, Nodes
from infra.spec.context import Rules
from infra.spec.fields import CloudName, EnvironmentName, OwnerName
from infra.spec.part import Part
from infra.spec.problems import wrongs
from infra.spec.rules import across
from infra.spec.services import (
    Addon,
    Delivery,
    Dns,
    DriftPolicy,
    Policy,
    Runner,
    Storage,
    addon_names,
    unique_runners,
)

API_VERSION = "plumbline.dev/v1"
KIND = "Environment"

Addons = Annotated[dict[str, Addon], AfterValidator(addon_names)]
Runners = Annotated[tuple[Runner, ...], Field(strict=False), AfterValidator(unique_runners)]


class Metadata(Part):
    """Whose environment this is."""

    name: EnvironmentName = Field(
        description="Name of the environment and of its cluster: at most 30 characters, the same as the file's.",
        examples=["dev"],
    )
    owner: OwnerName = Field(description="The team that answers for it.", examples=["platform-team"])


class Spec(Part):
    """What the environment is."""

    cloud: CloudName = Field(description="Name of the cloud in clouds.yaml.", examples=["sandbox"])
    cluster: Cluster = Field(description="The Kubernetes cluster.")
    storage: Storage = Field(default_factory=Storage, description="The default StorageClass.")
    dns: Dns | None = Field(default=None, description="Names that lead to the ingress; none when left out.")
    certificates: Certificates | None = Field(
        default=None, description="Certificates for these names; none when left out."
    )
    addons: Addons = Field(
        default_factory=dict, description="Add-ons by their names in the catalogue; `{}` installs one as it is."
    )
    delivery: Delivery | None = Field(default=None, description="What Argo CD delivers; nothing when left out.")
    runners: Runners = Field(default=(), max_length=100, description="Sets of GitHub runners.")
    policy: Policy = Field(default_factory=Policy, description="What may be done unasked, and when.")

    @property
    def enabled_addons(self) -> dict[str, Addon]:
        """The add-ons that are to be installed."""
        return {name: addon for name, addon in self.addons.items() if addon.enabled}

    def addon_enabled(self, name: str) -> bool:
        """Whether the add-on `name` is to be installed."""
        return name in self.enabled_addons

    @model_validator(mode="after")
    def _across(self) -> Self:
        found = across(self.dns, self.certificates, self.addons, self.delivery, self.runners)
        if found:
            raise wrongs(found)
        return self


class Environment(Part):
    """One environment: a cluster and everything on it."""

    api_version: Literal["plumbline.dev/v1"] = Field(description="Version of this format.", examples=[API_VERSION])
    kind: Literal["Environment"] = Field(description="What this document declares.", examples=[KIND])
    metadata: Metadata = Field(description="Whose environment this is.")
    spec: Spec = Field(description="What the environment is.")

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.metadata.name

    def document(self) -> dict[str, Any]:
        """The environment as plain data in the file's shape, defaults written out; the parts left out stay out."""
        document: dict[str, Any] = self.model_dump(mode="json")
        return _without_absent(self, document)


def _without_absent(part: Part, document: dict[str, Any]) -> dict[str, Any]:
    """Leave out fields that are None, but never a null inside Helm values: there it deletes a chart's default."""
    result: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        key, value = field.alias or name, getattr(part, name)
        if value is None:
            continue
        result[key] = _without_absent(value, document[key]) if isinstance(value, Part) else document[key]
        if isinstance(value, tuple) and value and isinstance(value[0], Part):
            result[key] = [_without_absent(item, data) for item, data in zip(value, document[key], strict=True)]
    return result


__all__ = [
    "API_VERSION",
    "KIND",
    "Addon",
    "Certificates",
    "Cluster",
    "Delivery",
    "Dns",
    "DriftPolicy",
    "Environment",
    "Masters",
    "Metadata",
    "NodeGroup",
    "Nodes",
    "Policy",
    "Rules",
    "Runner",
    "Spec",
    "Storage",
]
