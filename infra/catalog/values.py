"""From a template, an environment and the user's own values to Helm values: pure.

Every `{{ … }}` of a template becomes a JSON literal, which is YAML too: a domain or an e-mail address with a quote
or a line break in it stays one string, so nothing an environment says can change the shape of the values.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from infra.clients.errors import Misconfigured


def _literal(value: object) -> str:
    if isinstance(value, jinja2.Undefined):
        # Touching it raises UndefinedError with the name of what is missing.
        return str(value)
    return json.dumps(value)


def render(folder: Path, template: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """Render an add-on's values template.

    Args:
        folder: the add-on's folder.
        template: file name of the template in it.
        context: what the template may use; anything else is an error, never an empty string.

    Raises:
        Misconfigured: the template is missing, uses something undefined, or does not make a mapping.
    """
    where = f"{folder.name}/{template}"
    try:
        text = _engine(folder).get_template(template).render(**context)
        values = yaml.load(text, yaml.CSafeLoader)
    except (jinja2.TemplateError, yaml.YAMLError, TypeError) as error:
        raise Misconfigured(f"The values template {where} cannot be rendered.", detail=str(error)) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise Misconfigured(f"The values template {where} makes a {type(values).__name__}, not a mapping.")
    return values


@lru_cache
def _engine(folder: Path) -> jinja2.Environment:
    """Kept for the templates that it has compiled."""
    return jinja2.Environment(  # noqa: S701 - the output is YAML; `finalize` is what escapes
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        finalize=_literal,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def deep_merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `override` over `base` as Helm lays one values file over another.

    Mappings are merged key by key; anything else, lists included, is replaced; `null` stays, since for Helm it
    removes the chart's own default. Neither argument is changed.
    """
    merged: dict[str, Any] = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in override.items():
        mine = merged.get(key)
        if isinstance(mine, dict) and isinstance(value, Mapping):
            merged[key] = deep_merge(mine, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged
