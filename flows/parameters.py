"""The flows' parameters, bounded so that the API refuses what cannot be right; the flows' docstrings describe them.

Descriptions are shown as HTML in the UI: no `<name>` in them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

EnvironmentName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$", examples=["dev"])]
Commit = Annotated[str | None, Field(pattern=r"^[0-9a-f]{7,40}$")]
Confirmation = Annotated[str, Field(min_length=1, max_length=30, examples=["dev"])]
