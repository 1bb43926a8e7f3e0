"""TXT records of challenges in Designate, over real HTTP: several values of one name are one recordset."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from deployments.sandbox.controllers.cert_manager import designate
from deployments.sandbox.controllers.cert_manager.designate import Records
from deployments.sandbox.dns.servers import Server
from infra.clients.errors import Failed, NotFound, Unavailable
from tests.unit.clients.conftest import FakeCloud

ZONE, NAME = "sandbox.example.", "_acme-challenge.dev.sandbox.example."
API = "/dns/v2/v2"
"""Designate's entry in the sandbox's catalogue has no version; the first one here is the fake catalogue's."""


class Designate:
    """One zone; its name server has a change once the recordset was looked at after it."""

    def __init__(self, server: HTTPServer) -> None:
        self.records: list[str] | None = None
        self.served: list[str] = []
        self.lags = 0
        self.asked: list[str] = []
        self.status = "ACTIVE"
        self.refuse = False
        server.expect_request(f"{API}/zones").respond_with_handler(self._zones)
        server.expect_request(f"{API}/zones/z1/recordsets").respond_with_handler(self._recordsets)
        server.expect_request(f"{API}/zones/z1/recordsets/r1").respond_with_handler(self._recordset)

    def _zones(self, request: Request) -> Response:
        zones = [{"id": "z1", "name": ZONE}] if request.args.get("name") == ZONE else []
        return _json({"zones": zones})

    def _recordsets(self, request: Request) -> Response:
        if request.method == "POST":
            return self._changed("create", request)
        return _json({"recordsets": [self._body()] if self.records is not None else []})

    def _recordset(self, request: Request) -> Response:
        if request.method == "GET":
            self.lags += 1
            self.served = list(self.records or [])
            return _json(self._body() | {"status": self.status})
        return self._changed("delete" if request.method == "DELETE" else "update", request)

    def _changed(self, what: str, request: Request) -> Response:
        self.asked.append(what)
        if self.refuse:
            return _json({"message": "quota"}, 413)
        self.records = None if what == "delete" else (request.get_json() or {})["records"]
        return _json(self._body() if self.records is not None else {}, 202)

    def _body(self) -> dict[str, Any]:
        return {"id": "r1", "zone_id": "z1", "name": NAME, "type": "TXT", "records": self.records, "status": "PENDING"}

    async def answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        if self.served:
            response.answer.append(dns.rrset.from_text(NAME, 60, "IN", "TXT", *self.served))
        return response


@contextlib.asynccontextmanager
async def worked_on(cloud: FakeCloud) -> AsyncIterator[tuple[Designate, Records]]:
    zone = Designate(cloud.server)
    server = Server(zone.answer)
    port = await server.start("127.0.0.1", 0)
    try:
        yield zone, Records(cloud.clouds, [("127.0.0.1", port)])
    finally:
        await server.stop()


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")


@pytest.fixture
def cloud(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("OS_"):
            monkeypatch.delenv(name)
    yield FakeCloud(httpserver, tmp_path)


async def test_values_of_one_name_come_and_go_by_themselves(cloud: FakeCloud) -> None:
    async with worked_on(cloud) as (zone, records):
        await records.present(ZONE, NAME, "one")
        assert zone.served == ['"one"']
        await records.present(ZONE, NAME, "two")
        assert (zone.served, zone.lags) == (['"one"', '"two"'], 2), "ACTIVE all the time, served after a while"
        await records.present(ZONE, NAME, "two")
        await records.clean_up(ZONE, NAME, "one")
        assert zone.records == ['"two"']
        await records.clean_up(ZONE, NAME, "two")
        await records.clean_up(ZONE, NAME, "two")
        assert zone.asked == ["create", "update", "update", "delete"]


async def test_what_designate_does_not_do_is_told(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    async with worked_on(cloud) as (zone, records):
        with pytest.raises(NotFound, match=r"no zone other\.example\."):
            await records.present("other.example.", NAME, "one")
        await records.clean_up("other.example.", NAME, "one")
        zone.status = "ERROR"
        with pytest.raises(Unavailable, match="is ERROR"):
            await records.present(ZONE, NAME, "one")
        zone.status = "PENDING"
        monkeypatch.setattr(designate, "SPREADS", 0.0)
        with pytest.raises(Unavailable, match="is PENDING, and not served"):
            await records.present(ZONE, NAME, "two")
        zone.refuse = True
        with pytest.raises(Failed, match="Designate refused"):
            await records.present(ZONE, NAME, "three")
