"""What terraform and providers say becomes one of our errors, by what is known."""

from __future__ import annotations

import pytest

from infra.clients import errors
from infra.terraform.events import Diagnostic
from infra.terraform.failures import Busy, GaveUp, error_of

LOCKED = """Error message: resource temporarily unavailable
Lock Info:
  ID:        6c6e0d3c-1111-2222-3333-444444444444
  Path:      /state/terraform/dev/terraform.tfstate
  Operation: OperationTypeApply
  Who:       root@builder
  Version:   1.11.4
  Created:   2026-11-23 07:32:29.5 +0000 UTC
  Info:
"""
WAITING = "Error waiting for openstack_containerinfra_cluster_v1 c-1 to become ready: "


def translate(summary: str, detail: str = "") -> errors.PlumblineError:
    return error_of([Diagnostic("error", summary, detail)], doing="applying the plan for", environment="dev")


def answer(status: int) -> str:
    return f"Expected HTTP response code [202] when accessing [POST http://m/v1/clusters], but got {status} instead: x"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        *((answer(status), errors.Unavailable) for status in (408, 500, 502, 503, 504)),
        (answer(429), errors.Throttled),
        (answer(409), errors.Conflict),
        (answer(400), errors.InvalidInput),
        ("got 400 instead: Image fedora-coreos doesn't contain os_distro field.", errors.Unavailable),
        (answer(401), errors.Denied),
        (answer(403), errors.Denied),
        (answer(403) + " unexpected client error occurred: Failed to create a working proxy", errors.Unavailable),
        (answer(404), errors.NotFound),
        ("Internal Server Error", errors.Unavailable),
        ("Bad request with: [POST http://m], error message: no", errors.InvalidInput),
        ("Authentication failed", errors.Denied),
        ("Request forbidden: [POST http://m], error message: quota", errors.Denied),
        ("Post http://m: dial tcp 10.0.0.1:9511: connect: connection refused", errors.Unavailable),
        ("Get http://m: read: connection reset by peer", errors.Unavailable),
        ("Get http://m: net/http: TLS handshake timeout", errors.Unavailable),
        ("Unable to establish connection to http://127.0.0.1:5000", errors.Unavailable),
        (WAITING + "openstack_containerinfra_cluster_v1 is in an error state: no host", errors.Failed),
        (WAITING + "unexpected state 'CREATE_FAILED', wanted target 'CREATE_COMPLETE'", errors.Failed),
        # What the provider says where its first look came before Magnum's first write: creation, change, deletion.
        (
            WAITING + "unexpected state 'DELETE_COMPLETE', wanted target 'CREATE_COMPLETE'. last error: %!s(<nil>)",
            GaveUp,
        ),
        (WAITING + "unexpected state 'CREATE_COMPLETE', wanted target 'UPDATE_COMPLETE'", GaveUp),
        ("Error waiting for x c-1 to become deleted: unexpected state 'UPDATE_COMPLETE', wanted target", GaveUp),
        ("Error waiting for x c-1 to become deleted: x is in an error state: No valid host", GaveUp),
        ("got 400 instead: ClusterTemplate t-1 is referenced by one or multiple clusters.", Busy),
        (r'got 400 instead: {"detail": "Upgrading a cluster when status is \"UPDATE_IN_PROGRESS\" is not sup"}', Busy),
        ('got 400 instead: nodegroup_update when nodegroup status is "DELETE_IN_PROGRESS" is not supported.', Busy),
        (answer(409) + " Cluster API address is not available yet", Busy),
        ("Bad request with: [GET http://m/v1/clusters/c-1], error message: master_count. Value: '0'", errors.NotYet),
        (WAITING + "timeout while waiting for state to become 'CREATE_COMPLETE'", errors.DeadlineExceeded),
        (WAITING + "context canceled", errors.Unavailable),
        ("Saved plan is stale", errors.Conflict),
        ("Unsupported Terraform Core version", errors.Misconfigured),
        ("Failed to query available provider packages", errors.Misconfigured),
        ("Required plugins are not installed", errors.Misconfigured),
        ("Failed to query available provider packages: could not connect to registry", errors.Unavailable),
        ("Error loading OpenStack credentials: Cloud nowhere was not found.", errors.Misconfigured),
        ("Invalid value for variable", errors.InvalidInput),
        ("Backend configuration changed", errors.Misconfigured),
        ('Backend initialization required, please run "terraform init"', errors.Misconfigured),
        ("Inconsistent dependency lock file", errors.Misconfigured),
        ("Plugin did not respond", errors.Unavailable),
        (
            "failed to retrieve schema from provider: Plugin did\n  not respond: it encountered an error",
            errors.Unavailable,
        ),
        ("Something nobody has seen before", errors.Failed),
    ],
)
def test_sentences_become_types(said: str, kind: type[errors.PlumblineError]) -> None:
    assert type(translate(said)) is kind
    assert type(translate("Error creating openstack_containerinfra_cluster_v1", said)) is kind


def test_a_lock_says_who_holds_it_and_what_to_do() -> None:
    error = translate("Error acquiring the state lock", LOCKED)
    assert isinstance(error, errors.Conflict)
    assert "locked. It is held by root@builder since 2026-11-23 07:32:29.5 +0000 UTC." in error.summary
    assert "terraform force-unlock 6c6e0d3c-1111-2222-3333-444444444444" in (error.hint or "")
    assert error.retry_after == 30


def test_a_lock_without_information_names_nobody() -> None:
    error = translate("Error acquiring the state lock", "resource temporarily unavailable")
    assert isinstance(error, errors.Conflict)
    assert error.summary == "The Terraform state of dev is locked."
    assert "force-unlock" not in (error.hint or "")


def test_a_permanent_error_outweighs_a_passing_one() -> None:
    said = [Diagnostic("warning", "odd"), Diagnostic("error", answer(503)), Diagnostic("error", answer(400))]
    assert isinstance(error_of(said, doing="planning", environment="dev"), errors.InvalidInput)


def test_the_sentence_says_what_where_and_why() -> None:
    said = Diagnostic("error", answer(400), "", "a.b")
    error = error_of([said], doing="applying the plan for", environment="dev")
    assert error.summary == "Terraform failed while applying the plan for dev at a.b."
    assert "but got 400" in (error.detail or "")


def test_secrets_in_a_foreign_body_are_masked() -> None:
    error = translate("Error", 'body: {"password": "hunter2"}')
    assert "hunter2" not in str(error)


def test_a_failure_without_words() -> None:
    error = error_of([Diagnostic("warning", "odd")], doing="planning", environment="dev")
    assert isinstance(error, errors.Failed)
    assert "did not say why" in error.summary
