"""One difference between a declared object and the living one, and what a dry run says about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from infra.drift.findings import Changed
from infra.drift.ownership import Entry
from infra.drift.paths import Path, follow
from infra.drift.values import identical

Sort = Literal["changed", "removed", "extra"]


@dataclass(frozen=True)
class Difference:
    """One field that is not as declared.

    Attributes:
        path: where it is.
        declared: what it should be; `ABSENT` for something extra.
        observed: what it is; `ABSENT` for something removed.
        sort: which of the three.
        entry: the manager that wrote it last, or that may have removed it.
        decidable: a dry run of applying the declaration says whether it is one.
        reordered: the items of a list have another order; `declared` and `observed` are their names.
        doubtful: it looks like a default, and counts only where the dry run says otherwise.
    """

    path: Path
    declared: Any
    observed: Any
    sort: Sort
    entry: Entry | None = None
    decidable: bool = True
    doubtful: bool = False
    reordered: bool = False

    @property
    def changed(self) -> Changed | None:
        """Who, when and how, for a finding."""
        return self.entry.changed() if self.entry else None


def confirmed(found: Iterable[Difference], answer: Mapping[str, Any] | None) -> list[Difference]:
    """Those differences that applying the declaration would close, by the API server's own word.

    Args:
        answer: the object as a server-side-apply dry run returned it; None keeps all but the doubtful ones.
    """
    if answer is None:
        return [each for each in found if not each.doubtful]
    return [each for each in found if not (each.decidable and _stays(each, answer))]


def _stays(difference: Difference, answer: Mapping[str, Any]) -> bool:
    """Whether the API server would leave the field as it is."""
    path = difference.path
    if difference.sort == "extra" and path and not isinstance(path[-1], str):
        there = follow(answer, path[:-1])
        return isinstance(there, list) and any(identical(each, difference.observed) for each in there)
    return identical(follow(answer, path), difference.observed)
