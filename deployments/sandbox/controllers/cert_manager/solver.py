"""HTTP-01 solvers, and the checks an ACME server makes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.objects import key_of, owner_reference
from deployments.sandbox.controllers.kube.resources import CHALLENGES, INGRESSES, PODS, SERVICES, Obj

BODY = "plumbline.dev/sandbox-body"
"""Annotation on a Service: what it answers. The solver's pod would; here nobody runs one."""

PATH = "/.well-known/acme-challenge/"
PORT = 8089
TIMEOUT = 3.0


class Checker:
    """Asks what the world would see.

    Args:
        servers: addresses of the authoritative name servers.
        dns_port: of theirs.
        http_port: where ingresses serve plain HTTP.
    """

    def __init__(self, servers: Sequence[str], dns_port: int, http_port: int) -> None:
        self._servers, self._dns_port, self._http_port = servers, dns_port, http_port

    async def http(self, name: str, token: str, key: str) -> str | None:
        """Why the token of `name` is not to be had, or None where it is."""
        addresses: set[str] = set()
        for server in self._servers:
            found, why = await self._ask(server, name, "A")
            if why is not None:
                return why
            addresses |= set(found)
        for address in sorted(addresses):
            why = await self._fetch(address, name, token, key)
            if why is not None:
                return why
        return None

    async def txt(self, name: str, value: str) -> str | None:
        """Why the TXT record of `name` is not there at every server, or None where it is."""
        for server in self._servers:
            found, why = await self._ask(server, f"_acme-challenge.{name}", "TXT")
            if why is not None:
                return why
            if value not in [each.strip('"') for each in found]:
                return f"TXT record for {name} at {server} has other values"
        return None

    async def _ask(self, server: str, name: str, kind: str) -> tuple[list[str], str | None]:
        query = dns.message.make_query(dns.name.from_text(name), kind)
        try:
            answer, _ = await dns.asyncquery.udp_with_fallback(query, server, TIMEOUT, self._dns_port)
        except (dns.exception.DNSException, OSError) as error:
            return [], f"name server {server} does not answer: {error!r}"
        kinds = dns.rdatatype.from_text(kind)
        found = [str(record) for rrset in answer.answer if rrset.rdtype == kinds for record in rrset]
        if not found:
            return [], f"{dns.rcode.to_text(answer.rcode())}: no {kind} record of {name} at {server}"
        return found, None

    async def _fetch(self, address: str, name: str, token: str, key: str) -> str | None:
        url = f"http://{address}:{self._http_port}{PATH}{token}"
        headers = {"Host": name, "User-Agent": "plumbline-sandbox/acme"}
        try:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, headers=headers) as answer:
                body = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"failed to perform self check GET request {url}: {error!r}"
        if answer.status != 200:
            return f"wrong status code {answer.status!r}, expected 200, from {url}"
        return None if body.strip() == key else f"did not get expected response from {url}"


class HttpSolver:
    """Makes a token reachable through the ingress, and takes it away again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ingresses = cluster.informer(INGRESSES)
        self._busy = asyncio.Lock()

    async def present(self, challenge: Obj) -> None:
        """Make the pod, the Service and the Ingress, or add the path to the Ingress named."""
        namespace, _ = key_of(challenge)
        metadata = solver_metadata(challenge)
        if await self._cluster.client.get(PODS, namespace, metadata["name"]) is None:
            container: Obj = {"name": "acmesolver", "image": "quay.io/jetstack/cert-manager-acmesolver"}
            container |= {"ports": [{"containerPort": PORT, "name": "http"}]}
            await self._cluster.create(PODS, {"metadata": metadata, "spec": {"containers": [container]}})
        if await self._cluster.client.get(SERVICES, namespace, metadata["name"]) is None:
            notes = {BODY: challenge["spec"]["key"]}
            spec = {"selector": metadata["labels"], "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]}
            await self._cluster.create(SERVICES, {"metadata": {**metadata, "annotations": notes}, "spec": spec})
        own = (challenge["spec"]["solver"].get("http01") or {}).get("ingress") or {}
        if own.get("name"):
            await self._edit(challenge, own["name"], add=True)
        elif self._ingresses.get(namespace, metadata["name"]) is None:
            await self._cluster.create(INGRESSES, solver_ingress(challenge, own))

    async def withdraw(self, challenge: Obj) -> None:
        """Take everything away again."""
        namespace, _ = key_of(challenge)
        name = solver_metadata(challenge)["name"]
        own = (challenge["spec"]["solver"].get("http01") or {}).get("ingress") or {}
        if own.get("name"):
            await self._edit(challenge, own["name"], add=False)
        else:
            await self._cluster.client.delete(INGRESSES, namespace, name)
        for resource in (SERVICES, PODS):
            await self._cluster.client.delete(resource, namespace, name)

    async def _edit(self, challenge: Obj, name: str, *, add: bool) -> None:
        async with self._busy:  # two challenges may edit one Ingress
            ingress = await self._cluster.client.get(INGRESSES, key_of(challenge)[0], name)
            if ingress is None:
                return
            rules = edited(ingress["spec"].get("rules") or [], challenge, add=add)
            if rules != (ingress["spec"].get("rules") or []):
                change = {
                    "metadata": {"resourceVersion": ingress["metadata"]["resourceVersion"]},
                    "spec": {"rules": rules},
                }
                await self._cluster.patch(INGRESSES, ingress, change)


def solver_metadata(challenge: Obj) -> Obj:
    """Name, labels and owner of what solves a Challenge."""
    namespace, name = key_of(challenge)
    found = {
        "acme.cert-manager.io/http01-solver": "true",
        "acme.cert-manager.io/http-token": challenge["spec"]["token"],
    }
    return {
        "name": f"cm-acme-http-solver-{name.rsplit('-', 1)[-1]}",
        "namespace": namespace,
        "labels": found,
        "ownerReferences": [owner_reference(challenge, CHALLENGES)],
    }


def solver_ingress(challenge: Obj, own: Obj) -> Obj:
    """The Ingress that leads to the solver."""
    spec: Obj = {"rules": edited([], challenge, add=True)}
    metadata = solver_metadata(challenge)
    if own.get("ingressClassName"):
        spec["ingressClassName"] = own["ingressClassName"]
    elif own.get("class"):
        metadata["annotations"] = {"kubernetes.io/ingress.class": own["class"]}
    return {"metadata": metadata, "spec": spec}


def edited(rules: list[Obj], challenge: Obj, *, add: bool) -> list[Obj]:
    """Ingress rules with the challenge's path in them, or without it."""
    host, path = challenge["spec"]["dnsName"], f"{PATH}{challenge['spec']['token']}"
    kept = []
    for rule in rules:
        paths = [each for each in (rule.get("http") or {}).get("paths") or [] if each.get("path") != path]
        if paths or not rule.get("http"):
            kept.append({**rule, "http": {"paths": paths}} if paths else rule)
    if not add:
        return kept
    backend = {"service": {"name": solver_metadata(challenge)["name"], "port": {"number": PORT}}}
    entry = {"path": path, "pathType": "Exact", "backend": backend}
    for rule in kept:
        if rule.get("host") == host:
            rule["http"] = {"paths": [entry, *(rule.get("http") or {}).get("paths", [])]}
            return kept
    return [*kept, {"host": host, "http": {"paths": [entry]}}]
