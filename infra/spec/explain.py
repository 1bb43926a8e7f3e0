"""What pydantic found, in our own words: where, why, and what would be right."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from infra.spec.part import Part
from infra.spec.problems import At, Problem, path_of, show, suggest

Location = tuple[str | int, ...]


def explain(error: ValidationError, model: type[Part], base: Location = ()) -> list[Problem]:
    """Turn a validation error of `model`, which stands at `base`, into problems in the order of the document."""
    found: list[Problem] = []
    for item in error.errors(include_url=False):
        location = tuple(part for part in item["loc"] if part != "[key]")
        context: Mapping[str, Any] = item.get("ctx") or {}
        if item["type"] == "plumbline_many":
            found += [_place(at, (*base, *location)) for at in context["found"]]
        else:
            reason, right = _sentence(item["type"], item.get("input"), context, model, location)
            found.append(Problem(path_of((*base, *location)), reason, right))
    return found


def _place(at: At, location: Location) -> Problem:
    return Problem(path_of((*location, *at.location)), at.reason, at.right)


def _sentence(
    kind: str, value: object, context: Mapping[str, Any], model: type[Part], location: Location
) -> tuple[str, str]:
    """Say why, and what would be right, for one kind of pydantic error."""
    field = field_at(model, location)
    if kind == "plumbline":
        return str(context["reason"]), str(context["right"])
    if kind in ("extra_forbidden", "missing"):
        return _field_sentence(kind, str(location[-1]), field, model_at(model, location[:-1]))
    if value is None:
        return "is empty", "give it a value, or leave the line out"
    return _value_sentence(kind, value, context, field, model_at(model, location))


def _field_sentence(kind: str, name: str, field: FieldInfo | None, parent: type[Part] | None) -> tuple[str, str]:
    """Say what is wrong with a field that is there and should not be, or the other way round."""
    if kind == "missing":
        return "is missing", _example(name, field)
    return "unknown field", suggest(name, aliases(parent) if parent else set())


def _value_sentence(
    kind: str, value: object, context: Mapping[str, Any], field: FieldInfo | None, part: type[Part] | None
) -> tuple[str, str]:
    """Say what is wrong with a value of the right type."""
    if kind == "literal_error" and field:
        choices = [str(choice) for choice in _literals(field.annotation)]
        return f"{show(value)} is not one of its values", f"use {' or '.join(choices)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"{show(value)} is out of bounds", _bounds(field, context)
    if kind == "too_long":
        return f"has {context['actual_length']} items", f"use at most {context['max_length']}"
    return _type_sentence(kind, value, field, part)


def _type_sentence(kind: str, value: object, field: FieldInfo | None, part: type[Part] | None) -> tuple[str, str]:
    """Say what kind of value was expected instead."""
    if kind == "string_type":
        example = f", such as {field.examples[0]}" if field and field.examples else ""
        right = "write it in quotes" if isinstance(value, int | float) else "write one piece of text"
        return f"{show(value)} is not text", right + example
    if kind in ("int_type", "int_from_float", "int_parsing"):
        return f"{show(value)} is not a whole number", "write digits without quotes, such as 3"
    if kind == "bool_type":
        return f"{show(value)} is not true or false", "write true or false without quotes"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        fields = f": {', '.join(sorted(aliases(part)))}" if part else ", or {} for an empty one"
        return f"{show(value)} is not a mapping", f"write its fields below it{fields}"
    if kind in ("tuple_type", "list_type"):
        return f"{show(value)} is not a list", "begin each item with a dash"
    return "is not valid", f"see the reference: {field.description}" if field else "see the reference"


def _example(name: str, field: FieldInfo | None) -> str:
    """Say what to add for a field that is missing."""
    if field and field.examples and isinstance(field.examples[0], str | int):
        return f"add it, such as {name}: {field.examples[0]}"
    part = model_of(field.annotation) if field else None
    return f"add it, with {', '.join(required(part))}" if part and required(part) else f"add {name}"


def _bounds(field: FieldInfo | None, context: Mapping[str, Any]) -> str:
    metadata = field.metadata if field else []
    low = next((m.ge for m in metadata if isinstance(m, Ge)), context.get("ge"))
    high = next((m.le for m in metadata if isinstance(m, Le)), context.get("le"))
    if low is None or high is None:
        return f"use at most {high}" if low is None else f"use at least {low}"
    return f"use {low} to {high}"


def aliases(model: type[Part]) -> set[str]:
    """The names of a part's fields, as YAML writes them."""
    return {field.alias or name for name, field in model.model_fields.items()}


def required(model: type[Part]) -> list[str]:
    """The names of the fields a part cannot do without, as YAML writes them."""
    return [field.alias or name for name, field in model.model_fields.items() if field.is_required()]


def field_at(model: type[Part], location: Sequence[str | int]) -> FieldInfo | None:
    """The field that stands at `location`, if it is one."""
    parent = model_at(model, location[:-1])
    if parent is None or not location:
        return None
    return next((f for n, f in parent.model_fields.items() if (f.alias or n) == location[-1]), None)


def model_at(model: type[Part], location: Sequence[str | int]) -> type[Part] | None:
    """The part that stands at `location`: list indices and the keys of a mapping of parts are stepped over."""
    part: type[Part] | None = model
    step_over = False
    for key in location:
        if part is None:
            return None
        if step_over or isinstance(key, int):
            step_over = False
            continue
        field = next((f for n, f in part.model_fields.items() if (f.alias or n) == key), None)
        part = model_of(field.annotation) if field else None
        step_over = field is not None and _holds(field.annotation, dict)
    return part


def model_of(annotation: object) -> type[Part] | None:
    """The part inside an annotation such as `Dns | None`, `tuple[Runner, ...]` or `dict[str, Addon]`."""
    return next((inner for inner in _inside(annotation) if isinstance(inner, type) and issubclass(inner, Part)), None)


def _holds(annotation: object, container: type) -> bool:
    return any(get_origin(inner) is container for inner in _inside(annotation))


def _literals(annotation: object) -> list[object]:
    return [v for inner in _inside(annotation) if get_origin(inner) is typing.Literal for v in get_args(inner)]


def _inside(annotation: object) -> Iterator[object]:
    yield annotation
    if isinstance(annotation, types.GenericAlias | types.UnionType) or get_origin(annotation) is not None:
        for argument in get_args(annotation):
            yield from _inside(argument)
