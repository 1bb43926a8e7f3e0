"""Names, labels, annotations and owner references."""

from __future__ import annotations

import re
from typing import Any

from deployments.sandbox.kubernetes.errors import Cause, field_forbidden, invalid_value, required

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_LABEL_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_PATH_SEGMENT = frozenset(
    f"{kind}.rbac.authorization.k8s.io" for kind in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def check_label(name: str, field: str) -> list[Cause]:
    """RFC 1123 label."""
    causes = [] if _LABEL.match(name) else [invalid_value(field, name, LABEL_TEXT)]
    return causes + ([invalid_value(field, name, "must be no more than 63 characters")] if len(name) > 63 else [])


def check_subdomain(name: str, field: str) -> list[Cause]:
    """RFC 1123 subdomain."""
    causes = [] if _SUBDOMAIN.match(name) else [invalid_value(field, name, SUBDOMAIN_TEXT)]
    return causes + ([invalid_value(field, name, "must be no more than 253 characters")] if len(name) > 253 else [])


def check_name(storage: str, name: str) -> list[Cause]:
    """The rule for names of the kind kept under `storage`."""
    field = "metadata.name"
    if storage == "namespaces":
        return check_label(name, field)
    if storage == "services":
        causes = [] if _LABEL_1035.match(name) else [invalid_value(field, name, LABEL_1035_TEXT)]
        return causes + ([invalid_value(field, name, "must be no more than 63 characters")] if len(name) > 63 else [])
    if storage in _PATH_SEGMENT:
        wrong = [part for part in ("/", "%") if part in name]
        wrong_names = name in (".", "..")
        return [invalid_value(field, name, f"may not contain '{part}'") for part in wrong] + (
            [invalid_value(field, name, f"may not be '{name}'")] if wrong_names else []
        )
    return check_subdomain(name, field)


def _check_key(key: str, field: str) -> list[Cause]:
    prefix, slash, name = key.rpartition("/")
    causes = []
    if slash and not _SUBDOMAIN.match(prefix):
        causes.append(invalid_value(field, key, f"prefix part {SUBDOMAIN_TEXT}"))
    if not _QUALIFIED.match(name):
        causes.append(invalid_value(field, key, QUALIFIED_TEXT))
    if len(name) > 63:
        causes.append(invalid_value(field, key, "name part must be no more than 63 characters"))
    return causes


def check_labels(labels: dict[str, str], field: str) -> list[Cause]:
    causes = []
    for key, value in labels.items():
        causes += _check_key(key, field)
        if value and not _QUALIFIED.match(value):
            causes.append(invalid_value(field, value, VALUE_TEXT))
        if len(value) > 63:
            causes.append(invalid_value(field, value, "must be no more than 63 characters"))
    return causes


def validate(storage: str, metadata: dict[str, Any], *, namespaced: bool) -> list[Cause]:
    """A new or changed object's metadata."""
    causes = []
    if not metadata.get("name"):
        causes.append(required("metadata.name", "name or generateName is required"))
    else:
        causes += check_name(storage, metadata["name"])
    if namespaced and not metadata.get("namespace"):
        causes.append(required("metadata.namespace"))
    causes += check_labels(metadata.get("labels") or {}, "metadata.labels")
    for key in metadata.get("annotations") or {}:
        causes += _check_key(key.lower(), "metadata.annotations")
    size = sum(len(key) + len(value) for key, value in (metadata.get("annotations") or {}).items())
    if size > 256 * 1024:
        causes.append(Cause("metadata.annotations", "FieldValueTooLong", "Too long: may not be more than 262144 bytes"))
    for position, owner in enumerate(metadata.get("ownerReferences") or ()):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                field = f"metadata.ownerReferences[{position}].{name}"
                causes.append(invalid_value(field, "", f"{name.replace('apiVersion', 'version')} must not be empty"))
    for name in metadata.get("finalizers") or ():
        causes += _check_key(name, "metadata.finalizers")
    return causes


def validate_update(old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    """Metadata that may not change, and finalizers that may not be added to a dying object."""
    causes = []
    for name in ("uid", "creationTimestamp"):
        if new.get(name) not in (None, "", old.get(name)):
            causes.append(invalid_value(f"metadata.{name}", new.get(name), "field is immutable"))
    if "deletionTimestamp" in old:
        added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            listed = ", ".join(f'"{name}"' for name in added)
            text = "no new finalizers can be added if the object is being deleted, "
            text += f"found new finalizers []string{{{listed}}}"
            causes.append(field_forbidden("metadata.finalizers", text))
    return causes
