"""One recorded environment as a stencil for many: what is its own becomes a blank, filled in for each of them (pure).

Its own are its name, the digest in its template's name, the last digits of every UUID, and two addresses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from infra.clients.helm_records import SECRET_TYPE, decode, encode
from infra.spec.models import Environment
from infra.terraform.template import template_name
from infra.terraform.variables import Variables

NAME, DIGEST, TAIL, API, INGRESS = "@@name@@", "@@digest@@", "@@tail@@", "@@api@@", "@@ingress@@"
UUID = re.compile(r"\b([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{8})([0-9a-f]{4})\b")
CERTIFICATES = "/v1/certificates"
"""Where Magnum shows its authorities and signs: answered by the replay itself, since each key is a new one."""

Json = Any


class Exchange(BaseModel):
    """One request, and what was answered."""

    model_config = ConfigDict(frozen=True)

    port: int
    """Of whom was asked: it tells Keystone, Nova, Magnum, Designate, git and the API server apart."""
    method: str
    target: str
    """Path and query."""
    status: int
    headers: dict[str, str]
    body: str


class Recording(BaseModel):
    """All that a look at one environment in step was answered."""

    model_config = ConfigDict(frozen=True)

    name: str
    declaration: str
    """Its environments/NAME.yaml."""
    exchanges: list[Exchange]
    plan: str
    """Terraform's `show -json` of a plan with nothing to do."""
    state: str
    """Terraform's state."""
    api: str
    """Host of the API server's address."""
    api_port: int
    ingress: str
    """Address of the ingress's load balancer."""
    objects: int
    """That its Helm releases declare."""

    @property
    def shared(self) -> frozenset[str]:
        """UUIDs of the zone and what is around it: all environments have it in common."""
        bodies = [one.body for one in self.exchanges if one.target.startswith("/v2/zones?")]
        return frozenset("".join(found) for body in bodies for found in UUID.findall(body))


@dataclass(frozen=True)
class Identity:
    """What tells one environment of the fleet from the others."""

    name: str
    digest: str
    tail: str
    """The last four digits of every UUID."""
    api: str
    ingress: str

    def fill(self, text: str) -> str:
        """A stencil with its blanks filled in."""
        blanks = {NAME: self.name, DIGEST: self.digest, TAIL: self.tail, API: self.api, INGRESS: self.ingress}
        for blank, value in blanks.items():
            text = text.replace(blank, value)
        return text


def digest(declaration: str) -> str:
    """The eight digits at the end of the template's name, after a declaration in YAML."""
    environment = Environment.model_validate(yaml.safe_load(declaration))
    return template_name(Variables.of(environment)).rpartition("-")[2]


def identities(recording: Recording, count: int, network: IPv4Network) -> list[Identity]:
    """The fleet's environments; their API servers and load balancers have an address each, in `network` (a /16)."""
    stem, width = recording.name.rpartition("-")[0], len(recording.name.rpartition("-")[2])
    found = []
    for number in range(1, count + 1):
        name = f"{stem}-{number:0{width}}"
        address = IPv4Address(int(network.network_address) + number)
        mine = digest(recording.declaration.replace(recording.name, name))
        found.append(Identity(name, mine, f"{number:04x}", str(address), str(address + 256 * 128)))
    return found


class Stencil:
    """Makes blanks of what is a recorded environment's own."""

    def __init__(self, recording: Recording) -> None:
        self._shared = recording.shared
        mine = digest(recording.declaration)
        version = Environment.model_validate(yaml.safe_load(recording.declaration)).spec.cluster.kubernetes
        self._words = (
            (f"{recording.name}-{version}-{mine}", f"{NAME}-{version}-{DIGEST}"),
            (f"https://{recording.api}:{recording.api_port}", f"https://{API}:{recording.api_port}"),
            (recording.ingress, INGRESS),
            (recording.name, NAME),
        )

    def cut(self, text: str) -> str:
        """The text with blanks in it."""
        for word, blank in self._words:
            text = text.replace(word, blank)
        return UUID.sub(lambda found: found[0] if found[0] in self._shared else found[1] + TAIL, text)

    def asked(self, identity: Identity, target: str) -> str:
        """The recorded target that one environment's stands for."""
        target = target.replace(identity.name, NAME)
        return UUID.sub(lambda found: found[0] if found[0] in self._shared else found[1] + TAIL, target)


def releases(body: str) -> bool:
    """Whether a body is a list of Helm's records, which are packed and have to be opened first."""
    return f'"{SECRET_TYPE}"' in body and '"release"' in body


def unpacked(body: str) -> str:
    """A list of Secrets with Helm's records in it as plain text, for `cut`."""
    document = json.loads(body)
    for item in document["items"]:
        if item.get("type") == SECRET_TYPE:
            item["data"]["release"] = json.dumps(decode(item))
    return json.dumps(document)


def packed(body: str) -> str:
    """The reverse of `unpacked`."""
    document = json.loads(body)
    for item in document["items"]:
        if item.get("type") == SECRET_TYPE:
            item["data"]["release"] = encode(json.loads(item["data"]["release"]))
    return json.dumps(document)


def together(stencil: str, everyone: Sequence[Identity]) -> str:
    """A list that all environments stand in: what has a name in it once for each of them, everything else once."""
    document: Json = json.loads(stencil)
    lists = {key: value for key, value in document.items() if isinstance(value, list)}
    for key, items in lists.items():
        document[key] = [one for item in items for one in _each(item, everyone)]
    return everyone[0].fill(json.dumps(document))


def _each(item: Json, everyone: Sequence[Identity]) -> Iterable[Json]:
    text = json.dumps(item)
    return [json.loads(one.fill(text)) for one in (everyone if NAME in text else everyone[:1])]
