"""Secrets that turn up where nobody expects one: known values are taken out of findings, wherever they stand (pure).

`veiling` hides what is called like a secret. This hides what is one: whoever copies a password from its Secret into a
ConfigMap, under whatever name, has not made it fit for a report.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.clients.masking import HIDDEN
from infra.drift.findings import BlindSpot, Finding, PlaneVerdict

PUBLIC: Final = frozenset({"ca.crt", "tls.crt", "namespace", "type", "url", "name", "project", "server", "username"})
"""Keys of Secrets under which, by convention, something stands that others may know."""
HELM: Final = "helm.sh/release.v1"
"""Secrets that hold Helm's records: no values, but whole manifests."""
PART, WHOLE = 8, 4
"""Characters from which a value is sought within others, and from which it is told by itself: `true` is in many."""


@dataclass(frozen=True)
class Secrets:
    """Values that are secret.

    Attributes:
        parts: hidden wherever one contains them.
        wholes: hidden where one is nothing else.
    """

    parts: frozenset[str] = frozenset()
    wholes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, objects: Iterable[Mapping[str, Any]]) -> Secrets:
        """What Secrets of a cluster hold, as it stands there and as it is meant."""
        values = {value for item in objects if item.get("type") != HELM for value in _values(item)}
        return cls(
            frozenset(value for value in values if len(value) >= PART),
            frozenset(value for value in values if WHOLE <= len(value) < PART),
        )

    def conceal(self, finding: Finding) -> Finding:
        """A finding without any of them; its place stays as it is, since waivers name it."""
        declared, observed = (_replaced(value, self._hidden) for value in (finding.declared, finding.observed))
        if (declared, observed) == (finding.declared, finding.observed):
            return finding
        # The sentence may quote either.
        said = f"{finding.address}{finding.path} is not as declared: a value that stands in a Secret is not shown."
        return finding.model_copy(update={"declared": declared, "observed": observed, "sentence": said})

    def _hidden(self, text: str) -> str:
        return HIDDEN if text in self.wholes or any(part in text for part in self.parts) else text


def shows_text(finding: Finding) -> bool:
    """Whether a finding shows anything that a secret could stand in: numbers do not."""
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    for value in (finding.declared, finding.observed):
        _replaced(value, note)
    return any(len(text) >= WHOLE for text in texts)


def masked(plane: PlaneVerdict, mask: Callable[[str], str]) -> PlaneVerdict:
    """What is said of a plane without what `mask` takes out of texts: secrets that this process has read meanwhile."""

    def of(finding: Finding) -> Finding:
        shown = {what: _replaced(getattr(finding, what), mask) for what in ("declared", "observed", "sentence")}
        return finding.model_copy(update=shown)

    def spot(blind: BlindSpot) -> BlindSpot:
        return blind.model_copy(update={"why": mask(blind.why)})

    return plane.model_copy(
        update={
            "findings": tuple(map(of, plane.findings)),
            "waived": tuple(map(of, plane.waived)),
            "blind_spots": tuple(map(spot, plane.blind_spots)),
            "notes": tuple(map(mask, plane.notes)),
        }
    )


def _values(secret: Mapping[str, Any]) -> Iterator[str]:
    for key, encoded in (secret.get("data") or {}).items():
        if key in PUBLIC or not isinstance(encoded, str):
            continue
        yield encoded
        try:
            yield base64.b64decode(encoded).decode().strip()
        except (binascii.Error, UnicodeDecodeError):  # no text: it is told by its base64 alone
            continue


def _replaced(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        return {key: _replaced(each, replace) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, replace) for each in value]
    return value
