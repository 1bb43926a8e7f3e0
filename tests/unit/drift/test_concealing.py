"""A secret is hidden wherever it turns up, and nothing else is."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.clients.masking import HIDDEN, Masker
from infra.drift.concealing import HELM, Secrets, masked, shows_text
from infra.drift.findings import BlindSpot, Finding, PlaneName, PlaneVerdict

PASSWORD, PIN = "correct-horse-battery", "4711x"


def secret(kind: str = "Opaque", **data: str) -> dict[str, Any]:
    encoded = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": "db"}, "data": encoded}


KNOWN = Secrets.of([secret(pass_word=PASSWORD + "\n", pin=PIN, username="administrator", namespace="kube-system")])


def finding(observed: Any, sentence: str = "ConfigMap/apps/web.data.motd is not as declared.") -> Finding:
    return Finding(
        plane=PlaneName.ADDONS,
        address="ConfigMap/apps/web",
        path=".data.motd",
        declared="hello",
        observed=observed,
        sentence=sentence,
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (PASSWORD, HIDDEN),
        (f"the word is {PASSWORD}!", HIDDEN),
        (base64.b64encode(f"{PASSWORD}\n".encode()).decode(), HIDDEN),
        ({"a": [{"b": PASSWORD, "c": 1}]}, {"a": [{"b": HIDDEN, "c": 1}]}),
        (PIN, HIDDEN),
        (f"{PIN} and more", f"{PIN} and more"),  # too short to be told within others
        ("administrator of kube-system", "administrator of kube-system"),
        (True, True),
        (None, None),
    ],
)
def test_what_stands_in_a_secret_is_shown_nowhere(value: Any, shown: Any) -> None:
    before = finding(value, f'ConfigMap/apps/web.data.motd is "{value}" instead of "hello".')
    after = KNOWN.conceal(before)
    assert (after.declared, after.observed, after.place) == ("hello", shown, before.place)
    assert (after == before) is (shown == value)
    if shown != value:
        assert PASSWORD not in after.sentence and PIN not in after.sentence


def test_helms_records_and_bytes_hide_nothing() -> None:
    no_text = {"data": {"keystore": base64.b64encode(b"\xff\xfe\xfd\xfc\xfb\xfa").decode()}}
    assert Secrets.of([secret(HELM, release=PASSWORD)]) == Secrets()
    assert Secrets.of([no_text, {"data": None}, {}]).parts == {no_text["data"]["keystore"]}


def test_what_another_plane_has_read_is_masked_in_all_that_is_said() -> None:
    masker = Masker()
    masker.learn(PASSWORD)
    spot = BlindSpot(plane=PlaneName.ADDONS, what="release/a/b", why=f"It answered {PASSWORD}.")
    plane = PlaneVerdict.of(
        PlaneName.ADDONS,
        [finding([PASSWORD], f"It is {PASSWORD}.")],
        [spot],
        waived=[finding(PASSWORD)],
        looked_at=datetime.now(UTC),
        seconds=1,
        notes=[f"{PASSWORD} is at work."],
    )
    shown = masked(plane, masker.mask)
    assert PASSWORD not in shown.model_dump_json()
    assert (shown.state, shown.findings[0].place) == (plane.state, plane.findings[0].place)
    assert masked(plane, str) == plane


def test_only_text_can_be_a_secret() -> None:
    numbers = finding(5).model_copy(update={"declared": {"a": [1, True, None, "abc"]}})
    assert not shows_text(numbers)
    assert shows_text(finding({"a": [1, PIN]}))
