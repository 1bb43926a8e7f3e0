"""Notifications through the blocks a site has made in Prefect: Slack, e-mail, a webhook, or one of its own.

What a block holds is secret: the address of a webhook is the right to post there. Before a block is used, the masker of
this process learns its values; and of what a block raises no word is kept, since it may quote them in any shape.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.webhook import Webhook
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from infra.clients.errors import InvalidInput, NotFound, PlumblineError
from infra.clients.masking import MASKER

PATIENCE = 20.0
"""Seconds a block may take."""
LONG = 8
"""Characters from which on a part of an address or a header is taken for a secret; a shorter one is anybody's word."""
SENT = {"headers", "cookies", "params"}
"""Fields whose values are as good as secret, although no type says so."""
OPEN = {"accept", "content-type", "user-agent"}
"""Of them, those that are not."""

log = logging.getLogger(f"infra.{__name__}")


async def notify(blocks: Sequence[str], subject: str, body: str) -> None:
    """Send a notification through each block; one that fails is said in the log and holds up nobody.

    Args:
        blocks: as `type/name`.
    """
    await asyncio.gather(*(_send(name, subject, body) for name in dict.fromkeys(blocks)))


async def _send(name: str, subject: str, body: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            block = await _block(name)
            MASKER.learn(*secrets_of(block))
            await _deliver(block, subject, body)
    except PlumblineError as error:
        log.warning("The notification through %s failed: %s", name, error)
    except Exception as error:  # whatever a block of the site raises
        log.warning("The notification through %s failed: %s.", name, _what(error))


async def _deliver(block: NotificationBlock | Webhook, subject: str, body: str) -> None:
    if isinstance(block, Webhook):
        # Prefect's plain webhook: whatever listens there gets the words as they are.
        (await block.call({"subject": subject, "body": body})).raise_for_status()
        return
    with block.raise_on_failure():
        sending: Any = block.notify(body, subject)
        if inspect.isawaitable(sending):
            await sending


async def _block(name: str) -> NotificationBlock | Webhook:
    """Load a block.

    Raises:
        NotFound: Prefect has none of that name.
        InvalidInput: it is not written as `type/name`, or is none that notifies.
    """
    if "/" not in name:
        raise InvalidInput(f"A notification block is named as type/name, such as slack-webhook/ops, not {name!r}.")
    try:
        block: Any = await Block.aload(name)
    except ValueError as error:
        if isinstance(error.__cause__, ObjectNotFound):
            raise NotFound("Prefect has no such block.", hint="Make it, or take it out of PLUMBLINE_NOTIFY.") from error
        raise
    if not isinstance(block, NotificationBlock | Webhook):
        raise InvalidInput("A block of that type does not notify anybody.")
    return block


def _what(error: Exception) -> str:
    """What a block raised, without a word of it."""
    kind = type(error).__name__
    return f"{kind}, status {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else kind


def secrets_of(value: object) -> Iterator[str]:
    """Everything in a block that must not be read: secret values, and of addresses, headers and cookies all of it."""
    if isinstance(value, SecretStr | SecretBytes | Secret):
        yield from _strings(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _sent(getattr(value, name)) if name in SENT else secrets_of(getattr(value, name))
    elif isinstance(value, str) and "://" in value:
        yield from _strings(value)
    else:
        for inner in _inner(value):
            yield from secrets_of(inner)


def _sent(values: Mapping[str, str] | Secret[Mapping[str, str]] | None) -> Iterator[str]:
    known = values.get_secret_value() if isinstance(values, Secret) else values
    for name, value in (known or {}).items():
        if name.lower() not in OPEN:
            yield from (part for part in _strings(value) if len(part) >= LONG)


def _strings(value: object) -> Iterator[str]:
    """The strings in a secret value, and of an address also what may be quoted without the rest of it."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        yield value
        yield from _parts(value)
    else:
        for inner in _inner(value):
            yield from _strings(inner)


def _inner(value: object) -> Iterable[object]:
    """What a container holds; nothing of anything else."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple | set | frozenset) else ()


def _parts(address: str) -> Iterator[str]:
    try:
        url = urlsplit(address)
    except ValueError:
        return
    if not url.scheme or not url.netloc:
        return
    segments = [part for part in url.path.split("/") if not part.isalpha()]
    values = [value for _, value in parse_qsl(url.query)]
    for part in (url.path, url.query, url.password or "", *segments, *values):
        if len(part) >= LONG:
            yield part
