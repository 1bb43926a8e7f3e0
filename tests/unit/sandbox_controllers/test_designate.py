"""TXT records of challenges in Designate, over real HTTP: several values of one name are one recordset."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from deployments.sandbox.controllers.cert_manager import designate
from deployments.sandbox.controllers.cert_manager.designate import Records
from infra.clients.errors import Failed, NotFound, Unavailable
from tests.unit.clients.conftest import FakeCloud

ZONE, NAME = "sandbox.example.", "_acme-challenge.dev.sandbox.example."
API = "/dns/v2/v2"
"""Designate's entry in the sandbox's catalogue has no version; the first one here is the fake catalogue's."""


class Designate:
    """One zone; a recordset is PENDING when it is looked at for the first time after a change."""

    def __init__(self, server: HTTPServer) -> None:
        self.records: list[str] | None = None
        self.asked: list[str] = []
        self.status = "ACTIVE"
        self.refuse = False
        self._pending = False
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
            body = self._body() | {"status": "PENDING" if self._pending else self.status}
            self._pending = False
            return _json(body)
        return self._changed("delete" if request.method == "DELETE" else "update", request)

    def _changed(self, what: str, request: Request) -> Response:
        self.asked.append(what)
        if self.refuse:
            return _json({"message": "quota"}, 413)
        self.records = None if what == "delete" else (request.get_json() or {})["records"]
        self._pending = True
        return _json(self._body() if self.records is not None else {}, 202)

    def _body(self) -> dict[str, Any]:
        return {"id": "r1", "zone_id": "z1", "name": NAME, "type": "TXT", "records": self.records, "status": "PENDING"}


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")


@pytest.fixture
def cloud(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("OS_"):
            monkeypatch.delenv(name)
    yield FakeCloud(httpserver, tmp_path)


async def test_values_of_one_name_come_and_go_by_themselves(cloud: FakeCloud) -> None:
    zone, records = Designate(cloud.server), Records(cloud.clouds)
    await records.present(ZONE, NAME, "one")
    assert zone.records == ['"one"']
    await records.present(ZONE, NAME, "two")
    assert zone.records == ['"one"', '"two"']
    await records.present(ZONE, NAME, "two")
    await records.clean_up(ZONE, NAME, "one")
    assert zone.records == ['"two"']
    await records.clean_up(ZONE, NAME, "two")
    await records.clean_up(ZONE, NAME, "two")
    assert zone.asked == ["create", "update", "update", "delete"]


async def test_what_designate_does_not_do_is_told(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    zone, records = Designate(cloud.server), Records(cloud.clouds)
    with pytest.raises(NotFound, match=r"no zone other\.example\."):
        await records.present("other.example.", NAME, "one")
    await records.clean_up("other.example.", NAME, "one")
    zone.status = "ERROR"
    with pytest.raises(Unavailable, match="is ERROR"):
        await records.present(ZONE, NAME, "one")
    zone.status = "PENDING"
    monkeypatch.setattr(designate, "ACTIVE_TIME", 0.0)
    with pytest.raises(Unavailable, match="is PENDING"):
        await records.present(ZONE, NAME, "two")
    zone.refuse = True
    with pytest.raises(Failed, match="Designate refused"):
        await records.present(ZONE, NAME, "three")
