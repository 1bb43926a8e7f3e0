"""The flows' parameters: described for the form in the UI, and bounded so that the API refuses what cannot be right."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

EnvironmentName = Annotated[
    str,
    Field(
        pattern=r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$",
        title="Environment",
        description="Name of the environment: the file environments/<name>.yaml in the repository of environments.",
        examples=["dev"],
    ),
]
Commit = Annotated[
    str | None,
    Field(
        pattern=r"^[0-9a-f]{7,40}$",
        title="Commit",
        description="The exact commit to read, 7 to 40 hexadecimal digits; when empty, the newest of the branch.",
    ),
]
Confirmation = Annotated[
    str,
    Field(
        min_length=1,
        max_length=30,
        title="Confirm",
        description="The environment's name once more: everything in it will be deleted.",
    ),
]
