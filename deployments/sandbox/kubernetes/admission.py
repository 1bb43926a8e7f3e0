"""Admission webhooks, mutating and validating, called as the real server calls them.

A Service reference is dialled at its clusterIP:port (loopback here, as on the real control plane with the same service
network), with the TLS name `<service>.<namespace>.svc`, verified against the caBundle.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from deployments.sandbox.kubernetes import patches, selectors
from deployments.sandbox.kubernetes.calls import Call
from deployments.sandbox.kubernetes.errors import StatusError, bad_request, internal
from deployments.sandbox.kubernetes.resources import Registry, Resource
from deployments.sandbox.kubernetes.storage import Storage
from deployments.sandbox.kubernetes.wire import copy, dumps, loads

Object = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
_EXEMPT = frozenset({f"mutatingwebhookconfigurations.{GROUP}", f"validatingwebhookconfigurations.{GROUP}"})


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a stored configuration."""

    name: str
    spec: Object
    mutating: bool


class CallFailed(Exception):
    """The webhook could not be asked, or did not answer as one."""


class Webhooks:
    """Asks the webhooks that a write concerns."""

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _hooks(self, *, mutating: bool) -> Iterator[Hook]:
        """Stored webhooks in order of their configuration's name."""
        kind = "mutatingwebhookconfigurations" if mutating else "validatingwebhookconfigurations"
        for record in self._storage.records(f"{kind}.{GROUP}"):
            for spec in record.load().get("webhooks") or ():
                yield Hook(spec["name"], spec, mutating)

    async def mutate(self, call: Call) -> Object:
        """The object after all mutating webhooks; `call.new` itself when none changed it.

        Raises:
            StatusError: a webhook denied the request, or failed and its failurePolicy is Fail.
        """
        new = call.new
        if call.resource.storage in _EXEMPT:
            return new or {}
        for hook in self._hooks(mutating=True):
            current = Call(call.resource, call.operation, call.namespace, call.name, call.subresource, new, call.old,
                           call.options)  # fmt: skip
            target = self._matched(hook, current)
            if target is None:
                continue
            answer = await self._ask(hook, current, target)
            if answer is not None and answer.get("patch") and new is not None:
                new = self._patched(hook, new, answer)
        return new if new is not None else {}

    async def validate(self, call: Call) -> None:
        """Ask all validating webhooks, side by side; raises as `mutate`."""
        if call.resource.storage in _EXEMPT:
            return
        wanted = [(hook, self._matched(hook, call)) for hook in self._hooks(mutating=False)]
        asked = [self._ask(hook, call, target) for hook, target in wanted if target is not None]
        if asked:
            results = await asyncio.gather(*asked, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    @staticmethod
    def _patched(hook: Hook, new: Object, answer: Object) -> Object:
        if answer.get("patchType") != "JSONPatch":
            raise internal(f"unsupported patch type {answer.get('patchType')} from webhook {hook.name}")
        try:
            operations = loads(base64.b64decode(answer["patch"]))
        except ValueError as error:
            raise internal(f"webhook {hook.name} sent a patch that is no JSON: {error}") from error
        changed = patches.json_patch(copy(new), operations)
        return dict(changed)

    def _matched(self, hook: Hook, call: Call) -> Resource | None:
        """The kind as the webhook wants to see it, None when it does not concern this call."""
        target = self._rule_target(hook.spec, call)
        if target is None or not self._namespace_matches(hook.spec, call):
            return None
        selector = hook.spec.get("objectSelector") or {}
        if not selector:
            return target
        labels = [
            (item or {}).get("metadata", {}).get("labels") or {} for item in (call.new, call.old) if item is not None
        ]
        return target if any(selectors.selects(selector, held) for held in labels) else None

    def _rule_target(self, spec: Object, call: Call) -> Resource | None:
        served = [call.resource]
        if spec.get("matchPolicy", "Equivalent") == "Equivalent":
            served += [r for r in self._registry.all() if r.storage == call.resource.storage and r is not call.resource]
        for resource in served:
            if any(_rule_matches(rule, resource, call) for rule in spec.get("rules") or ()):
                return resource
        return None

    def _namespace_matches(self, spec: Object, call: Call) -> bool:
        selector = spec.get("namespaceSelector") or {}
        if not selector:
            return True
        if call.resource.storage == "namespaces":
            item = call.new or call.old or {}
            return selectors.selects(selector, item.get("metadata", {}).get("labels") or {})
        if not call.namespace:
            return True
        record = self._storage.get("namespaces", "", call.namespace)
        return record is not None and selectors.selects(selector, record.labels)

    async def _ask(self, hook: Hook, call: Call, target: Resource) -> Object | None:
        """The webhook's response; None when it failed and may (failurePolicy Ignore)."""
        if call.options.dry_run and hook.spec.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise bad_request(f'admission webhook "{hook.name}" does not support dry run')
        try:
            response = await self._post(hook, _review(call, target))
        except CallFailed as error:
            if hook.spec.get("failurePolicy") == "Ignore":
                return None
            raise internal(f'failed calling webhook "{hook.name}": {error}') from error
        call.options.warnings.extend(response.get("warnings") or ())
        if not response.get("allowed"):
            raise _denied(hook, response.get("status") or {})
        return response

    async def _post(self, hook: Hook, review: Object) -> Object:
        client, timeout = hook.spec["clientConfig"], hook.spec.get("timeoutSeconds", 10)
        shown, dialled, name = self._address(client)
        separator = "&" if "?" in shown else "?"
        what = f'failed to call webhook: Post "{shown}{separator}timeout={timeout}s"'
        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"User-Agent": "kube-apiserver-admission"})
        try:
            async with self._session.post(
                f"{dialled}{separator}timeout={timeout}s",
                data=dumps(review),
                headers={"Content-Type": "application/json", "Host": name},
                ssl=self._context(client.get("caBundle", "")),
                server_hostname=name.partition(":")[0],
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as answer:
                body = await answer.read()
                if answer.status != 200:
                    raise CallFailed(f"{what}: unexpected status {answer.status}")
        except TimeoutError as error:
            raise CallFailed(f"{what}: context deadline exceeded") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise CallFailed(f"{what}: x509: {error.certificate_error}") from error
        except aiohttp.ClientConnectorError as error:
            where = f"dial tcp {error.host}:{error.port}"
            raise CallFailed(f"{what}: {where}: connect: {_reason(error.os_error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(f"{what}: {error}") from error
        return _response(body, review, what)

    def _address(self, client: Object) -> tuple[str, str, str]:
        """The URL as errors show it, the URL to dial, and the TLS name."""
        if client.get("url"):
            url = str(client["url"])
            return url, url, url.partition("://")[2].partition("/")[0]
        service = client["service"]
        name = f"{service['name']}.{service['namespace']}.svc"
        path = "/" + service.get("path", "").lstrip("/")
        shown = f"https://{name}:{service.get('port', 443)}{path}"
        record = self._storage.get("services", service["namespace"], service["name"])
        if record is None:
            raise CallFailed(f'failed to call webhook: Post "{shown}": service "{service["name"]}" not found')
        spec = record.load()["spec"]
        if not any(port["port"] == service.get("port", 443) for port in spec.get("ports") or ()):
            raise CallFailed(
                f'failed to call webhook: Post "{shown}": no service port {service.get("port", 443)} found for service '
                f'"{service["name"]}"'
            )
        return shown, f"https://{spec['clusterIP']}:{service.get('port', 443)}{path}", name

    def _context(self, bundle: str) -> ssl.SSLContext:
        context = self._contexts.get(bundle)
        if context is None:
            context = ssl.create_default_context()
            if bundle:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                try:
                    context.load_verify_locations(cadata=base64.b64decode(bundle).decode())
                except (ssl.SSLError, ValueError) as error:
                    raise CallFailed(f"unable to load root certificates: {error}") from error
            self._contexts[bundle] = context
        return context


def _reason(error: OSError) -> str:
    """`connection refused`, as Go says it."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _rule_matches(rule: Object, resource: Resource, call: Call) -> bool:
    operations = rule.get("operations") or ()
    if "*" not in operations and call.operation not in operations:
        return False
    if not ({"*", resource.group} & set(rule.get("apiGroups") or ())):
        return False
    if not ({"*", resource.version} & set(rule.get("apiVersions") or ())):
        return False
    scope = rule.get("scope", "*")
    if scope != "*" and (scope == "Namespaced") != resource.namespaced:
        return False
    wanted = f"{resource.plural}/{call.subresource}" if call.subresource else resource.plural
    names = {wanted, "*/*"}
    names |= {f"*/{call.subresource}", f"{resource.plural}/*"} if call.subresource else {"*", f"{resource.plural}/*"}
    return bool(names & set(rule.get("resources") or ()))


def _review(call: Call, target: Resource) -> Object:
    def kind(resource: Resource) -> Object:
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}

    def plural(resource: Resource) -> Object:
        return {"group": resource.group, "version": resource.version, "resource": resource.plural}

    def seen(item: Object | None) -> Object | None:
        return None if item is None else {**item, "apiVersion": target.api_version, "kind": target.kind}

    user = call.options.user
    request: Object = {
        "uid": str(uuid.uuid4()),
        "kind": kind(target),
        "resource": plural(target),
        "requestKind": kind(call.resource),
        "requestResource": plural(call.resource),
        "name": call.name,
        "operation": call.operation,
        "userInfo": {"username": user.name, "groups": list(user.groups)} | ({"uid": user.uid} if user.uid else {}),
        "object": seen(call.new),
        "oldObject": seen(call.old),
        "dryRun": call.options.dry_run,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": f"{call.operation.capitalize()}Options"},
    }
    if call.namespace:
        request["namespace"] = call.namespace
    if call.subresource:
        request["subResource"] = request["requestSubResource"] = call.subresource
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _response(body: bytes, review: Object, what: str) -> Object:
    try:
        answer = loads(body)
        response = answer["response"]
    except (ValueError, KeyError, TypeError) as error:
        raise CallFailed(f"{what}: the answer is no AdmissionReview") from error
    if response.get("uid") != review["request"]["uid"]:
        raise CallFailed(f"{what}: expected response.uid={review['request']['uid']}, got {response.get('uid')}")
    return dict(response)


def _denied(hook: Hook, status: Object) -> StatusError:
    code = int(status.get("code") or 400)
    why = status.get("message") or status.get("reason") or ""
    suffix = f": {why}" if why else " without explanation"
    return StatusError(
        code, status.get("reason") or ("Forbidden" if code == 403 else "BadRequest" if code == 400 else ""),
        f'admission webhook "{hook.name}" denied the request{suffix}', status.get("details") or {},
    )  # fmt: skip
