"""What is wrong with a declaration: where, why, and what would be right; never a value that looks secret."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

from pydantic_core import PydanticCustomError

from infra.clients.errors import InvalidInput
from infra.clients.masking import HIDDEN, mask

SHOWN = 60
"""How many characters of a value a sentence may quote."""

_SECRET = re.compile(
    r"""PRIVATE[ ]KEY-----
    |gh[pousr]_[A-Za-z0-9]{8}|github_pat_[A-Za-z0-9]|glpat-[A-Za-z0-9]|glrt-[A-Za-z0-9]|gldt-[A-Za-z0-9]
    |\b(?:AKIA|ASIA)[0-9A-Z]{12}                       # AWS
    |xox[abeoprs]-[A-Za-z0-9]|\beyJ[A-Za-z0-9_-]{8,}\.|\bgAAAAA[A-Za-z0-9_-]{20}  # Slack, JWT, Fernet (Keystone)
    |\bsk-[A-Za-z0-9_-]{16}|\bnpm_[A-Za-z0-9]{16}|\bpypi-[A-Za-z0-9_-]{16}|\bhvs\.[A-Za-z0-9]
    |://[^/\s@]*:[^/\s@$]+@                            # user:password in a URL
    """,
    re.VERBOSE,
)
_HINT = re.compile(
    r"-----BEGIN|gh[pousr]_|github_pat|glpat|\b(?:AKIA|ASIA)|\beyJ|\bgAAAA|\bsk-|npm_|pypi-|hvs\."
    r"|:[^/\s@]*@|(?:password|passwd|secret|token|api_?key)\s*[=:]",
    re.IGNORECASE,
)
_RUN = re.compile(r"[A-Za-z0-9+/_=]{20,}")
"""A run without the dots and dashes that names are made of."""
_WORDS = re.compile(r"[a-z]{3,}(?:[A-Z][a-z]{2,})+")
"""Words written as one, such as externalAccountBinding."""


def is_secret(text: str) -> bool:
    """Whether `text` certainly holds a token, a private key, or a password in a URL: reason enough to refuse it."""
    return _SECRET.search(text) is not None


def looks_secret(text: str) -> bool:
    """Whether `text` may hold a secret, judged generously: reason enough not to quote it."""
    return is_secret(text) or _HINT.search(text) is not None or any(_is_random(run) for run in _RUN.findall(text))


def _is_random(run: str) -> bool:
    """Whether a long run of characters has the mixture and the entropy of generated text."""
    classes = sum(any(test(c) for c in run) for test in (str.islower, str.isupper, str.isdigit))
    hexadecimal = len(run) >= 32 and re.fullmatch(r"[0-9a-fA-F]+", run) is not None
    entropy = -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())
    return hexadecimal or (classes >= 2 and entropy > 3.0 and not _WORDS.fullmatch(run))


def show(value: object) -> str:
    """Quote `value` for a sentence: scalars only, short, on one line, and hidden when they look secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        text = str(value)
        return text if len(text) <= SHOWN else "a very large number"
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return "a list" if isinstance(value, list | tuple) else "a mapping" if isinstance(value, dict) else "a value"
    if looks_secret(value):
        return HIDDEN
    text = "".join(c if c.isprintable() else "�" for c in value)
    return f"“{text}”" if len(text) <= SHOWN else f"“{text[:SHOWN]}…”"


def path_of(location: Sequence[str | int]) -> str:
    """Write a location as people read it: `spec.cluster.nodeGroups[0].name`; keys that look secret are hidden."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            continue
        name = HIDDEN if looks_secret(part) or not part.isprintable() else part[:SHOWN]
        path += f".{name}" if path else name
    return path or "(document)"


def near(name: str, candidates: Sequence[str] | set[str] | frozenset[str], limit: int = 3) -> list[str]:
    """Return the candidates that somebody who wrote `name` may have meant, nearest first; far ones only if no other."""
    lowered = {candidate.lower(): candidate for candidate in sorted(candidates)}
    matches = get_close_matches(name.lower(), list(lowered), n=limit, cutoff=0.6)
    likeness = {match: SequenceMatcher(a=match, b=name.lower()).ratio() for match in matches}
    best = max(likeness.values(), default=0.0)
    return [lowered[match] for match in matches if likeness[match] > best - 0.1]


def suggest(name: str, candidates: Sequence[str] | set[str] | frozenset[str], kind: str = "known") -> str:
    """Say what `name` may have been meant to be: `did you mean nodes?`, else what there is."""
    matches = near(name, candidates)
    if matches:
        return f"did you mean {' or '.join(matches)}?"
    if not candidates:
        return f"nothing is {kind} here"
    listed = sorted(candidates)
    more = f" and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"{kind}: {', '.join(listed[:12])}{more}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a declaration."""

    path: str
    """Where, as people write it: `spec.cluster.nodes.count`."""
    reason: str
    """What is wrong, as the end of a sentence."""
    right: str
    """What would be right."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; {self.right}"


class InvalidDeclaration(InvalidInput):
    """A declaration or a parameter that cannot be right, with every problem found at once.

    Args:
        what: what was looked at, as the subject of a sentence: `environments/dev.yaml`.
        problems: everything that is wrong with it; at least one.
    """

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        self.what = what
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{what} has {count}.")
        # Whole, where other details are cut: each line is one thing to correct.
        self.detail = mask("\n".join(map(str, self.problems)))

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f"  {problem}" for problem in self.problems)])

    def __reduce__(self) -> tuple[type[InvalidDeclaration], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.what, self.problems)


def wrong(reason: str, right: str) -> PydanticCustomError:
    """Make the error a field's validator raises."""
    return PydanticCustomError("plumbline", "{reason}; {right}", {"reason": reason, "right": right})


@dataclass(frozen=True, slots=True)
class At:
    """A problem at a location relative to the model that found it."""

    location: tuple[str | int, ...]
    reason: str
    right: str


def wrongs(found: Sequence[At]) -> PydanticCustomError:
    """Make the error a model's validator raises for problems in several of its fields."""
    text = "; ".join(f"{path_of(at.location)}: {at.reason}; {at.right}" for at in found)
    return PydanticCustomError("plumbline_many", "{text}", {"text": text, "found": list(found)})
