"""What a run does about an issuance that cert-manager has left alone: it has it tried again, once.

cert-manager tries a failed issuance again after an hour at the earliest, and an issuer that was refused not at all
until something touches it. Whoever starts a run has perhaps just mended the cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.clients.errors import Failed, NotYet
from infra.drift.findings import PlaneName
from infra.planes import issuance, manifests
from infra.planes.clients import Clients
from infra.planes.issuance import ISSUER, Object, Stuck

PLANE = PlaneName.CERTIFICATES
TOUCHED = "plumbline.dev/asked-again"
"""An annotation that is set and taken away: cert-manager looks at an issuer whenever it changes."""
ANSWER_TIME = 30.0
"""Seconds an issuer gets to be registered after it was touched; that it was refused again changes nothing in it."""


class Reissuing:
    """One wait for issuer and certificate, and what it has done so that it may end.

    Args:
        account: namespace and name of the Secret with the ACME account's key; None where the issuer has no account.
        monotonic: seconds, for tests.
    """

    def __init__(
        self, clients: Clients, account: tuple[str, str] | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clients = clients
        self._account = account
        self._monotonic = monotonic
        self._touched: dict[str, float] = {}
        self._asked: set[str] = set()
        self._lost: str | None = None

    async def ready(self, manifest: Object) -> None:
        """Issuer or certificate Ready; where cert-manager has left it alone, it is made to try again, once.

        Raises:
            NotYet: it is not ready, or is being tried again.
            Failed: it was tried again, and failed again; with the cause and the time of the next try.
        """
        where = manifests.address(manifest)
        try:
            live = await issuance.ready(manifest, self._clients.kubernetes)
        except Stuck as stuck:
            if manifest["kind"] == ISSUER[1]:
                await self._touch(manifest, where, stuck)
            else:
                await self._renew(manifest, where, stuck)
            raise NotYet(f"{where} is tried again.", detail=stuck.sentence) from stuck
        if manifest["kind"] == ISSUER[1]:
            if self._lost is not None and _account(live) == self._lost:
                raise NotYet(f"{where} is having its account registered anew.")
            return
        issuing = issuance.condition(live, "Issuing")
        if where in self._asked and issuing is not None:
            raise NotYet(f"{where} is being renewed: {issuance.said(issuing)}")

    async def _touch(self, manifest: Object, where: str, stuck: Stuck) -> None:
        touched = self._touched.get(where)
        if touched is not None and self._monotonic() - touched > ANSWER_TIME:
            raise _given_up(stuck)
        if touched is not None:
            return
        key = (manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])
        async with self._clients.journal.write(PLANE, "ask again", where):
            # Set and taken away: an annotation that stayed would be one that nobody has declared.
            for value in (datetime.now(UTC).isoformat(timespec="seconds"), None):
                await self._clients.kubernetes.patch(*key, {"metadata": {"annotations": {TOUCHED: value}}})
        self._touched[where] = self._monotonic()

    async def _renew(self, manifest: Object, where: str, stuck: Stuck) -> None:
        if where in self._asked:
            raise _given_up(stuck)
        if stuck.account_lost and self._account is not None and self._lost is None:
            await self._register_anew(manifest)
            return
        live = deepcopy(await self._clients.kubernetes.get_like(dict(manifest)))
        if live is None:
            return
        asked: dict[str, Any] = {
            "type": "Issuing",
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "Certificate re-issuance manually triggered",
            "lastTransitionTime": f"{_after(live):%Y-%m-%dT%H:%M:%SZ}",
            "observedGeneration": live["metadata"].get("generation", 0),
        }
        others = [item for item in live["status"]["conditions"] if item["type"] != "Issuing"]
        live["status"]["conditions"] = [*others, asked]
        async with self._clients.journal.write(PLANE, "ask again", where):
            # As `cmctl renew` does; whole, with its resourceVersion, so that nothing cert-manager says is lost.
            await self._clients.kubernetes.replace(live, subresource="status")
        self._asked.add(where)

    async def _register_anew(self, certificate: Object) -> None:
        """Delete the key of an account that the server does not know: cert-manager makes another and registers it."""
        name = certificate["spec"]["issuerRef"]["name"]
        issuer = await self._clients.kubernetes.get(*ISSUER, name)
        namespace, secret = self._account or ("", "")
        self._lost = _account(issuer or {})
        async with self._clients.journal.write(PLANE, "register anew", f"Secret/{namespace}/{secret}"):
            await self._clients.kubernetes.delete("v1", "Secret", secret, namespace)


def _after(certificate: Object) -> datetime:
    """A time later than the last failure: cert-manager takes a request that failed in that second for a new failure."""
    now, failed = datetime.now(UTC), (certificate.get("status") or {}).get("lastFailureTime")
    return now if failed is None else max(now, datetime.fromisoformat(failed).astimezone(UTC) + timedelta(seconds=1))


def _account(issuer: Object) -> str:
    """The URL of the account that an issuer is registered with."""
    return str(((issuer.get("status") or {}).get("acme") or {}).get("uri", ""))


def _given_up(stuck: Stuck) -> Failed:
    hint = "It was tried again in this run. Mend the cause and start a run: it has it tried again at once."
    return Failed(stuck.summary, detail=stuck.detail, hint=hint)
