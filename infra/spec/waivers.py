"""Waivers: drift that somebody has agreed to live with, for a reason and for a time."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from infra.spec.fields import OwnerName
from infra.spec.part import Part
from infra.spec.problems import At, show, wrong, wrongs

_DAY = "write a day, such as 2027-01-31"


def _parse_day(value: object) -> date:
    """Read `2027-01-31`."""
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise wrong(f"{show(value)} is not a day", _DAY)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise wrong(f"{show(value)} is not a day of the calendar", _DAY) from None


Day = Annotated[
    date,
    BeforeValidator(_parse_day),
    PlainSerializer(date.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}),
]


def _exact(value: str) -> str:
    if value != value.strip() or "\n" in value:
        raise wrong(f"{show(value)} begins or ends with a space, or has several lines", "copy it from the report")
    if "*" in value and not value.startswith("recordset/*."):
        raise wrong(f"{show(value)} has a `*`", "a waiver is about one exact address, as the report names it")
    return value


def _reason(value: str) -> str:
    if len(value.split()) < 2:
        raise wrong(f"{show(value)} is no reason", "say in a sentence why this difference is to be lived with")
    return value


class Waiver(Part):
    """A difference that raises no alarm until a day; it is reported all the same."""

    address: Annotated[str, AfterValidator(_exact)] = Field(
        min_length=3,
        max_length=400,
        description="The finding's exact address, as the report has it.",
        examples=["ConfigMap/argocd/argocd-cm"],
    )
    path: Annotated[str, AfterValidator(_exact)] = Field(
        default="", max_length=400, description="One field of it, as the report has it; every field when left out."
    )
    owner: OwnerName = Field(description="Who answers for it: a team or a person.", examples=["platform-team"])
    reason: Annotated[str, AfterValidator(_reason)] = Field(
        min_length=3, max_length=400, description="Why, in a sentence.", examples=["Until the chart takes the value."]
    )
    expires: Day = Field(description="The last day on which it holds.", examples=["2027-01-31"])

    def covers(self, address: str, path: str) -> bool:
        """Whether a finding at that place is meant."""
        return self.address == address and self.path in ("", path)


def unique_waivers(waivers: tuple[Waiver, ...]) -> tuple[Waiver, ...]:
    """Refuse two waivers of one place: which of them counts would be anybody's guess."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for index, waiver in enumerate(waivers):
        place = (waiver.address, waiver.path)
        if place in seen:
            found.append(At((index, "address"), f"{waiver.address} is waivers[{seen[place]}] already", "keep one"))
        seen.setdefault(place, index)
    if found:
        raise wrongs(found)
    return waivers
