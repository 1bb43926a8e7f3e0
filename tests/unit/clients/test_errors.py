"""Sentences without secrets, and of bearable length."""

from __future__ import annotations

import pytest

from infra.clients import errors
from infra.clients.errors import PlumblineError, Throttled, mask, truncate


def test_truncate_says_how_much_is_missing() -> None:
    assert truncate("short") == "short"
    assert truncate("x" * 410) == f"{'x' * 400} … (10 more characters)"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def", "abc.def"),
        ('{"password": "hunter22"}', "hunter22"),
        ("X-Auth-Token: gAAAA123", "gAAAA123"),
        ("token=ghs_abc&x=1", "ghs_abc"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc cut off", "MIIabc"),
    ],
)
def test_mask_takes_secrets_out(text: str, secret: str) -> None:
    assert secret not in mask(text)
    assert "***" in mask(text)


def test_mask_takes_known_values_out() -> None:
    assert mask("it is s3cr3t", ["s3cr3t", ""]) == "it is ***"


def test_an_error_is_a_sentence_with_detail_and_hint() -> None:
    error = PlumblineError("It broke.", detail="password=abc", hint="Mend it.")
    assert str(error) == "It broke. (password=***) Mend it."
    assert Throttled("Wait.", retry_after=3).retry_after == 3


def test_categories_are_the_class_names() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PlumblineError)]
    assert len(kinds) == 14
    assert all(kind.category == (kind.__name__ if kind is not PlumblineError else "Error") for kind in kinds)
