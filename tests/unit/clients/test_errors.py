"""Sentences without secrets, and of bearable length."""

from __future__ import annotations

import pytest

from infra.clients import errors
from infra.clients.errors import Denied, PlumblineError, Throttled, Unavailable, Unforeseen, explained, mask, truncate
from infra.clients.masking import MASKER, Masker


def test_truncate_says_how_much_is_missing() -> None:
    assert truncate("short") == "short"
    assert truncate("x" * 410) == f"{'x' * 400} … (10 more characters)"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def", "abc.def"),
        ('{"password": "hunter22"}', "hunter22"),
        ("X-Auth-Token: gAAAA123", "gAAAA123"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ('{"authorization": "acme:secret"}', "acme:secret"),
        ("refused authorization: acme: token: ghs_abc", "ghs_abc"),
        ("authorization: acme:\nAuthorization: Bearer abc.def", "abc.def"),
        ("password: hunter: 2", "hunter"),
        ("token=ghs_abc&x=1", "ghs_abc"),
        ("cannot reach https://git:s3cr3t@git.example.org/apps.git", "s3cr3t"),
        ("postgresql+psycopg://ledger:pa:ss@db/plumbline", "pa:ss"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc cut off", "MIIabc"),
    ],
)
def test_mask_takes_secrets_out(text: str, secret: str) -> None:
    assert secret not in mask(text)
    assert "***" in mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "Error accepting authorization: acme: authorization error for a.example.org: 403 urn:ietf:params:acme",
        "cannot parse token: asn1: structure error",
    ],
)
def test_a_sentence_about_an_authorization_or_a_token_is_no_header(text: str) -> None:
    assert mask(text) == text


def test_mask_takes_known_values_out() -> None:
    assert mask("it is s3cr3t", ["s3cr3t", ""]) == "it is ***"


def test_an_error_is_a_sentence_with_detail_and_hint() -> None:
    error = PlumblineError("It broke.", detail="password=abc", hint="Mend it.")
    assert str(error) == "It broke. (password=***) Mend it."
    assert Throttled("Wait.", retry_after=3).retry_after == 3


def test_categories_are_the_class_names() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PlumblineError)]
    assert len(kinds) == 16
    assert all(kind.category == (kind.__name__ if kind is not PlumblineError else "Error") for kind in kinds)


@pytest.mark.parametrize("form", ["hunter2/hunter2", "aHVudGVyMi9odW50ZXIy", "hunter2%2Fhunter2"])
def test_an_error_does_not_say_what_this_process_has_read_as_secret(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "MASKER", masker := Masker())
    masker.learn("hunter2/hunter2")
    error = PlumblineError(f"{form} is wrong.", detail=f"tried {form}", hint=f"not {form}")
    assert str(error) == "*** is wrong. (tried ***) not ***"


def test_the_tools_own_variables_are_known_by_value() -> None:
    masker = Masker()
    masker.learn_variables(
        {"PREFECT_API_AUTH_STRING": "admin:opensesame", "PGPASSWORD": "database-pw", "HOME": "/home/me"}
    )
    assert masker.mask("/home/me opensesame admin:opensesame database-pw") == "/home/me *** *** ***"


def test_what_no_client_has_explained_is_masked_and_typed() -> None:
    MASKER.learn("correct battery staple")
    with pytest.raises(Unforeseen) as caught, explained():
        raise KeyError("https://x/?q=correct battery staple")
    assert "staple" not in str(caught.value)
    assert "KeyError" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(Unavailable), explained():
        raise TimeoutError
    with pytest.raises(Denied, match=r"^no$"), explained():
        raise Denied("no")
