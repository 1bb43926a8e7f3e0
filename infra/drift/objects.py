"""Live Kubernetes objects against what was declared of them: the stored manifest of a release, or one of our own.

```
declared ──┐                 in step: nothing more to do (by memory, by hash, by subset: the most)
           ├─► suspects ──►  suspicious: the caller asks the API server, on a dry run, what applying the declaration
live ──────┘                 would change, where `needs_dry_run` says so and it may
                                  │
                             findings_of ──► findings, with who changed what
```

Pure. A caller lists each kind once, makes its suspects, dry-runs those few side by side, and concludes:

    found = suspects(declared, {key_of(each): each for each in listed}, ignores=addon.ignore, memory=memory)
    answers = {each.key: await dry_run(each.declared) for each in found if each.needs_dry_run}
    findings = findings_of(found, plane=PlaneName.ADDONS, answers=answers)

An answer may be missing or None, for a dry run can be refused: then managedFields and the tables decide alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from infra.drift.difference import Difference, confirmed
from infra.drift.differences import differences
from infra.drift.findings import Finding, PlaneName
from infra.drift.ignoring import IgnoreRule, Ignores, Pointer, without
from infra.drift.keys import Key as Key  # noqa: PLC0414 - names of this module, too
from infra.drift.keys import Object, nameless
from infra.drift.keys import key_of as key_of  # noqa: PLC0414
from infra.drift.managers import MANAGERS, Managers
from infra.drift.memory import Memory, pair_hash
from infra.drift.ownership import Owners, suspicious
from infra.drift.scaling import floors, scaled
from infra.drift.structure import Structures
from infra.drift.subset import covers
from infra.drift.values import builtin
from infra.drift.wording import difference_found, object_gone

_ENCODE: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
"""Manifests come from YAML, where dates and numbers as keys are possible; the API server sees JSON."""


def placed(
    items: Iterable[Object], namespace: str, is_namespaced: Callable[[str, str], bool | None]
) -> list[dict[str, Any]]:
    """The objects of a manifest as the API server files them: lists unpacked, namespaces filled in.

    Args:
        items: of the manifest, which need not say the namespace.
        namespace: of the release.
        is_namespaced: whether a kind (apiVersion, kind) has namespaces; None where nobody knows.
    """
    found: list[dict[str, Any]] = []
    for item in unpacked(items):
        kind = item.get("kind", "")
        metadata = dict(item.get("metadata") or {})
        scoped = is_namespaced(item.get("apiVersion", ""), kind)
        if scoped:
            metadata["namespace"] = metadata.get("namespace") or namespace
        elif scoped is False:
            metadata.pop("namespace", None)
        found.append({**item, "metadata": metadata})
    return found


def unpacked(items: Iterable[Object]) -> Iterator[Object]:
    """The objects of a manifest, those in its lists one by one: a ConfigMapList's need not say what they are."""
    for item in items:
        kind = item.get("kind", "")
        if kind.endswith("List") and isinstance(item.get("items"), list):
            known = {"apiVersion": item["apiVersion"], "kind": kind.removesuffix("List")}
            yield from unpacked({**known, **each} for each in item["items"])
        else:
            yield item


@dataclass(frozen=True)
class Suspect:
    """An object that may not be as declared.

    Attributes:
        key: which.
        declared: what to apply on the dry run, and to heal.
        live: what is there; None where nothing is.
        differences: what to say, unless a dry run says otherwise.
    """

    key: Key
    declared: dict[str, Any] = field(repr=False)
    live: Object | None = field(repr=False)
    differences: tuple[Difference, ...] = ()
    _pointers: tuple[Pointer, ...] = ()

    @property
    def needs_dry_run(self) -> bool:
        """Whether the API server's answer could make one of the differences none."""
        return self.live is not None and any(each.decidable for each in self.differences)


def suspects(
    declared: Iterable[Object],
    live: Mapping[Key, Object],
    *,
    ignores: Iterable[IgnoreRule] = (),
    managers: Managers = MANAGERS,
    memory: Memory | None = None,
) -> list[Suspect]:
    """Every declared object that is not plainly in step, in the order of the declaration.

    Args:
        declared: objects with their namespaces (`placed`); one whose name is generated is none that can be found.
        live: what the API server has of them; the HorizontalPodAutoscalers of their namespaces that are to be there:
            what one scales has the replicas it wants; the definitions of custom resources, which say what is dropped
            and filled in.
        ignores: the catalogue's rules for this release.
        managers: whom to trust with what is not declared.
        memory: what was in step before; learns.
    """
    look = _Look(Ignores(ignores), managers, memory, floors(live.values()), Structures(live.values()))
    examined = (look.examine(item, live.get(key_of(item))) for item in declared if not nameless(item))
    return [suspect for suspect in examined if suspect is not None]


@dataclass(frozen=True)
class _Look:
    """What holds for every object of one comparison."""

    rules: Ignores
    managers: Managers
    memory: Memory | None
    scaled: Mapping[Key, int]
    structures: Structures

    def examine(self, item: Object, there: Object | None) -> Suspect | None:
        """An object as a suspect; None where it is in step."""
        encoded, key = _encoded(item), key_of(item)
        if there is None or there["metadata"].get("deletionTimestamp"):
            if _goes_by_itself(item):
                return None
            return Suspect(key, orjson.loads(encoded), there)
        pointers = self.rules.of(item)
        # Not even a hash of a Secret is kept.
        memory = self.memory if key.kind != "Secret" else None
        digest = pair_hash(encoded, there, pointers, floor=self.scaled.get(key)) if memory is not None else ""
        if memory is not None and memory.knows(there, digest):
            return None
        wanted = orjson.loads(encoded)
        found = self._differences(_compared(wanted, pointers), _compared(there, pointers), key)
        if found:
            return Suspect(key, wanted, there, tuple(found), pointers)
        if memory is not None:
            memory.learn(there, digest)
        return None

    def _differences(self, declared: Object, live: Object, key: Key) -> list[Difference]:
        plain = not suspicious(live, self.managers) and not scaled(declared, live)
        if plain and covers(declared, live, builtin(declared["apiVersion"])):
            return []
        owners, structure = Owners(live, self.managers), self.structures.of(declared)
        return differences(declared, live, owners, floor=self.scaled.get(key), structure=structure)


def findings_of(
    found: Iterable[Suspect],
    *,
    plane: PlaneName,
    answers: Mapping[Key, Object | None] | None = None,
) -> list[Finding]:
    """What is to be said about suspects.

    Args:
        plane: whose objects they are.
        answers: what the dry runs returned. Nothing is remembered of them: they are admission's word of today.
    """
    findings: list[Finding] = []
    for suspect in found:
        if suspect.live is None or not suspect.differences:
            findings.append(object_gone(plane, suspect.declared, suspect.live))
            continue
        answer = (answers or {}).get(suspect.key)
        real = confirmed(suspect.differences, None if answer is None else _compared(answer, suspect._pointers))
        findings += [difference_found(plane, suspect.declared, each) for each in real]
    return findings


def compare_objects(
    declared: Iterable[Object],
    live: Mapping[Key, Object],
    *,
    plane: PlaneName,
    ignores: Iterable[IgnoreRule] = (),
    managers: Managers = MANAGERS,
    answers: Mapping[Key, Object | None] | None = None,
    memory: Memory | None = None,
) -> list[Finding]:
    """`suspects` and `findings_of` in one, for callers that have the dry runs' answers, or can do without."""
    found = suspects(declared, live, ignores=ignores, managers=managers, memory=memory)
    return findings_of(found, plane=plane, answers=answers)


def _goes_by_itself(declared: Object) -> bool:
    """Whether the cluster deletes the object once it is done: made again, the Job would run again."""
    spec = declared.get("spec") or {}
    return declared["kind"] == "Job" and spec.get("ttlSecondsAfterFinished") is not None and not spec.get("suspend")


def _encoded(item: Object) -> bytes:
    try:
        return orjson.dumps(item)
    except TypeError:
        return orjson.dumps(_as_json(item), option=_ENCODE)


def _as_json(item: Any) -> Any:
    """A value with its integers as the API server reads them: beyond 64 bits they are floating-point numbers."""
    if isinstance(item, Mapping):
        return {key: _as_json(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_as_json(each) for each in item]
    return float(item) if isinstance(item, int) and not -(2**63) <= item < 2**63 else item


def _compared(item: Any, pointers: tuple[Pointer, ...]) -> Any:
    """An object as it is compared: a Secret's values as the server keeps them, and nothing that is ignored."""
    if item.get("kind") == "Secret":
        item = _plain_secret(item)
    return without(item, pointers) if pointers else item


def _plain_secret(item: dict[str, Any]) -> dict[str, Any]:
    """A Secret with its text as data, and its base64 without line breaks."""
    data = {key: "".join(value.split()) if isinstance(value, str) else value
            for key, value in (item.get("data") or {}).items()}  # fmt: skip
    for key, value in (item.get("stringData") or {}).items():
        data[key] = base64.b64encode(str(value).encode()).decode()
    plain = {key: value for key, value in item.items() if key != "stringData"}
    if data or "data" in item:
        plain["data"] = data
    return plain
