"""What findings show of values: enough to act on, and no secret."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.masking import HIDDEN
from infra.drift.paths import Item, Path
from infra.drift.veiling import veiled

ENV: Path = ("spec", "template", "spec", "containers", Item((("name", "web"),)), "env")


def variable(name: str) -> Path:
    return (*ENV, Item((("name", name),)), "value")


@pytest.mark.parametrize(
    ("kind", "path", "value", "shown"),
    [
        ("Secret", ("data", "a"), "eA==", HIDDEN),
        ("Secret", ("data",), {"a": "eA=="}, HIDDEN),
        ("Secret", ("metadata", "labels", "a"), "x", "x"),
        ("Deployment", variable("DB_PASSWORD"), "hunter2", HIDDEN),
        ("Deployment", variable("API_KEY"), "hunter2", HIDDEN),
        ("Deployment", variable("LOG_LEVEL"), "debug", "debug"),
        ("Deployment", variable("DATABASE_URL"), "postgres://app:hunter2@db/app", "postgres://app:***@db/app"),
        ("Deployment", ENV, [{"name": "TOKEN", "value": "hunter2"}], [{"name": "TOKEN", "value": HIDDEN}]),
        ("Deployment", ("spec", "args", 0), "--api-key=hunter2", f"--api-key={HIDDEN}"),
        ("Deployment", ("spec", "args"), ["serve", "--v=2"], ["serve", "--v=2"]),
        ("ConfigMap", ("data", "admin.password"), "hunter2", HIDDEN),
        ("ConfigMap", ("data", "app.ini"), "user = app\npassword = hunter2\n", "user = app\npassword = ***\n"),
        ("Widget", ("spec",), {"auth": {"clientSecret": "hunter2"}}, {"auth": {"clientSecret": HIDDEN}}),
        # Names of Secrets, and what only sounds like one.
        ("Ingress", ("spec", "tls", 0, "secretName"), "web-tls", "web-tls"),
        ("Widget", ("spec", "tokenSecretRef"), {"name": "acme", "key": "token"}, {"name": "acme", "key": "token"}),
        ("ServiceAccount", ("secrets",), [{"name": "web-1"}], [{"name": "web-1"}]),
        ("Pod", ("spec", "automountServiceAccountToken"), False, False),
        ("ConfigMap", ("data", "token"), "", ""),
    ],
)
def test_secrets_are_hidden_and_nothing_else(kind: str, path: Path, value: Any, shown: Any) -> None:
    assert veiled(kind, path, value) == shown
