"""What the outside world answers to a fleet of environments that were all recorded from one (no I/O)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deployments.bench_fleet_stencil import (
    CERTIFICATES,
    NAME,
    TAIL,
    Exchange,
    Identity,
    Recording,
    Stencil,
    packed,
    releases,
    together,
    unpacked,
)

EDITED = ("apps/v1/deployments", '"registry.example/web:0"', '"registry.example/web:edited"')
"""What somebody has done by hand in the one environment that has drifted: where it shows, what was, and what is."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class World:
    """Every environment of the fleet as its clients see it.

    Args:
        recording: of one environment.
        fleet: who stands for it.
        authority: PEM of the authority that all the API servers have their certificates from.
        sign: makes a client certificate (PEM) of a request (PEM).
        drifted: name of the environment in which something was changed by hand.
    """

    def __init__(
        self,
        recording: Recording,
        fleet: Sequence[Identity],
        *,
        authority: str,
        sign: Callable[[str], str],
        drifted: str | None = None,
    ) -> None:
        self._stencil = Stencil(recording)
        self._authority, self._sign = authority, sign
        self._drifted = drifted
        self._api_port = recording.api_port
        self._by_name = {one.name: one for one in fleet}
        self._by_tail = {one.tail: one for one in fleet}
        self._by_address = {one.api: one for one in fleet}
        self._known: dict[tuple[int, str, str], Exchange] = {}
        self._packed: dict[tuple[str, str], str] = {}
        for heard in recording.exchanges:
            self._learn(heard, fleet)
        self.answered = 0
        self.unknown: list[str] = []

    def answer(self, port: int, address: str, method: str, target: str, body: bytes) -> Answer:
        """The answer to a request that came to one address."""
        self.answered += 1
        who = self._asked_about(address, target)
        key = self._stencil.asked(who, target) if who else target
        if key.partition("?")[0].startswith(CERTIFICATES):
            pem = self._authority if method == "GET" else self._sign(json.loads(body)["csr"])
            return Answer(200, {"Content-Type": "application/json"}, json.dumps({"pem": pem}).encode())
        known = self._known.get((port, method, key))
        if known is None:
            self.unknown.append(f"{method} {address}:{port}{target}")
            return Answer(404, {"Content-Type": "application/json"}, b"{}")
        text = self._packed.get((who.name if who else "", key)) or (who.fill(known.body) if who else known.body)
        if who and who.name == self._drifted and EDITED[0] in key:
            text = text.replace(EDITED[1], EDITED[2])
        return Answer(known.status, known.headers, text.encode())

    def _asked_about(self, address: str, target: str) -> Identity | None:
        """Which environment is meant: by its API server's address, or by a name or UUID in the path."""
        if address in self._by_address:
            return self._by_address[address]
        for word in target.replace("/", " ").replace("?", " ").replace("=", " ").split():
            for one in (word, word.removeprefix("plumbline-"), word.partition(".")[0]):
                if one in self._by_name:
                    return self._by_name[one]
            if len(word) == 36 and self._stencil.cut(word).endswith(TAIL) and word[-4:] in self._by_tail:
                return self._by_tail[word[-4:]]
        return None

    def _learn(self, heard: Exchange, fleet: Sequence[Identity]) -> None:
        target = self._stencil.cut(heard.target)
        of_helm = releases(heard.body)
        body = self._stencil.cut(unpacked(heard.body) if of_helm else heard.body)
        if heard.port != self._api_port and not (NAME in target or TAIL in target) and NAME in body:
            body = together(body, fleet)
        self._known[heard.port, heard.method, target] = heard.model_copy(update={"body": body})
        if of_helm:
            self._packed |= {(one.name, target): packed(one.fill(body)) for one in fleet}
