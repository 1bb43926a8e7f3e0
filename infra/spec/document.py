"""Reading YAML strictly: one mapping, no key twice, no foreign tags, nothing that grows when it is read.

Scalars are read as YAML 1.2 does: `yes` and `2026-01-31` are text, `010` is ten; a country code `no` stays one.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from infra.spec.problems import InvalidDeclaration, Problem, looks_secret, path_of, show

SIZE_MAX = 256 * 1024
"""Bytes a declaration may have."""
DEPTH_MAX = 40
"""Levels of mappings and lists a declaration may have."""
NODES_MAX = 20_000
"""Values a declaration may have once its aliases are followed."""

_CORE = {
    "tag:yaml.org,2002:null": (re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    "tag:yaml.org,2002:int": (re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN))$"
        ),
        list("-+.0123456789"),
    ),
    "tag:yaml.org,2002:merge": (re.compile(r"^<<$"), ["<"]),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(_tag, _pattern, _first)


class _TooMuchError(Exception):
    """The document nests, or its aliases grow, beyond the bounds."""


class _Builder:
    """Turns parsed nodes into plain data, collecting what is wrong on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, location: tuple[str | int, ...]) -> Any:
        """Build the data of one node; aliases are followed, so that each use counts."""
        self._count += 1
        if self._count > NODES_MAX or len(location) > DEPTH_MAX:
            raise _TooMuchError
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        if id(node) in self._open:
            self._wrong(location, node, "contains itself", "write out what is meant")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, location)
            return self._sequence(node, location)
        finally:
            self._open.discard(id(node))

    def _wrong(self, location: tuple[str | int, ...], node: yaml.Node, reason: str, right: str) -> None:
        line = node.start_mark.line + 1 if node.start_mark else 0
        self.problems.append(Problem(path_of(location), f"{reason} (line {line})", right))

    def _tag(self, node: yaml.Node, location: tuple[str | int, ...], expected: str) -> None:
        if node.tag != expected:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._wrong(location, node, f"has the tag {show(tag)}", "write plain YAML without tags")

    def _sequence(self, node: yaml.Node, location: tuple[str | int, ...]) -> list[Any]:
        self._tag(node, location, "tag:yaml.org,2002:seq")
        return [self.build(item, (*location, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, location: tuple[str | int, ...]) -> dict[str, Any]:
        self._tag(node, location, "tag:yaml.org,2002:map")
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[Hashable, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._merge(value_node, location, merged)
                continue
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag != "tag:yaml.org,2002:str":
                self._wrong(location, key_node, f"has the key {show(key)}, which is not text", "write keys in quotes")
                continue
            if key in lines:
                self._wrong((*location, key), key_node, f"stands in line {lines[key]} already", "write each key once")
                continue
            lines[key] = key_node.start_mark.line + 1
            own[key] = self.build(value_node, (*location, key))
        return {**merged, **own}

    def _merge(self, node: yaml.Node, location: tuple[str | int, ...], into: dict[str, Any]) -> None:
        """Lay `<<` under a mapping: the first of several wins, and the mapping's own keys win over all."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._wrong(location, source, "merges (<<) something that is no mapping", "merge a mapping's alias")
                continue
            data = self.build(source, location)
            for key, value in (data or {}).items():
                into.setdefault(key, value)

    def _scalar(self, node: yaml.ScalarNode, location: tuple[str | int, ...]) -> object:
        text, kind = node.value, node.tag.removeprefix("tag:yaml.org,2002:")
        pattern = _CORE.get(node.tag)
        if kind != "str" and (pattern is None or not pattern[0].match(text) or kind == "merge"):
            self._tag(node, location, "tag:yaml.org,2002:str")
            return None
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return self._int(node, location)
            case "float":
                return float(
                    text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").replace(".n", "n")
                )
        return text

    def _int(self, node: yaml.ScalarNode, location: tuple[str | int, ...]) -> int | None:
        text = node.value
        if len(text) > 20:
            self._wrong(location, node, f"is a number of {len(text)} digits", "write it in quotes if it is text")
            return None
        return int(text, 8) if text.startswith("0o") else int(text, 16) if text.startswith("0x") else int(text)


def read(text: bytes | str, *, what: str) -> dict[str, Any]:
    """Read one YAML mapping.

    Args:
        text: the file's content.
        what: its name, for the error.

    Raises:
        InvalidDeclaration: with everything that is wrong with the file as YAML.
    """
    node = _compose(_decode(text, what), what)
    builder = _Builder()
    try:
        document = builder.build(node, ())
    except (_TooMuchError, RecursionError):
        reason = f"has more than {NODES_MAX} values (aliases followed) or {DEPTH_MAX} levels"
        raise _invalid(what, reason, "declare less in one file") from None
    if builder.problems:
        raise InvalidDeclaration(what, builder.problems)
    if not isinstance(document, dict):
        kind = "is empty" if document is None else f"is {_kind(document)}, not a mapping"
        raise _invalid(what, kind, "begin with apiVersion: plumbline.dev/v1")
    return document


def _kind(document: object) -> str:
    return "a list" if isinstance(document, list) else "a single value"


def _invalid(what: str, reason: str, right: str) -> InvalidDeclaration:
    return InvalidDeclaration(what, [Problem("(document)", reason, right)])


def _decode(text: bytes | str, what: str) -> str:
    if len(text) > SIZE_MAX:
        raise _invalid(what, f"has {len(text)} bytes", f"keep a declaration under {SIZE_MAX} bytes")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise _invalid(what, f"is not UTF-8 (line {line})", "save the file as UTF-8") from None


def _compose(text: str, what: str) -> yaml.Node:
    """Parse the text to nodes; a message of the parser is used, the lines it would quote are not."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_node() if loader.check_node() else None
            if node is None:
                raise _invalid(what, "is empty", "begin with apiVersion: plumbline.dev/v1")
            if loader.check_node():
                right = "keep one environment in one file, without a second ---"
                raise _invalid(what, "holds several documents", right)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise _invalid(what, f"has a character that YAML does not allow (line {line})", "remove it") from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, what) from None
    except RecursionError:
        raise _invalid(what, f"has more than {DEPTH_MAX} levels", "declare less in one file") from None
    return node


def _syntax(error: yaml.MarkedYAMLError, what: str) -> InvalidDeclaration:
    mark = error.problem_mark or error.context_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    problem = error.problem or "cannot be parsed"
    if "'\\t'" in problem:
        return _invalid(what, f"has a tab where YAML wants spaces{where}", "indent with spaces")
    if looks_secret(problem):
        problem = "cannot be parsed"
    return _invalid(what, f"is not YAML: {problem}{where}", "mend the line named, or the one before it")
