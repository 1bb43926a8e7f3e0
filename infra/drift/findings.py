"""What a comparison says: findings, what could not be looked at, and the verdict they add up to.

```
Verdict                 one environment, at one commit and one time
└── PlaneVerdict        in step | drifted | unknown
    ├── Finding         a difference between what git declares and what is there
    └── BlindSpot       something that could not be looked at, and why
```

Pure. "Not looked" is never "in step": a plane with a blind spot and no finding is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Frozen(BaseModel):
    """A verdict's parts are facts: they never change, and have no fields nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlaneName(StrEnum):
    """The seven planes of an environment, in the order in which they come to stand."""

    CLUSTER = "cluster"
    STORAGE = "storage"
    ADDONS = "addons"
    DNS = "dns"
    CERTIFICATES = "certificates"
    DELIVERY = "delivery"
    RUNNERS = "runners"


class Severity(StrEnum):
    """How much a finding matters, the least first."""

    COSMETIC = "cosmetic"
    """Labels, annotations, a TTL: nothing works differently."""
    CONFIG = "config"
    """Something works otherwise than declared."""
    SECURITY = "security"
    """Who may do what, what is trusted, what is open: RBAC, webhooks, certificates, what nobody declared."""
    DESTRUCTIVE = "destructive"
    """Something declared is gone, or closing the gap would replace it."""

    @property
    def rank(self) -> int:
        """Its place, 0 for the least."""
        return list(Severity).index(self)


class Changed(Frozen):
    """Who changed a field last, as far as the system says."""

    who: str = Field(description="Field manager, user, or service.")
    when: datetime | None = Field(default=None, description="When, in UTC.")
    how: str | None = Field(default=None, description="Operation, subresource or request id.")

    def __str__(self) -> str:
        when = f" at {self.when:%Y-%m-%d %H:%M:%S} UTC" if self.when else ""
        return f"{self.who}{when}{f' ({self.how})' if self.how else ''}"


class Finding(Frozen):
    """One difference between what git declares and what is there."""

    plane: PlaneName
    address: str = Field(
        description="Where: the kind and the name, such as `StorageClass/default` or `recordset/*.dev.example.`."
    )
    path: str = Field(
        default="",
        description="Which field, as a path from the object's root; empty where the whole object is meant.",
    )
    declared: JsonValue = Field(default=None, description="What git says.")
    observed: JsonValue = Field(default=None, description="What is there.")
    sentence: str = Field(description="The difference in words.")
    severity: Severity = Severity.CONFIG
    changed: Changed | None = Field(default=None, description="Who changed it last, where that is known.")

    @classmethod
    def at(  # noqa: PLR0917 - a finding's fields, in their order
        cls,
        plane: PlaneName,
        address: str,
        path: str,
        declared: JsonValue,
        observed: JsonValue,
        sentence: str,
        severity: Severity = Severity.CONFIG,
        changed: Changed | None = None,
    ) -> Finding:
        """A finding from its fields in their order: what a plane that makes many of them binds to its name."""
        return cls(
            plane=plane,
            address=address,
            path=path,
            declared=declared,
            observed=observed,
            sentence=sentence,
            severity=severity,
            changed=changed,
        )

    @property
    def place(self) -> tuple[str, str]:
        """Address and path: what makes two findings of one environment the same, whatever the values."""
        return self.address, self.path


class BlindSpot(Frozen):
    """Something that could not be looked at."""

    plane: PlaneName
    what: str = Field(description="What was to be looked at, as an address or in words.")
    why: str = Field(description="Why it could not, in a sentence.")
    category: str | None = Field(default=None, description="Of the error, where one was the reason.")
    hides: tuple[str, ...] = Field(
        default=(),
        description="Addresses of which nothing is known for that reason, `ConfigMap/*` for all of a kind; empty where "
        "it may be anything of the plane.",
    )


class PlaneState(StrEnum):
    """The light of a plane."""

    IN_STEP = "in step"
    UNKNOWN = "unknown"
    DRIFTED = "drifted"


class PlaneVerdict(Frozen):
    """What one look at one plane says."""

    plane: PlaneName
    state: PlaneState
    looked_at: datetime = Field(description="When the look began, in UTC: what is said is as old as that.")
    seconds: float = Field(ge=0, description="How long it took.")
    findings: tuple[Finding, ...] = ()
    blind_spots: tuple[BlindSpot, ...] = ()
    waived: tuple[Finding, ...] = Field(default=(), description="Findings that a waiver in git covers.")
    notes: tuple[str, ...] = Field(default=(), description="Sentences that change no verdict.")

    @classmethod
    def of(
        cls,
        plane: PlaneName,
        findings: Iterable[Finding],
        blind_spots: Iterable[BlindSpot],
        *,
        looked_at: datetime,
        seconds: float,
        waived: Iterable[Finding] = (),
        notes: Iterable[str] = (),
    ) -> PlaneVerdict:
        """The verdict that findings and blind spots add up to."""
        found, blind = tuple(findings), tuple(blind_spots)
        state = PlaneState.DRIFTED if found else PlaneState.UNKNOWN if blind else PlaneState.IN_STEP
        return cls(
            plane=plane,
            state=state,
            looked_at=looked_at,
            seconds=seconds,
            findings=found,
            blind_spots=blind,
            waived=tuple(waived),
            notes=tuple(notes),
        )
