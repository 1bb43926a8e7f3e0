"""Subresources that are no part of the object itself: scale, binding, eviction, token; and reviews."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from deployments.sandbox.kubernetes import jsonpath, selectors
from deployments.sandbox.kubernetes.authn import Tokens
from deployments.sandbox.kubernetes.authz import Attributes, Authorizer
from deployments.sandbox.kubernetes.calls import Where, full
from deployments.sandbox.kubernetes.cells import show_selector
from deployments.sandbox.kubernetes.deletion import Deletion
from deployments.sandbox.kubernetes.errors import StatusError, bad_request, conflict, invalid, invalid_value
from deployments.sandbox.kubernetes.objects import Objects
from deployments.sandbox.kubernetes.requestinfo import Options, User
from deployments.sandbox.kubernetes.wire import copy

Object = dict[str, Any]


def _get(path: str, item: Object) -> Any:
    found = jsonpath.find(path, item) if path else []
    return found[0] if found else None


def _put(path: str, item: Object, value: Any) -> None:
    *holders, last = path.split(".")
    for name in holders:
        item = item.setdefault(name, {})
    item[last] = value


def scale_of(where: Where, item: Object) -> Object:
    """The autoscaling/v1 Scale of an object."""
    paths, metadata = where.resource.scale, item["metadata"]
    assert paths is not None  # noqa: S101  only kinds that have one come here
    selector = _get(paths.selector, item)
    if isinstance(selector, dict):
        plain = not ({"matchLabels", "matchExpressions"} & selector.keys())
        shown = show_selector({"matchLabels": selector} if plain else selector)
    else:
        shown = selector or ""
    kept = {
        key: metadata[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in metadata
    }
    status: Object = {"replicas": _get(paths.status_replicas, item) or 0}
    if shown:
        status["selector"] = shown
    replicas = _get(paths.spec_replicas, item) or 0
    spec = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


class Scales:
    """Reads and writes the scale subresource."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def read(self, where: Where) -> Object:
        return scale_of(where, full(where.resource, self._objects.read(where)))

    async def update(self, where: Where, body: Any, options: Options) -> Object:
        if not isinstance(body, dict) or body.get("kind") not in (None, "Scale"):
            raise bad_request("expected a Scale")
        return await self._write(where, lambda _old: body, options)

    async def patch(self, where: Where, change: Callable[[Any], Any], options: Options) -> Object:
        return await self._write(where, change, options)

    async def _write(self, where: Where, change: Callable[[Any], Any], options: Options) -> Object:
        resource = where.resource
        paths = resource.scale
        assert paths is not None  # noqa: S101  only kinds that have one come here

        def scaled(old: Object) -> Object:
            new = change(scale_of(where, old))
            version = (new.get("metadata") or {}).get("resourceVersion")
            if version and version != old["metadata"]["resourceVersion"]:
                raise conflict(resource.group, resource.plural, where.name, "the object has been modified")
            replicas = (new.get("spec") or {}).get("replicas", 0)
            if not isinstance(replicas, int) or replicas < 0:
                cause = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
                raise invalid("autoscaling", "Scale", where.name, [cause])
            out: Object = copy(old)
            _put(paths.spec_replicas, out, replicas)
            return out

        # The write goes through the main resource's pipeline, recorded under the scale subresource.
        item = await self._objects.patch(Where(resource, where.namespace, where.name, "scale"), scaled, options)
        return scale_of(where, item)


class Pods:
    """binding and eviction."""

    def __init__(self, objects: Objects, deletion: Deletion) -> None:
        self._objects = objects
        self._deletion = deletion

    async def bind(self, where: Where, body: Object, options: Options) -> Object:
        """Put a pod on a node.

        Raises:
            StatusError: 409, it is on one already.
        """
        node = (body.get("target") or {}).get("name", "")

        def bound(old: Object) -> Object:
            if old["spec"].get("nodeName"):
                why = f'pod {where.name} is already assigned to node "{old["spec"]["nodeName"]}"'
                raise conflict("", "pods/binding", where.name, why)
            old["spec"]["nodeName"] = node
            return old

        await self._objects.patch(Where(where.resource, where.namespace, where.name), bound, options)

        def scheduled(old: Object) -> Object:
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": at}
            old["status"].setdefault("conditions", []).append(condition)
            return old

        if not options.dry_run:
            await self._objects.patch(Where(where.resource, where.namespace, where.name, "status"), scheduled, options)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    async def evict(self, where: Where, body: Object, options: Options) -> Object:
        """Delete a pod unless a disruption budget forbids it.

        Raises:
            StatusError: 429, the budget is spent.
        """
        record = self._objects.read(Where(where.resource, where.namespace, where.name))
        for budget in self._objects.storage.records("poddisruptionbudgets.policy", where.namespace):
            item = budget.load()
            if not selectors.selects(item["spec"].get("selector"), record.labels):
                continue
            if item["status"].get("disruptionsAllowed", 0) <= 0:
                message = "Cannot evict pod as it would violate the pod's disruption budget."
                why = (
                    f"The disruption budget {budget.name} needs {item['status'].get('desiredHealthy', 0)} healthy pods"
                )
                causes = [
                    {
                        "reason": "DisruptionBudget",
                        "message": f"{why} and has {item['status'].get('currentHealthy', 0)} currently",
                    }
                ]
                raise StatusError(429, "TooManyRequests", message, {"causes": causes})
        wishes = body.get("deleteOptions") or {}
        await self._deletion.delete(Where(where.resource, where.namespace, where.name), wishes, options)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def issue_token(tokens: Tokens, objects: Objects, where: Where, body: Object) -> Object:
    """serviceaccounts/token: a TokenRequest answered."""
    record = objects.read(Where(where.resource, where.namespace, where.name))
    spec = body.get("spec") or {}
    seconds = int(spec.get("expirationSeconds") or 3600)
    token = tokens.issue(
        where.namespace, where.name, record.uid, seconds=seconds, audiences=spec.get("audiences") or []
    )
    until = datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": where.name, "namespace": where.namespace, "creationTimestamp": None},
            "spec": {"audiences": [], **spec, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": until}}  # fmt: skip


class Reviews:
    """The kinds that are answered and never stored."""

    def __init__(self, authorizer: Authorizer, tokens: Tokens) -> None:
        self._authorizer = authorizer
        self._tokens = tokens

    def answer(self, kind: str, api_version: str, body: Object, user: User, namespace: str) -> Object:
        """A review with its status filled in."""
        out = {"kind": kind, "apiVersion": api_version, "metadata": {"creationTimestamp": None}, **body}
        spec = body.get("spec") or {}
        if kind == "SelfSubjectReview":
            info: Object = {"username": user.name, "groups": list(user.groups)}
            return out | {"kind": kind, "apiVersion": api_version, "status": {"userInfo": info}}
        if kind == "TokenReview":
            return out | {"status": self._token(spec.get("token", ""))}
        if kind == "SelfSubjectRulesReview":
            return out | {"status": self._rules(user, spec.get("namespace", ""))}
        if kind != "SelfSubjectAccessReview":
            user = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
        allowed = self._authorizer.allowed(_attributes(spec, user, namespace))
        return out | {"status": {"allowed": allowed}}

    def _token(self, token: str) -> Object:
        user = self._tokens.user(token)
        if user is None:
            return {"user": {}, "error": "[invalid bearer token]"}
        return {"authenticated": True, "user": {"username": user.name, "uid": user.uid, "groups": list(user.groups)}}

    def _rules(self, user: User, namespace: str) -> Object:
        resource_rules, path_rules = [], []
        for rule in self._authorizer.rules(user, namespace):
            if rule.get("nonResourceURLs"):
                path_rules.append({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]})
            else:
                resource_rules.append({key: value for key, value in rule.items() if value})
        return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def _attributes(spec: Object, user: User, namespace: str) -> Attributes:
    wish = spec.get("resourceAttributes")
    if wish is None:
        plain = spec.get("nonResourceAttributes") or {}
        return Attributes(user, plain.get("verb", ""), path=plain.get("path", ""))
    return Attributes(
        user, wish.get("verb", ""), wish.get("namespace", "") or namespace, wish.get("group", ""),
        wish.get("resource", ""), wish.get("subresource", ""), wish.get("name", ""),
    )  # fmt: skip
