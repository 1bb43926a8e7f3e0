"""What is published of the models: the JSON Schema, and the reference of the environment file.

`python -m infra.spec` writes both; a test checks that they are current.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.settings import ROOT
from infra.spec.explain import model_of
from infra.spec.models import Environment
from infra.spec.part import Part

SCHEMA_PATH = Path(__file__).with_name("environment.schema.json")
REFERENCE_PATH = ROOT / "docs/environment.md"

_INTRODUCTION = """\
# The environment file

One file declares one environment: `environments/<name>.yaml` in the repository of environments. What it says is refused
as a whole, with every problem named at once, before anything is written anywhere. Unknown fields are refused.

The same as a JSON Schema, for editors: [environment.schema.json](../infra/spec/environment.schema.json). The schema
knows shapes and bounds; the rules between fields and those of the site are checked by Plumbline itself:
`python -m infra.spec check FILE …`.

This page is written by `python -m infra.spec write` from the models in `infra/spec/`; do not edit it by hand.
"""

_RULES = """
## Rules between the fields

| what is declared | needs |
|---|---|
| `spec.dns` | add-on `nginx-ingress`: its address is what the names lead to |
| `spec.certificates` | add-on `cert-manager`, and `spec.dns`, whose names are certified |
| `spec.delivery` | add-on `argo-cd` |
| `spec.runners` | add-on `actions-runner-controller` |
| several masters | `spec.cluster.masterLoadBalancer: true` |
| a wildcard in `spec.dns.hostnames` | `spec.certificates.challenge: dns01`, or the issuer `ca` |
| `spec.certificates.acme`, `spec.certificates.ca` | the issuer of that name, and it needs them |

- The name in `metadata.name` is the file's name.
- `spec.dns.domain` lies in `spec.dns.zone`, and every host name under the domain; names are kept in lower case with the
  trailing dot, however they are written. `*.<domain>` is always there; `plumbline.<domain>` is Plumbline's own.
- A node group has `min <= count <= max` and a name of its own, none of Magnum's (`default-worker`, `default-master`).
- The labels `kube_tag`, `kube_version` and `plumbline_environment` are Plumbline's to set.
- Secrets never stand in the file: where one is needed, the file has its *name*. What looks like a token, a private key
  or a password in a URL is refused, and never quoted.
- Scalars are read as YAML 1.2 does: only `true` and `false` are booleans. A key may stand once; anchors and `<<` work,
  tags such as `!!python/object` do not. A key without a value is refused, except in Helm `values`, where a null deletes
  a chart's default. A file has one document, UTF-8, and at most 256 KiB.
"""


def schema() -> str:
    """The JSON Schema of an environment file."""
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://plumbline.dev/schemas/v1/environment.schema.json",
        **Environment.model_json_schema(by_alias=True),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """The reference of the environment file, as Markdown."""
    return _INTRODUCTION + "".join(_section(Environment, "")) + _RULES


def _section(part: type[Part], path: str) -> Iterator[str]:
    """One table per part, then the parts inside it."""
    definition = part.model_json_schema(by_alias=True)
    yield f"\n## `{path or '(the document)'}`\n\n{definition.get('description', '')}\n\n"
    yield "| field | type | default | what it is |\n|---|---|---|---|\n"
    inner: list[tuple[type[Part], str]] = []
    for name, field in part.model_fields.items():
        alias = field.alias or name
        data = definition["properties"][alias]
        default = "**required**" if field.is_required() else _default(data, field.annotation)
        example = (
            f" Such as `{field.examples[0]}`." if field.examples and isinstance(field.examples[0], str | int) else ""
        )
        yield f"| `{alias}` | {_type(data)} | {default} | {field.description}{example} |\n"
        if model := model_of(field.annotation):
            inner.append((model, f"{path}.{alias}".removeprefix(".") + _each(data)))
    for model, where in inner:
        yield from _section(model, where)


def _each(data: dict[str, Any]) -> str:
    return "[]" if data.get("type") == "array" else ".<name>" if "additionalProperties" in data else ""


def _default(data: dict[str, Any], annotation: object) -> str:
    """The default as YAML writes it."""
    value = data.get("default")
    if value is None:
        optional = "null" in json.dumps(data.get("anyOf", []))
        return "none" if optional else "as below" if model_of(annotation) and "type" not in data else "`{}`"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(data: dict[str, Any]) -> str:
    """A field's type and bounds in words."""
    variants = [variant for variant in data.get("anyOf", [data]) if variant.get("type") != "null"]
    shape = {**data, **variants[0]}
    if "const" in shape:
        return f"`{shape['const']}`"
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    names = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list", None: "mapping"}
    text = names.get(shape.get("type"), "mapping")
    if "minimum" in shape and "maximum" in shape:
        text += f", {shape['minimum']} to {shape['maximum']}"
    if text == "text" and "maxLength" in shape:
        text += f", at most {shape['maxLength']} characters"
    return text


def write() -> list[Path]:
    """Write both files; return those that changed."""
    changed = []
    for path, content in ((SCHEMA_PATH, schema()), (REFERENCE_PATH, reference())):
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            changed.append(path)
    return changed
