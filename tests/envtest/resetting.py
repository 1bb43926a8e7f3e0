"""A control plane as it was when it started: what a test made is taken away, at once and whatever holds it."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from deployments.sandbox.controlplane.home import token
from deployments.sandbox.controlplane.plane import ControlPlane

METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
AT_ONCE = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
NAMESPACES, DEFINITIONS = "/api/v1/namespaces", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WEBHOOKS = tuple(
    f"/apis/admissionregistration.k8s.io/v1/{each}webhookconfigurations" for each in ("validating", "mutating")
)
TOO_EARLY = httpx.codes.TOO_MANY_REQUESTS
"""What the API server answers while it prepares the store of a kind that was defined a moment ago."""
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
SIDE_BY_SIDE = 8
PATIENCE = 120.0
"""Seconds until what a test made has to be gone, and then until its kinds and namespaces are."""


@dataclass(frozen=True)
class Found:
    """One object that is there."""

    path: str
    finalizers: tuple[str, ...]
    servers: bool
    """Whether the API server makes it and takes it away itself."""
    reports: bool
    """Whether somebody reports with it, and may do so again at any time."""


class Resetting:
    """Knows what a control plane holds by itself, and takes away everything else.

    Args:
        plane: it runs; whatever is there by now stays.
    """

    def __init__(self, plane: ControlPlane) -> None:
        context = ssl.create_default_context(cafile=str(plane.home / "ca.crt"))
        credential = {"Authorization": f"Bearer {token(plane.home, 'admin')}"}
        self._client = httpx.Client(
            base_url=plane.url, headers=credential, verify=context, trust_env=False, timeout=PATIENCE
        )
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._lists = list(self._builtin())
            self._settle()
            self._kept = {each.path for path in self._lists for each in self._list(path)}
            undo.pop_all()

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        self._client.close()

    def reset(self) -> None:
        """Delete what was not there at the start, without waiting for whoever else wants to have a say in it.

        Raises:
            AssertionError: something is still there.
        """
        self._delete([each for path in WEBHOOKS for each in self._strays(path)])
        deadline = time.monotonic() + PATIENCE
        # Nothing can be made in them any more.
        doomed = self._strays(NAMESPACES)
        list(self._pool.map(lambda each: self._client.request("DELETE", each.path, json=AT_ONCE), doomed))
        while left := self._contents():
            assert time.monotonic() < deadline, f"still there: {', '.join(each.path for each in left[:20])}"
            self._delete(left)
            if all(each.reports for each in left):
                break
        deadline = time.monotonic() + PATIENCE
        while left := [*self._strays(DEFINITIONS), *self._strays(NAMESPACES)]:
            assert time.monotonic() < deadline, f"still there: {', '.join(each.path for each in left[:20])}"
            self._delete([each for each in left if each.path.startswith(DEFINITIONS)])
            for each in left:
                if each.path.startswith(NAMESPACES):
                    self._finalize(each)

    def _builtin(self) -> Iterator[str]:
        """The list paths of the built-in kinds that can be deleted, one version of each."""
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        for root in ("/api", "/apis"):
            for group in self._client.get(root, headers={"Accept": accept}).raise_for_status().json()["items"]:
                version = group["versions"][0]
                name = group["metadata"].get("name")
                base = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
                for resource in version["resources"]:
                    if {"list", "delete"} <= set(resource["verbs"]):
                        yield f"{base}/{resource['resource']}"

    def _custom(self) -> Iterator[str]:
        """The list paths of the custom resources."""
        for item in self._client.get(DEFINITIONS).raise_for_status().json()["items"]:
            version = next(each["name"] for each in item["spec"]["versions"] if each["served"])
            yield f"/apis/{item['spec']['group']}/{version}/{item['spec']['names']['plural']}"

    def _settle(self) -> None:
        """Wait for what each namespace is given, which may come after the API server says that it is ready."""
        deadline = time.monotonic() + PATIENCE
        for namespace in ("default", "kube-system", "kube-public", "kube-node-lease"):
            for given in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
                while self._client.get(f"{NAMESPACES}/{namespace}/{given}").status_code != httpx.codes.OK:
                    assert time.monotonic() < deadline, f"{namespace} never got {given}"
                    time.sleep(0.05)

    def _contents(self) -> list[Found]:
        """Whatever was made but for namespaces and definitions, which go last."""
        paths = [path for path in [*self._lists, *self._custom()] if path not in (NAMESPACES, DEFINITIONS)]
        return [each for found in self._pool.map(self._strays, paths) for each in found]

    def _list(self, path: str) -> list[Found]:
        while (answer := self._client.get(path, headers={"Accept": METADATA})).status_code == TOO_EARLY:
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []  # a custom resource whose definition is not served yet, or not any more
        return [found(path, item["metadata"]) for item in answer.raise_for_status().json()["items"] or ()]

    def _strays(self, path: str) -> list[Found]:
        return [each for each in self._list(path) if self._is_stray(each)]

    def _is_stray(self, one: Found) -> bool:
        return not one.servers and one.path not in self._kept

    def _delete(self, doomed: list[Found]) -> None:
        list(self._pool.map(self._delete_one, doomed))

    def _finalize(self, namespace: Found) -> None:
        """End a namespace with nothing in it: its controller would wait for five seconds before it looks."""
        name = namespace.path.rpartition("/")[2]
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}}
        self._client.put(f"{namespace.path}/finalize", json=body)

    def _delete_one(self, one: Found) -> None:
        request = partial(self._client.request, "DELETE", one.path, json=AT_ONCE)
        if request().status_code != httpx.codes.NOT_FOUND and one.finalizers:
            self._client.patch(one.path, json={"metadata": {"finalizers": None}}, headers=MERGE)


def found(path: str, metadata: dict[str, Any]) -> Found:
    """An object of the list at `path`."""
    root, _, plural = path.rpartition("/")
    place = f"{root}/namespaces/{metadata['namespace']}/{plural}" if metadata.get("namespace") else path
    name = metadata["name"]
    servers = (
        plural == "ipaddresses"
        or (plural == "leases" and name.startswith("apiserver-"))
        or AUTOMANAGED in metadata.get("labels", {})
    )
    finalizers = tuple(metadata.get("finalizers", ()))
    return Found(f"{place}/{name}", finalizers, servers, plural in ("events", "leases"))
