"""What a chart's schemas say of its values, without asking the internet.

Helm checks values against the `values.schema.json` of a chart and of its subcharts, and fetches what such a schema
refers to elsewhere. A worker must not: an environment without a way out could install nothing, and whoever answers at
that address would have a say in what is installed. So where a schema points outside itself, helm is given a copy of the
chart to check the values with: its schemas without those references, its defaults, and no templates. Helm itself, since
nobody else knows which values a subchart gets. The chart as it was fetched is then installed without that check.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin

from infra.clients.errors import InvalidInput

if TYPE_CHECKING:
    from infra.clients.helm_command import HelmCommand

SCHEMA = "values.schema.json"
_ITSELF = f"file:///{SCHEMA}"
"""The address that helm gives a schema that says none."""

_KEPT = re.compile(rf"[^/]+/(charts/[^/]+/)*(Chart\.yaml|requirements\.yaml|values\.yaml|{re.escape(SCHEMA)})")
_PACKED = re.compile(r"[^/]+/(charts/[^/]+/)*charts/[^/]+\.tgz")

_STANDARD = re.compile(
    r"https?://json-schema\.org/(schema|draft-0[467]/schema|draft/20(19-09|20-12)/(schema|meta/\w+))"
)
"""What every helm has with it."""

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_KEPT_BESIDE = ("$schema", "$id", "id", "definitions", "$defs")
_LONE = re.compile(r"https?://json-schema\.org/draft-0[467]/")
"""The drafts in which a reference stands alone: what is beside it counts for nothing."""


def schemas_alone(chart: Path) -> tuple[tuple[str, ...], bytes]:
    """Where a chart's schemas point to, and a copy of it that has its schemas, without that, and its defaults.

    Args:
        chart: the packed chart; its subcharts may be folders or packed themselves.

    Returns:
        The addresses, sorted, and the packed copy. Where there are none, helm may read the chart itself.

    Raises:
        InvalidInput: it is no packed chart.
    """
    outside: set[str] = set()
    try:
        copy = _copied(chart.read_bytes(), outside)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise InvalidInput(f"{chart.name} is not a packed chart.", detail=f"{type(error).__name__}: {error}") from error
    return tuple(sorted(outside)), copy


async def check_values(helm: HelmCommand, name: str, namespace: str, copy: bytes, values: Mapping[str, Any]) -> None:
    """Have helm check values against a copy of a chart, which writes nothing.

    Args:
        helm: with the cluster's version of Kubernetes.
        copy: from `schemas_alone`.

    Raises:
        InvalidInput: the chart does not take these values.
    """
    with tempfile.NamedTemporaryFile(suffix=".tgz") as chart:
        await asyncio.to_thread(Path(chart.name).write_bytes, copy)
        try:
            await helm.template(name, chart.name, dict(values), namespace=namespace)
        except InvalidInput as error:
            if "requires kubeVersion" in (error.detail or ""):
                raise
            summary = f"The chart of {namespace}/{name} does not take its values."
            raise InvalidInput(summary, detail=error.detail) from error


def inside(schema: Any) -> tuple[Any, set[str]]:
    """A schema without its references to elsewhere, and the addresses that these have (pure)."""
    known, outside = {_ITSELF, *_identities(schema, _ITSELF)}, set[str]()
    return _without(schema, _ITSELF, known, outside, lone=bool(_LONE.match(_text(schema, "$schema")))), outside


def _copied(packed: bytes, outside: set[str]) -> bytes:
    copy = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as source,
        tarfile.open(fileobj=copy, mode="w:gz") as target,
    ):
        for member in source:
            name = member.name.removeprefix("./")
            stream = source.extractfile(member) if member.isfile() else None
            if stream is None or not (_KEPT.fullmatch(name) or _PACKED.fullmatch(name)):
                continue
            content = stream.read()
            if _PACKED.fullmatch(name):
                content = _copied(content, outside)
            elif name.endswith(SCHEMA):
                content = _cut(content, outside)
            kept = tarfile.TarInfo(name)
            kept.size = len(content)
            target.addfile(kept, io.BytesIO(content))
    return copy.getvalue()


def _cut(content: bytes, outside: set[str]) -> bytes:
    try:
        schema, found = inside(json.loads(content))
    except ValueError:
        return content  # helm says what is wrong with it
    outside |= found
    return json.dumps(schema).encode()


def _identities(node: Any, base: str) -> Iterator[str]:
    """The addresses under which a schema, or a part of it, can be referred to."""
    if isinstance(node, dict):
        base = _based(node, base)
        yield base
        for item in node.values():
            yield from _identities(item, base)
    elif isinstance(node, list):
        for item in node:
            yield from _identities(item, base)


def _without(node: Any, base: str, known: set[str], outside: set[str], *, lone: bool) -> Any:
    if isinstance(node, list):
        return [_without(item, base, known, outside, lone=lone) for item in node]
    if not isinstance(node, dict):
        return node
    base = _based(node, base)
    cut = {}
    for word in _REFERENCES:
        address = urldefrag(urljoin(base, _text(node, word))).url
        if _text(node, word) and address not in known and not _STANDARD.fullmatch(address):
            cut[word] = address
    dialect = urldefrag(_text(node, "$schema")).url
    if dialect and dialect not in known and not _STANDARD.fullmatch(dialect):
        cut["$schema"] = dialect
    outside.update(cut.values())
    alone = lone and "$ref" in cut
    left = {key: item for key, item in node.items() if key not in cut and (key in _KEPT_BESIDE or not alone)}
    return {key: _without(item, base, known, outside, lone=lone) for key, item in left.items()}


def _based(node: dict[str, Any], base: str) -> str:
    """The address that references below `node` are relative to."""
    return urldefrag(urljoin(base, _text(node, "$id") or _text(node, "id"))).url


def _text(node: Any, key: str) -> str:
    """A keyword's text; empty where it is none, such as a property of that name."""
    found = node.get(key) if isinstance(node, dict) else None
    return found if isinstance(found, str) else ""
