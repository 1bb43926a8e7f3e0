"""Create, replace and patch objects: the one pipeline that every write goes through.

decode -> defaults -> mutating webhooks -> managedFields -> server-set fields -> validation -> validating webhooks ->
store.
A write that awaited a webhook looks again before it stores, and starts over when somebody else was quicker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.sandbox.kubernetes import managed, ownership, prepare, schema, validation
from deployments.sandbox.kubernetes.allocation import Allocator
from deployments.sandbox.kubernetes.calls import Admission, Call, Where, full, place, same_name
from deployments.sandbox.kubernetes.crds import STORAGE as CRD_STORAGE
from deployments.sandbox.kubernetes.errors import (
    MODIFIED,
    Cause,
    StatusError,
    already_exists,
    conflict,
    forbidden,
    invalid,
    invalid_value,
    not_found,
)
from deployments.sandbox.kubernetes.requestinfo import Options, required_manager
from deployments.sandbox.kubernetes.resources import Registry, Resource
from deployments.sandbox.kubernetes.storage import Record, Storage
from deployments.sandbox.kubernetes.wire import copy, dumps

Object = dict[str, Any]
TRIES = 8


class Objects:
    """Writes to stored objects."""

    def __init__(self, storage: Storage, registry: Registry, admission: Admission) -> None:
        self.storage = storage
        self.registry = registry
        self.admission = admission
        self._allocator = Allocator(storage)
        self.on_definition: Callable[[Object], None] = lambda _item: None
        self.on_removal: Callable[[Where, Record, Options], Record] = lambda _w, record, _o: storage.delete(record)

    def read(self, where: Where) -> Record:
        """The stored record.

        Raises:
            StatusError: 404.
        """
        record = self.storage.get(where.resource.storage, where.namespace, where.name)
        if record is None:
            raise not_found(where.resource.group, where.resource.plural, where.name)
        return record

    def check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """Nothing is created in a namespace that is absent or going."""
        if not resource.namespaced:
            return
        held = self.storage.get("namespaces", "", namespace)
        if held is None:
            raise not_found("", "namespaces", namespace)
        if held.finalizing:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = forbidden(resource.group, resource.plural, name, why)
            cause = Cause("metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated")
            (error.details or {})["causes"] = [cause.to_json()]
            raise error

    async def create(self, where: Where, body: Any, options: Options) -> Object:
        """Store a new object.

        Raises:
            StatusError: 400, 403, 404 (namespace), 409, 422, or what a webhook answers.
        """
        resource = where.resource
        item = prepare.decode(resource, body, options)
        place(where, item)
        if item["metadata"].get("resourceVersion"):
            raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
        prepare.name_it(resource, item)
        self.check_namespace(resource, where.namespace, item["metadata"].get("name", ""))
        return await self._create(resource, item, options, None)

    async def _create(
        self, resource: Resource, item: Object, options: Options, managers: managed.Managers | None
    ) -> Object:
        name, namespace = item["metadata"].get("name", ""), item["metadata"].get("namespace", "")
        if self.storage.get(resource.storage, namespace, name) is not None:
            raise already_exists(resource.group, resource.plural, name)
        before = item
        item = await self._mutate(Call(resource, "CREATE", namespace, name, "", item, None, options))
        ownership.track_new(resource, before, item, options, managers)
        prepare.fresh(resource, item)
        if resource.storage == "services":
            self._allocator.assign(item, None)
        causes = validation.on_create(resource.storage, item, namespaced=resource.namespaced)
        self._refuse(resource, item, causes + self._schema_causes(resource, item))
        await self.admission.validate(Call(resource, "CREATE", namespace, name, "", item, None, options))
        if self.storage.get(resource.storage, namespace, name) is not None:
            raise already_exists(resource.group, resource.plural, name)
        if not options.dry_run:
            self._store(resource, item)
        return item

    async def update(self, where: Where, body: Any, options: Options) -> tuple[Object, bool]:
        """Replace an object; returns it and whether it was created.

        Raises:
            StatusError: as create, and 409 when its resourceVersion is not the stored one.
        """
        resource = where.resource
        new = prepare.decode(resource, body, options)
        place(where, new)
        same_name(where, new)
        if self.storage.get(resource.storage, where.namespace, where.name) is None and not where.subresource:
            if resource.storage in prepare.CREATE_ON_UPDATE and not new["metadata"].get("resourceVersion"):
                self.check_namespace(resource, where.namespace, where.name)
                return await self._create(resource, new, options, None), True
            raise not_found(resource.group, resource.plural, where.name)
        wrong = prepare.check_version(resource, new)
        if wrong is not None:
            raise wrong
        return await self._replace(where, lambda _old: (copy(new), None), options), False

    async def patch(self, where: Where, change: Callable[[Object], Object], options: Options) -> Object:
        """Change an object by a pure function of its present state."""
        resource = where.resource

        def changed(old: Object) -> tuple[Object, managed.Managers | None]:
            body = change(copy(old))
            try:
                new = prepare.decode(resource, body, options)
            except StatusError as error:
                raise self._unreadable(error, body) from error
            place(where, new)
            same_name(where, new)
            return new, None

        return await self._replace(where, changed, options)

    async def apply(self, where: Where, config: Any, options: Options, *, named: bool) -> tuple[Object, bool]:
        """Server-side apply; returns the object and whether it was created.

        Raises:
            StatusError: 409 for conflicts with other managers, else as create and update.
        """
        resource = where.resource
        if not named:
            raise required_manager()
        config = ownership.checked_config(where, config)
        manager = managed.Manager(options.manager, "Apply", resource.api_version, where.subresource)
        if self.storage.get(resource.storage, where.namespace, where.name) is None:
            if config["metadata"].get("uid") or where.subresource:
                raise not_found(resource.group, resource.plural, where.name)
            if config["metadata"].get("resourceVersion"):
                raise conflict(resource.group, resource.plural, where.name, MODIFIED)
            self.check_namespace(resource, where.namespace, where.name)
            managers = managed.Managers()
            base = prepare.empty(resource)
            merged = managed.apply(resource.schema, base, config, managers, manager, now=prepare.now(),
                                   force=options.force, reset=prepare.reset_fields(resource, ""))  # fmt: skip
            item = prepare.decode(resource, merged, options)
            return await self._create(resource, item, options, managers), True

        def applied(old: Object) -> tuple[Object, managed.Managers]:
            return ownership.applied_to(where, old, config, manager, options)

        return await self._replace(where, applied, options), False

    @staticmethod
    def _unreadable(error: StatusError, body: Any) -> StatusError:
        """A patch whose outcome is no such object: 422 about the patch, not 400."""
        if error.code != 400 or "strict decoding" in error.message:
            return error
        return invalid("", "", "", [invalid_value("patch", dumps(body).decode(), error.message)])

    async def _replace(
        self, where: Where, change: Callable[[Object], tuple[Object, managed.Managers | None]], options: Options
    ) -> Object:
        """Read, change, admit, store; again when another write came between."""
        for _ in range(TRIES):
            record = self.read(where)
            old = full(where.resource, record)
            new, managers = change(old)
            asked = new["metadata"].get("resourceVersion")
            if asked and asked != "0" and asked != old["metadata"]["resourceVersion"]:
                raise conflict(where.resource.group, where.resource.plural, where.name, MODIFIED)
            uid = new["metadata"].get("uid")
            if uid and uid != record.uid:
                why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
                raise conflict(where.resource.group, where.resource.plural, where.name, why)
            done = await self._admit_and_store(where, record, old, new, managers, options=options)
            if done is not None:
                return done
        raise conflict(where.resource.group, where.resource.plural, where.name, MODIFIED)

    async def _admit_and_store(
        self,
        where: Where,
        record: Record,
        old: Object,
        new: Object,
        managers: managed.Managers | None,
        *,
        options: Options,
    ) -> Object | None:
        """The second half of a replacement; None when the stored object changed meanwhile."""
        resource = where.resource
        proposed = ownership.track_change(where, old, new, managers, options)
        mutated = await self._mutate(Call(resource, "UPDATE", where.namespace, where.name, where.subresource, proposed,
                                          old, options))  # fmt: skip
        if mutated is not proposed:
            held = managed.Managers.decode(proposed["metadata"].get("managedFields"))
            proposed = ownership.track_change(where, proposed, mutated, None, options, held=held)
        new = prepare.replace(resource, old, proposed, where.subresource)
        prepare.default(resource, new)
        if resource.storage == "services" and not where.subresource:
            self._allocator.assign(new, old)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if resource.generation and "generation" not in new["metadata"]:
            new["metadata"]["generation"] = 1
        causes = validation.on_update(resource.storage, old, new, namespaced=resource.namespaced)
        self._refuse(resource, new, causes + self._schema_causes(resource, new))
        call = Call(resource, "UPDATE", where.namespace, where.name, where.subresource, new, old, options)
        await self.admission.validate(call)
        if self.storage.get(resource.storage, where.namespace, where.name) is not record:
            return None
        if options.dry_run or new == old:
            return new
        self._store(resource, new)
        if "deletionTimestamp" in new["metadata"] and not self._held_back(resource, new):
            stored = self.read(where)
            self.on_removal(where, stored, options)
        return new

    @staticmethod
    def _held_back(resource: Resource, item: Object) -> bool:
        """Whether a dying object stays for now: finalizers, or a pod's grace period."""
        if item["metadata"].get("finalizers"):
            return True
        if resource.storage == "namespaces":
            return bool(item["spec"].get("finalizers"))
        return bool(item["metadata"].get("deletionGracePeriodSeconds"))

    async def _mutate(self, call: Call) -> Object:
        """The object after the mutating webhooks, decoded again when one changed it."""
        changed = await self.admission.mutate(call)
        if changed is call.new:
            return changed
        return prepare.decode(
            call.resource, changed, Options(call.options.user, call.options.manager, validation="Ignore")
        )

    @staticmethod
    def _schema_causes(resource: Resource, item: Object) -> list[Cause]:
        declared = (resource.custom or {}).get("schema")
        if not declared:
            return []
        return schema.validate(
            declared, {key: value for key, value in item.items() if key != "metadata"} | {"metadata": {}}
        )

    @staticmethod
    def _refuse(resource: Resource, item: Object, causes: list[Cause]) -> None:
        if causes:
            name = item["metadata"].get("name") or item["metadata"].get("generateName", "")
            raise invalid(resource.group, resource.kind, name, causes)

    def _store(self, resource: Resource, item: Object) -> Record:
        metadata = item["metadata"]
        record = self.storage.write(resource.storage, metadata.get("namespace", ""), metadata["name"], item)
        if resource.storage == CRD_STORAGE:
            self.on_definition(item)
        return record
