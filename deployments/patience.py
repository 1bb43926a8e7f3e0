"""Asking the local Prefect server again while it is busy."""

from __future__ import annotations

import time

import httpx

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt."""


class Patient(httpx.HTTPTransport):
    """Sends a request again that was answered with 503.

    A Prefect server on SQLite answers so while its database is locked, and has then done nothing; Prefect's own client
    asks again as well.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, and its repetitions."""
        for pause in PAUSES:
            response = super().handle_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return response
            response.close()
            time.sleep(pause)
        return super().handle_request(request)
