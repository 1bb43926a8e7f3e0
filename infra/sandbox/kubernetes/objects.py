"""Create, replace and patch objects: the one pipeline that every write goes through.

decode -> defaults -> mutating webhooks -> managedFields -> server-set fields -> validation -> validating webhooks -> store.
A write that awaited a webhook looks again before it stores, and starts over when somebody else was quicker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from infra.sandbox.kubernetes import managed, prepare, schema, typed, validation
from infra.sandbox.kubernetes.allocation import Allocator
from infra.sandbox.kubernetes.crds import STORAGE as CRD_STORAGE
from infra.sandbox.kubernetes.errors import (
    MODIFIED,
    Cause,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    invalid_value,
    not_found,
)
from infra.sandbox.kubernetes.requestinfo import Options, required_manager
from infra.sandbox.kubernetes.resources import Registry, Resource
from infra.sandbox.kubernetes.storage import Record, Storage
from infra.sandbox.kubernetes.wire import copy, dumps

Object = dict[str, Any]
TRIES = 8


class Admission(Protocol):
    """What the pipeline needs of the webhooks."""

    async def mutate(self, call: Call) -> Object: ...

    async def validate(self, call: Call) -> None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One write on its way through admission."""

    resource: Resource
    operation: str
    namespace: str
    name: str
    subresource: str
    new: Object | None
    old: Object | None
    options: Options


@dataclass(frozen=True, slots=True)
class Where:
    """The object a write is about."""

    resource: Resource
    namespace: str
    name: str
    subresource: str = ""


def full(resource: Resource, record: Record) -> Object:
    """A stored object as `resource`'s version shows it."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **record.load()}


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
        self._place(where, item)
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
        self._track(resource, before, item, options, managers)
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

    def _track(
        self, resource: Resource, before: Object, item: Object, options: Options, managers: managed.Managers | None
    ) -> None:
        """managedFields of a new object: by its create, or by the apply that made it plus what webhooks changed."""
        manager = managed.Manager(options.manager, "Update", resource.api_version)
        time, reset = prepare.now(), prepare.reset_fields(resource, "")
        if managers is None:
            managers = managed.Managers.decode(item["metadata"].pop("managedFields", None))
            managed.track_update(resource.schema, prepare.empty(resource), item, managers, manager, time, reset)
        elif before is not item:
            managed.track_update(resource.schema, before, item, managers, manager, time, reset)
        encoded = managers.encode()
        if encoded:
            item["metadata"]["managedFields"] = encoded

    async def update(self, where: Where, body: Any, options: Options) -> tuple[Object, bool]:
        """Replace an object; returns it and whether it was created.

        Raises:
            StatusError: as create, and 409 when its resourceVersion is not the stored one.
        """
        resource = where.resource
        new = prepare.decode(resource, body, options)
        self._place(where, new)
        self._same_name(where, new)
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
            self._place(where, new)
            self._same_name(where, new)
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
        config = self._applied(where, config, options)
        manager = managed.Manager(options.manager, "Apply", resource.api_version, where.subresource)
        if self.storage.get(resource.storage, where.namespace, where.name) is None:
            if config["metadata"].get("uid") or where.subresource:
                raise not_found(resource.group, resource.plural, where.name)
            if config["metadata"].get("resourceVersion"):
                raise conflict(resource.group, resource.plural, where.name, MODIFIED)
            self.check_namespace(resource, where.namespace, where.name)
            managers = managed.Managers()
            base = prepare.empty(resource)
            merged = managed.apply(resource.schema, base, config, managers, manager, prepare.now(),
                                   force=options.force, reset=prepare.reset_fields(resource, ""))  # fmt: skip
            item = prepare.decode(resource, merged, options)
            return await self._create(resource, item, options, managers), True

        def applied(old: Object) -> tuple[Object, managed.Managers]:
            return self._apply_to(where, old, config, manager, options)

        return await self._replace(where, applied, options), False

    def _applied(self, where: Where, config: Any, options: Options) -> Object:
        """The checked body of an apply: names in place, nothing the type does not know."""
        resource = where.resource
        if not isinstance(config, dict) or not isinstance(config.get("metadata", {}), dict):
            raise bad_request("error decoding YAML: expected an object")
        if config.get("apiVersion") != resource.api_version or config.get("kind") != resource.kind:
            raise bad_request(
                f"{config.get('apiVersion', '')}, Kind={config.get('kind', '')} in the apply patch does not match "
                f"{resource.api_version}, Kind={resource.kind}"
            )
        config = copy(config)
        metadata = config.setdefault("metadata", {})
        if metadata.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        metadata.setdefault("name", where.name)
        self._place(where, config)
        self._same_name(where, config)
        if resource.custom is None:
            report = typed.Report()
            try:
                typed.decode(resource.schema, config, report)
            except typed.DecodeError as error:
                raise self._untyped(where, str(error)) from error
            if report.unknown:
                listed = "\n".join(f".{path}: field not declared in schema" for path in report.unknown)
                raise self._untyped(where, listed)
        return config

    @staticmethod
    def _same_name(where: Where, item: Object) -> None:
        given = item["metadata"].get("name", "")
        if given != where.name:
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({where.name})")

    @staticmethod
    def _unreadable(error: StatusError, body: Any) -> StatusError:
        """A patch whose outcome is no such object: 422 about the patch, not 400."""
        if error.code != 400 or "strict decoding" in error.message:
            return error
        return invalid("", "", "", [invalid_value("patch", dumps(body).decode(), error.message)])

    @staticmethod
    def _untyped(where: Where, why: str) -> StatusError:
        place = f"{where.namespace}/{where.name}" if where.namespace else f"/{where.name}"
        kind = f"{where.resource.api_version}, Kind={where.resource.kind}"
        return StatusError(500, "", f"failed to create typed patch object ({place}; {kind}): {why}")

    def _apply_to(
        self, where: Where, old: Object, config: Object, manager: managed.Manager, options: Options
    ) -> tuple[Object, managed.Managers]:
        resource = where.resource
        asked = config["metadata"].get("resourceVersion")
        if asked and asked != old["metadata"]["resourceVersion"]:
            raise conflict(resource.group, resource.plural, where.name, MODIFIED)
        managers = managed.Managers.decode(old["metadata"].get("managedFields"))
        live = copy(old)
        live["metadata"].pop("managedFields", None)
        time = prepare.now()
        if not managers.entries:
            managed.adopt_untracked(resource.schema, prepare.empty(resource), live, managers, manager, time)
        merged = managed.apply(resource.schema, live, config, managers, manager, time, force=options.force,
                               reset=prepare.reset_fields(resource, where.subresource))  # fmt: skip
        new = prepare.decode(resource, merged, options)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return new, managers

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
            done = await self._admit_and_store(where, record, old, new, managers, options)
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
        options: Options,
    ) -> Object | None:
        """The second half of a replacement; None when the stored object changed meanwhile."""
        resource = where.resource
        call = Call(resource, "UPDATE", where.namespace, where.name, where.subresource, new, old, options)
        proposed = self._track_change(where, old, new, managers, options)
        mutated = await self._mutate(Call(resource, "UPDATE", where.namespace, where.name, where.subresource, proposed,
                                          old, options))  # fmt: skip
        if mutated is not proposed:
            held = managed.Managers.decode(proposed["metadata"].get("managedFields"))
            proposed = self._track_change(where, proposed, mutated, None, options, held)
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

    def _track_change(
        self,
        where: Where,
        old: Object,
        new: Object,
        managers: managed.Managers | None,
        options: Options,
        held: managed.Managers | None = None,
    ) -> Object:
        """`new` with managedFields that reflect its difference from `old` (`managers`: an apply has them already)."""
        resource = where.resource
        tracked = bool(old["metadata"].get("managedFields"))
        given = new["metadata"].pop("managedFields", None)
        if managers is None:
            known = held or managed.Managers.decode(given or old["metadata"].get("managedFields"))
            cleared = given is not None and given != [] and not managed.Managers.decode(given).entries
            before = copy(old)
            before["metadata"].pop("managedFields", None)
            for item in (before, new):
                item["apiVersion"], item["kind"] = resource.api_version, resource.kind
            if cleared or not (tracked or held):
                return new
            manager = managed.Manager(options.manager, "Update", resource.api_version, where.subresource)
            managed.track_update(resource.schema, before, new, known, manager, prepare.now(),
                                 prepare.reset_fields(resource, where.subresource))  # fmt: skip
            managers = known
        encoded = managers.encode()
        if encoded:
            new["metadata"]["managedFields"] = encoded
        return new

    async def _mutate(self, call: Call) -> Object:
        """The object after the mutating webhooks, decoded again when one changed it."""
        changed = await self.admission.mutate(call)
        if changed is call.new:
            return changed
        return prepare.decode(
            call.resource, changed, Options(call.options.user, call.options.manager, validation="Ignore")
        )

    @staticmethod
    def _place(where: Where, item: Object) -> None:
        metadata = item["metadata"]
        if not where.resource.namespaced:
            metadata.pop("namespace", None)
            return
        given = metadata.setdefault("namespace", where.namespace)
        if given != where.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")

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
