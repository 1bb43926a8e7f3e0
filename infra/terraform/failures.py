"""Terraform's diagnostics as our errors, translated once, here.

Providers say everything as text. The sentences are those of gophercloud (v1 and v2), of the plugin SDK's waits and of
terraform itself; the first row that matches decides. Several diagnostics: a permanent one outweighs a passing one,
since trying again would meet it again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from infra.clients.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Failed,
    InvalidInput,
    Misconfigured,
    NotFound,
    NotYet,
    Permanent,
    PlumblineError,
    Temporary,
    Throttled,
    Unavailable,
)
from infra.clients.openstack_session import UNREACHED
from infra.terraform.events import Diagnostic


class GaveUp(Temporary):
    """The provider does not watch any more what the cloud goes on with: only the cloud can say how it ends."""

    category = "GaveUp"


class Busy(Conflict):
    """The cloud refuses a change for as long as it is at work on another."""

    category = "Busy"


_ROWS: tuple[tuple[str, type[PlumblineError], str | None], ...] = (
    (r"Error acquiring the state lock", Conflict, None),
    (
        r"Saved plan is stale|saved plan does not match the given state",
        Conflict,
        "Plan again: the state has changed since.",
    ),
    # The provider's first look came before the conductor's first write, and showed the operation before.
    (r"unexpected state '\w+_COMPLETE'|to become deleted: \S+ is in an error state", GaveUp, None),
    (r"is referenced by one or multiple clusters|when (?:nodegroup )?status is \W{0,4}\w+_IN_PROGRESS|"
     r"Cluster API address is not available yet", Busy, None),
    # A plain read has nothing to be wrong about: Magnum trips over its own half-written record.
    (r"Bad request with: \[GET \S+/clusters/", NotYet, None),
    (r"is in an error state|unexpected state '(?:\w+_FAILED|ERROR)'|, resource is in ERROR", Failed, None),
    (
        r"timeout while waiting for state",
        DeadlineExceeded,
        "Look at the cluster in Magnum: it may be stuck (quota, no host, network). Start the flow again to go on "
        "waiting; to have it made anew, destroy the environment first.",
    ),
    (r"Unsupported Terraform Core version", Misconfigured, "Install a terraform the module accepts."),
    (
        r"(?:does not|doesn't) match any of the checksums|Inconsistent dependency lock file",
        Misconfigured,
        "This is another provider than was locked. If that is meant, delete .terraform.lock.hcl in the working folder.",
    ),
    (r"could not connect to registry|Failed to request discovery document", Unavailable, None),
    (
        r"Failed to query available provider packages|Failed to install provider|Required plugins are not installed",
        Misconfigured,
        "Terraform has to find the openstack provider: check TF_CLI_CONFIG_FILE and the network.",
    ),
    (r"Invalid value for (?:input )?variable|No value for required variable|Value for undeclared", InvalidInput, None),
    (r"Error loading OpenStack credentials|[Cc]loud \S+ (?:was not found|does not exist)|No suitable endpoint|"
     r"Missing one of|One of auth_url or cloud", Misconfigured, "Check clouds.yaml (OS_CLIENT_CONFIG_FILE)."),
    (
        r"Backend (?:configuration|type) changed",
        Misconfigured,
        "The state has to move: run terraform init -migrate-state in the working folder.",
    ),
    (r"Backend initialization required|Error (?:configuring|loading) (?:the )?(?:backend|state)", Misconfigured, None),
    # What Magnum 23 says when Glance throttles it; whether the image has the field was looked at before.
    (r"Image \S+ doesn't contain os_distro field", Unavailable, "Does the image have the property os_distro?"),
    (UNREACHED, Unavailable, None),
    (r"Authentication failed|but got 401 instead", Denied, "Check the credentials in clouds.yaml."),
    (r"Request forbidden|but got 403 instead", Denied, "The project's quota or role does not allow it."),
    (r"Resource not found|but got 404 instead|non-existent remote object", NotFound, None),
    (r"but got 409 instead|[Cc]onflict:", Conflict, None),
    (r"Too many requests have been sent|but got 429 instead", Throttled, None),
    (r"but got (?:408|5\d\d) instead|Internal Server Error|Bad Gateway|Gateway Timeout|"
     r"The service is currently unable|server timed out waiting", Unavailable, None),
    (r"Bad request with|but got 4\d\d instead", InvalidInput, None),
    (r"connection (?:refused|reset|aborted)|unexpected EOF|: EOF\b|stream error: stream ID|i/o timeout|"
     r"no such host|TLS handshake timeout|Client\.Timeout exceeded|[Tt]imed? ?out|"
     r"Unable to establish connection|Connection (?:reset|refused|aborted)|"
     r"Remote end closed", Unavailable, None),
    (r"context canceled|Plugin did not respond|operation was interrupted|Execution halted", Unavailable, None),
)  # fmt: skip

_LOCK_FIELDS = re.compile(r"^\s*(ID|Path|Operation|Who|Created):\s*(.+?)\s*$", re.MULTILINE)


def error_of(diagnostics: Sequence[Diagnostic], *, doing: str, environment: str) -> PlumblineError:
    """The error for a terraform command that failed.

    Args:
        diagnostics: what it said; warnings are left aside.
        doing: what was being done, as in "planning".
    """
    errors = [found for found in diagnostics if found.severity == "error"]
    if not errors:
        return Failed(f"Terraform failed while {doing} {environment}, and did not say why.")
    translated = [_translate(found, doing, environment) for found in errors]
    return next((error for error in translated if isinstance(error, Permanent)), translated[0])


def _translate(diagnostic: Diagnostic, doing: str, environment: str) -> PlumblineError:
    kind, hint = _row(diagnostic.text)
    if "Error acquiring the state lock" in diagnostic.text:
        return _locked(diagnostic, environment)
    about = f" at {diagnostic.address}" if diagnostic.address else ""
    return kind(f"Terraform failed while {doing} {environment}{about}.", detail=diagnostic.text, hint=hint)


def _row(text: str) -> tuple[type[PlumblineError], str | None]:
    # Commands without JSON output break their lines to fit a terminal.
    joined = " ".join(text.split())
    for pattern, kind, hint in _ROWS:
        if re.search(pattern, joined):
            return kind, hint
    return Failed, None


def _locked(diagnostic: Diagnostic, environment: str) -> PlumblineError:
    """A lock that did not come free: who holds it, and what to do if nobody does.

    An orphaned lock and a live run look the same from outside (hashicorp/terraform issue 25776), so nothing is
    unlocked here.
    """
    lock = dict(_LOCK_FIELDS.findall(diagnostic.text))
    who = f" It is held by {lock['Who']} since {lock.get('Created', 'an unknown time')}." if "Who" in lock else ""
    hint = "Wait until that run has ended."
    if "ID" in lock:
        hint += f" If it is dead (its host is gone, no terraform runs there), run: terraform force-unlock {lock['ID']}"
    return Conflict(f"The Terraform state of {environment} is locked.{who}", hint=hint, retry_after=30)
