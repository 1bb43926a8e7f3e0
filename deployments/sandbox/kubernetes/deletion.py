"""Deletes: finalizers, propagation, preconditions, grace periods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.sandbox.kubernetes import crds, prepare
from deployments.sandbox.kubernetes.calls import Call, Where, full
from deployments.sandbox.kubernetes.errors import Cause, bad_request, conflict, invalid
from deployments.sandbox.kubernetes.objects import Objects
from deployments.sandbox.kubernetes.requestinfo import Options
from deployments.sandbox.kubernetes.storage import Record

Object = dict[str, Any]
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
RETURNS_OBJECT = frozenset(
    [
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "podtemplates",
        "resourcequotas",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "namespaces",
    ]
)


def parse_options(body: Any, query: dict[str, str]) -> Object:
    """DeleteOptions from the body, or from the query where there is no body."""
    if body is not None and not isinstance(body, dict):
        raise bad_request("expected DeleteOptions")
    out: Object = dict(body or {})
    if "gracePeriodSeconds" in query:
        out.setdefault("gracePeriodSeconds", int(query["gracePeriodSeconds"]))
    for name in ("propagationPolicy", "orphanDependents"):
        if name in query:
            out.setdefault(name, query[name])
    policy = out.get("propagationPolicy")
    if policy not in (None, "Background", "Foreground", "Orphan"):
        text = f'Unsupported value: "{policy}": supported values: "Background", "Foreground", "Orphan", "nil"'
        cause = Cause("propagationPolicy", "FieldValueNotSupported", text)
        raise invalid("meta.k8s.io", "DeleteOptions", "", [cause])
    return out


class Deletion:
    """Deletes objects, or marks them when something holds them back."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._storage = objects.storage

    async def delete(self, where: Where, wishes: Object, options: Options) -> Object:
        """Delete one object; returns what the client gets: a Status, or the object.

        Raises:
            StatusError: 404, 409 (preconditions), or what a webhook answers.
        """
        record = self._objects.read(where)
        item = full(where.resource, record)
        self._check_preconditions(where, record, wishes.get("preconditions") or {})
        call = Call(where.resource, "DELETE", where.namespace, where.name, "", None, item, options)
        await self._objects.admission.mutate(call)
        await self._objects.admission.validate(call)
        record = self._objects.read(where)
        item = full(where.resource, record)
        finalizers = self._finalizers(where, item, wishes)
        grace = self._grace(where, item, wishes)
        if options.dry_run:
            return self._answer(where, item, record)
        if finalizers or grace or self._lingers(where, item):
            marked = self._mark(where, item, finalizers, grace)
            if marked != full(where.resource, record):
                self._objects._store(where.resource, marked)
            return marked
        self._objects.on_removal(where, record, options)
        return self._answer(where, item, record)

    def _check_preconditions(self, where: Where, record: Record, wanted: Object) -> None:
        resource = where.resource
        if wanted.get("uid") and wanted["uid"] != record.uid:
            why = (
                f"the UID in the precondition ({wanted['uid']}) does not match the UID in record ({record.uid}). "
                "The object might have been deleted and then recreated"
            )
            raise conflict(resource.group, resource.kind, where.name, why)
        version = wanted.get("resourceVersion")
        if version and version != str(record.version):
            why = (f"Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: "
                   f"{record.version}")  # fmt: skip
            raise conflict(resource.group, resource.plural, where.name, why)

    @staticmethod
    def _finalizers(where: Where, item: Object, wishes: Object) -> list[str]:
        """The finalizers after this request: its propagation policy adds or removes one."""
        held = list(item["metadata"].get("finalizers") or ())
        policy = wishes.get("propagationPolicy")
        if policy is None and "orphanDependents" in wishes:
            policy = "Orphan" if str(wishes["orphanDependents"]).lower() == "true" else "Background"
        if policy is None and where.resource.storage == "jobs.batch":
            policy = "Orphan"
        if policy is None:
            return held
        held = [name for name in held if name not in (FOREGROUND, ORPHAN)]
        extra = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy)
        return [*held, extra] if extra else held

    @staticmethod
    def _grace(where: Where, item: Object, wishes: Object) -> int:
        """Seconds a running pod is given to end; 0 for everything else."""
        if where.resource.storage != "pods":
            return 0
        spec, metadata = item["spec"], item["metadata"]
        asked = wishes.get("gracePeriodSeconds")
        seconds = int(asked if asked is not None else spec.get("terminationGracePeriodSeconds", 30))
        if "nodeName" not in spec or item["status"].get("phase") in ("Succeeded", "Failed"):
            return 0
        if "deletionTimestamp" in metadata:
            return min(seconds, int(metadata.get("deletionGracePeriodSeconds", 0)))
        return max(seconds, 0)

    @staticmethod
    def _lingers(where: Where, item: Object) -> bool:
        if where.resource.storage == "namespaces":
            return bool(item["spec"].get("finalizers"))
        return where.resource.storage == crds.STORAGE

    def _mark(self, where: Where, item: Object, finalizers: list[str], grace: int) -> Object:
        """The object as it waits to go."""
        metadata = item["metadata"]
        if where.resource.storage == crds.STORAGE and crds.FINALIZER not in finalizers:
            finalizers = [*finalizers, crds.FINALIZER]
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        first = "deletionTimestamp" not in metadata
        if first or grace < metadata.get("deletionGracePeriodSeconds", 0):
            at = datetime.now(UTC) + timedelta(seconds=grace)
            metadata["deletionTimestamp"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            metadata["deletionGracePeriodSeconds"] = grace
        if first and metadata.get("generation"):
            metadata["generation"] += 1
        if where.resource.storage == "namespaces":
            item["status"]["phase"] = "Terminating"
            metadata.pop("deletionGracePeriodSeconds", None)
        if where.resource.storage == crds.STORAGE:
            item["status"] = crds.conditions(item, prepare.now(), terminating=True)
        return item

    @staticmethod
    def _answer(where: Where, item: Object, record: Record) -> Object:
        if where.resource.storage == "pods":
            item["metadata"] |= {"deletionTimestamp": prepare.now(), "deletionGracePeriodSeconds": 0}
        if where.resource.storage in RETURNS_OBJECT:
            return item
        details = {"name": record.name, "kind": where.resource.plural, "uid": record.uid}
        if where.resource.group:
            details["group"] = where.resource.group
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
