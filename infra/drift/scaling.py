"""How many replicas a workload may have: who is in charge of them, and how far down (pure).

An autoscaler that finds no replicas does nothing (`ScalingDisabled`): none is a person's off switch, unless the
autoscaler may go down to none by itself, as KEDA's may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from infra.drift.keys import Key, Object
from infra.drift.managers import MANAGERS, Managers
from infra.drift.ownership import Owners, Trust
from infra.drift.paths import Path

SCALER: Final = "HorizontalPodAutoscaler"
SCALED: Final = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
"""Built-in kinds that an autoscaler scales."""
REPLICAS: Final[Path] = ("spec", "replicas")


def floors(live: Iterable[Object]) -> dict[Key, int]:
    """What the autoscalers among `live` scale, and the fewest replicas that they choose."""
    return dict(_targets(live))


def in_charge(floor: int | None, declared: Any, observed: Any) -> bool:
    """Whether the difference between two numbers of replicas is an autoscaler's choice.

    Args:
        floor: the fewest that it chooses; None where there is none.
        declared: a number, or anything else where nothing is declared.
        observed: a number.
    """
    if floor is None or not isinstance(observed, int):
        return False
    return observed >= floor and not (isinstance(declared, int) and declared < floor)


def scaled(declared: Object, live: Object) -> bool:
    """Whether a workload without declared replicas has another number than the default: cheap, and asked first."""
    if declared["kind"] not in SCALED:
        return False
    return (live.get("spec") or {}).get("replicas", 1) != 1 and (declared.get("spec") or {}).get("replicas") is None


def by_hand(scaler: Object, managers: Managers = MANAGERS) -> bool:
    """Whether a person made an autoscaler beside what is declared: neither one of us, nor another object's controller.

    Where nobody keeps books, nobody says so.
    """
    if any(each.get("controller") for each in scaler["metadata"].get("ownerReferences") or ()):
        return False
    wrote = {entry.trust for entry in Owners(scaler, managers).entries if "f:spec" in entry.fields}
    return Trust.OURS not in wrote and not wrote.isdisjoint({Trust.PERSON, Trust.FOUNDER})


def _targets(live: Iterable[Object]) -> Iterator[tuple[Key, int]]:
    for item in live:
        if item.get("kind") != SCALER:
            continue
        spec, metadata = item.get("spec") or {}, item["metadata"]
        target = spec.get("scaleTargetRef") or {}
        group = target.get("apiVersion", "").rpartition("/")[0]
        key = Key(group, target.get("kind", ""), metadata.get("namespace") or "", target.get("name", ""))
        yield key, 0 if spec.get("minReplicas") == 0 or _event_driven(metadata) else 1


def _event_driven(metadata: Mapping[str, Any]) -> bool:
    """Whether KEDA made the autoscaler, and goes down to none beside it."""
    return any(each.get("kind") == "ScaledObject" for each in metadata.get("ownerReferences") or ())
