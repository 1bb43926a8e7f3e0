"""Manifests as Helm and kubectl read them: YAML to the JSON that they send to the API server.

They use sigs.k8s.io/yaml over go-yaml 2, which is neither YAML 1.1 nor 1.2: `22:30` and dates are text, `1e+06` and
`08` are numbers, `0644` and `0o644` are octal, `y` and `on` are true, keys become text, `1.0` becomes 1, and a merge
(`<<`) wins over what stands before it. PyYAML parses; what a scalar means is decided here.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import yaml

from infra.clients.errors import Failed

_TAG: Final = "tag:yaml.org,2002:"
_TEXT, _BYTES, _PLAIN = f"{_TAG}str", f"{_TAG}binary", f"{_TAG}plain"
_RESOLVED: Final = frozenset({_PLAIN, *(f"{_TAG}{name}" for name in ("bool", "float", "int", "null"))})

_WORDS: Final[dict[str, bool | None]] = {
    each: value
    for words, value in (
        ("y yes true on", True),
        ("n no false off", False),
        ("~ null", None),
    )
    for word in words.split()
    for each in (word, word.capitalize(), word.upper())
} | {"": None}

_NOT_JSON: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_OCTAL: Final = re.compile(r"^([-+]?)0(?=[0-7]+$)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPACED: Final = re.compile(r"(?<=[0-9])_(?=[0-9])")
_INT64: Final = range(-(2**63), 2**63)


def load_documents(text: str) -> Iterator[Any]:
    """The documents of a stream, as JSON has them.

    Raises:
        Failed: it is no YAML, or nothing that JSON could say.
    """
    try:
        loader = _Loader(text)
        try:
            while (node := loader.get_node() if loader.check_node() else None) is not None:
                yield _data(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise Failed("A manifest cannot be read as YAML.", detail=str(error)) from error
    except RecursionError as error:
        raise Failed("A manifest contains itself, or is nested too deeply.") from error


class _Loader(yaml.CSafeLoader):
    """PyYAML's parser; of a scalar only whether its text says what it is."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        """The tag of a node that has none."""
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return f"{_TAG}seq" if kind is yaml.SequenceNode else f"{_TAG}map"


def _data(node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_data(each) for each in node.value]
    return _mapping(node)


def _mapping(node: yaml.Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.value == "<<" and key.tag in (_PLAIN, f"{_TAG}merge"):
            for each in reversed(value.value if isinstance(value, yaml.SequenceNode) else [value]):
                if not isinstance(each, yaml.MappingNode):
                    raise yaml.constructor.ConstructorError(None, None, "a merge (<<) needs a mapping", each.start_mark)
                found |= _mapping(each)
        else:
            found[_key(key)] = _data(value)
    return found


def _key(node: yaml.Node) -> str:
    """A key, which in JSON is text."""
    key = _scalar(node, is_key=True) if isinstance(node, yaml.ScalarNode) else None
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, float):
        return _short(key)
    if isinstance(key, int):
        return str(key)
    raise yaml.constructor.ConstructorError(None, None, "a key must be text", node.start_mark)


def _scalar(node: yaml.ScalarNode, *, is_key: bool = False) -> Any:
    text: str = node.value
    if node.tag not in _RESOLVED:
        return base64.b64decode(text).decode(errors="replace") if node.tag == _BYTES else text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or not text.isascii():
        return text
    if _NOT_JSON.fullmatch(text):
        raise yaml.constructor.ConstructorError(None, None, f"JSON has no {text}", node.start_mark)
    number = _number(text)
    if number is None:
        return text
    return number if is_key else _sent(number)


def _number(text: str) -> int | float | None:
    """What a text is as a number, if it is one; underscores may stand between digits."""
    plain = _SPACED.sub("", text) if text[0] == "." else text.replace("_", "")
    try:
        whole = int(_OCTAL.sub(r"\g<1>0o", plain), 0)
    except ValueError:
        whole = None
    if whole is not None and (whole in _INT64 or (plain[0].isdigit() and whole < 2**64)):
        return whole
    if not _FLOAT.fullmatch(plain):
        return None
    number = float(plain)
    return None if number in (float("inf"), float("-inf")) else number


def _sent(number: int | float) -> int | float:
    """A number as it comes back: what is no int64 is a double, and a double without a fraction is written as a whole.

    It is read again as a whole number where that has 64 bits.
    """
    if isinstance(number, int) and number in _INT64:
        return number
    number = float(number)
    # The shortest digits that tell the double apart, filled up with zeros.
    whole = int(Decimal(repr(number))) if number.is_integer() else None
    return number if whole is None or not -(2**63) <= whole < 2**64 else whole


def _short(number: float) -> str:
    """A double as a key: the shortest digits that a single-precision number needs."""
    single = struct.pack("f", number)
    written = (f"{number:.{digits}e}" for digits in range(9))
    text = next(each for each in written if struct.pack("f", float(each)) == single)
    mantissa, _, exponent = text.partition("e")
    if -4 <= int(exponent) < 6:
        return f"{Decimal(text):f}"
    return f"{mantissa}e{exponent}"
