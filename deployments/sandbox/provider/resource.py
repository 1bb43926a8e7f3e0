"""What a resource type has to offer, and the data sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from deployments.sandbox.provider.cloud import Cloud, CloudError
from deployments.sandbox.provider.tables import State, Table
from deployments.sandbox.provider.waits import WaitFailed

Created = Callable[[str], None]
"""Told the identifier as soon as there is one: from then on the object is terraform's to keep or destroy."""


class Resource:
    """One resource type; an instance serves one call."""

    name: ClassVar[str]
    table: ClassVar[Table]

    def __init__(self, cloud: Cloud, timeouts: Mapping[str, float] | None = None) -> None:
        self.cloud = cloud
        self.timeouts = {**self.table.timeouts, **(timeouts or {})}

    def validate(self, config: State) -> list[str]:
        """Sentences about what cannot be right in a configuration."""
        return []

    def create(self, wanted: State, created: Created) -> State:
        """Create the object, wait for it, and return its state."""
        raise NotImplementedError

    def read(self, state: State) -> State | None:
        """The object's state now, None when it is gone."""
        raise NotImplementedError

    def update(self, prior: State, wanted: State) -> State:
        """Bring the object to the wanted state in place."""
        raise NotImplementedError

    def delete(self, prior: State) -> None:
        """Delete the object and wait until it is gone; absence is no error."""
        raise NotImplementedError

    def read_again(self, state: State) -> State:
        """The state after a change; absence is an error here."""
        observed = self.read(state)
        if observed is None:
            raise WaitFailed(f"openstack_{self.name} {state['id']} vanished while it was being changed")
        return observed


class DataSource:
    """One data source."""

    name: ClassVar[str]
    table: ClassVar[Table]

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def read(self, config: State) -> State:
        """Find the one object the configuration describes."""
        raise NotImplementedError


def absent_is_none(look: Callable[[], Any]) -> Any:
    """The document, or None where the cloud answers 404."""
    try:
        return look()
    except CloudError as error:
        if error.status == 404:
            return None
        raise


def given(**fields: Any) -> dict[str, Any]:
    """The fields that say something: neither None nor unknown, nor the SDK's zero value."""
    return {name: value for name, value in fields.items() if isinstance(value, (bool, int, str, list, dict)) and value}


def changed(prior: State, wanted: State, *names: str) -> list[str]:
    """Those of `names` whose value differs; the SDK's zero value and None are one."""
    return [name for name in names if (prior.get(name) or None) != (wanted.get(name) or None)]
