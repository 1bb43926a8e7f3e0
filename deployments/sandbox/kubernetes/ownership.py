"""managedFields on the way of a write: new objects, changed ones, applied ones."""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes import managed, prepare, typed
from deployments.sandbox.kubernetes.calls import Where, place, same_name
from deployments.sandbox.kubernetes.errors import MODIFIED, StatusError, bad_request, conflict
from deployments.sandbox.kubernetes.requestinfo import Options
from deployments.sandbox.kubernetes.resources import Resource
from deployments.sandbox.kubernetes.wire import copy

Object = dict[str, Any]


def track_new(
    resource: Resource, before: Object, item: Object, options: Options, managers: managed.Managers | None
) -> None:
    """managedFields of a new object: by its create, or by the apply that made it plus what webhooks changed."""
    manager = managed.Manager(options.manager, "Update", resource.api_version)
    time, reset = prepare.now(), prepare.reset_fields(resource, "")
    if managers is None:
        managers = managed.Managers.decode(item["metadata"].pop("managedFields", None))
        managed.track_update(resource.schema, prepare.empty(resource), item, managers, manager, now=time, reset=reset)
    elif before is not item:
        managed.track_update(resource.schema, before, item, managers, manager, now=time, reset=reset)
    encoded = managers.encode()
    if encoded:
        item["metadata"]["managedFields"] = encoded


def track_change(
    where: Where,
    old: Object,
    new: Object,
    managers: managed.Managers | None,
    options: Options,
    *,
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
        managed.track_update(resource.schema, before, new, known, manager, now=prepare.now(),
                             reset=prepare.reset_fields(resource, where.subresource))  # fmt: skip
        managers = known
    encoded = managers.encode()
    if encoded:
        new["metadata"]["managedFields"] = encoded
    return new


def checked_config(where: Where, config: Any) -> Object:
    """The checked body of an apply: names in place, nothing the type does not know."""
    resource = where.resource
    if not isinstance(config, dict) or not isinstance(config.get("metadata", {}), dict):
        raise bad_request("error decoding YAML: expected an object")
    if config.get("apiVersion") != resource.api_version or config.get("kind") != resource.kind:
        raise bad_request(
            f"{config.get('apiVersion', '')}, Kind={config.get('kind', '')} in the apply patch does not match "
            f"{resource.api_version}, Kind={resource.kind}"
        )
    checked: Object = copy(config)
    metadata = checked.setdefault("metadata", {})
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    metadata.setdefault("name", where.name)
    place(where, checked)
    same_name(where, checked)
    if resource.custom is None:
        report = typed.Report()
        try:
            typed.decode(resource.schema, checked, report)
        except typed.DecodeError as error:
            raise _untyped(where, str(error)) from error
        if report.unknown:
            listed = "\n".join(f".{path}: field not declared in schema" for path in report.unknown)
            raise _untyped(where, listed)
    return checked


def _untyped(where: Where, why: str) -> StatusError:
    place = f"{where.namespace}/{where.name}" if where.namespace else f"/{where.name}"
    kind = f"{where.resource.api_version}, Kind={where.resource.kind}"
    return StatusError(500, "", f"failed to create typed patch object ({place}; {kind}): {why}")


def applied_to(
    where: Where, old: Object, config: Object, manager: managed.Manager, options: Options
) -> tuple[Object, managed.Managers]:
    """What an apply makes of `old`, and who owns what then."""
    resource = where.resource
    asked = config["metadata"].get("resourceVersion")
    if asked and asked != old["metadata"]["resourceVersion"]:
        raise conflict(resource.group, resource.plural, where.name, MODIFIED)
    managers = managed.Managers.decode(old["metadata"].get("managedFields"))
    live = copy(old)
    live["metadata"].pop("managedFields", None)
    time = prepare.now()
    if not managers.entries:
        managed.adopt_untracked(resource.schema, prepare.empty(resource), live, managers, manager, now=time)
    merged = managed.apply(resource.schema, live, config, managers, manager, now=time, force=options.force,
                           reset=prepare.reset_fields(resource, where.subresource))  # fmt: skip
    new = prepare.decode(resource, merged, options)
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    return new, managers
