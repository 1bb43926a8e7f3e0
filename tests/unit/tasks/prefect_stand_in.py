"""The two routes of Prefect's API that events go through, and a webhook, on a real port: the clients above are real."""

from __future__ import annotations

import json
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

HOOK = "/services/T0SECRET1/b0secret2/Xs3cr3tOfTheHook"
"""The path of a webhook: whoever knows it may post."""


class PrefectStandIn:
    """Keeps events by their ids, as Prefect does, and what the webhook is told."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.api_url = server.url_for("/api")
        self.hook_url = server.url_for(HOOK)
        self.events: dict[str, dict[str, Any]] = {}
        self.posts = 0
        self.sent: list[dict[str, Any]] = []
        self.refuses = False
        self.hook_status = 200
        server.expect_request("/api/csrf-token").respond_with_data("CSRF protection is disabled.", status=422)
        server.expect_request("/api/admin/version").respond_with_json("3.9.1")
        server.expect_request("/api/events", method="POST").respond_with_handler(self._receive)
        server.expect_request("/api/events/filter", method="POST").respond_with_handler(self._filter)
        server.expect_request(HOOK, method="POST").respond_with_handler(self._hook)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Name and resource of each event."""
        return [(one["event"], one["resource"]["prefect.resource.id"]) for one in self.events.values()]

    def _receive(self, request: Request) -> Response:
        if self.refuses:
            return Response("no", status=400)
        self.posts += 1
        for event in json.loads(request.data):
            self.events.setdefault(event["id"], event)
        return Response(status=204)

    def _filter(self, request: Request) -> Response:
        wanted = json.loads(request.data)["filter"]["id"]["id"]
        return Response(json.dumps({"events": [self.events[one] for one in wanted if one in self.events]}))

    def _hook(self, request: Request) -> Response:
        self.sent.append(json.loads(request.data))
        return Response(status=self.hook_status)
