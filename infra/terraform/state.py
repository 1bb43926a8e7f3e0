"""What terraform knows: the objects in its state, without their values. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.clients.errors import Failed


@dataclass(frozen=True)
class StateObject:
    """One object in the state.

    Attributes:
        identifier: the provider's id of it.
        tainted: an earlier operation on it did not finish, and terraform would replace it.
    """

    address: str
    type: str
    identifier: str | None
    tainted: bool


@dataclass(frozen=True)
class Adopted:
    """What `adopt` did, by address.

    Attributes:
        imported: were not in the state, and are now.
        untainted: were in the state with a doubt, which is gone.
        skipped: cannot be imported: the module has no such object today. Address -> why.
    """

    imported: tuple[str, ...]
    untainted: tuple[str, ...]
    skipped: Mapping[str, str]

    @property
    def changed(self) -> bool:
        """Whether the state was changed."""
        return bool(self.imported or self.untainted)


class Outputs(BaseModel):
    """The module's outputs; None where the object does not exist yet."""

    model_config = ConfigDict(frozen=True)

    cluster_id: str | None = None
    api_address: str | None = None
    template_id: str | None = None
    template_name: str | None = None
    keypair_name: str | None = None
    node_group_ids: dict[str, str] = {}


def objects(document: str) -> tuple[StateObject, ...]:
    """Read `terraform show -json` of a state.

    Raises:
        Failed: the text is no state. It is not quoted, for it holds secrets.
    """
    try:
        root = (json.loads(document).get("values") or {}).get("root_module") or {}
        return tuple(
            StateObject(
                address=item["address"],
                type=item["type"],
                identifier=(item.get("values") or {}).get("id"),
                tainted=item.get("tainted") is True,
            )
            for item in _resources(root)
            if item.get("mode") == "managed"
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failed("Terraform's state cannot be read.") from None


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources") or ()
    for child in module.get("child_modules") or ():
        yield from _resources(child)


def outputs(document: str) -> Outputs:
    """Read `terraform output -json`; sensitive outputs are left out (the module has none)."""
    try:
        values: dict[str, Any] = {**json.loads(document)}
        return Outputs(
            **{
                name: values[name]["value"]
                for name in Outputs.model_fields
                if name in values and not values[name].get("sensitive")
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failed("Terraform's outputs cannot be read.") from None
