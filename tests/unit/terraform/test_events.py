"""Terraform's output lines become events, and events become sentences."""

from __future__ import annotations

import json

import pytest

from infra.terraform import events

START = {
    "@level": "info",
    "@message": "openstack_containerinfra_cluster_v1.cluster: Creating...",
    "hook": {"resource": {"addr": "openstack_containerinfra_cluster_v1.cluster"}, "action": "create"},
    "type": "apply_start",
}


def line(**fields: object) -> str:
    return json.dumps({**START, **fields})


def hook(**fields: object) -> dict[str, object]:
    return {"resource": {"addr": "a.b"}, "action": "create", **fields}


@pytest.mark.parametrize("text", ["", "not json", "{half", '["a"]', '{"no": "message"}', "{}"])
def test_what_is_no_event_is_none(text: str) -> None:
    assert events.parse(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (line(), "Creating openstack_containerinfra_cluster_v1.cluster."),
        (line(type="apply_progress", hook=hook(elapsed_seconds=20)), "Creating a.b, 20 s so far."),
        (
            line(type="apply_complete", hook=hook(action="update", elapsed_seconds=4, id_value="x-1")),
            "Changed a.b in 4 s, id x-1.",
        ),
        (line(type="apply_complete", hook=hook(action="delete", elapsed_seconds=1)), "Deleted a.b in 1 s."),
        (line(type="apply_errored", hook=hook(elapsed_seconds=7)), "Creating a.b failed after 7 s."),
        (line(type="planned_change", hook=None, change=hook(action="replace")), "Planned: replace a.b."),
        (line(type="state_lock_acquire"), "Waiting for the state lock, which another terraform holds."),
        (line(type="version"), None),
        (line(type="outputs"), None),
        (line(type="resource_drift"), None),
        (line(type="something_new"), None),
    ],
)
def test_sentences(text: str, expected: str | None) -> None:
    event = events.parse(text)
    assert event is not None
    assert events.sentence(event) == expected


def test_an_error_is_kept_with_its_address_and_said() -> None:
    found = {"severity": "error", "summary": "No", "detail": "because", "address": "a.b"}
    text = line(type="diagnostic", **{"@message": "Error: No"}, diagnostic=found)
    event = events.parse(text)
    assert event is not None
    assert event.diagnostic == events.Diagnostic("error", "No", "because", "a.b")
    assert event.diagnostic.text == "No\nbecause"
    assert events.sentence(event) == "Error: No"
    assert events.diagnostics(["noise", line(), text]) == [event.diagnostic]


def test_warnings_about_what_we_do_on_purpose_are_not_said() -> None:
    found = {"severity": "warning", "summary": "Incomplete lock file information for providers"}
    event = events.parse(line(type="diagnostic", diagnostic=found))
    assert event is not None
    assert events.sentence(event) is None


def test_plain_errors_of_commands_without_json() -> None:
    stderr = (
        "\nError: Configuration for import target does not exist\n\nThe configuration for the given import\n"
        'x.y["foo"] does not exist.\n\nWarning: Odd\n\n╷\n│ Error: Boxed\n│ \n│ in a box\n╵\n'
    )
    assert events.plain_diagnostics(stderr) == [
        events.Diagnostic(
            "error",
            "Configuration for import target does not exist",
            'The configuration for the given import\nx.y["foo"] does not exist.',
        ),
        events.Diagnostic("warning", "Odd"),
        events.Diagnostic("error", "Boxed", "in a box"),
    ]
    assert events.plain_diagnostics("") == []
