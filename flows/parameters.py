"""The flows' parameters, bounded so that the API refuses what cannot be right; the flows' docstrings describe them.

Descriptions are shown as HTML in the UI: no `<name>` in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from infra.planes.reconciliation import Mode
from infra.spec.repository import check_commit, check_name


def _saying(check: Callable[[str], str | None]) -> BeforeValidator:
    """Answer with a sentence where the pattern alone would answer with itself."""

    def validate(value: object) -> object:
        sentence = check(value) if isinstance(value, str) else None
        if sentence is not None:
            raise PydanticCustomError("cannot_be", "{sentence}", {"sentence": sentence})
        return value

    return BeforeValidator(validate)


EnvironmentName = Annotated[
    str, Field(pattern=r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$", examples=["dev"]), _saying(check_name)
]
Commit = Annotated[str | None, Field(pattern=r"^[0-9a-f]{7,40}$"), _saying(check_commit)]
ReconcileMode = Annotated[Mode, Field(examples=["heal"])]
Confirmation = Annotated[str, Field(min_length=1, max_length=30, examples=["dev"])]
Days = Annotated[int, Field(ge=1, le=366)]
