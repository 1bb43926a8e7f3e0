"""Checking a declaration: every problem at once, before anything is written anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from infra.spec.certificates import Certificates
from infra.spec.context import DEFAULT, Rules
from infra.spec.document import read
from infra.spec.explain import Location, explain
from infra.spec.models import Environment
from infra.spec.part import Part
from infra.spec.problems import InvalidDeclaration, Problem, path_of, show
from infra.spec.rules import across
from infra.spec.services import Addon, Delivery, Dns, Runner

P = TypeVar("P", bound=Part)


def problems(document: object, *, rules: Rules = DEFAULT, name: str | None = None) -> list[Problem]:
    """Find everything that is wrong with a declaration; an empty list means it is an environment.

    Args:
        document: plain data, as read from YAML.
        rules: the site's bounds and the catalogue's names.
        name: the name the environment must have, that of its file; None does not check it.
    """
    return _check(document, rules, name)[1]


def parse(document: object, *, what: str, rules: Rules = DEFAULT, name: str | None = None) -> Environment:
    """Make an environment of a declaration.

    Args:
        what: what is being read, for the error: `environments/dev.yaml at 1a2b3c4`.

    Raises:
        InvalidDeclaration: with every problem.
    """
    environment, found = _check(document, rules, name)
    if environment is None or found:
        raise InvalidDeclaration(what, found)
    return environment


def parse_text(text: bytes | str, *, what: str, rules: Rules = DEFAULT, name: str | None = None) -> Environment:
    """Make an environment of a YAML file's content; arguments and errors as for `parse`."""
    return parse(read(text, what=what), what=what, rules=rules, name=name)


def _check(document: object, rules: Rules, name: str | None) -> tuple[Environment | None, list[Problem]]:
    if not isinstance(document, dict):
        reason = f"is {'empty' if document is None else show(document) + ', not a mapping'}"
        return None, [Problem("(document)", reason, "begin with apiVersion: plumbline.dev/v1")]
    environment, found = None, [*_empty(document, ())]
    try:
        environment = Environment.model_validate(document, context=rules)
    except ValidationError as error:
        found += explain(error, Environment)
        found += _across_valid_parts(document.get("spec"), rules)
    found += _wrong_name(document, name)
    return environment, _once(found)


def _once(found: list[Problem]) -> list[Problem]:
    """Name each problem once; an empty value is said to be empty, and nothing else."""
    empty = {problem.path for problem in found if problem.reason == "is empty"}
    return list(dict.fromkeys(p for p in found if p.reason == "is empty" or p.path not in empty))


def _empty(value: object, location: Location) -> Iterator[Problem]:
    """Find keys without a value: nearly always a slip in the indentation. In Helm values a null has a meaning."""
    if location[:2] == ("spec", "addons") and location[3:4] == ("values",) and value is not None:
        return
    if value is None:
        yield Problem(path_of(location), "is empty", "give it a value, or leave the line out")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _empty(item, (*location, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _empty(item, (*location, index))


def _wrong_name(document: Mapping[str, Any], name: str | None) -> list[Problem]:
    metadata = document.get("metadata")
    declared = metadata.get("name") if isinstance(metadata, dict) else None
    if name is None or not isinstance(declared, str) or declared == name:
        return []
    reason = f"{show(declared)} is not the file's name, {show(name)}"
    return [Problem("metadata.name", reason, f"write {name}, or rename the file")]


def _across_valid_parts(spec: object, rules: Rules) -> list[Problem]:
    """Look for problems between those parts that are valid by themselves, so that one run names everything."""
    if not isinstance(spec, dict):
        return []
    dns = _part(Dns, spec.get("dns"), rules)
    certificates = _part(Certificates, spec.get("certificates"), rules)
    delivery = _part(Delivery, spec.get("delivery"), rules)
    declared = spec.get("runners")
    runners = [r for item in declared if (r := _part(Runner, item, rules))] if isinstance(declared, list) else []
    addons = spec.get("addons", {})
    if not isinstance(addons, dict):
        return []
    # An add-on declared badly counts as enabled: its own problem is enough.
    known = {str(name): _part(Addon, item, rules) or Addon() for name, item in addons.items()}
    found = across(dns, certificates, known, delivery, runners, dns_declared="dns" in spec)
    return [Problem(path_of(("spec", *at.location)), at.reason, at.right) for at in found]


def _part(model: type[P], data: object, rules: Rules) -> P | None:
    try:
        return model.model_validate(data, context=rules)
    except ValidationError:
        return None
