"""The error tree: what went wrong, and whether trying again can help.

PlumblineError            everything Plumbline raises on purpose
├── Temporary             a later attempt may succeed; the *type* drives the retry, never the message
│   ├── Unavailable       timeout, connection refused or reset, 5xx
│   ├── Throttled         429; carries the server's Retry-After
│   ├── Conflict          409: somebody else changed it first; look again
│   ├── NotYet            the system is working on it and is not there yet
│   └── TlsRefused        something answers on the port, but not with TLS for the name
└── Permanent             trying again changes nothing until somebody acts
    ├── InvalidInput      what was declared cannot be right (where, what, what would be right)
    ├── NotFound          a thing that has to exist does not
    ├── Denied            401 or 403
    ├── Refused           we could, and will not: it would destroy something nobody agreed to lose
    ├── Failed            the other system reports a final failure (CREATE_FAILED, a failed release)
    ├── DeadlineExceeded  a bounded wait ended
    ├── Misconfigured     a setting, a program or a credential of ours is missing or wrong
    └── Unforeseen        a mistake of ours: an exception that no client has explained

`category` is a contract: automations and reports match on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from infra.clients.masking import MASKER
from infra.clients.masking import mask as mask  # noqa: PLC0414 - part of this module's public names

BODY_LIMIT = 400
"""How many characters of a foreign message are kept."""


def truncate(text: str, limit: int = BODY_LIMIT) -> str:
    """Shorten `text` to at most `limit` characters, and say how much was cut."""
    text = text.strip()
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()} … ({len(text) - limit} more characters)"


class PlumblineError(Exception):
    """Something Plumbline can explain.

    Its words end in logs, state messages and reports: no secret that this process has read is among them.

    Args:
        summary: one plain sentence for a person.
        detail: what the other system said; masked and shortened here.
        hint: what to do next, where that is known.
    """

    category = "Error"

    def __init__(self, summary: str, *, detail: str | None = None, hint: str | None = None) -> None:
        self.summary = MASKER.mask(summary)
        self.detail = truncate(MASKER.mask(detail)) if detail else None
        self.hint = MASKER.mask(hint) if hint else None
        # The summary alone: errors are pickled between processes, and everything else is keyword-only.
        super().__init__(self.summary)

    @property
    def sentence(self) -> str:
        """What happened, without what to do about it."""
        return f"{self.summary} ({self.detail})" if self.detail else self.summary

    def __str__(self) -> str:
        parts = [self.sentence]
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)


class Temporary(PlumblineError):
    """A later attempt may succeed."""

    category = "Temporary"

    def __init__(
        self, summary: str, *, detail: str | None = None, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(summary, detail=detail, hint=hint)
        self.retry_after = retry_after
        """Seconds the server asked us to wait, where it did."""


class Unavailable(Temporary):
    """The other system did not answer, or answered 5xx."""

    category = "Unavailable"


class Throttled(Temporary):
    """The other system asked for patience (429)."""

    category = "Throttled"


class Conflict(Temporary):
    """Somebody else changed it first (409): look again, then decide."""

    category = "Conflict"


class NotYet(Temporary):
    """The system is still working on it."""

    category = "NotYet"


class TlsRefused(Temporary):
    """The server answers on the port, but not with TLS for this name (yet)."""

    category = "TlsRefused"


class Permanent(PlumblineError):
    """Trying again changes nothing until somebody acts."""

    category = "Permanent"


class InvalidInput(Permanent):
    """What was declared or asked for cannot be right."""

    category = "InvalidInput"


class NotFound(Permanent):
    """A thing that has to exist does not."""

    category = "NotFound"


class Denied(Permanent):
    """The credentials do not allow this (401, 403)."""

    category = "Denied"


class Refused(Permanent):
    """Plumbline will not do this unasked: it would destroy something nobody agreed to lose."""

    category = "Refused"


class Failed(Permanent):
    """The other system reports a final failure."""

    category = "Failed"


class DeadlineExceeded(Permanent):
    """A bounded wait ended before what was waited for came true."""

    category = "DeadlineExceeded"


class Misconfigured(Permanent):
    """A setting, a program or a credential of ours is missing or wrong."""

    category = "Misconfigured"


class Unforeseen(Permanent):
    """A mistake of ours: an exception that no client has explained."""

    category = "Unforeseen"


def error_class(category: str | None) -> type[PlumblineError]:
    """The error a category stands for; `Failed` for what is none."""
    kinds = [PlumblineError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((kind for kind in kinds if kind.category == category), Failed)


@contextmanager
def explained() -> Iterator[None]:
    """Let nothing but a `PlumblineError` out of the block.

    A client wraps what its library raises. What slips through may quote a URL or a header with a secret in it, and
    whoever runs us keeps an exception's words: so they are masked here, at the last door.

    Raises:
        Unavailable: something took too long.
        Unforeseen: anything else, with its type and its words; the exception itself is the cause.
    """
    try:
        yield
    except PlumblineError:
        raise
    except TimeoutError as error:
        raise Unavailable("Something took too long.", detail=str(error)) from error
    except Exception as error:
        raise Unforeseen(
            f"{type(error).__name__}, which nobody foresaw.",
            detail=str(error),
            hint="This is a mistake in Plumbline; the log of the step has the traceback.",
        ) from error
