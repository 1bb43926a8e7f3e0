"""Which clusters an environment has had: what it leaves in the cloud carries their UUIDs, long after they are gone."""

from __future__ import annotations

from typing import Protocol


class Clusters(Protocol):
    """The UUIDs of an environment's clusters, kept until the environment is proved gone."""

    async def note_cluster(self, cluster_uuid: str) -> None:
        """Keep the UUID of a cluster of the environment, besides those of earlier ones."""

    async def clusters(self) -> tuple[str, ...]:
        """The UUIDs of all its clusters, the oldest first."""


class BriefClusters:
    """The same without a ledger, for as long as this object lives: for those who only look."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    async def note_cluster(self, cluster_uuid: str) -> None:
        """Keep it."""
        self._known[cluster_uuid] = None

    async def clusters(self) -> tuple[str, ...]:
        """All that were noted here."""
        return tuple(self._known)
