"""A busy Prefect server is asked again, and no other answer is."""

from __future__ import annotations

import httpx
import pytest
from pytest_httpserver import HTTPServer

from deployments import patience


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr("deployments.patience.time.sleep", taken.append)
    return taken


def test_a_busy_server_is_asked_again_with_the_same_body(httpserver: HTTPServer, pauses: list[float]) -> None:
    for _ in range(2):
        httpserver.expect_ordered_request("/x", method="PATCH", json={"a": 1}).respond_with_data("busy", status=503)
    httpserver.expect_ordered_request("/x", method="PATCH", json={"a": 1}).respond_with_data(status=204)
    with httpx.Client(transport=patience.Patient()) as api:
        assert api.patch(httpserver.url_for("/x"), json={"a": 1}).status_code == 204
    assert pauses == [0.5, 1.0]


def test_patience_ends(httpserver: HTTPServer, pauses: list[float]) -> None:
    httpserver.expect_request("/x").respond_with_data("busy", status=503)
    with httpx.Client(transport=patience.Patient()) as api:
        assert api.get(httpserver.url_for("/x")).status_code == 503
    assert pauses == list(patience.PAUSES)
    assert len(httpserver.log) == len(patience.PAUSES) + 1


def test_other_answers_stand(httpserver: HTTPServer, pauses: list[float]) -> None:
    httpserver.expect_request("/x").respond_with_data("no", status=409)
    with httpx.Client(transport=patience.Patient()) as api:
        assert api.post(httpserver.url_for("/x"), json={}).status_code == 409
    assert pauses == []
    assert len(httpserver.log) == 1
