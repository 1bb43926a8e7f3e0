"""Notifications: through every block that works; of one that does not, no secret is told."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SendgridEmail, SlackWebhook
from prefect.blocks.system import Secret
from prefect.blocks.webhook import Webhook
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from infra.clients.masking import MASKER
from tasks import notifying
from tests.unit.tasks.prefect_stand_in import HOOK, PrefectStandIn

TOKEN = "tok-0123456789"


class Loud(NotificationBlock):
    """A block of a site's own that quotes what it holds."""

    key: SecretStr = SecretStr("the-key-of-the-house")

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Fail, with all that it knows."""
        raise RuntimeError(f"{self.key.get_secret_value()[::-1]} {body} {subject}")


class Endless(NotificationBlock):
    """A block that never answers."""

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Wait."""
        await asyncio.Event().wait()


class Plain(NotificationBlock):
    """A block of a site's own that knows no coroutines."""

    def notify(self, body: str, subject: str | None = None) -> None:  # type: ignore[override]
        """Count."""
        HEARD.append(body)


HEARD: list[str] = []


@pytest.fixture
def hook(httpserver: HTTPServer) -> PrefectStandIn:
    return PrefectStandIn(httpserver)


@pytest.fixture
def blocks(hook: PrefectStandIn, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    webhook = CustomWebhookNotificationBlock(
        name="ops",
        url=hook.hook_url + "?token={{token}}",
        json_data={"body": "{{body}}"},
        headers={"Authorization": "Bearer abcdefghij", "Content-Type": "application/json"},
        secrets={"token": TOKEN},  # type: ignore[arg-type]
    )
    known = {
        "custom-webhook/ops": webhook,
        "loud/ops": Loud(),
        "endless/ops": Endless(),
        "plain/ops": Plain(),
        "webhook/ops": Webhook(url=SecretStr(hook.hook_url), headers={"X-Key": TOKEN}),  # type: ignore[arg-type]
        "secret/ops": Secret(value="hush hush hush"),
    }

    async def load(name: str) -> Any:
        if name not in known:
            raise ValueError(f"Unable to find block document named {name}") from ObjectNotFound(Exception("404"))
        return known[name]

    monkeypatch.setattr(Block, "aload", load)
    HEARD.clear()
    return known


@pytest.mark.usefixtures("blocks")
async def test_each_block_is_told_once_whatever_becomes_of_the_others(
    hook: PrefectStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    named = ["loud/ops", "custom-webhook/ops", "nobody/ops", "ops", "secret/ops", "plain/ops"]
    await notifying.notify([*named, "custom-webhook/ops"], "subject", "body")
    assert (hook.sent, HEARD) == ([{"body": "body"}], ["body"])
    warnings = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    said = "\n".join(warnings)
    for sentence in (
        "through loud/ops failed: RuntimeError.",
        "through nobody/ops failed: Prefect has no such block. Make it, or take it out of PLUMBLINE_NOTIFY.",
        "through ops failed: A notification block is named as type/name",
        "through secret/ops failed: A block of that type does not notify anybody.",
    ):
        assert sentence in said
    assert len(warnings) == 4


@pytest.mark.usefixtures("blocks")
async def test_a_block_that_never_answers_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifying, "PATIENCE", 0.05)
    await notifying.notify(["endless/ops"], "subject", "body")
    assert "The notification through endless/ops failed: TimeoutError." in caplog.messages


@pytest.mark.usefixtures("blocks")
async def test_prefects_plain_webhook_gets_subject_and_body(hook: PrefectStandIn) -> None:
    await notifying.notify(["webhook/ops"], "subject", "body")
    assert hook.sent == [{"subject": "subject", "body": "body"}]


@pytest.mark.usefixtures("blocks")
async def test_a_plain_webhook_that_refuses_is_named_by_its_status(
    hook: PrefectStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    hook.hook_status = 410
    caplog.set_level(logging.DEBUG)
    caplog.handler.addFilter(MASKER)
    await notifying.notify(["webhook/ops"], "subject", "body")
    assert "The notification through webhook/ops failed: HTTPStatusError, status 410." in caplog.messages
    assert not [secret for secret in (HOOK, TOKEN) if secret in caplog.text]


@pytest.mark.usefixtures("blocks")
async def test_a_webhook_that_refuses_is_named_by_its_status_and_not_by_its_address(
    hook: PrefectStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # httpx and its transport quote addresses at this level
    caplog.handler.addFilter(MASKER)
    hook.hook_status = 404
    await notifying.notify(["custom-webhook/ops"], "subject", "body")
    assert "The notification through custom-webhook/ops failed: HTTPStatusError, status 404." in caplog.messages
    quoted = [line for line in caplog.text.splitlines() if "HTTP Request" in line]
    assert quoted, "httpx has named the address, and it was masked"
    for secret in (HOOK, "Xs3cr3tOfTheHook", "b0secret2", TOKEN, "abcdefghij"):
        assert secret not in caplog.text


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # by apprise, when the first of its blocks is made
def test_what_a_block_holds_is_learnt_and_what_anybody_says_is_not() -> None:
    url = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXX1"
    slack = set(notifying.secrets_of(SlackWebhook(url=SecretStr(url))))
    assert {url, "T00000000", "XXXXXXXXXXXXXXXXXXXXXXX1"} <= slack and not slack & {"services", "https"}
    mail = SendgridEmail(api_key=SecretStr("SG.key"), sender_email="a@example.org", to_emails=["b@example.org"])
    assert set(notifying.secrets_of(mail)) == {"SG.key"}
    webhook = CustomWebhookNotificationBlock(
        name="ops",
        url="https://user:passw0rd@example.org/?key=0123456789&kind=json",
        headers={"X-Key": "header-0123", "Accept": "application/json", "X-Mode": "fast"},
        cookies={"session": "cookie-0123"},
        params={"sig": "param-01234", "wait": "true"},
        secrets={"token": TOKEN},  # type: ignore[arg-type]
    )
    learnt = set(notifying.secrets_of(webhook))
    assert {"passw0rd", "0123456789", "header-0123", "cookie-0123", "param-01234", TOKEN} <= learnt
    assert not learnt & {"application/json", "fast", "true", "json", "POST", "ops", "example.org"}
