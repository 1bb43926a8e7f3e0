"""What every part of a declaration has in common: strict types, no unknown fields, nothing changed later."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Part(BaseModel):
    """A part of an environment file: snake_case in Python, camelCase in YAML and in what it is dumped to."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,  # a pydantic message must not quote what may be a secret
        allow_inf_nan=False,
        use_attribute_docstrings=False,
    )
