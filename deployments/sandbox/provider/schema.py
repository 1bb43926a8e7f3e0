"""Tables as Terraform's wire schema."""

from __future__ import annotations

from typing import Any

from tf.schema import Attribute, Block, NestedBlock, NestMode, Schema
from tf.types import Bool, List, Number, Set, String

from deployments.sandbox.provider.tables import Argument, Table


class _Map:
    """map(string): the type the `tf` library lacks."""

    def tf_type(self) -> bytes:
        return b'["map","string"]'


_TYPES: dict[str, Any] = {
    "string": String(),
    "number": Number(),
    "bool": Bool(),
    "map": _Map(),
    "list": List(String()),
    "set": Set(String()),
}


def schema(rows: Table) -> Any:
    """The protocol's schema of a resource, a data source or the provider itself."""
    timeouts = [Argument(name, "string", "optional") for name in sorted(rows.timeouts)]
    blocks = [NestedBlock("timeouts", NestMode.Single, Block(list(map(_attribute, timeouts))))] if timeouts else []
    return Schema(attributes=list(map(_attribute, rows.arguments)), version=0, block_types=blocks).to_pb()


def _attribute(argument: Argument) -> Any:
    return Attribute(
        argument.name,
        _TYPES[argument.kind],
        required=argument.required,
        optional=not argument.required and argument.use != "computed",
        computed=argument.computed,
        sensitive=argument.sensitive,
    )
