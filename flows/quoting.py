"""What is handed to a step as it is."""

from __future__ import annotations

from typing import TypeVar, cast

from prefect.utilities.annotations import quote

T = TypeVar("T")


def unsearched(value: T) -> T:
    """Hand a value to a step without letting Prefect look through it.

    It would search it for results of earlier steps, and draw edges from what two of them share, such as a commit, which
    mean nothing. The step itself gets the plain value.
    """
    return cast(T, quote(value))
