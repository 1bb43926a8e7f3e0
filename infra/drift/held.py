"""What persons own of a live object, step by step on the way down."""

from __future__ import annotations

from typing import Final, NamedTuple

from infra.drift.ownership import Fields, element
from infra.drift.paths import Step


class Held(NamedTuple):
    """What persons own at one place: parts of it, or, `atomic`, a whole that holds it."""

    nodes: tuple[Fields, ...] = ()
    atomic: bool = False

    def whole(self) -> Held:
        """Inside a list that is owned as one."""
        return ATOMIC if self.atomic else NOTHING


NOTHING: Final = Held()
ATOMIC: Final = Held(atomic=True)


def below(held: Held, step: Step) -> Held:
    """What persons own one step further down."""
    if held.atomic:
        return held
    if not held.nodes:
        return NOTHING
    name = element(step)
    nodes = tuple([node[name] for node in held.nodes if name in node])
    if not nodes:
        return NOTHING
    # Where anybody owns single fields of it, it was no whole but a map that was empty.
    return Held(nodes) if any(nodes) else ATOMIC
