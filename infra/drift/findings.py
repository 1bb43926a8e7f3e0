"""What a comparison says: findings, and the verdict on a plane that they add up to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, JsonValue


class PlaneName(StrEnum):
    """The seven planes of an environment, in the order in which they come to stand."""

    CLUSTER = "cluster"
    STORAGE = "storage"
    ADDONS = "addons"
    DNS = "dns"
    CERTIFICATES = "certificates"
    DELIVERY = "delivery"
    RUNNERS = "runners"


class Finding(BaseModel):
    """One difference between what git declares and what is there."""

    model_config = ConfigDict(frozen=True)

    plane: PlaneName
    address: str
    """Where: the system, the kind and the name, such as `StorageClass/default` or `recordset/*.dev.example.`."""
    path: str = ""
    """Which field, as a path from the object's root; empty where the whole object is meant."""
    declared: JsonValue = None
    observed: JsonValue = None
    sentence: str
    """The difference in words."""
